"""How sure a box's pose is: a 6x6 covariance that grows with distance, with few points and with what was not seen."""

from __future__ import annotations

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.box import BoxFit
from referent.geometry.faces import BEHIND_ROUND, below_m
from referent.geometry.noise import depth_sigma_m, independent_samples
from referent.types import Array, OrientedBox

UNKNOWN_ANGLE_RAD = np.pi / np.sqrt(3)  # a uniform angle: the yaw of a bottle
_REFERENCE_M = 0.5  # the floors hold at this distance and grow with it
_SIDE_SHARE = 0.04  # of a side: what one view's box is off by beside noise
_YAW_RAD = np.deg2rad(2.5)  # of a box of which two faces are seen
_TILT_UP_RAD = np.deg2rad(0.7)  # gravity from the transform tree
_TILT_PLANE_RAD = np.deg2rad(2.5)  # the normal of a support fitted in a ring


def pose_covariance(fit: BoxFit, fx: float, config: GeometryConfig, *, gravity_known: bool, missing_m: Array) -> Array:
    """(6, 6) float64, symmetric positive definite, in ROS order about the camera's fixed axes at the box centre.

    `missing_m` (2,) is how much longer the object may be along the picture's x and y than was seen of it.
    """
    box = fit.box
    axes, center = box.camera_from_object[:3, :3], box.camera_from_object[:3, 3]
    position = (axes * _along_sides_m(fit, fx, config) ** 2) @ axes.T
    position += _of_missing(fit, missing_m)
    if fit.is_round:
        position += _behind_round(fit)
    if fit.upright and not fit.on_floor:
        position += np.outer(axes[:, 2], axes[:, 2]) * (below_m(fit) / 2) ** 2
    rotation = (axes * _about_sides_rad(fit, fx, config, gravity_known=gravity_known) ** 2) @ axes.T
    covariance = np.zeros((6, 6))
    covariance[:3, :3], covariance[3:, 3:] = position, rotation
    return _floored(covariance, float(np.linalg.norm(center)), config)


def fused_covariance(
    box: OrientedBox,
    motion: Array,
    center_sigma_m: Array,
    config: GeometryConfig,
    *,
    upright: bool,
    gravity_known: bool,
) -> Array:
    """(6, 6) of a box learned over many frames, in ROS order about the camera's fixed axes at the box centre.

    `motion` (6, 6) is how sure the object's pose is against those frames, `center_sigma_m` (3,) how sure the box's
    middle is along its own axes.
    """
    axes, center = box.camera_from_object[:3, :3], box.camera_from_object[:3, 3]
    covariance = motion.copy()
    covariance[:3, :3] += (axes * center_sigma_m**2) @ axes.T
    about_rad = np.full(3, UNKNOWN_ANGLE_RAD)
    if upright:
        about_rad[:2] = _TILT_UP_RAD if gravity_known else _TILT_PLANE_RAD
        about_rad[2] = _YAW_RAD if box.orientation_known else UNKNOWN_ANGLE_RAD
    covariance[3:, 3:] += (axes * about_rad**2) @ axes.T
    return _floored(covariance, float(np.linalg.norm(center)), config)


def _floored(covariance: Array, distance_m: float, config: GeometryConfig) -> Array:
    """With what no number of points takes away: errors of registration, calibration and sensor."""
    floors = np.zeros(6)
    floors[:3] = (config.floor_position_m * distance_m / _REFERENCE_M) ** 2 + 1e-8
    floors[3:] = np.deg2rad(config.floor_rotation_deg) ** 2 + 1e-6
    floored = covariance + np.diag(floors)
    return np.asarray((floored + floored.T) / 2)


def _of_missing(fit: BoxFit, missing_m: Array) -> Array:
    """(3, 3) position covariance: the centre lies up to half the missing length off, but not up a known support."""
    directions = np.eye(3)[:2]
    if fit.on_floor:
        up = fit.box.camera_from_object[:3, 2]
        directions = directions - np.outer(directions @ up, up)
    return np.asarray((directions.T * (missing_m / 2) ** 2) @ directions)


def _behind_round(fit: BoxFit) -> Array:
    """(3, 3) position covariance for what a round thing may hide behind itself, such as a mug its handle."""
    up, center = fit.box.camera_from_object[:3, 2], fit.box.camera_from_object[:3, 3]
    away = center - up * (center @ up)
    away = away / max(float(np.linalg.norm(center)), 1e-9)
    return np.outer(away, away) * (BEHIND_ROUND / 2 * float(fit.box.size_m[:2].mean())) ** 2


def _along_sides_m(fit: BoxFit, fx: float, config: GeometryConfig) -> Array:
    """(3,) position sigmas along the box's own axes, without floors."""
    size = fit.box.size_m
    center = fit.box.camera_from_object[:3, 3]
    distance_m = float(np.linalg.norm(center))
    samples = independent_samples(fit.box.point_count, distance_m, fx, config.depth_correlation_m)
    noise_m = depth_sigma_m(distance_m, fx, config)
    seen = np.sqrt((_SIDE_SHARE * size) ** 2 + size**2 / (12 * samples) + noise_m**2 / samples)
    return np.where(_unseen(fit), np.sqrt(seen**2 + (np.max(size) / 2) ** 2), seen)


def _unseen(fit: BoxFit) -> Array:
    """(3,) True along sides of which only the near face was seen: the centre may lie half a side deeper."""
    if fit.far_side_seen:
        return np.zeros(3, bool)
    axes, center = fit.box.camera_from_object[:3, :3], fit.box.camera_from_object[:3, 3]
    along_view = np.abs(center @ axes) / np.linalg.norm(center)
    deepest = along_view >= min(0.7, along_view.max())
    if fit.on_floor:
        deepest &= np.arange(3) != 2
    return np.asarray(deepest)


def _about_sides_rad(fit: BoxFit, fx: float, config: GeometryConfig, *, gravity_known: bool) -> Array:
    """(3,) rotation sigmas about the box's own axes, without floors."""
    if not fit.upright:
        return np.full(3, UNKNOWN_ANGLE_RAD)
    samples = independent_samples(
        fit.box.point_count,
        float(np.linalg.norm(fit.box.camera_from_object[:3, 3])),
        fx,
        config.depth_correlation_m,
    )
    tilt = _TILT_UP_RAD if gravity_known else _TILT_PLANE_RAD
    yaw = min(UNKNOWN_ANGLE_RAD, np.sqrt(_YAW_RAD**2 + 1 / samples))
    return np.array([tilt, tilt, yaw if fit.box.orientation_known else UNKNOWN_ANGLE_RAD])
