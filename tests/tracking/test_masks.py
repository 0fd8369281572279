"""Logits become the official masks, and the masks of one frame are compared without leaving the device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate

from referent.tracking import masks as masks_module
from referent.tracking.masks import (
    boxes_of,
    fill_small_holes,
    mask_iou,
    masks_from_logits,
    packed_bits,
    pairwise_iou,
    small_patches,
    small_patches_on_cpu,
    unpacked_bits,
)
from referent.types import Array


def official_masks(logits: Tensor, size_hw: tuple[int, int]) -> Array:
    """`_get_orig_video_res_output` of sam2_video_predictor.py, then the threshold at 0."""
    return (interpolate(logits, size=size_hw, mode="bilinear", align_corners=False) > 0)[:, 0].numpy()


def blobs(count: int, side: int, *, seed: int = 0) -> Tensor:
    """Logits of noisy discs of many sizes, some cut by the border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centers, radii = rng.uniform(0, side, (count, 2, 1, 1)), rng.uniform(0.5, side / 2, (count, 1, 1))
    distance = np.hypot(y - centers[:, 0], x - centers[:, 1])
    return torch.from_numpy(radii - distance + rng.normal(0, 0.5, (count, side, side))).float()[:, None]


SIZES = [(48, (480, 640)), (128, (480, 640)), (256, (720, 1280)), (128, (1280, 720)), (128, (100, 70)), (64, (64, 64))]


@pytest.mark.parametrize(("side", "size_hw"), SIZES)
def test_masks_of_all_objects_are_the_official_ones(side: int, size_hw: tuple[int, int]) -> None:
    logits = blobs(8, side)
    assert (masks_from_logits(logits, size_hw) == official_masks(logits, size_hw)).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    side_hw=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size_hw=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    share=st.sampled_from([0.0, 0.001, 0.02, 0.5, 1.0]),
)
def test_masks_of_noise_are_the_official_ones_at_any_size(
    seed: int, side_hw: tuple[int, int], size_hw: tuple[int, int], share: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 1, *side_hw, generator=generator)
    logits = torch.where(torch.rand(logits.shape, generator=generator) < share, logits.abs(), -logits.abs())
    assert (masks_from_logits(logits, size_hw) == official_masks(logits, size_hw)).all()


@pytest.mark.parametrize(("side", "size_hw"), SIZES)
def test_pixels_right_on_the_outline_fall_on_the_official_side(side: int, size_hw: tuple[int, int]) -> None:
    # Between -1 and 1 many enlarged logits are zero, but for the last bit of their sums.
    logits = torch.randint(-1, 2, (4, 1, side, side), generator=torch.Generator().manual_seed(4)).float()
    official = interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)
    assert (official.abs() < 1e-6).float().mean() > 0.01
    assert (masks_from_logits(logits, size_hw) == official_masks(logits, size_hw)).all()


def test_an_object_that_is_not_in_view_and_a_frame_without_objects_have_no_pixel() -> None:
    absent = torch.full((2, 1, 16, 16), -1024.0)
    assert not masks_from_logits(absent, (30, 40)).any()
    assert masks_from_logits(absent[:0], (30, 40)).shape == (0, 30, 40)


