"""The whole judgement on held-out scenes: its parts, their table, and what is written down."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from math import isfinite
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from referent.config import Config
from referent.errors import ConfigError
from referent.evaluation.evaluate import evaluate_cases, evaluation_table, mean_over_scenes
from referent.evaluation.heldout.estimates import mean_of
from referent.evaluation.heldout.first_mask import first_mask_times, median_first_mask
from referent.evaluation.heldout.follows import by_tracker
from referent.evaluation.heldout.grounder import judge_grounder
from referent.evaluation.heldout.grounder_rows import grounder_rows
from referent.evaluation.heldout.official import official_follower
from referent.evaluation.heldout.rows import Row, markdown_of_bars, table_of_bars
from referent.evaluation.heldout.sheets import write_grounder_sheets, write_tracker_sheets
from referent.evaluation.heldout.tracker import judge_tracker, object_lines, tracker_rows
from referent.evaluation.lines import Line
from referent.evaluation.suites import HELDOUT, heldout_cases
from referent.evaluation.summary import versions
from referent.grounding import backends
from referent.settings import to_tree
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.weights import resolve

FINAL_SEED = 20_000  # from here on nobody looks before the final table
PARTS = ("tracker", "grounder", "pipeline", "first_mask")
FIRST_MASK_BAR_S = 1.5
AT_ONCE = 2  # processes, each with the threads that the settings give a model


@dataclass(frozen=True)
class Plan:
    """How much is judged. The other numbers follow from `scenes`, the pictures a grounder is asked about."""

    first_seed: int = FINAL_SEED
    scenes: int = 150
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise ConfigError(f"part {unknown[0]!r} is unknown; the parts are {', '.join(PARTS)}")
        if self.scenes < 1 or self.first_seed < 0:
            raise ConfigError(f"{self.scenes} scenes from seed {self.first_seed}: at least 1 from seed 0 is needed")

    @property
    def shape_scenes(self) -> int:
        """Pictures of each other shape."""
        return max(1, self.scenes * 2 // 5)

    @property
    def clips(self) -> int:
        """Clips for the tracker."""
        return max(2, self.scenes // 5)

    @property
    def rival_clips(self) -> int:
        """Clips in which the official predictor follows too."""
        return max(1, self.scenes // 15)

    @property
    def pipeline_clips(self) -> int:
        """Random clips for the pipeline, beside the named scenes."""
        return max(1, self.scenes // 19)

    @property
    def timed_scenes(self) -> int:
        """Instructions that are timed."""
        return max(2, self.scenes // 12)


def plan_from(parts: str | None = None, **numbers: int) -> Plan:
    """A plan from what a user types; `parts` are separated by commas, None = all. Raises ConfigError."""
    return Plan(parts=PARTS if parts is None else tuple(part.strip() for part in parts.split(",")), **numbers)


def judge(config: Config, plan: Plan, *, output: Path | None = None) -> Line:
    """Every bar with its measurement, as JSON values; with `output` the contact sheets and the table lie there.

    Raises WeightsMissing when a model is absent, ConfigError when settings cannot be met.
    """
    if plan.parts != ("grounder",):
        resolve(config.tracker.model)  # here and now: in a process of its own it is told late
    measured: Line = {"suite": HELDOUT, "plan": asdict(plan), "bars": []}
    for rows, facts in _judged(config, plan, output):
        measured["bars"] += [row.line() for row in rows]
        measured |= facts
    measured |= {"config": to_tree(config), "versions": versions()}
    if output is not None:
        write_judgement(measured, output)
    return measured


Part = tuple[Sequence[Row], Line]


def _judged(config: Config, plan: Plan, output: Path | None) -> Iterator[Part]:
    """Two parts at a time, each in a process of its own; the first mask last and alone, for it is a matter of time."""
    makers = {"tracker": _tracker, "grounder": _grounder, "pipeline": _pipeline}
    wanted = [makers[part] for part in plan.parts if part in makers]
    if len(wanted) < 2:
        yield from (judge_part(config, plan, output) for judge_part in wanted)
    else:
        context = get_context("spawn")
        lock = context.RLock()
        with ProcessPoolExecutor(AT_ONCE, mp_context=context, initializer=_begin, initargs=(lock,)) as processes:
            running = [processes.submit(judge_part, config, plan, output) for judge_part in wanted]
            yield from (part.result() for part in running)
    if "first_mask" in plan.parts:
        yield _first_mask(config, plan)


def _begin(bars_lock: Any) -> None:
    """At the start of a part's process: bars do not write into each other, and Ctrl-C ends it without a word."""
    tqdm.set_lock(bars_lock)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _tracker(config: Config, plan: Plan, output: Path | None) -> Part:
    judgement = judge_tracker(
        by_tracker(Sam2Tracker(config.tracker, resolve(config.tracker.model))),
        official_follower(config.tracker),
        first_seed=plan.first_seed,
        clips=plan.clips,
        rival_clips=plan.rival_clips,
    )
    if output is not None:
        write_tracker_sheets(judgement, output)
    return tracker_rows(judgement), {"followed": object_lines(judgement)}


def _grounder(config: Config, plan: Plan, output: Path | None) -> Part:
    grounder = backends.create(config.grounder)
    try:
        judgement = judge_grounder(
            grounder, first_seed=plan.first_seed, scenes=plan.scenes, shape_scenes=plan.shape_scenes
        )
    finally:
        grounder.close()
    if output is not None:
        write_grounder_sheets(judgement, output)
    return grounder_rows(judgement.outcomes), {"asked": [outcome.line() for outcome in judgement.outcomes]}


def _pipeline(config: Config, plan: Plan, output: Path | None) -> Part:
    scenes = evaluate_cases(heldout_cases(plan.first_seed, plan.pipeline_clips), config)
    mean = mean_over_scenes(scenes)
    overlap = mean_of([scene["j_and_f"] or 0.0 for scene in scenes], range(len(scenes)))
    return [Row("pipeline", "J&F, whole scenes", overlap)], {"scenes": scenes, "mean": mean}


def _first_mask(config: Config, plan: Plan) -> Part:
    times_s = first_mask_times(config, first_seed=plan.first_seed, scenes=plan.timed_scenes)
    name = "instruction to first mask, live (median)"
    row = Row("pipeline", name, median_first_mask(times_s), FIRST_MASK_BAR_S, at_most=True, unit="s")
    return [row], {"first_mask_times_s": [round(time_s, 3) if isfinite(time_s) else None for time_s in times_s]}


def judgement_table(measured: Line) -> str:
    """What `judge` measured as tables for a terminal."""
    tables = [table_of_bars(measured["bars"])]
    if "scenes" in measured:
        tables.append(evaluation_table(measured))
    return "\n\n".join(tables)


def write_judgement(measured: Line, folder: Path) -> None:
    """`bars.md` for a card, and everything in `heldout.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bars.md").write_text(markdown_of_bars(measured["bars"]) + "\n", encoding="utf-8")
    (folder / "heldout.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
