"""A cut is seen in the colors of the whole picture, as OpenCV would compare them."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from referent.tracking.preprocess import image_from_rgb
from referent.tracking.scene_cut import CUT_DISTANCE, HUE_BINS, SAMPLES, SATURATION_BINS, scene_change, scene_signature
from referent.types import Array


def a_picture(seed: int, height: int = SAMPLES, width: int = SAMPLES) -> Array:
    """A few patches of color with noise; small enough that every pixel is looked at."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def histogram_of_opencv(rgb: Array) -> Array:
    hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)  # hue 0 to 360, saturation 0 to 1
    hsv[..., 0] = (hsv[..., 0] + 1e-3) % 360  # colors on the border of two bins count as the upper one
    hsv[..., 1] = np.minimum(hsv[..., 1] + 3e-6, 1 - 1e-6)
    return cv2.calcHist([hsv], [0, 1], None, [HUE_BINS, SATURATION_BINS], [0, 360, 0, 1])


def change(a: Array, b: Array) -> float:
    return scene_change(scene_signature(a), scene_signature(b)).item()


@pytest.mark.parametrize("seed", range(4))
def test_a_signature_is_opencvs_histogram(seed: int) -> None:
    rgb = a_picture(seed)
    ours = scene_signature(rgb).reshape(HUE_BINS, SATURATION_BINS).numpy()
    theirs = histogram_of_opencv(rgb)
    assert ours.sum() == theirs.sum() == rgb[..., 0].size
    assert np.abs(ours - theirs).sum() <= 0.01 * theirs.sum()  # a rounding error moves few


def test_pure_colors_and_greys_have_the_bins_of_opencv() -> None:
    for color in [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
        (255, 0, 255),
        (9, 9, 9),
        (0, 0, 0),
        (255,) * 3,
    ]:
        rgb = np.full((8, 8, 3), color, np.uint8)
        assert scene_signature(rgb).argmax() == histogram_of_opencv(rgb).argmax(), color


@pytest.mark.parametrize(("a", "b"), [(0, 1), (2, 3), (4, 4)])
def test_the_change_is_opencvs_bhattacharyya_distance(a: int, b: int) -> None:
    first, second = a_picture(a), a_picture(b)
    expected = cv2.compareHist(histogram_of_opencv(first), histogram_of_opencv(second), cv2.HISTCMP_BHATTACHARYYA)
    assert change(first, second) == pytest.approx(expected, abs=0.005)


def test_nothing_changes_between_a_picture_and_itself_and_everything_between_two_colors() -> None:
    red, green = np.full((50, 60, 3), (200, 0, 0), np.uint8), np.full((50, 60, 3), (0, 200, 0), np.uint8)
    assert change(red, red) == pytest.approx(0, abs=1e-3)
    assert change(red, green) == 1


def test_pictures_of_different_sizes_can_be_compared() -> None:
    assert change(a_picture(0, 480, 640), a_picture(0, 720, 1280)) < CUT_DISTANCE
    assert change(a_picture(0, 480, 640), a_picture(1, 720, 1280)) > CUT_DISTANCE


def test_the_image_for_sam2_can_be_asked_instead_of_the_picture() -> None:
    first, second = a_picture(0, 480, 640), a_picture(1, 480, 640)
    images = [scene_signature(image_from_rgb(rgb, size_px=512)) for rgb in (first, second)]
    assert scene_change(*images).item() == pytest.approx(change(first, second), abs=0.05)
    halves = [scene_signature(image_from_rgb(rgb, size_px=512, dtype=torch.bfloat16)) for rgb in (first, second)]
    assert scene_change(*halves).item() == pytest.approx(change(first, second), abs=0.1)


def test_nothing_on_the_device_is_read_back() -> None:
    signature = scene_signature(torch.empty(1, 3, 512, 512, device="meta"))
    assert scene_change(signature, signature).shape == ()


def recording(folder: Path, pattern: str) -> list[Array]:
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in sorted(folder.glob(pattern))]
    if not pictures:
        pytest.skip(f"no pictures {pattern} under {folder}")
    return pictures


def test_frames_in_a_row_are_no_cut_and_frames_of_two_recordings_are(real_data: Path) -> None:
    kitchen = recording(real_data, "sevenscenes_redkitchen_a/color/*")
    signatures = [scene_signature(rgb) for rgb in kitchen]
    changes = sorted(scene_change(a, b).item() for a, b in pairwise(signatures))
    # Once in this recording the camera resets its white balance: SeC's own histograms say 0.42 there.
    assert changes[-2] < 0.25
    assert changes[len(changes) // 2] < 0.15
    judo = recording(real_data, "cutie_judo/images/*")
    table = recording(real_data, "uoc_tabletop/*color*")
    scenes = [[scene_signature(rgb) for rgb in pictures[::4]] for pictures in (kitchen, judo, table)]
    for one, other in combinations(scenes, 2):
        assert min(scene_change(a, b).item() for a in one for b in other) > CUT_DISTANCE
