"""The second question about one region, on its cut-out."""

from __future__ import annotations

import numpy as np
import pytest
from asking import a_box
from painted import painted

from referent.grounding.verification import cut_out_request, probability_of_yes
from referent.types import Array, Grounding, GroundingItem, GroundingRequest, RegroundReason, Target


def a_cut_out(box: tuple[float, ...]) -> GroundingRequest:
    frame = painted(0, {"red": (20, 10, 30, 20)})
    return cut_out_request(GroundingRequest((Target("1", "the red block"),), frame, RegroundReason.NEW), a_box(box))


def test_the_cut_out_shows_the_box_with_a_margin_and_tells_where_it_is() -> None:
    request = a_cut_out((20, 10, 30, 20))
    assert request.kind == "verify"
    assert request.expression == "the red block"
    assert request.frame.stamp_ns == painted(0, {}).stamp_ns
    assert request.frame.rgb.shape == (20, 20, 3)
    x1, y1, x2, y2 = request.tracks[0].box_xyxy.astype(int)
    assert (x1, y1, x2, y2) == (5, 5, 15, 15)
    inside = request.frame.rgb[y1:y2, x1:x2]
    assert (inside == (200, 0, 0)).all()
    assert request.frame.intrinsics.cx == painted(0, {}).intrinsics.cx - 15


@pytest.mark.parametrize("box", [(0, 0, 10, 10), (60, 40, 64, 48), (0, 0, 64, 48), (63, 47, 64, 48)])
def test_at_the_border_the_cut_out_ends_with_the_picture(box: tuple[float, ...]) -> None:
    request = a_cut_out(box)
    height, width = request.frame.rgb.shape[:2]
    track = request.tracks[0].box_xyxy
    assert (track >= 0).all()
    assert (track[2:] <= (width, height)).all()


def answered(request: GroundingRequest, *items: tuple[Array, float | None], nothing: float | None = None) -> Grounding:
    found = tuple(GroundingItem("block", box_xyxy=box, score=score) for box, score in items)
    return Grounding(request, found, None if found else "nothing", nothing_score=nothing)


def test_yes_is_a_region_that_covers_the_box() -> None:
    request = a_cut_out((20, 10, 30, 20))
    box, elsewhere = request.tracks[0].box_xyxy, np.array([0, 0, 4, 4], np.float32)
    assert probability_of_yes(answered(request, (box, 0.8))) == pytest.approx(0.8)
    assert probability_of_yes(answered(request, (elsewhere, 0.9), (box, 0.8))) == pytest.approx(0.8)
    assert probability_of_yes(answered(request, (box, None))) == pytest.approx(0.9)
    assert probability_of_yes(answered(request, (elsewhere, 0.9))) == pytest.approx(0.1)


def test_no_is_that_nothing_matches() -> None:
    request = a_cut_out((20, 10, 30, 20))
    assert probability_of_yes(answered(request, nothing=0.7)) == pytest.approx(0.3)
    assert probability_of_yes(answered(request)) == pytest.approx(0.1)
