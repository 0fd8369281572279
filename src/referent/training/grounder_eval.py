"""Measure a grounder on unseen simulated pictures and sentences, through the real adapter.

    python -m referent.training.grounder_eval [--model referent-qwen3vl-tiny] [--scenes 120] [--json FILE]

A single target counts when the answer is exactly one box with IoU >= 0.5; several when boxes and objects match one to
one; an absent one when the answer is "nothing". "other picture" asks the single questions about the next scene's
picture: what a model scores there, it scores without looking.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from referent.config import GrounderConfig
from referent.errors import UnreadableReply
from referent.grounding import backends
from referent.sources.simulation.expressions import KINDS, Expression, expressions_for
from referent.sources.simulation.scenes import sample_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import SimulatedFrame
from referent.types import Array, Grounder, Grounding, GroundingRequest, RegroundReason, RgbdFrame, Target

OTHER_PICTURE = "other picture"
NEAR_MISS = "absent, near miss"  # color and category are both in the picture, but not on one object


@dataclass(frozen=True)
class Outcome:
    """One question and how the answer compares with the truth."""

    kind: str
    held_out: bool  # whether the sentence around the phrase was never trained on
    text: str
    parsed: bool
    right: bool
    iou: float  # of the best matching box; 0 when nothing is to be found
    answered_nothing: bool
    latency_s: float


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    kind: str
    held_out: bool
    count: int
    parsed: float
    right: float
    mean_iou: float


def questions(
    first_seed: int, scenes: int, *, width: int = 640, height: int = 480
) -> Iterator[tuple[SimulatedFrame, Expression, bool]]:
    """Unseen pictures with expressions, in sentences trained on (False) and held out (True)."""
    for seed in range(first_seed, first_seed + scenes):
        simulated = next(iter(simulate(sample_scene(seed, "still_test"), frames=1, width=width, height=height)))
        for held_out in (False, True):
            rng = np.random.default_rng((seed, held_out))
            for expression in expressions_for(simulated.truth, rng, per_kind=1, held_out=held_out):
                near_miss = expression.kind == "absent" and _is_near_miss(expression, simulated)
                yield simulated, replace(expression, kind=NEAR_MISS) if near_miss else expression, held_out


def _is_near_miss(expression: Expression, simulated: SimulatedFrame) -> bool:
    words = expression.phrase.split()
    seen = [thing for thing in simulated.truth.objects if thing.visible_px > 0]
    return any(thing.category in words for thing in seen) and any(thing.color in words for thing in seen)


def answer(grounder: Grounder, frame: RgbdFrame, text: str) -> Grounding | None:
    """The grounder's answer; None when it is unreadable."""
    try:
        return grounder.ground(GroundingRequest((Target("1", text),), frame, RegroundReason.NEW))
    except UnreadableReply:
        return None


def judged(grounding: Grounding | None, expression: Expression, simulated: SimulatedFrame, held_out: bool) -> Outcome:
    """How `grounding` compares with the truth."""
    truth = [
        np.asarray(thing.box_xyxy) for thing in simulated.truth.objects if thing.instance_id in expression.instance_ids
    ]
    boxes = [] if grounding is None else [item.box_xyxy for item in grounding.items if item.box_xyxy is not None]
    overlaps = _overlaps(truth, boxes)
    rows, columns = linear_sum_assignment(-overlaps)
    matched = overlaps[rows, columns]
    right = grounding is not None and len(boxes) == len(truth) and bool((matched >= 0.5).all())
    return Outcome(
        kind=expression.kind,
        held_out=held_out,
        text=expression.text,
        parsed=grounding is not None,
        right=right,
        iou=float(matched.sum() / len(truth)) if truth else 0.0,
        answered_nothing=grounding is not None and grounding.nothing_reason is not None,
        latency_s=0.0 if grounding is None else grounding.latency_s,
    )


def evaluate(grounder: Grounder, *, first_seed: int, scenes: int, width: int = 640, height: int = 480) -> list[Outcome]:
    """Every question's outcome, those of the control included."""
    asked = list(questions(first_seed, scenes, width=width, height=height))
    outcomes = [judged(answer(grounder, s.frame, e.text), e, s, held_out) for s, e, held_out in asked]
    singles = [(s, e) for s, e, held_out in asked if e.kind == "attribute" and not held_out]
    for (simulated, expression), (other, _) in zip(singles, [*singles[1:], *singles[:1]], strict=True):
        blind = judged(answer(grounder, other.frame, expression.text), expression, simulated, False)
        outcomes.append(replace(blind, kind=OTHER_PICTURE))
    return outcomes


def table(outcomes: Sequence[Outcome]) -> list[Line]:
    """One line per kind and per known or held-out sentences, then the single targets together."""
    lines = []
    for kind in (*KINDS, NEAR_MISS, OTHER_PICTURE):
        for held_out in (False, True):
            group = [outcome for outcome in outcomes if (outcome.kind, outcome.held_out) == (kind, held_out)]
            if group:
                lines.append(_line(kind, held_out, group))
    for held_out in (False, True):
        single = {"attribute", "relation", "superlative", "affordance"}
        group = [outcome for outcome in outcomes if outcome.kind in single and outcome.held_out is held_out]
        if group:
            lines.append(_line("all single targets", held_out, group))
    return lines


def as_markdown(lines: Sequence[Line]) -> str:
    """The table for people."""
    rows = ["| question | sentences | n | parsed | right | mean IoU |", "|---|---|---|---|---|---|"]
    for line in lines:
        wording = "held out" if line.held_out else "known"
        overlap = "-" if line.kind in ("absent", NEAR_MISS) else f"{line.mean_iou:.3f}"
        rows.append(f"| {line.kind} | {wording} | {line.count} | {line.parsed:.3f} | {line.right:.3f} | {overlap} |")
    return "\n".join(rows)


def _line(kind: str, held_out: bool, group: Sequence[Outcome]) -> Line:
    return Line(
        kind=kind,
        held_out=held_out,
        count=len(group),
        parsed=float(np.mean([outcome.parsed for outcome in group])),
        right=float(np.mean([outcome.right for outcome in group])),
        mean_iou=float(np.mean([outcome.iou for outcome in group])),
    )


def _overlaps(truth: Sequence[Array], boxes: Sequence[Array]) -> Array:
    """(truth, boxes) intersection over union."""
    overlaps = np.zeros((len(truth), len(boxes)))
    for i, a in enumerate(truth):
        for j, b in enumerate(boxes):
            shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
            overlaps[i, j] = shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)
    return overlaps


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="referent-qwen3vl-tiny")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--json", type=Path, help="write the table and every outcome here")
    options = parser.parse_args()
    grounder = backends.create(GrounderConfig(model=options.model, device="cpu", threads=1))
    started = time.perf_counter()
    size = {"width": options.width, "height": options.height}
    outcomes = evaluate(grounder, first_seed=options.first_seed, scenes=options.scenes, **size)
    lines = table(outcomes)
    latencies = np.array([outcome.latency_s for outcome in outcomes if outcome.parsed])
    print(as_markdown(lines))
    print(f"\none answer on one thread: median {np.median(latencies):.3f} s, p95 {np.percentile(latencies, 95):.3f} s")
    print(f"{len(outcomes)} questions in {time.perf_counter() - started:.0f} s")
    if options.json is not None:
        whole = {"table": [asdict(line) for line in lines], "outcomes": [asdict(outcome) for outcome in outcomes]}
        options.json.write_text(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
