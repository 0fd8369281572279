"""Pictures reach SAM 2 as Pillow would have resized them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from referent.tracking.masks import fill_small_holes, mask_from_logits, mask_iou
from referent.tracking.preprocess import image_from_rgb, resize_like_pillow
from referent.types import Array

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"


def a_picture(width: int, height: int) -> Array:
    """Smooth shading, hard edges and noise: what a camera sees."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width] / max(width, height)
    shade = np.stack([x * 255, y * 255, (np.sin(20 * x) + 1) * 127], axis=2)
    shade[height // 4 : height // 2, width // 3 : width // 2] = (250, 20, 20)
    return np.clip(shade + rng.normal(0, 6, shade.shape), 0, 255).astype(np.uint8)


def planes(rgb: Array) -> Tensor:
    return torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None]


def share_of_equal_bytes(rgb: Array, size: int) -> float:
    # x, then y: since Pillow 13 a single call takes the other order for some upright pictures.
    expected = np.asarray(Image.fromarray(rgb).resize((size, rgb.shape[0])).resize((size, size)))
    ours = resize_like_pillow(planes(rgb), size)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - expected).max() <= 1
    return float((ours[0].permute(1, 2, 0).numpy() == expected).mean())


@pytest.mark.parametrize("size", [192, 512, 1024])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (200, 300)])
def test_resized_bytes_are_pillows(width: int, height: int, size: int) -> None:
    assert share_of_equal_bytes(a_picture(width, height), size) >= 0.999


def test_landscape_pictures_equal_pillows_own_single_call() -> None:
    rgb = a_picture(640, 480)
    ours = resize_like_pillow(planes(rgb), 512)
    assert (ours[0].permute(1, 2, 0).numpy() == np.asarray(Image.fromarray(rgb).resize((512, 512)))).mean() >= 0.999


def test_resized_bytes_of_photographs_are_pillows() -> None:
    photographs = [*sorted(REAL.glob("cutie_judo/images/*"))[:2], *sorted(REAL.glob("**/*color*.png"))[:4]]
    if not photographs:
        pytest.skip(f"no photographs under {REAL}")
    for path in photographs:
        rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        assert share_of_equal_bytes(rgb, 512) >= 0.999, path.name


def test_a_picture_of_the_right_size_is_only_normalized_as_the_official_loader_does() -> None:
    rgb = a_picture(64, 64)
    official = torch.from_numpy(rgb / 255.0).permute(2, 0, 1).float()
    official -= torch.tensor((0.485, 0.456, 0.406))[:, None, None]
    official /= torch.tensor((0.229, 0.224, 0.225))[:, None, None]
    assert torch.equal(image_from_rgb(rgb, size_px=64)[0], official)


def test_a_mask_is_enlarged_to_the_picture_in_both_directions() -> None:
    logits = torch.full((1, 1, 8, 8), -5.0)
    logits[..., 2:6, 2:4] = 5.0
    mask = mask_from_logits(logits, (60, 80))
    assert mask.shape == (60, 80)
    assert mask[18:42, 24:36].all()
    assert not mask[:14].any()
    assert not mask[46:].any()
    assert not mask[:, :19].any()
    assert not mask[:, 41:].any()


def test_holes_up_to_the_area_are_filled_and_larger_ones_stay() -> None:
    logits = torch.full((1, 1, 20, 20), 3.0)
    logits[..., 2:4, 2:4] = -3.0  # 4 px
    logits[..., 4, 4] = -3.0  # touches it at a corner: 5 px in all
    logits[..., 10:15, 10:15] = -3.0
    filled = fill_small_holes(logits, 5)
    assert (filled[..., :8, :8] > 0).all()
    assert (filled[..., 10:15, 10:15] < 0).all()
    assert (fill_small_holes(logits, 4)[..., 2:4, 2:4] < 0).all()


def test_iou_of_nothing_with_nothing_is_no_agreement() -> None:
    empty, half = torch.zeros(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    half[:2] = True
    assert mask_iou(empty, empty) == 0
    assert mask_iou(half, half) == 1
    assert mask_iou(half, torch.ones(4, 4, dtype=torch.bool)) == 0.5
