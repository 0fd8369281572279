"""How wrong a depth camera's pixels are."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from referent.config import GeometryConfig
from referent.types import Array

Depth = TypeVar("Depth", float, Array)

STEEPEST_DEG = 70.0  # a surface seen at more than this to its normal gives no depth to rely on


def depth_sigma_m(z_m: Depth, fx: float, config: GeometryConfig) -> Depth:
    """Standard deviation along the ray of one depth pixel at `z_m`, for the sensor that `geometry.depth_sensor` names.

    stereo: z^2 * disparity noise / (focal * baseline). kinect: 1.2 mm + 1.9 mm/m^2 * (z - 0.4 m)^2, whatever the focal
    length (Nguyen, Izadi, Lovell 2012, "Modeling Kinect sensor noise", axial noise of a surface seen from the front).
    """
    if config.depth_sensor == "kinect":
        return 0.0012 + 0.0019 * (z_m - 0.4) * (z_m - 0.4)
    return z_m * z_m * (config.depth_noise_px / (fx * config.depth_baseline_m))


def slant_factor(view_cosine: Array) -> Array:
    """How many times noisier a surface is than one seen from the front: 1/cos of the angle between ray and normal.

    `view_cosine` in [-1, 1], either sign, any shape. Beyond STEEPEST_DEG it is infinite: drop the pixel.
    """
    cosine = np.abs(view_cosine)
    steep = cosine < np.cos(np.deg2rad(STEEPEST_DEG))
    return np.asarray(np.where(steep, np.inf, 1.0 / np.where(steep, 1.0, cosine)))


def independent_samples(
    point_count: int, z_m: float, fx: float, correlation_m: float = GeometryConfig.depth_correlation_m
) -> float:
    """How many independent measurements `point_count` neighbouring depth pixels are worth; at least 1.

    They err together over `correlation_m` (geometry.depth_correlation_m).
    """
    pixel_m = z_m / fx
    return max(1.0, point_count * (pixel_m / max(correlation_m, pixel_m)) ** 2)
