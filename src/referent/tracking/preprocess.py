"""A picture as SAM 2 wants it: squeezed into a square, bicubic with antialiasing, normalized.

The official video loader resizes 8-bit pictures with Pillow: one pass along each axis, each rounded to 8 bits. Here a
pass is a product with Pillow's own weights on the CPU, and PyTorch's kernel elsewhere; both differ from Pillow in
fewer than one byte of a thousand, by one level.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from referent.tracking.upload import tensor_from_picture
from referent.types import Array

MEAN_RGB = (0.485, 0.456, 0.406)  # of ImageNet, as everywhere in SAM 2 (sam2/utils/misc.py)
STD_RGB = (0.229, 0.224, 0.225)
CUBIC_A = -0.5  # Pillow's bicubic; PyTorch takes it too where it antialiases
WEIGHT_STEP = 2.0**-22  # Pillow keeps 8-bit weights as whole numbers of this (libImaging/Resample.c)
BAND = 16  # output pixels per product: wider ones multiply more zeros, narrower ones are more calls
ROWS, COLUMNS = 1, 2  # axes of a (3, H, W) picture


class Band(NamedTuple):
    """Some neighbouring output pixels of one axis and the input pixels they are made of."""

    start: int  # input pixels [start, stop)
    stop: int
    weights: Tensor  # (outputs, stop - start) float32


def image_from_rgb(
    rgb: Array | Tensor,
    *,
    size_px: int,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, size, size) normalized; the aspect ratio is not kept (official behaviour).

    The picture is an array or a tensor on any device; `device` None = where it is.
    """
    picture = rgb if isinstance(rgb, Tensor) else tensor_from_picture(rgb)
    picture = picture.to(device or picture.device)
    mean, std = normalization(picture.device)
    with torch.autocast(picture.device.type, enabled=False):  # the products below need all their bits
        squeezed = resize_like_pillow(picture.permute(2, 0, 1), size_px)
        return squeezed.div_(255).sub_(mean).div_(std).to(dtype)[None]


@lru_cache(maxsize=4)
def normalization(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation on a device; made once, because making them there waits for it."""
    with torch.inference_mode(mode=False):
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN_RGB, STD_RGB))
    return mean, std


def resize_like_pillow(planes: Tensor, size_px: int) -> Tensor:
    """(3, H, W) uint8 resized to a square as Pillow does; a new float32 tensor of whole numbers 0 to 255."""
    height, width = planes.shape[ROWS:]
    # Pillow 13 begins with the rows where that leaves the second pass less to do; older ones never do.
    rows_first = height - size_px > max(0, 2 * (width - size_px))
    one_pass = _pass_by_products if planes.device.type == "cpu" else _pass_by_kernel
    picture = planes.contiguous().float()  # in this order: bytes are cheaper to reorder
    for axis in (ROWS, COLUMNS) if rows_first else (COLUMNS, ROWS):
        if picture.shape[axis] != size_px:
            # Half a level goes up as in Pillow: at whole ratios many values lie exactly there.
            picture = one_pass(picture, axis, size_px).add_(0.5).floor_().clamp_(0, 255)
    return picture


def _pass_by_products(picture: Tensor, axis: int, size_px: int) -> Tensor:
    """One axis resized by small matrix products along the diagonal of the (size, length) weight matrix."""
    bands = _bands(picture.shape[axis], size_px)
    if axis == ROWS:
        return torch.cat([band.weights @ picture[:, band.start : band.stop] for band in bands], dim=ROWS)
    lines = picture.view(-1, picture.shape[COLUMNS])
    resized = torch.cat([lines[:, band.start : band.stop] @ band.weights.t() for band in bands], dim=1)
    return resized.view(*picture.shape[:COLUMNS], size_px)


def _pass_by_kernel(picture: Tensor, axis: int, size_px: int) -> Tensor:
    """One axis resized by PyTorch's antialiasing kernel, which also runs on CUDA."""
    size = (size_px, picture.shape[COLUMNS]) if axis == ROWS else (picture.shape[ROWS], size_px)
    return interpolate(picture[None], size=size, mode="bicubic", align_corners=False, antialias=True)[0]


@lru_cache(maxsize=8)  # a stream needs two
def _bands(length: int, size: int) -> tuple[Band, ...]:
    weights = pillow_weights(length, size)
    bands = []
    with torch.inference_mode(mode=False):  # they outlive the mode of whoever asks first
        for first in range(0, size, BAND):
            rows = weights[first : first + BAND]
            used = np.flatnonzero(rows.any(axis=0))
            start, stop = int(used[0]), int(used[-1]) + 1
            bands.append(Band(start, stop, torch.from_numpy(rows[:, start:stop].astype(np.float32))))
    return tuple(bands)


def pillow_weights(length: int, size: int) -> Array:
    """(size, length) float64: the share of every input pixel in every output pixel, as Pillow's bicubic takes them."""
    scale = length / size
    stretch = max(scale, 1.0)  # antialiasing: the filter grows with the pixels it makes
    centers = (np.arange(size)[:, None] + 0.5) * scale
    inputs = np.arange(length)
    first = (np.maximum(centers - 2 * stretch, 0) + 0.5).astype(int)
    end = (centers + 2 * stretch + 0.5).astype(int)
    weights = np.where((inputs >= first) & (inputs < end), _cubic((inputs + 0.5 - centers) / stretch), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.copysign(np.floor(np.abs(weights) / WEIGHT_STEP + 0.5) * WEIGHT_STEP, weights)


def _cubic(x: Array) -> Array:
    """Keys' cubic convolution kernel (1981)."""
    x, a = np.abs(x), CUBIC_A
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
