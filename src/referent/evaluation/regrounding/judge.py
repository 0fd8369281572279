"""The judgement on asking again: policies side by side on scenes that no tracker sees through, one table."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from math import isfinite
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from referent.config import Config
from referent.errors import ConfigError
from referent.evaluation.heldout.rows import markdown_of_bars, table_of_bars
from referent.evaluation.lines import Line
from referent.evaluation.regrounding.episodes import UNEVENTFUL, Episode, Played, play
from referent.evaluation.regrounding.known_pictures import Encodings, EngineOfKnownPictures
from referent.evaluation.regrounding.measures import Judged, judge_run
from referent.evaluation.regrounding.plot import plot
from referent.evaluation.regrounding.policies import (
    AS_OFTEN_AS_OURS,
    INTERVAL,
    NEVER,
    OURS,
    POLICIES,
    REINIT,
    WITHOUT_TIME_TRAVEL,
)
from referent.evaluation.regrounding.rows import LATENCY_S, SLOW_S, regrounding_rows
from referent.evaluation.regrounding.runs import run_episode
from referent.evaluation.suites import REGROUNDING
from referent.evaluation.summary import versions
from referent.grounding import backends
from referent.ports import Grounder
from referent.settings import override, to_tree
from referent.sources.simulation.trials import SECONDS, TRIALS
from referent.weights import resolve

FINAL_SEED = 20_000  # from here on nobody looks before the final table
LATENCIES_S = (0.0, 0.5, 1.0, 2.0, 4.0)
AT_EVERY_LATENCY = (OURS, WITHOUT_TIME_TRAVEL)
JUDGED_FROM_S = 5.0  # what the first answer finds, and how late it comes, is not what is compared here
QUIET_SECONDS = 60.0
NAMED_SECONDS = 16.0
AT_ONCE = 2  # processes


@dataclass(frozen=True)
class Plan:
    """How much is judged: `scenes` variants of each trial."""

    first_seed: int = FINAL_SEED
    scenes: int = 3
    latencies_s: tuple[float, ...] = LATENCIES_S

    def __post_init__(self) -> None:
        if self.scenes < 1 or self.first_seed < 0:
            raise ConfigError(f"{self.scenes} scenes from seed {self.first_seed}: at least 1 from seed 0 is needed")

    @classmethod
    def of(cls, *, first_seed: int = FINAL_SEED, scenes: int = 3) -> Plan:
        """What a user may choose. Raises ConfigError."""
        return cls(first_seed, scenes)

    @property
    def episodes(self) -> list[Episode]:
        """All that is played; the longest first, so that no process waits long for the other."""
        quiet = Episode(UNEVENTFUL, self.first_seed, QUIET_SECONDS, is_trial=False)
        drawn = [(name, seed) for seed in range(self.first_seed, self.first_seed + self.scenes) for name in TRIALS]
        trials = [Episode(name, seed, SECONDS, judged_from_s=JUDGED_FROM_S) for name, seed in drawn]
        named = [Episode(name, seed, NAMED_SECONDS, False, JUDGED_FROM_S) for name, seed in drawn]
        return [quiet, *trials, *named]


def judge_regrounding(config: Config, plan: Plan, *, output: Path | None = None) -> Line:
    """Every bar with its measurement, as JSON values; with `output` the table and the plot lie there.

    Raises WeightsMissing when a model is absent, ConfigError when settings cannot be met.
    """
    resolve(config.tracker.model)  # here and now: in a process of its own it is told late
    judged = [one for part in _judged(config, plan) for one in part]
    rows = regrounding_rows(judged)
    measured: Line = {
        "suite": REGROUNDING,
        "plan": asdict(plan),
        "bars": [row.line() for row in rows],
        "runs": [_line(one) for one in judged],
        "config": to_tree(config),
        "versions": versions(),
    }
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "bars.md").write_text(markdown_of_bars(measured["bars"]) + "\n", encoding="utf-8")
        (output / "regrounding.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        plot(judged).save(output / "quality_by_latency.png")
    return measured


def regrounding_table(measured: Line) -> str:
    """What was measured as a table for a terminal."""
    return table_of_bars(measured["bars"])


def _judged(config: Config, plan: Plan) -> Iterator[list[Judged]]:
    """Episode by episode, in two processes."""
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn"), initializer=_begin) as processes:
        running = [processes.submit(judge_episode, config, episode, plan.latencies_s) for episode in plan.episodes]
        for part in tqdm(running, desc=REGROUNDING, unit="episode", disable=None):
            yield part.result()


def _begin() -> None:
    """Ctrl-C ends a process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def judge_episode(config: Config, episode: Episode, latencies_s: Sequence[float]) -> list[Judged]:
    """One episode under every policy and latency. Ours comes first: others are made to ask as often."""
    played = play(episode)
    grounder = backends.create(config.grounder)
    try:
        encodings, judged = Encodings(), list[Judged]()
        for latency_s in latencies_s:
            policies = [name for name in POLICIES if latency_s in latencies_of(name, episode)]
            judged += _runs(played, config, grounder, policies, latency_s, encodings)
        return judged
    finally:
        grounder.close()


def latencies_of(policy: str, episode: Episode) -> tuple[float, ...]:
    """Where a policy is run: ours with every latency, the others with some, enough for a line."""
    if episode.scene == UNEVENTFUL:
        return (LATENCY_S,) if policy == OURS else ()
    if policy in AT_EVERY_LATENCY:
        return LATENCIES_S
    if not episode.is_trial:
        return (LATENCY_S,) if policy in (INTERVAL, REINIT, NEVER) else ()
    return (LATENCY_S,) if policy == NEVER else (LATENCY_S, SLOW_S, LATENCIES_S[-1])


def _runs(
    played: Played, config: Config, grounder: Grounder, policies: Sequence[str], latency_s: float, encodings: Encodings
) -> list[Judged]:
    judged: list[Judged] = []
    for policy in policies:
        changes = dict(POLICIES[policy])
        if policy in AS_OFTEN_AS_OURS:
            ours = next(one for one in judged if one.policy == OURS)
            changes["grounding.reground_interval_frames"] = max(1, len(played.frames) // max(ours.questions, 1))
        run = run_episode(
            played,
            override(config, changes),
            grounder,
            policy=policy,
            latency_s=latency_s,
            adapt_engine=lambda engine: EngineOfKnownPictures(engine, encodings),
        )
        judged.append(judge_run(played, run))
    return judged


def _line(one: Judged) -> Line:
    """One run as JSON values."""
    line = asdict(one)
    line["overlap"] = round(one.overlap, 4)
    line["returns_s"] = [time_s if isfinite(time_s) else None for time_s in one.returns_s]
    line["surenesses"] = [[round(sure, 4), right] for sure, right in one.surenesses]
    return line
