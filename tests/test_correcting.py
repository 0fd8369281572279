"""What a person shows is followed by the real tracker: a box, a mask, points that refine, in this picture or before."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from referent.building import build_pipeline, no_worker
from referent.config import Config
from referent.errors import BadInstruction
from referent.grounding.regions import GivenRegion
from referent.pipeline import Pipeline
from referent.settings import override
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import SimulatedFrame
from referent.types import Array, FrameResult, TrackState

Shots = list[SimulatedFrame]


@pytest.fixture(scope="module")
def shots() -> Shots:
    return list(simulate(named_scene("tabletop", 3), frames=6))


@pytest.fixture
def pipeline(shots: Shots) -> Iterator[Pipeline]:
    """Follows the largest thing in view since two pictures."""
    made = build_pipeline(override(Config(), {"tracker.threads": 1}), make_worker=no_worker)
    made.follow_box("the largest thing", box_of(true_mask(shots[0], largest(shots)[0])))
    for shot in shots[:2]:
        made.process(shot.frame)
    yield made
    made.close()


def largest(shots: Shots) -> list[int]:
    """Ids of what is seen, the largest first."""
    ids, counts = np.unique(shots[0].truth.instance_ids, return_counts=True)
    return [int(i) for _, i in sorted(zip(-counts, ids, strict=True)) if i != 0]


def true_mask(shot: SimulatedFrame, instance_id: int) -> Array:
    return np.asarray(shot.truth.instance_ids == instance_id)


def box_of(mask: Array) -> Array:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


def overlap(result: FrameResult, mask: Array) -> float:
    (only,) = result.objects
    assert only.mask is not None
    return float((only.mask.mask & mask).sum() / (only.mask.mask | mask).sum())


def inner_points(mask: Array, count: int) -> Array:
    """Well inside."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    rows, columns = np.unravel_index(np.argsort(-depth, axis=None)[: 20 * count : 20], mask.shape)
    return np.stack([columns, rows], axis=1).astype(np.float32)


@pytest.mark.parametrize("kind", ["box", "mask", "points"])
@pytest.mark.parametrize("when", [0, 1])
def test_another_thing_that_is_shown_is_followed_from_there(
    shots: Shots, pipeline: Pipeline, kind: str, when: int
) -> None:
    there, wanted = true_mask(shots[when], largest(shots)[1]), largest(shots)[1]
    wrong = inner_points(true_mask(shots[when], largest(shots)[0]), 1)
    points = np.concatenate([inner_points(there, 3), wrong])
    region = {
        "box": GivenRegion(box_xyxy=box_of(there)),
        "mask": GivenRegion(mask=there),
        "points": GivenRegion(points_xy=points, inside=np.array([True] * 3 + [False])),
    }[kind]
    state = pipeline.correct("1", region=region, stamp_ns=shots[when].frame.stamp_ns if when == 0 else None)
    assert state is TrackState.TRACKING
    results = [pipeline.process(shot.frame) for shot in shots[2:]]
    overlaps = [overlap(result, true_mask(shot, wanted)) for result, shot in zip(results, shots[2:], strict=True)]
    assert min(overlaps) > (0.45 if kind == "points" else 0.6), overlaps
    changed = results[-1].objects[0].changed
    assert changed is not None
    assert (changed.by, changed.why) == ("user", "corrected")


def test_points_on_what_is_followed_correct_its_outline_and_keep_it(shots: Shots, pipeline: Pipeline) -> None:
    whole = true_mask(shots[1], largest(shots)[0])
    points = np.concatenate([inner_points(whole, 1), [[2.0, 2.0]]]).astype(np.float32)
    pipeline.correct("1", region=GivenRegion(points_xy=points, inside=np.array([True, False])))
    assert overlap(pipeline.process(shots[2].frame), true_mask(shots[2], largest(shots)[0])) > 0.6


def test_what_cannot_be_followed_is_refused_and_the_track_goes_on(shots: Shots, pipeline: Pipeline) -> None:
    for region, why in (
        (GivenRegion(box_xyxy=np.array([-50, -50, -10, -10], np.float32)), "picture"),
        (GivenRegion(mask=np.ones((7, 9), bool)), "7"),
    ):
        with pytest.raises(BadInstruction, match=why):
            pipeline.correct("1", region=region)
    with pytest.raises(BadInstruction, match="no frame of"):
        pipeline.correct("1", region=GivenRegion(box_xyxy=np.array([1, 1, 9, 9], np.float32)), stamp_ns=5)
    result = pipeline.process(shots[2].frame)
    assert overlap(result, true_mask(shots[2], largest(shots)[0])) > 0.6


def test_before_the_first_picture_nothing_can_be_shown() -> None:
    made = build_pipeline(Config(), make_worker=no_worker)
    with pytest.raises(BadInstruction, match="no picture has come yet"):
        made.correct("1", region=GivenRegion(box_xyxy=np.array([1, 1, 9, 9], np.float32)))
    made.close()
