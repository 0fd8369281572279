"""The bars of the soak are missed when they should be: growth, lost pictures, old answers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from referent.benching import load_benchmark

load_benchmark("soak")  # makes its parts importable
bars, runs, processes = (importlib.import_module(f"soak.{part}") for part in ("bars", "runs", "processes"))


def a_run(
    *,
    memory_mb: Callable[[float], float] = lambda at_s: 500.0,
    threads: Callable[[float], int] = lambda at_s: 16,
    sent: int = 1000,
    counts: dict[str, int] | None = None,
    age_ms: float = 60.0,
) -> Any:
    """Twenty minutes of a node, its grounder and a camera."""
    samples = []
    for at_s in range(0, 1200, 10):
        vital = processes.Vital(memory_mb(at_s), 300.0, 200.0, threads(at_s), 30)
        samples.append(runs.Sample(at_s, dict.fromkeys(("node", "grounder", "camera"), vital), frozenset("ab"), 0))
    arrived = {"/color/image_rect total": sent, "/depth/image_rect total": sent}
    counted = {**arrived, "total_processed": sent // 4, "total_dropped": sent - sent // 4, **(counts or {})}
    told = {"pipeline": {name: str(value) for name, value in counted.items()}}
    told["pipeline"] |= {f"age_{which}_s": str(age_ms / 1e3) for which in ("p50", "p95", "p100")}
    line = {"heard": 9, "steps_ms": [40.0] * 9, "latencies_ms": [70.0] * 9, "waits_ms": [1.0] * 9, "diagnostics": told}
    lines = [line | {"groundings": [("lost", "found")]}] * 20
    return runs.Run(runs.Plan(1200, 30.0), {"sent": sent}, lines, samples, 1200.0, 0)


def missed(rows: list[Any]) -> list[str]:
    return [row.name for row in rows if row.holds is False]


def test_a_run_in_which_nothing_grows_and_nothing_is_lost_misses_no_bar() -> None:
    warming_up = a_run(memory_mb=lambda at_s: min(500.0, 300 + at_s))
    assert missed(bars.soak_rows(warming_up)) == []
    assert missed(bars.overload_rows(warming_up)) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"memory_mb": lambda at_s: 500 + at_s / 50}, "memory of node, RSS; anonymous"),
        ({"threads": lambda at_s: 16 + at_s // 600}, "threads"),
        ({"counts": {"total_dropped": 749}}, "color: processed + dropped at the mailbox + without a partner + lost"),
        ({"counts": {"/depth/image_rect total": 999}}, "depth: arrived + lost"),
        ({"counts": {"/depth/image_rect total": 999, "/depth/image_rect lost": 1}}, "lost on the way, color and depth"),
        ({"counts": {"unmatched_depth": 1}}, "without a partner"),
        ({"counts": {"total_faults": 1}}, "faults"),
    ],
)
def test_what_a_soak_is_to_find_is_found(changes: dict[str, Any], name: str) -> None:
    assert name in missed(bars.soak_rows(a_run(**changes)))


def test_answers_older_than_two_steps_are_found() -> None:
    assert missed(bars.overload_rows(a_run(age_ms=79.0))) == []
    assert len(missed(bars.overload_rows(a_run(age_ms=81.0)))) == 3


def test_a_tail_of_latencies_beyond_twice_the_median_is_found() -> None:
    run = a_run()
    assert missed(bars.latency_rows(run)) == []
    run.lines[10] = run.lines[10] | {"latencies_ms": [70.0] * 4 + [200.0] * 5}
    assert missed(bars.latency_rows(run)) == ["p99 / p50"]
