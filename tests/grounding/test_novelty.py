"""Novelty: how much a made picture differs from another, place by place."""

from __future__ import annotations

import numpy as np
import pytest

from referent.grounding.novelty import PLACES_WH, change, thumbnail
from referent.types import Array


def a_picture(*boxes: tuple[int, int, int, int], rgb: tuple[int, int, int] = (255, 255, 255)) -> Array:
    """Black, 640 x 480, so that a place is 20 x 20, with boxes (x1, y1, x2, y2) of a color."""
    picture = np.zeros((480, 640, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        picture[y1:y2, x1:x2] = rgb
    return picture


def changed(one: Array, other: Array) -> float:
    return change(thumbnail(one), thumbnail(other))


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (a_picture(), 0.0),
        (a_picture((40, 60, 60, 80)), 1.0),
        (a_picture((40, 60, 50, 70)), 0.25),
        (a_picture((50, 70, 70, 90)), 0.25),
        (a_picture((0, 0, 640, 480)), 1.0),
        (a_picture((40, 60, 60, 80), rgb=(255, 0, 0)), 1 / 3),
        (a_picture((40, 60, 60, 80), (300, 300, 310, 310)), 1.0),
    ],
    ids=["same", "one place", "a quarter of one", "a corner each of four", "all", "one color", "the most counts"],
)
def test_the_change_of_a_picture_is_that_of_its_most_changed_place(other: Array, share: float) -> None:
    assert changed(a_picture(), other) == pytest.approx(share, abs=1e-3)
    assert changed(other, a_picture()) == pytest.approx(share, abs=1e-3), "either way"


def test_an_object_that_swapped_color_for_another_as_bright_is_a_change() -> None:
    red, blue = (a_picture((100, 100, 140, 140), rgb=rgb) for rgb in ((200, 0, 0), (0, 0, 200)))
    assert changed(red, blue) == pytest.approx(2 * 200 / 255 / 3, abs=1e-3)


def test_the_noise_of_a_camera_is_hardly_a_change() -> None:
    rng = np.random.default_rng(5)
    one, other = (np.clip(rng.normal(120, 8, (480, 640, 3)), 0, 255).astype(np.uint8) for _ in range(2))
    assert changed(one, other) < 0.02


@pytest.mark.parametrize("size_hw", [(480, 640), (48, 64), (7, 9), (1080, 1920)])
def test_a_thumbnail_holds_the_mean_colors_of_any_picture(size_hw: tuple[int, int]) -> None:
    small = thumbnail(np.full((*size_hw, 3), (255, 51, 0), np.uint8))
    assert small.shape == (PLACES_WH[1], PLACES_WH[0], 3)
    assert small.dtype == np.float32
    assert np.allclose(small, (1.0, 0.2, 0.0))
