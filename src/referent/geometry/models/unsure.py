"""How sure a model's pose is: what the points say, what they cannot say, and floors for what nobody models."""

from __future__ import annotations

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.covariance import UNKNOWN_ANGLE_RAD
from referent.geometry.models.model import ObjectModel
from referent.geometry.models.refining import Laid
from referent.geometry.noise import depth_sigma_m, independent_samples
from referent.types import Array

_KNOWN_RAD = np.deg2rad(20.0)  # a larger sigma is no orientation
_REFERENCE_M = 0.5  # the floors hold at this distance and grow with it


def fit_covariance(
    model: ObjectModel, laid: Laid, fx: float, config: GeometryConfig, *, laid_count: int, point_count: int
) -> Array:
    """(6, 6) float64 in ROS order about the camera's axes at the model's centre.

    The information of the points, of which neighbours err together, bounded by the model's own size where they say
    nothing, plus the floors (pose recipe in docs/poses.md). Turns about the model's own axis are unknown altogether.
    """
    pose = laid.camera_from_model
    center = pose[:3, :3] @ model.center_m + pose[:3, 3]
    noise_m = max(float(depth_sigma_m(float(center[2]), fx, config)), laid.residual_m, 1e-4)
    independent = independent_samples(point_count, float(center[2]), fx, config.depth_correlation_m) / max(
        1, laid_count
    )
    information = laid.information * (independent / noise_m**2)
    bound = np.zeros((6, 6))
    axes = pose[:3, :3]
    bound[:3, :3] = (axes / (model.size_m / 2 + 1e-3) ** 2) @ axes.T
    bound[3:, 3:] = np.eye(3) / UNKNOWN_ANGLE_RAD**2
    covariance = np.linalg.inv(information + bound)
    covariance[:3, :3] += np.eye(3) * (config.floor_position_m * float(np.linalg.norm(center)) / _REFERENCE_M) ** 2
    covariance[3:, 3:] += np.eye(3) * np.deg2rad(config.floor_rotation_deg) ** 2
    return _symmetric(_turns_freely(covariance, model, axes))


def with_rival(covariance: Array, move_m: Array, turn: Array) -> Array:
    """The covariance when another pose is as likely: moved by `move_m` (3,), turned by `turn` (3,) [rad]."""
    turn = turn * min(1.0, UNKNOWN_ANGLE_RAD / max(float(np.linalg.norm(turn)), 1e-9))
    away = np.concatenate([move_m, turn])
    return _symmetric(covariance + np.outer(away, away))


def is_orientation_known(covariance: Array) -> bool:
    """False when some direction of turning is all but free."""
    return bool(np.linalg.eigvalsh(covariance[3:, 3:]).max() < _KNOWN_RAD**2)


def _turns_freely(covariance: Array, model: ObjectModel, axes: Array) -> Array:
    """Nothing is known of turns about the axis of a continuous symmetry, or about any of a ball."""
    if model.axis is None:
        return covariance
    free = np.eye(3) if model.is_ball else np.outer(axes @ model.axis, axes @ model.axis)
    keep = np.eye(6)
    keep[3:, 3:] -= free
    freed = keep @ covariance @ keep
    freed[3:, 3:] += free * UNKNOWN_ANGLE_RAD**2
    return np.asarray(freed)


def _symmetric(matrix: Array) -> Array:
    return np.asarray((matrix + matrix.T) / 2)
