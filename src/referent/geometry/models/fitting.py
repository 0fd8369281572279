"""A known model in one depth picture: found from nowhere, or followed from where it was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.models.equivalence import difference, same_turned_to
from referent.geometry.models.model import ObjectModel
from referent.geometry.models.refining import lay
from referent.geometry.models.render import View, points_in, render_score, seen_points, view_around
from referent.geometry.models.searching import all_around, glance_score, spread
from referent.geometry.models.unsure import fit_covariance, is_orientation_known, with_rival
from referent.geometry.noise import depth_sigma_m
from referent.geometry.poses import rigid, rigid_inverse
from referent.types import Array, Intrinsics, OrientedBox

_POINTS = 700  # points laid exactly
_FINALISTS = 10
_SAME_RAD, _SAME_SHARE = np.deg2rad(8.0), 0.08  # of the diameter: nearer ends of the search are one
_GOOD_SCORE = 0.75  # with less, points that cleaning left out are tried too,
_MORE = 1.05  # if there are so many times more
_FOUND_SCORE, _KEPT_SCORE = 0.45, 0.35  # what is not the model scores up to 0.5, but for look-alikes
_RIVAL_SCORE = 0.04  # a different pose that scores this close is as likely
_RIVAL_RAD, _RIVAL_SHARE = np.deg2rad(20.0), 0.15
_RIVALS = 3
_THINNEST_M = 0.001


@dataclass(frozen=True, eq=False)
class ModelFit:
    """A model laid on the depth of one mask."""

    camera_from_model: Array  # (4, 4) float64
    residual_m: float  # RMS distance of the points from the model's surface
    score: float  # in [0, 1]: how well depth and mask agree with the model at this pose
    covariance: Array  # (6, 6) float64, ROS order about the camera's axes at the model's centre
    orientation_known: bool  # False when other turns, not symmetries, explain the points about as well, or any does
    point_count: int
    rivals: tuple[Array, ...] = ()  # (4, 4) model_from_model, to poses that are as likely


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

    `depth_m` (H, W) is the whole picture: what lies around the mask tells where the model cannot be. With
    `up_in_camera` (3,) poses in which one of the model's axes is upright are tried too.
    """
    if len(points_m) < config.min_points:
        return None
    view = _view(model, points_m, depth_m, mask, intrinsics, config)
    fit = _found(model, points_m, view, up_in_camera, config)
    if fit is not None and fit.score > _GOOD_SCORE:
        return fit
    # What lies far behind the rest of a mask is cleaned away as something else; it may be the rest of the model.
    all_points = points_in(view, depth_m, z_m=float(np.median(points_m[:, 2])), within_m=model.diameter_m)
    if len(all_points) < _MORE * len(points_m):
        return fit
    other = _found(model, all_points, view, up_in_camera, config)
    return fit if other is None or (fit is not None and fit.score >= other.score) else other


def refine_model(
    model: ObjectModel,
    start: Array | ModelFit,
    points_m: Array,
    depth_m: Array,
    mask: Array,
    intrinsics: Intrinsics,
    *,
    config: GeometryConfig,
) -> ModelFit | None:
    """The model's pose near `start`; None if it is not there. Other arguments as for find_model.

    `start` is a (4, 4) camera_from_model, or the fit before: then its rivals are looked at again, and one that agrees
    clearly better by now takes its place.
    """
    if len(points_m) < config.min_points:
        return None
    view = _view(model, points_m, depth_m, mask, intrinsics, config)
    few = spread(points_m, _POINTS, model.spacing_m)
    pose, rivals = (start.camera_from_model, start.rivals) if isinstance(start, ModelFit) else (start, ())
    fit = _laid(model, pose, few, len(points_m), view, config, wide=False)
    return fit if fit is None or not rivals else _reconsidered(model, fit, rivals, few, view, config)


def nearest_equivalent(fit: ModelFit, previous: Array, model: ObjectModel) -> ModelFit:
    """Of the poses that look the same, by the model's symmetries, the one nearest to `previous` camera_from_model."""
    same = same_turned_to(model, fit.camera_from_model, previous)
    rivals = tuple(rigid_inverse(same) @ rival for rival in fit.rivals)
    return replace(fit, camera_from_model=fit.camera_from_model @ same, rivals=rivals)


def model_box(fit: ModelFit, model: ObjectModel) -> OrientedBox:
    """The model's own box, posed; a sheet's is as thick as a thing at least is to planners."""
    camera_from_object = fit.camera_from_model @ rigid(np.eye(3), model.center_m)
    size_m = np.maximum(model.size_m, _THINNEST_M)
    return OrientedBox(camera_from_object, size_m, fit.point_count, fit.orientation_known)


