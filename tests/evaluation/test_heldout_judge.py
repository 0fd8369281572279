"""The whole judgement: what is planned, timed, printed and written down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from referent.config import Config, load_config
from referent.errors import ConfigError, ReferentError, WeightsMissing
from referent.evaluation.heldout import judge as judging
from referent.evaluation.heldout.clips import render_clip
from referent.evaluation.heldout.first_mask import first_mask_times
from referent.evaluation.heldout.judge import FINAL_SEED, Plan, judgement_table, plan_from
from referent.evaluation.heldout.questions import render_picture
from referent.evaluation.heldout.tracker import judge_tracker
from referent.evaluation.run import run_suite
from referent.evaluation.suites import heldout_cases
from referent.grounding.targets import Numbering
from referent.settings import override
from referent.types import (
    FrameResult,
    GroundingEvent,
    RegroundReason,
    RgbdFrame,
    Target,
    TrackedMask,
    TrackedObject,
    TrackState,
)


class Answering:
    """A pipeline whose grounder needs `delay_s`; with None it never finds anything."""

    def __init__(self, delay_s: float | None) -> None:
        self._delay_s = delay_s
        self._asked_s: float | None = None
        self.closed = threading.Event()
        self.numbering = Numbering()

    def instruct(self, instruction: str) -> None:
        self._asked_s = time.perf_counter()

    def process(self, frame: RgbdFrame) -> FrameResult:
        if self._asked_s is None:
            return FrameResult(frame.stamp_ns, "camera", ())
        found = self._delay_s is not None and time.perf_counter() - self._asked_s > self._delay_s
        mask = TrackedMask("1", np.full(frame.rgb.shape[:2], found), 1.0, 1.0, 1.0)
        outcome = "found" if found else "nothing"
        event = GroundingEvent(frame.stamp_ns, frame.stamp_ns, "x", RegroundReason.NEW, 0.1, outcome)
        seen = TrackedObject(Target("1", "x"), "x", TrackState.TRACKING, mask)
        return FrameResult(frame.stamp_ns, "camera", (seen,), groundings=(event,))

    def reset(self) -> None:
        self._asked_s = None

    def close(self) -> None:
        self.closed.set()


def times_of(make_pipeline: Callable[[Config], Any], **limits: float) -> list[float]:
    small = partial(render_picture, size=(160, 120))
    return first_mask_times(load_config(), first_seed=0, scenes=2, make_pipeline=make_pipeline, render=small, **limits)


def test_the_first_mask_is_timed_from_the_instruction() -> None:
    pipeline = Answering(0.2)
    times_s = times_of(lambda config: pipeline)
    assert all(0.2 <= time_s < 0.6 for time_s in times_s)
    assert len(times_s) == 2
    assert pipeline.closed.is_set()


def test_a_mask_that_never_comes_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert times_of(lambda config: Answering(None), limit_s=0.2) == [float("inf")] * 2


def test_a_pipeline_that_fails_is_not_waited_for() -> None:
    class Broken(Answering):
        def process(self, frame: RgbdFrame) -> FrameResult:
            raise ReferentError("the lamp is broken")

    with pytest.raises(ReferentError, match="the lamp is broken"):
        times_of(lambda config: Broken(None))


def test_a_plan_grows_with_its_scenes_and_starts_where_nobody_looked() -> None:
    plan = plan_from()
    assert (plan.first_seed, plan.clips, plan.shape_scenes) == (FINAL_SEED, 30, 60)
    assert plan_from(scenes=300).clips == 60
    assert plan_from(" tracker, grounder").parts == ("tracker", "grounder")


@pytest.mark.parametrize(
    ("parts", "numbers", "named"), [("tracker,hearing", {}, "'hearing'"), (None, {"scenes": 0}, "0 scenes")]
)
def test_a_plan_that_cannot_be_is_named(parts: str | None, numbers: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        plan_from(parts, **numbers)


def test_other_suites_take_no_plan() -> None:
    with pytest.raises(ConfigError, match="'demo' does not take"):
        run_suite("demo", load_config(), scenes=3)


def test_every_named_scene_is_judged_and_clips_of_which_something_can_be_said() -> None:
    cases = heldout_cases(3, 2)
    assert {case.scene for case in cases[:-2]} >= {"tabletop", "occlusion", "lookalikes", "leave_and_return"}
    assert {case.seed for case in cases[:-2]} == {3}
    assert [case.scene for case in cases[-2:]] == ["clip_test"] * 2
    assert 3 <= cases[-2].seed < cases[-1].seed


def test_what_is_measured_is_printed_and_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = partial(judge_tracker, render=partial(render_clip, frames=4))
    monkeypatch.setattr(judging, "judge_tracker", short)
    measured, table = run_suite(
        "heldout", load_config(), output=tmp_path / "sheets", scenes=1, first_seed=7, parts="tracker"
    )
    assert "J, all visible frames" in table
    assert table == judgement_table(measured)
    assert json.loads((tmp_path / "sheets" / "heldout.json").read_text())["plan"]["first_seed"] == 7
    assert "| tracker: J&F |" in (tmp_path / "sheets" / "bars.md").read_text()
    assert (tmp_path / "sheets" / "tracker_bad.jpg").is_file()
    assert measured["followed"][0]["seed"] == 7
    equal = next(line for line in measured["bars"] if line["measure"].startswith("ours less official"))
    assert equal["reached"] is True


def test_a_missing_model_is_told_at_once_and_from_the_process_of_its_part() -> None:
    with pytest.raises(WeightsMissing, match="no_tracker"):
        run_suite("heldout", override(load_config(), {"tracker.model": "no_tracker"}))
    deaf = override(load_config(), {"grounder.model": "no_grounder"})
    with pytest.raises(WeightsMissing, match="no_grounder"):
        run_suite("heldout", deaf, parts="grounder,pipeline", first_seed=3, scenes=1)


def test_every_part_has_its_rows_and_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "evaluate_cases", lambda cases, config: [_a_scene(0.5), _a_scene(0.7)])
    monkeypatch.setattr(judging, "first_mask_times", lambda *args, **kwargs: [0.4, float("inf"), 0.6])
    measured = judging.judge(load_config(), Plan(first_seed=1, scenes=1, parts=("pipeline", "first_mask")))
    scenes, first = measured["bars"]
    assert (scenes["value"], scenes["count"], scenes["bar"]) == (0.6, 2, None)
    assert (first["value"], first["reached"]) == (0.6, True)
    assert measured["first_mask_times_s"] == [0.4, None, 0.6]
    assert "mean" in judgement_table(measured)


def _a_scene(score: float) -> dict[str, Any]:
    scores = dict.fromkeys(("j", "f", "j_and_f", "found_rate"), score)
    facts = {"scene": "tabletop", "seed": 1, "expression": "the red mug", "kind": "attribute", "frames": 9}
    return {**facts, **scores, "first_mask_s": 0.1, "position_error_m": None}
