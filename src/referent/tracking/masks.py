"""Low-resolution mask logits to pixels of the original picture."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from referent.types import Array

FILLED_LOGIT = 0.1  # just inside (fill_holes_in_mask_scores, sam2/utils/misc.py)


def mask_from_logits(low_res_logits: Tensor, size_hw: tuple[int, int]) -> Array:
    """(1, 1, h, w) logits to an (H, W) bool mask: enlarged bilinearly, inside where positive."""
    logits = interpolate(low_res_logits, size=size_hw, mode="bilinear", align_corners=False)
    return (logits[0, 0] > 0).cpu().numpy()


def fill_small_holes(low_res_logits: Tensor, max_area_px: int) -> Tensor:
    """Make 8-connected background patches of up to `max_area_px` low-resolution pixels part of the mask.

    (1, 1, h, w) in and out; the official CUDA kernel's rule, which CPU builds of sam2 silently skip.
    """
    outside = (low_res_logits[0, 0] <= 0).cpu().numpy()
    _, labels, stats, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=8)
    is_hole = stats[:, cv2.CC_STAT_AREA] <= max_area_px
    is_hole[0] = False  # label 0 is the mask itself
    holes = torch.from_numpy(is_hole[labels]).to(low_res_logits.device)
    return torch.where(holes, FILLED_LOGIT, low_res_logits)


def mask_iou(a: Tensor, b: Tensor) -> float:
    """Intersection over union of two bool masks of one shape; 0 when both are empty."""
    union = torch.count_nonzero(a | b).item()
    return torch.count_nonzero(a & b).item() / union if union else 0.0
