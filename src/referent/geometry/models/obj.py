"""Wavefront files: corners and faces, cut into triangles inside their own outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from referent.types import Array

_FLAT = 1e-9  # of a face's extent, squared: corners this much off a line are on it


def read_obj(text: str) -> tuple[Array, Array]:
    """The corners (N, 3) float64 and triangles (M, 3) of a Wavefront file; ValueError says what is wrong with it.

    Only `v` and `f` are of use here: materials, groups, normals and textures are left out.
    """
    written: list[list[str]] = []
    faces: list[list[int]] = []
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            written.append(words[:3])
        elif kind == "f":
            faces.append([_corner(word, len(written)) for word in words])
    if any(len(words) < 3 for words in written):
        raise ValueError("a corner (v) has less than three numbers")
    corners = np.array(written, np.float64).reshape(-1, 3)
    named = np.array([corner for face in faces for corner in face] or [0], np.int64)
    if faces and not (named.min() >= 0 and named.max() < len(corners)):
        raise ValueError(f"a face names corner {named.max() + 1}, there are {len(corners)}")
    triangles: list[Sequence[int]] = []
    for face in faces:
        if len(face) == 3:
            triangles.append(face)
        elif len(face) > 3:
            triangles += cut(corners[face], face)
    return corners, np.array(triangles, np.int64).reshape(-1, 3)


def _corner(word: str, before: int) -> int:
    """The index a face's word names; negative numbers count back from the corners before it."""
    number = int(word.split("/", 1)[0])
    return number - 1 if number > 0 else before + number


def cut(places: Array, names: Sequence[int]) -> list[tuple[int, int, int]]:
    """Triangles that cover a face with corners at `places` (K, 3) in turn and called `names`, and nothing beside it.

    Ears are clipped (Meisters 1975) where the face has a corner that points in; a face that crosses itself becomes a
    fan, as does one with none.
    """
    flat = _in_its_plane(places) if len(names) > 3 else None
    rest, triangles = list(range(len(names))), []
    while flat is not None and len(rest) > 3 and _bends_in(flat[rest]):
        ear = _ear(flat, rest)
        if ear is None:
            break
        triangles.append((rest[ear - 1], rest[ear], rest[(ear + 1) % len(rest)]))
        del rest[ear]
    triangles += [(rest[0], rest[i], rest[i + 1]) for i in range(1, len(rest) - 1)]
    return [(names[a], names[b], names[c]) for a, b, c in triangles]


def _in_its_plane(places: Array) -> Array | None:
    """(K, 2) the corners in the face's plane, counterclockwise; None for a face without an area."""
    centred = places - places.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)  # Newell's: of the mean plane
    length = float(np.linalg.norm(normal))
    if not length > _FLAT * float(np.ptp(places, axis=0).max()) ** 2:
        return None
    across = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
    across /= np.linalg.norm(across)
    return np.stack([centred @ across, centred @ np.cross(normal / length, across)], axis=1)


def _turns(before: Array, at: Array, after: Array) -> Array:
    """Twice the area of the triangles of three corners: positive for a turn to the left."""
    one, other = at - before, after - at
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])


def _bends_in(flat: Array) -> bool:
    turns = _turns(np.roll(flat, 1, axis=0), flat, np.roll(flat, -1, axis=0))
    return bool((turns < -_FLAT * float(np.ptp(flat, axis=0).max()) ** 2).any())


def _ear(flat: Array, rest: list[int]) -> int | None:
    """The place in `rest` of a corner whose triangle lies in the face and holds no other corner."""
    for place, corner in enumerate(rest):
        a, b, c = flat[rest[place - 1]], flat[corner], flat[rest[(place + 1) % len(rest)]]
        if _turns(a, b, c) <= 0:
            continue
        others = flat[[other for other in rest if not any(np.array_equal(flat[other], own) for own in (a, b, c))]]
        inside = (_turns(a, b, others) >= 0) & (_turns(b, c, others) >= 0) & (_turns(c, a, others) >= 0)
        if not inside.any():
            return place
    return None
