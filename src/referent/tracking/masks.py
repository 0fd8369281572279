"""Low-resolution mask logits to pixels of the original picture, and what masks of one frame say of each other."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, pad

from referent.types import Array

FILLED_LOGIT = 0.1  # just inside (fill_holes_in_mask_scores, sam2/utils/misc.py)


def masks_from_logits(low_res_logits: Tensor, size_hw: tuple[int, int]) -> Array:
    """(N, 1, h, w) logits to (N, H, W) bool masks: enlarged bilinearly, inside where positive.

    From another device they come in one transfer, eight pixels to the byte.
    """
    if low_res_logits.device.type == "cpu":
        return _masks_on_cpu(low_res_logits[:, 0], size_hw)
    inside = _enlarged(low_res_logits, size_hw)[:, 0] > 0
    return unpacked_bits(packed_bits(inside).cpu(), tuple(inside.shape))


def packed_bits(masks: Tensor) -> Tensor:
    """A bool tensor as uint8 of eight pixels each, in order, the last one filled up with zeros."""
    flat = pad(masks.flatten().to(torch.uint8), (0, -masks.numel() % 8)).view(-1, 8)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=masks.device)
    return (flat << shifts).sum(dim=1, dtype=torch.uint8)


def unpacked_bits(packed: Tensor, shape: tuple[int, ...]) -> Array:
    """The bool array of that shape that `packed_bits` was given; `packed` lies on the CPU."""
    return np.unpackbits(packed.numpy(), count=math.prod(shape)).view(np.bool_).reshape(shape)


def fill_small_holes(low_res_logits: Tensor, max_area_px: int) -> Tensor:
    """Make 8-connected background patches of up to `max_area_px` low-resolution pixels part of the mask.

    (N, 1, h, w) in and out, nothing synchronised; the official CUDA kernel's rule, which CPU builds of sam2 skip.
    """
    outside = low_res_logits <= 0
    find = small_patches_on_cpu if low_res_logits.device.type == "cpu" else small_patches
    return torch.where(find(outside, max_area_px), FILLED_LOGIT, low_res_logits)


def small_patches_on_cpu(inside: Tensor, max_area_px: int) -> Tensor:
    """Where 8-connected patches of (N, 1, h, w) bool pictures have up to `max_area_px` pixels: by labelling each."""
    small = np.zeros(inside.shape, np.bool_)
    for picture, found in zip(inside[:, 0].numpy(), small[:, 0], strict=True):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(picture.view(np.uint8), connectivity=8)
        is_small = stats[:, cv2.CC_STAT_AREA] <= max_area_px
        is_small[0] = False  # label 0 is what lies between the patches
        if is_small.any():
            found[:] = is_small[labels]
    return torch.from_numpy(small)


def small_patches(inside: Tensor, max_area_px: int) -> Tensor:
    """The same on any device without synchronising: every pixel takes the largest number of its neighbours.

    After `max_area_px` - 1 rounds a small patch bears one number, which no neighbour of it differs from.
    """
    count, _, height, width = inside.shape
    own = torch.arange(1.0, height * width + 1, device=inside.device).view(1, 1, height, width)
    number = own * inside
    for _ in range(max_area_px - 1):
        number = max_pool2d(number, 3, stride=1, padding=1) * inside
    # A patch that is too wide still bears several numbers: each group of them meets another somewhere.
    largest = max_pool2d(number, 3, stride=1, padding=1)
    smallest = -max_pool2d(torch.where(inside, -number, -torch.inf), 3, stride=1, padding=1)
    weight = torch.where(inside & (largest == smallest), 1.0, max_area_px + 1.0)
    groups = number.long().view(count, -1)
    sizes = torch.zeros(count, height * width + 1, device=inside.device)
    sizes.scatter_add_(1, groups, weight.view(count, -1))
    return (sizes <= max_area_px).gather(1, groups).view_as(inside) & inside


def mask_iou(a: Tensor, b: Tensor) -> float:
    """Intersection over union of two bool masks of one shape; 0 when both are empty."""
    union = torch.count_nonzero(a | b).item()
    return torch.count_nonzero(a & b).item() / union if union else 0.0


def pairwise_iou(masks: Tensor) -> Tensor:
    """Intersection over union of every two of (N, h, w) bool masks: (N, N) float32, 0 where both are empty."""
    with torch.autocast(masks.device.type, enabled=False):  # float32 counts up to 2^24 pixels exactly
        flat = masks.flatten(1).float()
        intersections = flat @ flat.t()
    areas = intersections.diagonal()
    unions = areas[:, None] + areas[None] - intersections
    return intersections / unions.clamp(min=1)


def boxes_of(masks: Tensor) -> Tensor:
    """The tight boxes of (N, h, w) bool masks: (N, 4) float32 `xyxy`, ends exclusive; zeros for an empty mask."""
    x1, x2 = _extent(masks.any(dim=1))
    y1, y2 = _extent(masks.any(dim=2))
    return torch.stack([x1, y1, x2, y2], dim=1).float()


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last True of (N, n) bools; 0 and 0 without one."""
    number = torch.arange(occupied.shape[1], device=occupied.device)
    end = torch.where(occupied, number + 1, 0).amax(dim=1)
    start = torch.where(occupied, number, occupied.shape[1]).amin(dim=1)
    return torch.minimum(start, end), end


