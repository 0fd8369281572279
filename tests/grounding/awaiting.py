"""Waiting for a worker, polled as the pipeline polls it."""

from __future__ import annotations

import time
from collections.abc import Callable

from referent.ports import GroundingFailure, Worker
from referent.types import Grounding

LIMIT_S = 90.0  # a process must load its modules beside everything else the machine does


def wait_for(worker: Worker) -> Grounding | GroundingFailure:
    """The answer to the question in flight."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if (answer := worker.poll(0)) is not None:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"no answer within {LIMIT_S} s")


def wait_until(worker: Worker, condition: Callable[[], object]) -> None:
    """Until the condition holds; no answer may come in the meantime."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert worker.poll(0) is None
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_until_free(worker: Worker) -> None:
    """Until it takes a question again; no answer may come in the meantime."""
    wait_until(worker, lambda: not worker.busy)
