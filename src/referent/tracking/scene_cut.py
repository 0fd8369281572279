"""How much the whole picture changed: a cut, a jolt of the camera or the light, after which tracks need a new look.

SeC asks its language model only where this is large (arXiv 2507.15852): hue and saturation histograms, Bhattacharyya
distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from referent.tracking.preprocess import normalization
from referent.tracking.upload import tensor_from_picture
from referent.types import Array

CUT_DISTANCE = 0.35  # above it SeC takes two pictures for two scenes
SAMPLES = 96  # pixels looked at along either side, at least
HUE_BINS, SATURATION_BINS = 30, 32  # SeC: 60 and 80, of a hundred times the pixels
BORDER = 1e-4  # of a bin: simple colors lie exactly between two


def scene_signature(picture: Array | Tensor) -> Tensor:
    """The color histogram of a picture, for `scene_change`: (hues * saturations,) float32 counts on its device.

    Takes (H, W, 3) uint8, or what `image_from_rgb` made: (1, 3, S, S), normalized.
    """
    red, green, blue = _sampled_rgb(picture).unbind()
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = chroma / value.clamp(min=1e-6)
    row = _bin(_hue(red, green, blue, value, chroma), HUE_BINS)
    column = _bin(saturation, SATURATION_BINS)
    bins = (row * SATURATION_BINS + column).flatten()
    counts = torch.zeros(HUE_BINS * SATURATION_BINS, device=bins.device)
    return counts.scatter_add_(0, bins, torch.ones_like(bins, dtype=torch.float32))


def scene_change(a: Tensor, b: Tensor) -> Tensor:
    """Bhattacharyya distance of two signatures: a scalar, 0 for equal shares of all colors to 1 for none in common."""
    shared = (a * b).sqrt().sum() / (a.sum() * b.sum()).sqrt()
    return (1 - shared).clamp(min=0).sqrt()


def _sampled_rgb(picture: Array | Tensor) -> Tensor:
    """Every n-th pixel along either side as (3, h, w) float32 in [0, 1]."""
    pixels = picture if isinstance(picture, Tensor) else tensor_from_picture(picture)
    planes = pixels.permute(2, 0, 1) if pixels.dtype == torch.uint8 else pixels[0]
    row_step, column_step = (max(length // SAMPLES, 1) for length in planes.shape[1:])
    sampled = planes[:, ::row_step, ::column_step].float()
    if pixels.dtype == torch.uint8:
        return sampled / 255
    mean, std = normalization(sampled.device)
    return sampled * std + mean


def _bin(share: Tensor, count: int) -> Tensor:
    """Which of `count` equal parts of [0, 1] numbers lie in; the upper one on a border, whatever the rounding."""
    return (share * count + BORDER).long().clamp_(max=count - 1)


def _hue(red: Tensor, green: Tensor, blue: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """Hue in turns [0, 1); 0 for grey. The sectors of red, green and blue are 0, 1/3 and 2/3."""
    turns = torch.where(
        value == red,
        (green - blue) / 6,
        torch.where(value == green, (blue - red) / 6 + chroma / 3, (red - green) / 6 + chroma * 2 / 3),
    )
    return (turns / chroma.clamp(min=1e-6)) % 1.0
