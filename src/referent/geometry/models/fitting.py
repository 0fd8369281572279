"""A known model in one depth picture: found from nowhere, or followed from where it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.models.model import ObjectModel
from referent.geometry.models.refining import Laid, lay
from referent.geometry.models.render import View, render_score, seen_points, view_around
from referent.geometry.models.searching import all_around, spread
from referent.geometry.models.turns import about, angle_between, turn_vector
from referent.geometry.models.unsure import fit_covariance, is_orientation_known, with_rival
from referent.geometry.noise import depth_sigma_m
from referent.geometry.poses import rigid
from referent.types import Array, Intrinsics, OrientedBox

_POINTS = 700  # points laid exactly
_FINALISTS = 6
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
    poses, scores = all_around(model, points_m, view, up_in_camera)
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
    return _refined(model, start, spread(points_m, _POINTS, model.spacing_m), len(points_m), view, config, wide=False)


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
    return view_around(depth_m, mask, intrinsics, z_m=z_m, noise_m=noise_m, diameter_m=model.diameter_m)


def _finalists(model: ObjectModel, poses: Array, scores: Array) -> list[Array]:
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
    few = spread(points_m, _POINTS, model.spacing_m)
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
