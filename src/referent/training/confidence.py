"""Makes a grounder's scores honest: asks it about simulated pictures, fits its calibration, says how far off it is.

    python -m referent.training.confidence --model BUNDLE [--scenes 60] [--output BUNDLE/calibration.json]

A region is right with IoU >= 0.5; "nothing matches" is right of what is absent. Every number is measured on pictures
that the calibration was not fitted on (cross-validation by picture). The file is one of the model's: after it
`python -m referent.weights --update NAME`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from referent.config import GrounderConfig, TrackerConfig
from referent.errors import ConfigError
from referent.evaluation.heldout.judge import FINAL_SEED
from referent.evaluation.heldout.outcomes import RIGHT_IOU, ask, matched
from referent.evaluation.heldout.questions import Picture, Question, a_question, render_picture
from referent.grounding.backends.qwen3_vl import Qwen3VLGrounder
from referent.grounding.confidence import ItemEvidence, Platt, combined_score, expected_calibration_error, fit_platt
from referent.grounding.score_calibration import FILE, Calibration, write_calibration
from referent.ports import Grounder, Tracker
from referent.sources.simulation.expressions import expressions_for
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Prompt, RgbdFrame
from referent.weights import resolve

FOLDS = 5
# About as many absent things as present ones: a lost target is asked about mostly while it is gone, and an answer is to
# add to the belief in a track without what was believed before.
PER_KIND = {"absent": 6}  # of a picture; 1 of every other kind
QUESTIONS = 2  # a random stream beside the two that the held-out judge draws from
LEAST = 20  # cases either way, or two numbers cannot be fitted


@dataclass(frozen=True)
class Case:
    """One probability that was stated, and whether what it is of was so."""

    seed: int  # of the picture
    stated: float
    right: bool
    round_trip_iou: float | None = None  # of a region's box with the box of the mask the tracker makes of it


@dataclass(frozen=True)
class Cases:
    """All that a grounder said of its regions, and of whether anything matches."""

    regions: tuple[Case, ...]
    nothing: tuple[Case, ...]


@dataclass(frozen=True)
class Reliability:
    """How honest probabilities are: as stated, and calibrated on other pictures."""

    of: str
    cases: int
    right: float  # share of the cases
    ece_stated: float
    ece: float
    brier_stated: float
    brier: float


def ask_about(grounder: Grounder, tracker: Tracker, seeds: Iterable[int]) -> Cases:
    """What a grounder states about the held-out pictures of `seeds`, and how it is."""
    regions: list[Case] = []
    nothing: list[Case] = []
    for seed in tqdm(seeds, desc="confidence", unit="picture", disable=None):
        picture = render_picture(seed)
        tracker.reset()
        tracker.step(picture.frame)
        for question in questions_about(picture):
            answer = ask(grounder, picture.frame, question.expression.text)
            said = answer.grounding
            if said is None:
                continue  # no answer, no probability
            if said.nothing_score is not None:
                nothing.append(Case(seed, said.nothing_score, not question.boxes))
            found = {j for _, j, iou in matched(question.boxes, answer.boxes) if iou >= RIGHT_IOU}
            for number, (item, box) in enumerate(zip(said.items, answer.boxes, strict=True)):
                if item.score is not None:
                    fit = round_trip_iou(tracker, picture.frame, box, object_id=str(len(regions)))
                    regions.append(Case(seed, item.score, number in found, fit))
    return Cases(tuple(regions), tuple(nothing))


def questions_about(picture: Picture) -> Iterator[Question]:
    """Expressions of every kind, the same ones each time."""
    rng = np.random.default_rng((picture.seed, QUESTIONS))
    drawn = expressions_for(picture.truth, rng, per_kind=max(PER_KIND.values()))
    taken: Counter[str] = Counter()
    for place in rng.permutation(len(drawn)):
        expression = drawn[int(place)]
        if taken[expression.kind] < PER_KIND.get(expression.kind, 1):
            taken[expression.kind] += 1
            yield a_question("confidence", picture, expression)


def round_trip_iou(tracker: Tracker, frame: RgbdFrame, box_xyxy: Array, *, object_id: str) -> float | None:
    """IoU of a box with that of the mask that the tracker makes of it in its newest frame."""
    tracker.prompt(Prompt(object_id=object_id, stamp_ns=frame.stamp_ns, box_xyxy=box_xyxy))
    outcomes = [told for told in tracker.take_outcomes() if told.object_id == object_id]
    tracker.forget(object_id)
    return outcomes[0].round_trip_iou if outcomes else None


def fitted(cases: Cases) -> Calibration:
    """The calibration that fits all cases. Raises ConfigError when there are too few of them either way."""
    return Calibration(_fitted(cases.regions, "regions"), _fitted(cases.nothing, '"nothing matches"'))


def reliabilities(cases: Cases) -> list[Reliability]:
    """How honest the scores are, stated and calibrated; the regions' also as the supervisor combines them."""
    regions = _calibrated_elsewhere(cases.regions)
    trips = [case.round_trip_iou for case in cases.regions]
    combined = [combined_score(ItemEvidence(p, trip)) or 0.0 for p, trip in zip(regions, trips, strict=True)]
    return [
        _reliability("regions", cases.regions, regions),
        _reliability("regions, with the round trip", cases.regions, combined),
        _reliability('"nothing matches"', cases.nothing, _calibrated_elsewhere(cases.nothing)),
    ]


