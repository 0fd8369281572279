"""Where a known model may be in a depth picture: laid on the points from all around, judged by what would be seen."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from referent.geometry.models.many import lay_many
from referent.geometry.models.model import ObjectModel
from referent.geometry.models.render import View, render_score, render_scores, seen_points
from referent.geometry.models.surface import Surface, normals_of
from referent.geometry.models.turns import about
from referent.geometry.points import thinned
from referent.geometry.poses import rigid_inverse
from referent.geometry.symmetry import smallest_rotation
from referent.types import Array

_GLANCE_POINTS, _POINTS = 120, 350  # laid from every start; from the most promising
_ROLLS = 12  # about the viewing ray, from every view of the model
_PROMISING = 100
_COARSE = 1000  # model points in the render score of the promising
_AXES = np.concatenate([np.eye(3), -np.eye(3)])


def all_around(model: ObjectModel, points_m: Array, view: View, up_in_camera: Array | None) -> tuple[Array, Array]:
    """Poses (K, 4, 4) camera_from_model at which the model comes to rest on the points, and their scores (K,).

    Every start is laid roughly; only those that would then look right are laid with care.
    """
    few = spread(points_m, _POINTS, model.spacing_m)
    normals = _towards_camera(few, normals_of(spread(points_m, 4 * _POINTS, model.spacing_m / 2), few))
    glance = thinned(np.arange(len(few)), _GLANCE_POINTS)
    middle = points_m.mean(axis=0, dtype=np.float64)
    turns = _turns(model, middle / np.linalg.norm(middle), up_in_camera)
    starts = _starts(model, few[glance], view, turns, middle)
    rough = _laid(model, few[glance], normals[glance], starts, steps=6, kernels=(0.3, 0.12))
    likely = np.argsort(-_likelihood(model, few[glance], rough, view), kind="stable")[:_PROMISING]
    ends = _laid(model, few, normals, rough[likely], steps=12, kernels=(0.2, 0.05))
    poses = np.stack([rigid_inverse(end) for end in ends])
    return poses, np.array([glance_score(model, pose, few, view) for pose in poses])


def spread(points_m: Array, count: int, cell_m: float) -> Array:
    """At most `count` of the points, one per cubic cell: slanted faces have as much say as level ones."""
    points = points_m[thinned(np.arange(len(points_m)), 8 * count)]
    cell = np.floor((points - points.min(axis=0)) / cell_m).astype(np.int64)
    x, y, _ = cell.max(axis=0) + 1
    _, first = np.unique(cell[:, 0] + x * (cell[:, 1] + y * cell[:, 2]), return_index=True)
    return points[thinned(np.sort(first) if len(first) >= 30 else np.arange(len(points)), count)]


def _laid(
    model: ObjectModel, points_m: Array, normals: Array, starts: Array, *, steps: int, kernels: tuple[float, float]
) -> Array:
    surface = Surface(model.points_m, model.normals, model.is_sheet)
    return lay_many(
        points_m, normals, starts, surface, model.nearest, diameter_m=model.diameter_m, steps=steps, kernels=kernels
    )


def _towards_camera(points_m: Array, normals: Array) -> Array:
    away = np.einsum("ni,ni->n", normals, points_m) > 0
    return np.where(away[:, None], -normals, normals)


def _starts(model: ObjectModel, points_m: Array, view: View, rotations: Array, middle_m: Array) -> Array:
    """(K, 4, 4) model_from_camera: turned by `rotations` (K, 3, 3), the near side laid on the points.

    Its middle on theirs, or where points are missing in the mask, its outline on the mask's; whatever looks better.
    """
    side, weight = _near_side(model, rotations, middle_m)
    in_camera = side @ rotations
    on_points = middle_m - np.einsum("kn,kni->ki", weight, in_camera)
    on_mask = _box_middle_m(view, float(middle_m[2])) - (in_camera.max(axis=1) + in_camera.min(axis=1)) / 2
    on_mask[:, 2] = on_points[:, 2]
    starts = [_transforms(rotations, -np.einsum("kij,kj->ki", rotations, shift)) for shift in (on_points, on_mask)]
    likely = [_likelihood(model, points_m, start, view) for start in starts]
    return np.where((likely[0] >= likely[1])[:, None, None], starts[0], starts[1])


def _near_side(model: ObjectModel, rotations: Array, middle_m: Array) -> tuple[Array, Array]:
    """(K, n, 3) model points seen when turned like this before the camera, and (K, n) their shares of the picture."""
    viewer = -(rotations @ (middle_m / np.linalg.norm(middle_m)))
    index = model.near_sides[np.argmax(viewer @ model.views.T, axis=1)]
    weight = np.abs(np.einsum("kni,ki->kn", model.normals[index], viewer)) + 0.01
    return model.points_m[index], weight / weight.sum(axis=1, keepdims=True)


def _box_middle_m(view: View, z_m: float) -> Array:
    """(3,) the middle of the mask's bounding box, at depth `z_m`."""
    x, y, width, height = cv2.boundingRect(view.mask.astype(np.uint8))
    camera = view.intrinsics
    u, v = x + (width - 1) / 2, y + (height - 1) / 2
    return np.array([(u - camera.cx) / camera.fx * z_m, (v - camera.cy) / camera.fy * z_m, z_m])


