"""A known model in one depth picture: found from nowhere, or followed from where it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.geometry.models.many import lay_many
from referent.geometry.models.model import ObjectModel
from referent.geometry.models.refining import Laid, lay
from referent.geometry.models.render import View, render_score, seen_points
from referent.geometry.models.surface import Surface, normals_of
from referent.geometry.models.turns import about, angle_between, spread_rotations, turn_vector
from referent.geometry.models.unsure import fit_covariance, is_orientation_known, with_rival
from referent.geometry.noise import depth_sigma_m
from referent.geometry.points import thinned
from referent.geometry.poses import rigid, rigid_inverse
from referent.geometry.symmetry import smallest_rotation
from referent.types import Array, Intrinsics, OrientedBox

_GLANCE = 400  # points laid from every start
_POINTS = 700  # points laid exactly
_COARSE = 1000  # model points in the first render score
_FINALISTS = 6
_AGREE_SHARE = 0.02  # of the diameter: depths this close agree, or 3 sigma of noise,
_AGREE_AT_1_M = 0.007  # or what depth cameras are off by at 1 m
_BORDER_PX = 3
_LEAST_SCORE = 0.3
_RIVAL_SCORE = 0.04  # a different pose that scores this close is as likely
_RIVAL_RAD = np.deg2rad(20.0)


@dataclass(frozen=True, eq=False)
class ModelFit:
    """A model laid on the depth of one mask."""

    camera_from_model: Array  # (4, 4) float64
    residual_m: float  # RMS distance of the points from the model's surface
    score: float  # in [0, 1]: how well depth and mask agree with the model at this pose
    covariance: Array  # (6, 6) float64, ROS order about the camera's axes at the model's centre
    orientation_known: bool  # False when other turns, not symmetries, explain the points about as well, or any does
    point_count: int


def find_model(
    model: ObjectModel,
    points_m: Array,
    depth_m: Array,
    mask: Array,
    intrinsics: Intrinsics,
    *,
    up_in_camera: Array | None = None,
    config: GeometryConfig,
) -> ModelFit | None:
    """The model's pose anywhere on `points_m` (N, 3), the cleaned points of `mask` (H, W); None if it is not there.

    `depth_m` (H, W) is the whole picture: what lies around the mask tells where the model cannot be.
    """
    if len(points_m) < config.min_points:
        return None
    view = _view(model, points_m, depth_m, mask, intrinsics, config)
    few = _spread(points_m, _GLANCE, model.spacing_m)
    normals = _towards_camera(few, normals_of(_spread(points_m, 4 * _GLANCE, model.spacing_m / 2), few))
    starts = _starts(model, few, up_in_camera)
    ends = lay_many(
        few,
        normals,
        starts,
        Surface(model.points_m, model.normals, model.is_sheet),
        model.nearest,
        diameter_m=model.diameter_m,
    )
    poses = [rigid_inverse(end) for end in ends]
    scores = [_glance(model, pose, few, view) for pose in poses]
    return _best(model, _finalists(model, poses, scores), points_m, view, config)


def refine_model(
    model: ObjectModel,
    start: Array,
    points_m: Array,
    depth_m: Array,
    mask: Array,
    intrinsics: Intrinsics,
    *,
    config: GeometryConfig,
) -> ModelFit | None:
    """The model's pose near `start` (4, 4) camera_from_model; None if it is not there. Arguments as for find_model."""
    if len(points_m) < config.min_points:
        return None
    view = _view(model, points_m, depth_m, mask, intrinsics, config)
    return _refined(model, start, _spread(points_m, _POINTS, model.spacing_m), len(points_m), view, config, wide=False)


def nearest_equivalent(fit: ModelFit, previous: Array, model: ObjectModel) -> ModelFit:
    """Of the poses that look the same, by the model's symmetries, the one nearest to `previous` camera_from_model."""
    poses = fit.camera_from_model @ model.symmetries
    turns = np.array([_free_turn(model, pose, previous) for pose in poses])
    poses = poses @ turns
    best = int(np.argmin(angle_between(poses[:, :3, :3], previous[:3, :3])))
    return replace(fit, camera_from_model=poses[best])


