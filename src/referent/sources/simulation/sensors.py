"""What a real camera adds: noise in color, and the errors of a stereo depth camera."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from referent.sources.simulation.world import Scene

BASELINE_M = 0.055
DISPARITY_NOISE_PX = 0.1  # at 640 pixels width
MAX_RANGE_M = 6.0
UNIT_M = 0.001
EDGE_STEP = 0.025  # relative step of depth that counts as a border
LOST_AT_BORDER = 0.6  # share of pixels
FLYING_AT_BORDER = 0.2
LOST_IN_GLARE = 0.95
LOST_ANYWHERE = 0.002


def noise_generator(scene: Scene, frame_index: int) -> torch.Generator:
    """The randomness of one frame's sensors; depends on scene and frame number only."""
    return torch.Generator().manual_seed((scene.noise_seed * 1_000_003 + frame_index) % (1 << 62))


def noisy_rgb(rgb: Tensor, *, strength: float, generator: torch.Generator) -> Tensor:
    """Add shot and read noise to (3, H, W) in [0, 1]."""
    noise = torch.randn(rgb.shape, generator=generator)
    return rgb + noise * strength * (0.4 + 0.6 * torch.sqrt(rgb.clamp(min=0.0)))


def noisy_depth(depth_m: Tensor, *, glare: Tensor, focal_px: float, generator: torch.Generator) -> Tensor:
    """Stereo-like depth (H, W): error growing with z², millimetre steps, flying pixels, NaN where there is none.

    Depth is lost beyond range, where `glare` (H, W) dazzles, and at borders of depth; some of the pixels there report
    a depth between the two surfaces instead.
    """
    coarse = torch.randn((1, 1, (depth_m.shape[0] + 1) // 2, (depth_m.shape[1] + 1) // 2), generator=generator)
    wave = functional.interpolate(coarse, size=depth_m.shape, mode="bilinear", align_corners=False)[0, 0]
    sigma_px = DISPARITY_NOISE_PX * depth_m.shape[1] / 640
    measured = depth_m + wave * sigma_px * depth_m * depth_m / (focal_px * BASELINE_M)
    chance = torch.rand(depth_m.shape, generator=generator)
    nearest, farthest = _depths_around(depth_m)
    border = (farthest - nearest) > EDGE_STEP * depth_m
    share = (chance - LOST_AT_BORDER) / FLYING_AT_BORDER
    measured = torch.where(border & (share >= 0) & (share < 1), nearest + share * (farthest - nearest), measured)
    measured = torch.round(measured / UNIT_M) * UNIT_M
    lost = (border & (share < 0)) | (chance < LOST_IN_GLARE * glare) | (chance > 1.0 - LOST_ANYWHERE)
    return torch.where(lost | (depth_m > MAX_RANGE_M), torch.nan, measured)


def _depths_around(depth_m: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest and farthest depth (H, W) of each pixel and its eight neighbours."""
    stack = depth_m[None, None]
    farthest = functional.max_pool2d(stack, 3, stride=1, padding=1)
    nearest = -functional.max_pool2d(-stack, 3, stride=1, padding=1)
    return nearest[0, 0], farthest[0, 0]
