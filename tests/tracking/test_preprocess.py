"""Pictures reach SAM 2 as the official video loader would have read them: resized by Pillow, then normalized."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from torch import Tensor

from referent.tracking import preprocess
from referent.tracking.preprocess import image_from_rgb, pillow_weights, resize_like_pillow
from referent.types import Array

SIZES = (192, 512, 1024)
needs_pillow_13 = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="before Pillow 13 upright pictures were resized along x first"
)


def a_picture(width: int, height: int) -> Array:
    """Smooth shading, hard edges and noise: what a camera sees."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width] / max(width, height)
    shade = np.stack([x * 255, y * 255, (np.sin(20 * x) + 1) * 127], axis=2)
    shade[height // 4 : height // 2, width // 3 : width // 2] = (250, 20, 20)
    return np.clip(shade + rng.normal(0, 6, shade.shape), 0, 255).astype(np.uint8)


def photographs(real_data: Path) -> Iterator[Array]:
    """One of every recording that has color pictures."""
    patterns = (
        "cutie_judo/images/*",
        "sevenscenes_redkitchen_a/color/*",
        "ycbv_frame1/*color*",
        "uoc_tabletop/*color*",
    )
    found = list(chain.from_iterable(sorted(real_data.glob(pattern))[:1] for pattern in patterns))
    if not found:
        pytest.skip(f"no photographs under {real_data}")
    for path in found:
        yield np.asarray(Image.open(path).convert("RGB"))


def share_of_equal_bytes(rgb: Array, size: int) -> float:
    """Of a square of `size`, against Pillow; a difference of more than one level is a failure."""
    expected = np.asarray(Image.fromarray(rgb).resize((size, size)))
    ours = resize_like_pillow(torch.tensor(rgb).permute(2, 0, 1), size).permute(1, 2, 0).numpy()
    assert np.abs(ours - expected).max() <= 1
    return float((ours == expected).mean())


@pytest.fixture(params=["products", "kernel"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resizing as on the CPU, and as elsewhere."""
    if request.param == "kernel":
        monkeypatch.setattr(preprocess, "_pass_by_products", preprocess._pass_by_kernel)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (960, 540), (384, 384), (641, 479)])
def test_resized_bytes_are_pillows(width: int, height: int, size: int) -> None:
    assert share_of_equal_bytes(a_picture(width, height), size) >= 0.999


@needs_pillow_13
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("width", "height"), [(480, 640), (720, 1280), (540, 960), (200, 300)])
def test_upright_pictures_are_resized_in_the_order_of_pillow(width: int, height: int, size: int) -> None:
    assert share_of_equal_bytes(a_picture(width, height), size) >= 0.999


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("size", SIZES)
def test_resized_bytes_of_photographs_are_pillows(size: int, real_data: Path) -> None:
    for rgb in photographs(real_data):
        assert share_of_equal_bytes(rgb, size) >= 0.999


@needs_pillow_13
@pytest.mark.parametrize("size", SIZES)
def test_resized_bytes_of_photographs_held_upright_are_pillows(size: int, real_data: Path) -> None:
    for rgb in photographs(real_data):
        assert share_of_equal_bytes(np.rot90(rgb).copy(), size) >= 0.999


@pytest.mark.parametrize("size", [200, 480, 640])
def test_values_halfway_between_two_levels_go_up_as_in_pillow(size: int) -> None:
    # Black and white at twice, once and half the size: a large share of the sums ends in exactly one half.
    rgb = np.random.default_rng(0).integers(0, 2, (400, 400, 3)).astype(np.uint8) * 255
    assert share_of_equal_bytes(rgb, size) >= 0.999


def test_every_output_pixel_shares_out_exactly_one_pixel_of_light() -> None:
    for length, size in [(640, 192), (192, 640), (101, 100), (100, 100), (2000, 32)]:
        weights = pillow_weights(length, size)
        assert weights.shape == (size, length)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(pillow_weights(100, 100), np.eye(100))


def test_a_picture_of_the_right_size_is_only_normalized_as_the_official_loader_does() -> None:
    rgb = a_picture(64, 64)
    assert torch.equal(image_from_rgb(rgb, size_px=64)[0], officially_normalized(rgb))


def officially_normalized(rgb: Array) -> Tensor:
    official = torch.from_numpy(rgb / 255.0).permute(2, 0, 1).float()
    official -= torch.tensor((0.485, 0.456, 0.406))[:, None, None]
    official /= torch.tensor((0.229, 0.224, 0.225))[:, None, None]
    return official


def test_an_array_a_read_only_array_and_a_tensor_give_the_same_image() -> None:
    rgb = a_picture(90, 70)
    image = image_from_rgb(rgb, size_px=64)
    assert image.shape == (1, 3, 64, 64)
    assert torch.equal(image_from_rgb(torch.from_numpy(rgb), size_px=64, device="cpu"), image)
    rgb.setflags(write=False)
    before = rgb.copy()
    assert torch.equal(image_from_rgb(rgb, size_px=64), image)
    assert torch.equal(image_from_rgb(np.flip(rgb, axis=1)[:, ::-1], size_px=64), image)
    assert (rgb == before).all()


def test_half_precision_is_the_rounded_full_precision() -> None:
    rgb = a_picture(90, 70)
    half = image_from_rgb(rgb, size_px=64, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, image_from_rgb(rgb, size_px=64).bfloat16())


def test_neither_autocast_nor_inference_mode_changes_a_bit() -> None:
    rgb = a_picture(96, 70)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        inside = image_from_rgb(rgb, size_px=80)
    assert torch.equal(image_from_rgb(rgb, size_px=80), inside)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", SIZES)
def test_on_cuda_an_image_stays_there_and_is_the_one_of_the_cpu(size: int) -> None:
    rgb = a_picture(1280, 720)
    image = image_from_rgb(torch.from_numpy(rgb).cuda(), size_px=size)
    assert image.is_cuda
    assert (image.cpu() == image_from_rgb(rgb, size_px=size)).float().mean() >= 0.998