def model_box(fit: ModelFit, model: ObjectModel) -> OrientedBox:
    """The model's own box, posed."""
    camera_from_object = fit.camera_from_model @ rigid(np.eye(3), model.center_m)
    return OrientedBox(camera_from_object, model.size_m.copy(), fit.point_count, fit.orientation_known)


def _free_turn(model: ObjectModel, pose: Array, previous: Array) -> Array:
    """(4, 4) the turn about the axis, of a ball about any, that brings `pose` nearest to `previous`."""
    if model.axis is None:
        return np.eye(4)
    wanted = pose[:3, :3].T @ previous[:3, :3]
    if not model.is_ball:
        a = model.axis
        skew = np.array([wanted[2, 1] - wanted[1, 2], wanted[0, 2] - wanted[2, 0], wanted[1, 0] - wanted[0, 1]])
        wanted = about(a, float(np.arctan2(skew @ a, np.trace(wanted) - a @ wanted @ a)))
    return rigid(wanted, model.middle_m - wanted @ model.middle_m)


def _view(
    model: ObjectModel, points_m: Array, depth_m: Array, mask: Array, intrinsics: Intrinsics, config: GeometryConfig
) -> View:
    z_m = float(np.median(points_m[:, 2]))
    noise_m = float(depth_sigma_m(z_m, intrinsics.fx, config))
    around = cv2.dilate(mask.astype(np.uint8), np.ones((2 * _BORDER_PX + 1,) * 2, np.uint8)).astype(bool)
    tolerance_m = max(_AGREE_SHARE * model.diameter_m, _AGREE_AT_1_M * z_m, 3 * noise_m)
    return View(depth_m, mask, around, intrinsics, tolerance_m)


def _spread(points_m: Array, count: int, cell_m: float) -> Array:
    """About `count` of the points at most, one per cubic cell: slanted faces have as much say as level ones."""
    points = points_m[thinned(np.arange(len(points_m)), 8 * count)]
    cell = np.floor((points - points.min(axis=0)) / cell_m).astype(np.int64)
    x, y, _ = cell.max(axis=0) + 1
    _, first = np.unique(cell[:, 0] + x * (cell[:, 1] + y * cell[:, 2]), return_index=True)
    return points[thinned(np.sort(first) if len(first) >= 30 else np.arange(len(points)), count)]


def _towards_camera(points_m: Array, normals: Array) -> Array:
    away = np.einsum("ni,ni->n", normals, points_m) > 0
    return np.where(away[:, None], -normals, normals)


def _starts(model: ObjectModel, points_m: Array, up_in_camera: Array | None) -> Array:
    """(K, 4, 4) model_from_camera of all starts: every way to be turned, its near side laid on the points' middle."""
    middle = points_m.mean(axis=0).astype(np.float64)
    turns = list(spread_rotations())
    if up_in_camera is not None:
        turns += _standing(np.asarray(up_in_camera, np.float64))
    rotations = np.stack(turns)
    towards_camera = rotations @ (-middle / np.linalg.norm(middle))
    facing = np.maximum(0, towards_camera @ model.normals[:_GLANCE].T.astype(np.float64))
    facing += 1e-6
    near_side = facing @ model.points_m[:_GLANCE] / facing.sum(axis=1, keepdims=True)
    starts = np.tile(np.eye(4), (len(turns), 1, 1))
    starts[:, :3, :3], starts[:, :3, 3] = rotations, near_side - rotations @ middle
    return starts