def test_a_mask_is_enlarged_to_the_picture_in_both_directions() -> None:
    logits = torch.full((1, 1, 8, 8), -5.0)
    logits[..., 2:6, 2:4] = 5.0
    mask = masks_from_logits(logits, (60, 80))[0]
    assert mask.shape == (60, 80)
    assert mask[18:42, 24:36].all()
    assert not mask[:14].any()
    assert not mask[46:].any()
    assert not mask[:, :19].any()
    assert not mask[:, 41:].any()


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 8, 8), (2, 480, 640), (0, 4, 4)])
def test_bits_survive_packing(shape: tuple[int, ...]) -> None:
    masks = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    packed = packed_bits(masks)
    assert packed.dtype == torch.uint8
    assert len(packed) == -(-masks.numel() // 8)
    assert (unpacked_bits(packed, shape) == masks.numpy()).all()


def test_holes_up_to_the_area_are_filled_and_larger_ones_stay() -> None:
    logits = torch.full((1, 1, 20, 20), 3.0)
    logits[..., 2:4, 2:4] = -3.0  # 4 px
    logits[..., 4, 4] = -3.0  # touches it at a corner: 5 px in all
    logits[..., 10:15, 10:15] = -3.0
    filled = fill_small_holes(logits, 5)
    assert filled[0, 0, 3, 3] == pytest.approx(0.1)
    assert (filled[..., :8, :8] > 0).all()
    assert (filled[..., 10:15, 10:15] < 0).all()
    assert (fill_small_holes(logits, 4)[..., 2:4, 2:4] < 0).all()


def test_holes_of_several_objects_are_filled_as_one_by_one() -> None:
    logits = torch.randn(6, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    one_by_one = torch.cat([fill_small_holes(logits[i : i + 1], 8) for i in range(6)])
    filled = fill_small_holes(logits, 8)
    assert torch.equal(filled, one_by_one)
    assert not torch.equal(filled, logits)


@pytest.mark.parametrize("max_area_px", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 0.95])
def test_patches_found_without_leaving_the_device_are_those_found_by_labelling(
    max_area_px: int, density: float
) -> None:
    generator = torch.Generator().manual_seed(int(density * 100))
    inside = torch.rand(4, 1, 40, 56, generator=generator) < density
    found = small_patches(inside, max_area_px)
    assert torch.equal(found, small_patches_on_cpu(inside, max_area_px))


def test_a_long_thin_patch_is_not_taken_for_many_small_ones() -> None:
    inside = torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    for row in range(0, 30, 4):  # a snake of one pixel's width through the whole picture
        inside[..., row, :] = True
        inside[..., row + 1 : row + 4, 29 if row % 8 == 0 else 0] = True
    assert not small_patches(inside, 8).any()
    assert small_patches(inside, int(inside.sum())).equal(inside)


def test_holes_are_filled_the_same_on_both_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = blobs(4, 64) + torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(3)) * 3
    by_labelling = fill_small_holes(logits, 8)
    monkeypatch.setattr(masks_module, "small_patches_on_cpu", small_patches)
    assert torch.equal(fill_small_holes(logits, 8), by_labelling)


def test_iou_of_nothing_with_nothing_is_no_agreement() -> None:
    empty, half = torch.zeros(4, 4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)
    half[:2] = True
    assert mask_iou(empty, empty) == 0
    assert mask_iou(half, half) == 1
    assert mask_iou(half, torch.ones(4, 4, dtype=torch.bool)) == 0.5


def test_iou_of_every_two_masks_is_that_of_each_pair() -> None:
    masks = blobs(6, 50)[:, 0] > 0
    masks[3] = False
    table = pairwise_iou(masks)
    expected = [[mask_iou(a, b) for b in masks] for a in masks]
    torch.testing.assert_close(table, torch.tensor(expected))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pairwise_iou(masks), table)
    assert pairwise_iou(masks[:0]).shape == (0, 0)


def test_boxes_are_the_bounding_rectangles_and_empty_without_a_pixel() -> None:
    masks = blobs(12, 40, seed=5)[:, 0] > 0
    masks[4] = False
    for mask, (x1, y1, x2, y2) in zip(masks.numpy(), boxes_of(masks).tolist(), strict=True):
        assert cv2.boundingRect(mask.astype(np.uint8)) == (x1, y1, x2 - x1, y2 - y1)
    assert boxes_of(masks)[4].tolist() == [0, 0, 0, 0]
    assert boxes_of(masks[:0]).shape == (0, 4)


def test_nothing_on_the_device_is_read_back_before_it_is_asked_for() -> None:
    # Tensors without data: whatever waits for a value fails on them.
    logits = torch.empty(3, 1, 32, 32, device="meta")
    assert fill_small_holes(logits, 8).shape == logits.shape
    assert boxes_of(logits[:, 0] > 0).shape == (3, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_masks_of_a_cuda_device_are_those_of_the_cpu() -> None:
    logits = blobs(5, 128)
    on_cuda = masks_from_logits(logits.cuda(), (480, 640))
    assert (on_cuda != official_masks(logits, (480, 640))).mean() < 1e-6
    assert torch.equal(fill_small_holes(logits.cuda(), 8).cpu(), fill_small_holes(logits, 8))
