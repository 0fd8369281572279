"""Runs the pipeline over a suite of simulated scenes and holds it against their truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

from referent.building import build_pipeline, replay_worker
from referent.config import Config
from referent.errors import ReferentError
from referent.evaluation.lines import Line, result_line, truth_line
from referent.evaluation.matching import ObjectEvaluation, evaluate_run
from referent.evaluation.metrics import mean_or_none
from referent.evaluation.suites import Case, cases_of, expression_of, scene_of
from referent.evaluation.summary import number
from referent.pipeline import Pipeline
from referent.settings import to_tree
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import SimulatedFrame

FPS = 15
PAUSE_NS = 10_000_000_000  # between the scenes, so that time never jumps back
START_NS = 1_000_000_000
METRICS = ("j", "f", "j_and_f", "found_rate")


def in_replay(config: Config) -> Pipeline:
    """The pipeline as it replays a bag: the same answers every time."""
    return build_pipeline(config, make_worker=replay_worker)


def evaluate(suite: str, config: Config, *, make_pipeline: Callable[[Config], Pipeline] = in_replay) -> Line:
    """Metrics of every scene of a suite and their means, as JSON values.

    Raises ReferentError for an unknown suite, WeightsMissing when a model is absent.
    """
    measured = evaluate_cases(cases_of(suite), config, make_pipeline=make_pipeline)
    return {"suite": suite, "scenes": measured, "mean": mean_over_scenes(measured), "config": to_tree(config)}


def evaluate_cases(
    cases: Sequence[Case], config: Config, *, make_pipeline: Callable[[Config], Pipeline] = in_replay
) -> list[Line]:
    """Metrics of every scene. Raises WeightsMissing when a model is absent."""
    pipeline = make_pipeline(config)
    try:
        start_ns, measured = START_NS, []
        for case in tqdm(cases, desc="pipeline", unit="scene", disable=None):
            measured.append(evaluate_case(case, pipeline, start_ns=start_ns))
            start_ns += round(case.seconds * 1e9) + PAUSE_NS
            pipeline.reset()
    finally:
        pipeline.close()
    return measured


def evaluate_case(case: Case, pipeline: Pipeline, *, start_ns: int) -> Line:
    """Metrics of one scene: the instruction is given before its first frame."""
    shown = simulate(scene_of(case), frames=round(case.seconds * FPS), fps=FPS, start_ns=start_ns)
    first = next(shown)
    said = expression_of(case, first.truth)
    if said is None:
        raise ReferentError(f"scene {case.scene} with seed {case.seed}: nothing certain can be said; take another seed")
    pipeline.instruct(said.text)
    pairs = list(_processed(itertools.chain([first], shown), pipeline))
    lines = [line for line, _ in pairs]
    expressions = {item["expression"] for line in lines for item in line["objects"]}
    expected = dict.fromkeys(expressions, said.instance_ids)
    evaluations = evaluate_run(lines, [truth for _, truth in pairs], expected=expected)
    facts = {"scene": case.scene, "seed": case.seed, "expression": said.text, "kind": said.kind, "frames": len(lines)}
    return {**facts, **_scores(list(evaluations.values()))}


def _processed(shown: Iterator[SimulatedFrame], pipeline: Pipeline) -> Iterator[tuple[Line, Line]]:
    for seen in shown:
        yield result_line(pipeline.process(seen.frame)), truth_line(seen.frame.stamp_ns, seen.truth)


def _scores(evaluations: Sequence[ObjectEvaluation]) -> Line:
    """The mean over the objects of a scene; an object that is never found counts 0."""
    scores = [evaluation.score for evaluation in evaluations]
    means: Line = {name: mean_or_none([getattr(score, name) or 0.0 for score in scores]) for name in METRICS}
    firsts = [score.first_mask_s for score in scores if score.first_mask_s is not None]
    errors_m = [score.position_error_m for score in scores if score.position_error_m is not None]
    return {"first_mask_s": min(firsts, default=None), **means, "position_error_m": mean_or_none(errors_m)}


def mean_over_scenes(scenes: Sequence[Line]) -> Line:
    """The mean of each metric over the scenes, and the share of scenes in which anything was found."""
    means: Line = {name: mean_or_none([scene[name] or 0.0 for scene in scenes]) for name in METRICS}
    means["scenes_found"] = mean_or_none([float(scene["first_mask_s"] is not None) for scene in scenes])
    for name in ("first_mask_s", "position_error_m"):
        means[name] = mean_or_none([scene[name] for scene in scenes if scene[name] is not None])
    return means


def evaluation_table(measured: Line) -> str:
    """What `evaluate` measured as an aligned table for a terminal."""
    head = ["scene", "expression", "J", "F", "J&F", "found", "first mask", "position error"]
    rows = [[f"{s['scene']} {s['seed']}", s["expression"], *_cells(s)] for s in measured["scenes"]]
    rows.append(["mean", "", *_cells(measured["mean"])])
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    )


def _cells(scores: Line) -> list[str]:
    overlap = [number(scores[name], "{:.3f}") for name in ("j", "f", "j_and_f")]
    found = number(scores["found_rate"], "{:.1%}")
    first, error = (
        number(scores["first_mask_s"], "{:.2f} s"),
        number(scores["position_error_m"], "{:.1f} mm", scale=1000),
    )
    return [*overlap, found, first, error]