def table_of(measured: Sequence[Reliability]) -> str:
    """For a terminal or a model card."""
    head = f"| {'probability of':30} | n | so | ECE stated | ECE calibrated | Brier stated | calibrated |"
    rows = [
        f"| {one.of:30} | {one.cases} | {one.right:.2f} | {one.ece_stated:.3f} | {one.ece:.3f} "
        f"| {one.brier_stated:.3f} | {one.brier:.3f} |"
        for one in measured
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=GrounderConfig().model, help="a name in models.yaml or a folder")
    parser.add_argument("--first-seed", type=int, default=5000, help="of the pictures")
    parser.add_argument("--scenes", type=int, default=60, help="pictures, each with about 15 questions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help=f"file to write; it is read as {FILE} in the model's folder")
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.scenes)
    if len(seeds) < FOLDS or not 0 <= seeds.start < seeds.stop <= FINAL_SEED:
        parser.error(f"seeds {seeds.start} to {seeds.stop}: at least {FOLDS} are needed, all below {FINAL_SEED}")
    entry = resolve(options.model)
    config = GrounderConfig(model=options.model, device="cpu", threads=options.threads)
    tracker = Sam2Tracker(TrackerConfig(device="cpu", threads=options.threads), resolve(TrackerConfig().model))
    cases = ask_about(Qwen3VLGrounder(config, Calibration()), tracker, seeds)
    calibration, measured = fitted(cases), reliabilities(cases)
    print(table_of(measured))
    print(f"score: {calibration.score}\nnothing: {calibration.nothing}")
    if options.output is not None:
        plan = {"first_seed": seeds.start, "scenes": len(seeds)}
        told = [{name: _rounded(value) for name, value in asdict(one).items()} for one in measured]
        write_calibration(options.output, calibration, entry.weights_path, {**plan, "reliability": told})


def _fitted(cases: Sequence[Case], what: str) -> Platt:
    right = sum(case.right for case in cases)
    if min(right, len(cases) - right) < LEAST:
        raise ConfigError(
            f"{what}: {right} of {len(cases)} cases are so, {LEAST} either way are needed; raise --scenes"
        )
    return fit_platt([case.stated for case in cases], [case.right for case in cases])


def _calibrated_elsewhere(cases: Sequence[Case]) -> list[float]:
    """Each case's probability, calibrated on the other pictures' cases."""
    fold_of = {seed: place % FOLDS for place, seed in enumerate(sorted({case.seed for case in cases}))}
    fits = [
        fit_platt([case.stated for case in others], [case.right for case in others])
        for fold in range(FOLDS)
        for others in [[case for case in cases if fold_of[case.seed] != fold]]
    ]
    return [fits[fold_of[case.seed]].of(case.stated) for case in cases]


def _reliability(of: str, cases: Sequence[Case], calibrated: Sequence[float]) -> Reliability:
    stated, right = [case.stated for case in cases], [case.right for case in cases]
    return Reliability(
        of=of,
        cases=len(cases),
        right=float(np.mean(right)),
        ece_stated=expected_calibration_error(stated, right),
        ece=expected_calibration_error(calibrated, right),
        brier_stated=float(np.mean(np.square(np.subtract(stated, right)))),
        brier=float(np.mean(np.square(np.subtract(calibrated, right)))),
    )


def _rounded(value: float | str) -> float | str:
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