def _view(
    model: ObjectModel, points_m: Array, depth_m: Array, mask: Array, intrinsics: Intrinsics, config: GeometryConfig
) -> View:
    z_m = float(np.median(points_m[:, 2]))
    noise_m = float(depth_sigma_m(z_m, intrinsics.fx, config))
    return view_around(depth_m, mask, intrinsics, z_m=z_m, noise_m=noise_m, diameter_m=model.diameter_m)


def _found(
    model: ObjectModel, points_m: Array, view: View, up_in_camera: Array | None, config: GeometryConfig
) -> ModelFit | None:
    """The best of all poses on these points, with the rivals that fit about as well."""
    poses, scores = all_around(model, points_m, view, up_in_camera)
    few = spread(points_m, _POINTS, model.spacing_m)
    finalists = _finalists(model, poses, scores)
    ends = [_laid(model, pose, few, len(points_m), view, config, wide=True) for pose in finalists]
    fits = sorted((end for end in ends if end is not None), key=lambda fit: -fit.score)
    if not fits:
        return None
    best, *others = fits
    return _beside(model, best, [fit.camera_from_model for fit in others if fit.score > best.score - _RIVAL_SCORE])


def _finalists(model: ObjectModel, poses: Array, scores: Array) -> list[Array]:
    """The best few poses that are not the same, by the model's symmetries too."""
    kept: list[Array] = []
    near_m = _SAME_SHARE * model.diameter_m
    for i in np.argsort(-scores, kind="stable"):
        if len(kept) == _FINALISTS or scores[i] <= 0:
            break
        if not any(difference(model, other, poses[i]).is_within(_SAME_RAD, near_m) for other in kept):
            kept.append(poses[i])
    return kept


def _laid(
    model: ObjectModel, start: Array, few: Array, point_count: int, view: View, config: GeometryConfig, *, wide: bool
) -> ModelFit | None:
    """The fit at which `few` points come to rest, from a start that is good (`wide` False) or just the best known."""
    fine_m = max(0.002, view.tolerance_m)
    kernels_m = (0.1 * model.diameter_m + 2 * fine_m, 2 * fine_m, fine_m) if wide else (4 * fine_m, fine_m)
    laid = lay(few, model, start, view.intrinsics, kernels_m=kernels_m, steps=5 if wide else 4)
    if laid is None:
        return None
    seen = seen_points(model, laid.camera_from_model, view.intrinsics, count=len(model.points_m))
    score = max(0.0, render_score(seen, view)) * laid.overlap
    if score < (_FOUND_SCORE if wide else _KEPT_SCORE):
        return None
    covariance = fit_covariance(model, laid, view.intrinsics.fx, config, laid_count=len(few), point_count=point_count)
    known = model.axis is None and is_orientation_known(covariance)
    return ModelFit(laid.camera_from_model, laid.residual_m, score, covariance, known, point_count)


def _beside(model: ObjectModel, fit: ModelFit, poses: list[Array]) -> ModelFit:
    """The fit when these poses are as likely."""
    rivals, covariance, known = [], fit.covariance, fit.orientation_known
    for pose in poses:
        away = difference(model, fit.camera_from_model, pose)
        if not away.is_within(_RIVAL_RAD, _RIVAL_SHARE * model.diameter_m):
            covariance = with_rival(covariance, away.move_m, away.turn)
            known &= bool(np.linalg.norm(away.turn) < _RIVAL_RAD)
            rivals.append(rigid_inverse(fit.camera_from_model) @ away.other)
    return replace(fit, covariance=covariance, orientation_known=known, rivals=tuple(rivals[:_RIVALS]))


def _reconsidered(
    model: ObjectModel, fit: ModelFit, rivals: tuple[Array, ...], few: Array, view: View, config: GeometryConfig
) -> ModelFit:
    """The fit beside those rivals that still look as well, or the rival that looks better."""
    poses = [fit.camera_from_model @ rival for rival in rivals]
    own = glance_score(model, fit.camera_from_model, few, view)
    scores = [glance_score(model, pose, few, view) for pose in poses]
    if max(scores) > own + _RIVAL_SCORE:
        better = _laid(model, poses[int(np.argmax(scores))], few, fit.point_count, view, config, wide=True)
        if better is not None and better.score > fit.score + _RIVAL_SCORE:
            return better
    return _beside(model, fit, [pose for pose, score in zip(poses, scores, strict=True) if score > own - _RIVAL_SCORE])