def _transforms(rotations: Array, shifts: Array) -> Array:
    transforms = np.tile(np.eye(4), (len(rotations), 1, 1))
    transforms[:, :3, :3], transforms[:, :3, 3] = rotations, shifts
    return transforms


def _turns(model: ObjectModel, ray: Array, up_in_camera: Array | None) -> Array:
    """(K, 3, 3) model_from_camera: every way to be turned, seen along the unit vector `ray`."""
    rotations = _rolled(len(model.views), model.views.tobytes()) @ smallest_rotation(ray, np.array([0.0, 0, 1]))
    if up_in_camera is None:
        return np.asarray(rotations)
    return np.concatenate([rotations, _standing(np.asarray(up_in_camera, np.float64))])


@cache
def _rolled(count: int, views: bytes) -> Array:
    """(count * rolls, 3, 3) model_from_viewer of viewers that look along their z from each of the directions."""
    ahead = np.array([0.0, 0, 1])
    rolls = np.stack([about(ahead, k * 2 * np.pi / _ROLLS) for k in range(_ROLLS)])
    turns = [smallest_rotation(ahead, -view) for view in np.frombuffer(views).reshape(count, 3)]
    return np.concatenate([turn @ rolls for turn in turns])


def _standing(up_in_camera: Array) -> Array:
    """(72, 3, 3) model_from_camera with one of the model's axes upright: things are mostly modelled as they stand."""
    up = up_in_camera / np.linalg.norm(up_in_camera)
    turns = [about(axis, yaw) @ smallest_rotation(up, axis) for axis in _AXES for yaw in np.arange(12) * np.pi / 6]
    return np.stack(turns)


def _likelihood(model: ObjectModel, points_m: Array, ends: Array, view: View) -> Array:
    """(K,) the score of every start at a glance: what its nearest view shows, times the share of points explained."""
    rotations, shifts = ends[:, :3, :3], ends[:, :3, 3]
    from_viewer = -(rotations @ points_m.mean(axis=0, dtype=np.float64))
    side = np.argmax(from_viewer @ model.views.T, axis=1)
    in_camera = (model.points_m[model.near_sides[side]] - shifts[:, None]) @ rotations
    in_model = points_m @ np.swapaxes(rotations, 1, 2) + shifts[:, None]
    off_m = np.linalg.norm(in_model - model.points_m[model.nearest.at(in_model)], axis=2)
    explained = np.maximum(0, 1 - off_m / (0.1 * model.diameter_m)).mean(axis=1)
    return np.asarray((1 + render_scores(in_camera, view, slack_m=3 * view.tolerance_m)) * explained)


def glance_score(model: ObjectModel, pose: Array, points_m: Array, view: View) -> float:
    """The render score at few points, times the share of the measured points that the model explains."""
    seen = seen_points(model, pose, view.intrinsics, count=_COARSE)
    in_model = (points_m - pose[:3, 3]) @ pose[:3, :3]
    off_m = np.linalg.norm(in_model - model.points_m[model.nearest.at(in_model)], axis=1)
    return max(0.0, render_score(seen, view)) * float(np.mean(off_m <= view.tolerance_m + model.spacing_m))