def _standing(up_in_camera: Array) -> list[Array]:
    """(3, 3) model_from_camera with one of the model's axes upright: things stand on a side more often than not."""
    up = up_in_camera / np.linalg.norm(up_in_camera)
    axes = [*np.eye(3), *-np.eye(3)]
    return [about(axis, yaw) @ smallest_rotation(up, axis) for axis in axes for yaw in np.arange(12) * np.pi / 6]


def _glance(model: ObjectModel, pose: Array, points_m: Array, view: View) -> float:
    """The render score at few points, times the share of the measured points that the model explains."""
    seen = seen_points(model, pose, view.intrinsics, count=_COARSE)
    in_model = (points_m - pose[:3, 3]) @ pose[:3, :3]
    apart_m = np.linalg.norm(in_model - model.points_m[model.nearest.at(in_model)], axis=1)
    explained = float(np.mean(apart_m <= view.tolerance_m + model.spacing_m))
    return max(0.0, render_score(seen, view)) * explained


def _finalists(model: ObjectModel, poses: list[Array], scores: list[float]) -> list[Array]:
    """The best few poses that are not the same, by the model's symmetries too."""
    kept: list[Array] = []
    for i in np.argsort(scores, kind="stable")[::-1]:
        if len(kept) == _FINALISTS or scores[i] <= 0:
            break
        if all(_difference(model, poses[i], other)[0] > np.deg2rad(8.0) for other in kept):
            kept.append(poses[i])
    return kept


def _difference(model: ObjectModel, pose: Array, other: Array) -> tuple[float, Array]:
    """The least turn [rad] between two poses that look the same, and the pose equivalent to `pose` that has it."""
    poses = pose @ model.symmetries
    poses = poses @ np.array([_free_turn(model, p, other) for p in poses])
    angles = angle_between(poses[:, :3, :3], other[:3, :3])
    best = int(np.argmin(angles))
    return float(angles[best]), poses[best]


def _best(
    model: ObjectModel, finalists: list[Array], points_m: Array, view: View, config: GeometryConfig
) -> ModelFit | None:
    """The finalist that fits best once laid exactly; unsure of its orientation when a different one fits as well."""
    few = _spread(points_m, _POINTS, model.spacing_m)
    fits = [_refined(model, pose, few, len(points_m), view, config, wide=True) for pose in finalists]
    found = sorted((fit for fit in fits if fit is not None), key=lambda fit: -fit.score)
    if not found:
        return None
    best = found[0]
    for rival in found[1:]:
        angle, pose = _difference(model, rival.camera_from_model, best.camera_from_model)
        if rival.score > best.score - _RIVAL_SCORE and angle > _RIVAL_RAD:
            turn = turn_vector(pose[:3, :3] @ best.camera_from_model[:3, :3].T)
            best = replace(best, covariance=with_rival(best.covariance, turn), orientation_known=False)
    return best


def _refined(
    model: ObjectModel, start: Array, few: Array, point_count: int, view: View, config: GeometryConfig, *, wide: bool
) -> ModelFit | None:
    narrow_m = max(0.004, 2 * view.tolerance_m)
    kernels_m = (0.1 * model.diameter_m + narrow_m, narrow_m, narrow_m) if wide else (2 * narrow_m, narrow_m)
    laid = lay(few, model, start, view.intrinsics, kernels_m=kernels_m, steps=5 if wide else 4)
    if laid is None:
        return None
    seen = seen_points(model, laid.camera_from_model, view.intrinsics, count=len(model.points_m))
    score = max(0.0, render_score(seen, view)) * laid.overlap
    if score < _LEAST_SCORE:
        return None
    return _fit(model, laid, score, len(few), point_count, view, config)


def _fit(
    model: ObjectModel, laid: Laid, score: float, laid_count: int, count: int, view: View, config: GeometryConfig
) -> ModelFit:
    covariance = fit_covariance(model, laid, view.intrinsics.fx, config, laid_count=laid_count, point_count=count)
    known = model.axis is None and is_orientation_known(covariance)
    return ModelFit(laid.camera_from_model, laid.residual_m, score, covariance, known, count)
