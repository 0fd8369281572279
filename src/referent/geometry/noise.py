"""How wrong a depth camera's pixels are."""

from __future__ import annotations

from typing import TypeVar

from referent.config import GeometryConfig
from referent.types import Array

Depth = TypeVar("Depth", float, Array)

CORRELATION_M = 0.010  # neighbouring depth pixels err together over about this length


def depth_sigma_m(z_m: Depth, fx: float, config: GeometryConfig) -> Depth:
    """Standard deviation along the ray of a stereo camera's depth: z^2 * disparity noise / (focal * baseline)."""
    return z_m * z_m * (config.depth_noise_px / (fx * config.depth_baseline_m))


def independent_samples(point_count: int, z_m: float, fx: float) -> float:
    """How many independent measurements `point_count` neighbouring depth pixels are worth; at least 1."""
    pixel_m = z_m / fx
    return max(1.0, point_count * (pixel_m / max(CORRELATION_M, pixel_m)) ** 2)
