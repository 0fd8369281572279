"""A suite is measured over the real hall: with a perfect tracker everything is found, with a blind grounder nothing."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import pytest
from knowing import Knowing

from referent.config import Config, load_config
from referent.errors import ReferentError
from referent.evaluation import evaluate as evaluation
from referent.evaluation.evaluate import evaluate, evaluation_table
from referent.evaluation.suites import SUITES, Case, cases_of, expression_of, scene_of
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.sources.simulation.simulate import simulate

small_pictures = partial(simulate, width=160, height=120)  # rendered ten times as fast
kept_scene_of = cache(scene_of)
CASE = Case("tabletop", 0, seconds=0.4, color="red", category="mug")


def all_knowing(**flaws: Any) -> Knowing:
    frames = round(CASE.seconds * evaluation.FPS)
    scene = kept_scene_of(CASE)
    return Knowing(small_pictures(scene, frames=frames, fps=evaluation.FPS, start_ns=evaluation.START_NS), **flaws)


def measured_with(oracle: Knowing, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setattr(evaluation, "simulate", small_pictures)
    monkeypatch.setattr(evaluation, "scene_of", kept_scene_of)
    monkeypatch.setattr(evaluation, "cases_of", lambda suite: (CASE,))

    def make_pipeline(config: Config) -> Pipeline:
        return Pipeline(config, tracker=oracle, worker=ReplayWorker(oracle, latency_ns=100_000_000))

    return evaluate("one", load_config(), make_pipeline=make_pipeline)


def test_a_perfect_tracker_scores_one_from_its_first_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = all_knowing()
    measured = measured_with(oracle, monkeypatch)
    (scene,) = measured["scenes"]
    assert (scene["expression"], scene["frames"]) == ("the red mug", 6)
    assert (scene["j"], scene["f"], scene["j_and_f"]) == (1.0, 1.0, 1.0)
    assert scene["first_mask_s"] == pytest.approx(2 / evaluation.FPS, abs=1e-6)  # the grounder needs 0.1 s
    assert scene["found_rate"] == pytest.approx(4 / 6)
    assert scene["position_error_m"] < 0.05
    assert measured["mean"]["scenes_found"] == 1.0
    assert oracle.closed
    head, row, mean = evaluation_table(measured).splitlines()
    assert head.split() == ["scene", "expression", "J", "F", "J&F", "found", "first", "mask", "position", "error"]
    assert (row.split()[0], mean.split()[0]) == ("tabletop", "mean")


def test_masks_that_are_off_score_less(monkeypatch: pytest.MonkeyPatch) -> None:
    (scene,) = measured_with(all_knowing(off_px=3), monkeypatch)["scenes"]
    assert 0.3 < scene["j"] < 0.95
    assert scene["f"] < 0.8


def test_a_scene_where_nothing_is_found_counts_zero_in_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = measured_with(all_knowing(hidden=True), monkeypatch)
    assert measured["mean"]["j_and_f"] == 0.0
    assert measured["mean"]["scenes_found"] == 0.0
    assert measured["mean"]["first_mask_s"] is None
    assert "–" in evaluation_table(measured)


def test_an_unknown_suite_is_named_with_those_that_exist() -> None:
    with pytest.raises(ReferentError, match="'breakfast' is unknown; the suites are demo, heldout"):
        cases_of("breakfast")


@pytest.mark.parametrize("suite", SUITES)
def test_every_case_has_something_certain_to_say_that_means_one_object(suite: str) -> None:
    for case in cases_of(suite):
        first = next(small_pictures(kept_scene_of(case), frames=1))
        said = expression_of(case, first.truth)
        assert said is not None
        assert len(said.instance_ids) == 1
