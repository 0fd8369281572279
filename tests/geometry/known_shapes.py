"""Objects put together from boxes and cylinders: their mesh files, and exact depth images of them; truth for models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rendered import CAMERA, _box_depth, _cylinder_depth, _plane_depth, a_view, with_noise

from referent.config import GeometryConfig
from referent.geometry.camera import points_at
from referent.geometry.models.turns import about
from referent.geometry.points import object_mask, patch_around, pixels_of
from referent.geometry.poses import rigid, rigid_inverse, transform_points
from referent.types import Array, Intrinsics

Part = tuple[str, tuple[float, float, float], Array]  # box or cylinder, its sides, object_from_part


def a_part(
    kind: str, size_m: tuple[float, float, float], at_m: tuple[float, float, float], turn: Array | None = None
) -> Part:
    return kind, size_m, rigid(np.eye(3) if turn is None else turn, np.array(at_m))


BRICK = (a_part("box", (0.12, 0.08, 0.05), (0, 0, 0)),)
CAN = (a_part("cylinder", (0.07, 0.07, 0.12), (0, 0, 0)),)
MUG = (
    a_part("cylinder", (0.08, 0.08, 0.1), (0, 0, 0)),
    a_part("box", (0.05, 0.012, 0.014), (0.055, 0, 0.03)),
    a_part("box", (0.05, 0.012, 0.014), (0.055, 0, -0.03)),
    a_part("box", (0.012, 0.012, 0.074), (0.075, 0, 0)),
)
DRILL = (
    a_part("cylinder", (0.05, 0.05, 0.15), (0.02, 0, 0.07), about(np.array([0.0, 1, 0]), np.pi / 2)),
    a_part("box", (0.04, 0.035, 0.12), (-0.02, 0, 0)),
    a_part("box", (0.09, 0.06, 0.03), (-0.005, 0, -0.07)),
)
STEPS = (a_part("box", (0.12, 0.07, 0.03), (0, 0, 0)), a_part("box", (0.05, 0.07, 0.04), (-0.035, 0, 0.035)))


@dataclass(frozen=True, eq=False)
class Scene:
    """A depth picture of one object, and where it is."""

    depth_m: Array
    mask: Array
    points_m: Array  # as the geometry room cleans them
    camera_from_model: Array
    up_in_camera: Array
    camera: Intrinsics


def a_scene(
    parts: Sequence[Part],
    camera_from_model: Array,
    *,
    noise_px: float = 0.05,
    seed: int = 0,
    floor_m: float | None = None,
    hidden_columns: slice | None = None,
    camera: Intrinsics = CAMERA,
    config: GeometryConfig | None = None,
) -> Scene:
    """The object over a floor seen at 40 degrees; `hidden_columns` of the picture are taken by something nearer."""
    config = config or GeometryConfig()
    world_from_camera = a_view(elevation_deg=40, distance_m=floor_m or 1.1)
    depth = _plane_depth(world_from_camera, camera)
    own = depth_of(parts, camera_from_model, camera)
    mask = own < depth
    depth = np.where(mask, own, depth)
    if hidden_columns is not None:
        depth[:, hidden_columns], mask[:, hidden_columns] = 0.3, False
    depth = with_noise(np.where(np.isfinite(depth), depth, np.nan), noise_px, seed, camera)
    patch = patch_around(depth, mask, camera.fx, config)
    points = np.zeros((0, 3), np.float32)
    if patch is not None:
        points = points_at(depth, *pixels_of(patch, object_mask(patch, config)), camera)
    return Scene(depth, mask, points, camera_from_model, world_from_camera[:3, :3].T[:, 2].copy(), camera)


def depth_of(parts: Sequence[Part], camera_from_model: Array, camera: Intrinsics) -> Array:
    """(H, W) depth of the object alone, infinite beside it."""
    hit = {"box": _box_depth, "cylinder": _cylinder_depth}
    return np.min([hit[kind](camera_from_model @ pose, np.array(size), camera) for kind, size, pose in parts], axis=0)


def a_pose(seed: int, distance_m: float = 0.6) -> Array:
    """camera_from_model of an object turned by chance, before the camera."""
    rng = np.random.default_rng(seed)
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return rigid(q, np.array([*rng.uniform(-0.08, 0.08, 2), distance_m]))


def write_obj(path: Path, parts: Sequence[Part], *, units_per_m: float = 1.0, sides: int = 48) -> Path:
    """A Wavefront file as modelling programs write them: quads, faces of many corners, materials nobody has."""
    lines, first = ["mtllib none.mtl", "vt 0 0", "usemtl paint"], 1
    for kind, size, pose in parts:
        corners, faces = _box_faces(size) if kind == "box" else _cylinder_faces(size, sides)
        lines += [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in transform_points(pose, corners) * units_per_m]
        lines += ["f " + " ".join(f"{first + i}/1" for i in face) for face in faces]
        first += len(corners)
    path.write_text("\n".join(lines) + "\n")
    return path


def _box_faces(size: Sequence[float]) -> tuple[Array, list[Sequence[int]]]:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.array(size) / 2
    return corners, [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def _cylinder_faces(size: Sequence[float], sides: int) -> tuple[Array, list[Sequence[int]]]:
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([np.cos(angle) * size[0] / 2, np.sin(angle) * size[1] / 2], axis=1)
    corners = np.concatenate([np.c_[ring, np.full(sides, z)] for z in (-size[2] / 2, size[2] / 2)])
    around = [(i, (i + 1) % sides, sides + (i + 1) % sides, sides + i) for i in range(sides)]
    return corners, [*around, range(sides)[::-1], range(sides, 2 * sides)]


def add_m(model_points: Array, a: Array, b: Array) -> float:
    """The mean distance between the same model points at two poses."""
    return float(np.linalg.norm(transform_points(a, model_points) - transform_points(b, model_points), axis=1).mean())


def pose_error(camera_from_model: Array, truth: Array, center_m: Array) -> Array:
    """(6,) how far off: moves of the centre and turns about the camera's axes."""
    from scipy.spatial.transform import Rotation

    move = transform_points(camera_from_model, center_m[None])[0] - transform_points(truth, center_m[None])[0]
    turn = Rotation.from_matrix((camera_from_model @ rigid_inverse(truth))[:3, :3]).as_rotvec()
    return np.concatenate([move, turn])
