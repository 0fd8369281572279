"""The command that makes a grounder's scores honest, on a grounder that boasts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from referent.config import TrackerConfig
from referent.errors import ConfigError
from referent.evaluation.heldout.questions import render_picture
from referent.grounding.score_calibration import FILE, read_calibration
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.training import confidence
from referent.training.confidence import Case, Cases, ask_about, fitted, questions_about, reliabilities, round_trip_iou
from referent.types import Grounding, GroundingItem, GroundingRequest
from referent.weights import resolve


class Oracle:
    """Knows where everything is, says so with 0.6 where it is right and 0.3 where it adds a box that is not."""

    def __init__(self, seed: int) -> None:
        self._answers = {each.expression.text: each.boxes for each in questions_about(render_picture(seed))}

    def ground(self, request: GroundingRequest) -> Grounding:
        boxes = self._answers[request.expression]
        if not boxes:
            return Grounding(request, (), "none", nothing_score=0.9)
        corner = np.float32([0, 0, 40, 40])
        items = [GroundingItem("thing", 0.6, box_xyxy=box) for box in boxes] + [
            GroundingItem("air", 0.3, box_xyxy=corner)
        ]
        return Grounding(request, tuple(items), nothing_score=0.1)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture(scope="module")
def tracker() -> Sam2Tracker:
    config = TrackerConfig(device="cpu", threads=1)
    return Sam2Tracker(config, resolve(config.model))


def a_boaster(pictures: int = 40) -> Cases:
    """Says 0.95 of regions of which 7 in 10 are right and 0.6 where 2 are, and is honest about nothing."""
    rng = np.random.default_rng(0)
    regions = [
        Case(seed, stated, bool(rng.uniform() < right), 0.9)
        for seed in range(pictures)
        for stated, right in ((0.95, 0.7), (0.6, 0.2))
        for _ in range(20)
    ]
    nothing = [Case(seed, p, bool(rng.uniform() < p)) for seed in range(pictures) for p in (0.1, 0.5, 0.9)]
    return Cases(tuple(regions), tuple(nothing))


def test_every_answer_is_judged_by_the_truth_and_every_box_by_its_mask(tracker: Sam2Tracker) -> None:
    cases = ask_about(Oracle(5100), tracker, [5100])
    assert {(case.stated, case.right) for case in cases.regions} == {(0.6, True), (0.3, False)}
    assert {(case.stated, case.right) for case in cases.nothing} == {(0.9, True), (0.1, False)}
    fits = [case.round_trip_iou for case in cases.regions]
    assert all(fit is not None and 0 <= fit <= 1 for fit in fits)
    assert np.median([fit for fit, case in zip(fits, cases.regions, strict=True) if case.right and fit]) > 0.6


def test_asking_the_tracker_leaves_nothing_behind(tracker: Sam2Tracker) -> None:
    frame = render_picture(5100).frame
    tracker.reset()
    tracker.step(frame)
    fits = [round_trip_iou(tracker, frame, np.float32([200, 200, 300, 300]), object_id=str(n)) for n in range(2)]
    assert fits[0] == pytest.approx(fits[1])
    assert tracker.step(replace(frame, stamp_ns=frame.stamp_ns + 1)) == ()


def test_a_boaster_is_made_honest_on_pictures_it_was_not_fitted_on() -> None:
    calibration = fitted(a_boaster())
    assert calibration.score.of(0.95) == pytest.approx(0.7, abs=0.04)
    assert calibration.score.of(0.6) == pytest.approx(0.2, abs=0.04)
    assert calibration.nothing.of(0.5) == pytest.approx(0.5, abs=0.1)
    regions, with_round_trip, nothing = reliabilities(a_boaster())
    assert regions.ece_stated > 0.2
    assert regions.ece < 0.05
    assert with_round_trip.ece == pytest.approx(regions.ece), "a round trip that fits changes nothing"
    assert nothing.ece_stated < 0.1


def test_too_few_cases_are_no_fit() -> None:
    with pytest.raises(ConfigError, match=r"raise --scenes"):
        fitted(a_boaster(pictures=2))


def test_the_command_writes_a_calibration_that_the_model_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(confidence, "ask_about", lambda grounder, tracker, seeds: a_boaster(len(seeds)))
    output = tmp_path / FILE
    confidence.main(["--scenes", "40", "--output", str(output)])
    weights = resolve("referent-qwen3vl-tiny").weights_path
    assert read_calibration(tmp_path, weights) == fitted(a_boaster())
    assert json.loads(output.read_text())["measured"]["scenes"] == 40
    assert "| regions " in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--scenes", "4"], ["--first-seed", "19990"], ["--first-seed", "-1"]])
def test_seeds_that_nobody_looks_at_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        confidence.main(arguments)
    assert "all below 20000" in capsys.readouterr().err
