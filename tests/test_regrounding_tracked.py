"""Late answers with the real tracker: a wrong track gives way, even to an object that is hidden by the time of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from doubles import ScriptedWorker, boxes_of
from painted import COLORS, FRAME_NS, painted

from referent.config import Config
from referent.pipeline import Pipeline
from referent.settings import override
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import FrameResult, Grounding, GroundingItem, GroundingRequest, RgbdFrame
from referent.weights import resolve

RED, BLUE = (6, 8, 24, 26), (36, 18, 56, 38)
SETTINGS = {"tracker.device": "cpu", "grounding.stale_after_s": 1.2}


def answer(color: str, score: float) -> Callable[[GroundingRequest], Grounding]:
    def said(request: GroundingRequest) -> Grounding:
        boxes = boxes_of(request.frame.rgb, COLORS[color])
        items = tuple(GroundingItem("block", score=score, box_xyxy=box) for box in boxes)
        return Grounding(request, items, None if items else "none in view", raw="[]")

    return said


def told(frames: Sequence[RgbdFrame], *, delay_frames: int) -> list[FrameResult]:
    """First the grounder names the blue block, later it is surer that the red one is meant."""
    worker = ScriptedWorker([answer("blue", 0.6), *[answer("red", 0.95)] * 3], delay_ns=delay_frames * FRAME_NS)
    config = override(Config(), SETTINGS)
    tracker = Sam2Tracker(config.tracker, resolve(config.tracker.model))
    pipeline = Pipeline(config, tracker=tracker, worker=worker)
    pipeline.instruct("the red block")
    results = [pipeline.process(frame) for frame in frames]
    pipeline.close()
    return results


def iou(result: FrameResult, frame: RgbdFrame, color: str) -> float:
    (tracked,) = result.objects
    assert tracked.mask is not None
    truth = (frame.rgb == np.array(COLORS[color], np.uint8)).all(axis=2)
    return float((tracked.mask.mask & truth).sum() / (tracked.mask.mask | truth).sum())


@pytest.mark.parametrize("hidden", [range(0), range(6, 12)], ids=["seen all along", "hidden when the answer comes"])
def test_a_surer_late_answer_ends_a_wrong_track_whether_or_not_its_object_is_seen_now(hidden: range) -> None:
    frames = [painted(n, {"blue": BLUE} if n in hidden else {"red": RED, "blue": BLUE}, depth=False) for n in range(16)]
    results = told(frames, delay_frames=3)
    events = [(event.reason.value, event.outcome, event.stamp_ns) for r in results for event in r.groundings]
    assert [event[:2] for event in events[:2]] == [("new", "found"), ("stale", "corrected")]
    asked = round((events[1][2] - frames[0].stamp_ns) / FRAME_NS)
    answered = asked + 3
    assert asked < 6, "asked while the red one was seen"
    assert iou(results[asked], frames[asked], "blue") > 0.7, "the wrong track looked well"
    assert iou(results[-1], frames[-1], "red") > 0.7
    assert {o.target.id for result in results for o in result.objects} == {"1"}
    if hidden:
        assert answered in hidden
        settled = results[answered + 1].objects[0].mask
        assert settled is not None
        assert settled.mask.mean() < 0.01, "hidden, and said so"
    assert results[-1].drops.get("corrections_rejected", 0) == 0