def _enlarged(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)


def _masks_on_cpu(logits: Tensor, size_hw: tuple[int, int]) -> Array:
    masks = np.zeros((len(logits), *size_hw), np.bool_)
    for mask, low_res in zip(masks, logits, strict=True):
        _draw(mask, low_res)
    return masks


def _draw(mask: Array, low_res: Tensor) -> None:
    """Set the pixels of `mask` (H, W) where `low_res` (h, w), enlarged, is positive: along x, then along y.

    Only pixels beside a positive logit can be, so only those are looked at.
    """
    (h, w), (height, width) = low_res.shape, mask.shape
    positive = low_res.numpy() > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if len(rows) == 0:
        return
    above = _reach(rows, h, height)
    left = _reach(columns, w, width)
    down, right = _neighbours(h, height), _neighbours(w, width)
    top, bottom = int(down.first[above.start]), int(down.second[above.stop - 1]) + 1
    lines = _between(low_res[top:bottom].t().contiguous(), right, left).t().contiguous()
    enlarged = _between(lines, down, above, offset=top)
    np.greater(enlarged.numpy(), 0, out=mask[above, left])


def _reach(occupied: Array, length: int, size: int) -> slice:
    """The output pixels of one axis that lie less than one input pixel from the occupied ones."""
    start = math.floor((occupied[0] - 1) * size / length)
    return slice(max(start, 0), min(math.ceil((occupied[-1] + 2) * size / length), size))


class _Neighbours(NamedTuple):
    """For every output pixel of one axis the two input pixels it lies between, and their shares as (size, 1)."""

    first: Tensor
    second: Tensor
    first_share: Tensor
    second_share: Tensor


def _between(lines: Tensor, neighbours: _Neighbours, outputs: slice, *, offset: int = 0) -> Tensor:
    """Some output lines from (n, m) input lines, of which `offset` were left out before the first.

    In the order and with the fused multiply-add of PyTorch's kernel, which makes the same bits.
    """
    first, second, first_share, second_share = (part[outputs] for part in neighbours)
    far = lines.index_select(0, second - offset).mul_(second_share)
    return far.addcmul_(lines.index_select(0, first - offset), first_share)


@lru_cache(maxsize=8)  # a stream needs two
def _neighbours(length: int, size: int) -> _Neighbours:
    """As PyTorch's kernel chooses them: read off what it makes of a single one at each input pixel."""
    with torch.inference_mode(mode=False):  # they outlive the mode of whoever asks first
        ones = torch.eye(length)[:, None, :, None]
        shares = _enlarged(ones, (size, 1))[:, 0, :, 0]
        first = (shares > 0).int().argmax(dim=0)
        second = (first + 1).clamp(max=length - 1)
        pick = torch.arange(size)
        second_share = torch.where(second > first, shares[second, pick], 0.0)
        return _Neighbours(first, second, shares[first, pick][:, None], second_share[:, None])
