"""What the bench of tracker and grounder counts: steps wholly beside an answer, or wholly without one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from doubles import ColorTracker

from referent.errors import ConfigError, GrounderUnavailable, ReferentError
from referent.ports import GroundingFailure
from referent.types import Grounding, GroundingRequest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SMALL = {"width": 64, "on_gpu": False}


class PollingWorker:
    """Answers at every n-th look."""

    def __init__(self, looks: int, *, fails: bool = False) -> None:
        self.asked: list[GroundingRequest] = []
        self.busy = False
        self._looks, self._left, self._fails = looks, 0, fails

    def submit(self, request: GroundingRequest) -> None:
        assert not self.busy
        self.asked.append(request)
        self.busy, self._left = True, self._looks

    def poll(self, now_ns: int) -> Grounding | GroundingFailure | None:
        self._left -= 1
        if not self.busy or self._left > 0:
            return None
        self.busy = False
        if self._fails:
            return GroundingFailure(self.asked[-1], "it fell over")
        return Grounding(self.asked[-1], (), nothing_reason="none", latency_s=0.5)

    def cancel(self) -> None:
        self.busy = False

    def close(self) -> None:
        self.cancel()


@pytest.fixture(scope="module")
def bench() -> Any:
    sys.path.append(str(BENCHMARKS))
    return importlib.import_module("grounder_beside_tracker")


def test_a_step_in_which_an_answer_came_belongs_to_neither_kind(bench: Any) -> None:
    worker = PollingWorker(looks=3)
    laps = bench.race(ColorTracker(), worker, segments=4, frames=6, **SMALL)
    # Of 3 + 6 steps beside it every third brings an answer, and the first three settle.
    assert {kind: len(seconds) for kind, seconds in laps.steps_s.items()} == {"idle": 12, "beside": 8}
    assert laps.answers_s == [0.5] * 6
    assert len(worker.asked) == 7  # the first one was for loading


def test_nothing_is_asked_while_idle_and_stamps_go_on(bench: Any) -> None:
    worker = PollingWorker(looks=2)
    bench.race(ColorTracker(), worker, segments=2, frames=4, **SMALL)
    numbers = [request.frame.stamp_ns * bench.FPS // 10**9 for request in worker.asked]
    idle_ends = 1 + bench.WARM_UP + bench.SETTLE + 4
    assert numbers[0] == 0
    assert numbers[1:] == list(range(idle_ends, idle_ends + bench.SETTLE + 4, 2))


def test_answers_shorter_than_a_step_give_no_numbers(bench: Any) -> None:
    laps = bench.race(ColorTracker(), PollingWorker(looks=1), segments=2, frames=4, **SMALL)
    with pytest.raises(ReferentError, match="no step lay within the time of an answer"):
        bench.summary(laps)


def test_a_grounder_that_fails_ends_the_bench(bench: Any) -> None:
    with pytest.raises(GrounderUnavailable, match="it fell over"):
        bench.race(ColorTracker(), PollingWorker(looks=1, fails=True), segments=2, frames=4, **SMALL)


def test_the_table_holds_both_kinds_and_their_ratio(bench: Any) -> None:
    laps = bench.Laps({"idle": [0.010] * 9, "beside": [0.012] * 9}, [1.5])
    found = bench.summary(laps)
    assert found["beside_to_idle"] == pytest.approx({"median": 1.2, "p99": 1.2})
    conditions = {"tracker": "t", "tracker_threads": 1, "grounder": "g", "grounder_cores": 1}
    lines = bench.table({**found, **conditions, "machine": "m", "cores": 2, "load_before": 0.1}).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["resting", "10.0", "10.0", "9"],
        ["generating", "12.0", "12.0", "9"],
        ["ratio", "1.20", "1.20"],
    ]


def test_a_server_is_refused_since_nothing_generates_here(bench: Any, tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("grounder: {backend: openai_server, url: http://localhost:8000/v1}\n")
    with pytest.raises(ConfigError, match="'openai_server' asks a server"):
        bench.configured(bench.parsed(["--config", str(config)]))
