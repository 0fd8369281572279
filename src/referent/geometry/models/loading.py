"""Models from files: meshes (obj, ply, stl) and bare point lists (xyz, txt, npy, ply without faces)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from referent.errors import ConfigError
from referent.geometry.models.model import ObjectModel, build_model
from referent.geometry.models.obj import read_obj
from referent.geometry.models.surface import Surface, normals_of, sampled
from referent.settings import yaml_tree
from referent.types import Array

UNITS = ("auto", "mm", "m")
MESHES = (".obj", ".ply", ".stl")
POINT_LISTS = (".xyz", ".txt", ".npy")
LARGEST_BYTES = 1 << 28  # of a model's file
_TABLE_M = 3.0
_LEAST_M, _MOST_M = 0.003, 10.0  # across: less is noise of depth, more is beyond input.max_depth_m
_LEAST_POINTS = 100


def load_model(path: Path | str, *, unit: str = "auto", name: str = "") -> ObjectModel:
    """The model in a file, named `name` or after the file; ConfigError says what is wrong with it.

    `unit` of the file is "mm", "m" or "auto": then a diameter above 3 (metres would not fit on a table) means
    millimetres. Faces of more than three corners are cut into triangles. Point lists have one point per line, more
    columns than three are left out; their normals are estimated.
    """
    path = Path(path)
    if unit not in UNITS:
        raise ConfigError(f"{path}: unit {unit!r} is not one of {', '.join(UNITS)}")
    if path.is_file() and path.stat().st_size > LARGEST_BYTES:
        raise ConfigError(f"{path}: {path.stat().st_size} bytes are more than {LARGEST_BYTES}; reduce the model")
    if path.suffix.lower() in MESHES:
        surface, corners = _read_mesh(path)
    elif path.suffix.lower() in POINT_LISTS:
        surface, corners = None, _read_points(path)
    else:
        raise ConfigError(f"{path}: a model is a file of {', '.join(MESHES + POINT_LISTS)}")
    scale = _scale(path, corners, unit)
    if surface is None:
        surface = _cloud(path, corners)
    return build_model(name or path.stem, Surface(surface.points_m * scale, surface.normals), corners * scale)


def load_models(file: Path | str) -> Mapping[str, ObjectModel]:
    """The models that a YAML list names, by label: `models: [{label: mug, file: mug.obj, unit: mm}]`.

    Files are relative to the YAML file, `unit` may be left out. ConfigError names the entry that is wrong.
    """
    file = Path(file)
    models: dict[str, ObjectModel] = {}
    for number, entry in enumerate(_entries(file), start=1):
        if not isinstance(entry, dict) or not {"label", "file"} <= set(entry) <= {"label", "file", "unit"}:
            raise ConfigError(f"{file}: entry {number} of models: {entry!r} needs label and file, and may have unit")
        label = " ".join(str(entry["label"]).lower().split())
        if not label or label in models:
            raise ConfigError(f"{file}: entry {number} of models: label {entry['label']!r} is empty or there twice")
        models[label] = load_model(file.parent / str(entry["file"]), unit=str(entry.get("unit", "auto")), name=label)
    return models


def _entries(file: Path) -> list[object]:
    tree = yaml_tree(file)
    if not isinstance(tree, dict) or set(tree) != {"models"} or not isinstance(tree["models"], list):
        raise ConfigError(f"{file}: expected `models:` and under it a list of label, file and unit")
    return list(tree["models"])


def _read_mesh(path: Path) -> tuple[Surface | None, Array]:
    """The sampled surface, or None for a file without faces, and the points that bound it."""
    try:
        vertices, faces = _obj(path) if path.suffix.lower() == ".obj" else _ply_or_stl(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # what a reader of any format makes of any bytes
        raise ConfigError(f"{path}: not a readable mesh ({error}); export it again as obj, ply or stl") from error
    if len(faces) == 0:
        return None, _checked(path, vertices)
    used = vertices[np.unique(faces)]
    if not np.isfinite(used).all():
        raise ConfigError(f"{path}: corners of its faces are not finite; export the mesh again")
    if _area(vertices, faces) <= 0:
        raise ConfigError(f"{path}: its faces have no extent; export the mesh again")
    return sampled(vertices, faces), used


def _obj(path: Path) -> tuple[Array, Array]:
    return read_obj(path.read_text(errors="replace"))


def _ply_or_stl(path: Path) -> tuple[Array, Array]:
    import trimesh

    with path.open("rb") as file:
        # Materials and merging of vertices are of no use here, and of textures the readers want more packages.
        mesh = trimesh.load(file, file_type=path.suffix.lower()[1:], process=False, skip_materials=True)
    if isinstance(mesh, trimesh.Scene):
        mesh = mesh.to_mesh() if mesh.geometry else trimesh.PointCloud(np.zeros((0, 3)))
    vertices = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
    return vertices, np.asarray(getattr(mesh, "faces", np.zeros((0, 3))), np.int64).reshape(-1, 3)


def _area(vertices: Array, faces: Array) -> float:
    """Twice the surface, in the file's units."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def _read_points(path: Path) -> Array:
    try:
        if path.suffix.lower() == ".npy":
            points = np.load(path, allow_pickle=False, mmap_mode="r")  # makes no more room than the file has
        else:
            text = path.read_text()
            if not text.strip():
                raise ValueError("the file is empty")
            points = np.loadtxt(text.splitlines(), delimiter="," if "," in text[:1000] else None, ndmin=2)
        points = np.asarray(points, np.float64)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, EOFError) as error:
        raise ConfigError(f"{path}: not a list of points ({error}); one point x y z per line is needed") from error
    if points.ndim != 2 or points.shape[1] < 3:
        raise ConfigError(f"{path}: an array {points.shape} is no list of points; (N, 3) is needed")
    return _checked(path, points[:, :3])


def _checked(path: Path, points: Array) -> Array:
    if len(points) < _LEAST_POINTS:
        raise ConfigError(f"{path}: {len(points)} points and no faces; a mesh, or at least {_LEAST_POINTS} points")
    if not np.isfinite(points).all() or np.ptp(points, axis=0).max() <= 0:
        raise ConfigError(f"{path}: its points are not finite or all in one place; export the model again")
    return points


def _scale(path: Path, corners: Array, unit: str) -> float:
    """Metres per unit of the file."""
    extent = float(np.linalg.norm(np.ptp(corners, axis=0)))
    scale = {"m": 1.0, "mm": 0.001, "auto": 0.001 if extent > _TABLE_M else 1.0}[unit]
    if not _LEAST_M <= extent * scale <= _MOST_M:
        raise ConfigError(f"{path}: {extent * scale:.3g} m across as unit {unit}; is the unit the other of mm and m?")
    return scale


def _cloud(path: Path, points: Array) -> Surface:
    if len(points) > 60_000:  # more than enough, and evenly spread by chance
        points = points[np.random.default_rng(0).permutation(len(points))[:60_000]]
    return Surface(points, normals_of(points))
