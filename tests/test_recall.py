"""Asking a grounder about remembered pictures."""

from __future__ import annotations

import numpy as np
import pytest

from referent.config import Config
from referent.errors import GrounderUnavailable
from referent.grounding.backends import create
from referent.memory import box_in_crop
from referent.memory.crops import crop_of
from referent.ports import GroundingFailure
from referent.recall import asking, remembered_request
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.types import Array, Grounding, GroundingItem, GroundingRequest

PICTURE = np.zeros((80, 120, 3), np.uint8)


def test_the_question_shows_the_object_in_the_middle_half() -> None:
    request = remembered_request(PICTURE, "the red mug")
    assert (request.kind, request.expression) == ("verify", "the red mug")
    assert request.tracks[0].box_xyxy.tolist() == [30, 20, 90, 60]


def test_a_box_on_the_object_is_a_yes_and_nothing_is_a_no() -> None:
    def says_yes(request: GroundingRequest) -> Grounding:
        return Grounding(request, (GroundingItem("mug", score=0.8, box_xyxy=box_in_crop(PICTURE)),))

    def says_no(request: GroundingRequest) -> Grounding:
        return Grounding(request, (), nothing_reason="no mug", nothing_score=0.7)

    assert asking(says_yes)(PICTURE, "mug") == pytest.approx(0.8)
    assert asking(says_no)(PICTURE, "mug") == pytest.approx(0.3)


def test_a_grounder_that_fails_gives_no_answer() -> None:
    def is_down(request: GroundingRequest) -> Grounding:
        raise GrounderUnavailable("the server is down")

    assert asking(is_down)(PICTURE, "mug") is None
    assert asking(lambda request: GroundingFailure(request, "late"))(PICTURE, "mug") is None


def test_the_bundled_grounder_tells_what_a_remembered_picture_shows() -> None:
    seen = next(iter(simulate(named_scene("tabletop", 3), frames=1)))
    grounder = create(Config().grounder)
    ask = asking(grounder.ground)
    things = [thing for thing in seen.truth.objects if thing.visible_px > 0.8 * thing.amodal_px]
    pictures: list[Array] = [crop_of(seen.frame.rgb, seen.truth.instance_ids == t.instance_id, 224) for t in things]
    right = 0
    for thing in things:
        answers = [ask(picture, f"the {thing.color} {thing.category}") or 0.0 for picture in pictures]
        best = things[int(np.argmax(answers))]
        right += (best.color, best.category) == (thing.color, thing.category)
    grounder.close()
    assert len(things) >= 3
    assert right >= len(things) - 1
