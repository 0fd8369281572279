"""A picture as SAM 2 wants it: squeezed into a square, bicubic with antialiasing, normalized.

The official video loader resizes 8-bit pictures with Pillow. Two passes in float, each rounded to 8 bits, give the
same bytes but for one in ten thousand, on any device. Along x first, as Pillow does (since version 13 only where the
height does not shrink far more than the width: some upright pictures differ there by a level or two).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from referent.types import Array

MEAN_RGB = (0.485, 0.456, 0.406)  # of ImageNet, as everywhere in SAM 2 (sam2/utils/misc.py)
STD_RGB = (0.229, 0.224, 0.225)


def image_from_rgb(rgb: Array, *, size_px: int, device: str | torch.device = "cpu") -> Tensor:
    """(H, W, 3) uint8 to (1, 3, size, size) float32, normalized; the aspect ratio is not kept (official behaviour)."""
    planes = np.array(rgb.transpose(2, 0, 1), order="C")  # a copy: the picture may be read-only
    picture = torch.from_numpy(planes).to(device).float()[None]
    squeezed = resize_like_pillow(picture, size_px) / 255
    mean = torch.tensor(MEAN_RGB, device=device)[:, None, None]
    std = torch.tensor(STD_RGB, device=device)[:, None, None]
    return (squeezed - mean) / std


def resize_like_pillow(picture: Tensor, size_px: int) -> Tensor:
    """(1, 3, H, W) float32 of whole numbers 0 to 255, resized to a square of such numbers as Pillow does: x, then y."""
    for size in ((picture.shape[-2], size_px), (size_px, size_px)):
        if picture.shape[-2:] != size:
            picture = interpolate(picture, size=size, mode="bicubic", align_corners=False, antialias=True)
            picture = picture.round_().clamp_(0, 255)
    return picture
