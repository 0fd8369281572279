"""Workers: replay delays answers exactly, processes survive their grounder's death, nothing ever blocks."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import numpy as np
import pytest
from doubles import ColorGrounder, SlowGrounder
from painted import painted

from referent.errors import WeightsMissing
from referent.grounding.workers import NoWorker, ProcessWorker, ReplayWorker, ThreadWorker
from referent.types import (
    Grounder,
    Grounding,
    GroundingFailure,
    GroundingRequest,
    Intrinsics,
    RegroundReason,
    RgbdFrame,
    Target,
    Worker,
)

RED = (10, 10, 20, 20)


def a_request(expression: str = "the red block") -> GroundingRequest:
    return GroundingRequest((Target("1", expression),), painted(0, {"red": RED}), RegroundReason.NEW)


def wait_for(worker: Worker, *, limit_s: float = 60.0) -> Grounding | GroundingFailure:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if (answer := worker.poll(0)) is not None:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"no answer within {limit_s} s")


def a_large_request() -> GroundingRequest:
    """A picture larger than any pipe's buffer."""
    camera = Intrinsics(640, 480, 600.0, 600.0, 320.0, 240.0)
    frame = RgbdFrame(1, "camera", np.zeros((480, 640, 3), np.uint8), None, camera)
    return GroundingRequest((Target("1", "the red block"),), frame, RegroundReason.NEW)


def slow_to_load() -> Grounder:
    time.sleep(2.0)
    return SlowGrounder(delay_s=0.0)


def broken_grounder() -> Grounder:
    raise WeightsMissing("model.safetensors is not there")


def test_replay_hands_the_answer_over_exactly_when_it_is_due() -> None:
    worker = ReplayWorker(ColorGrounder(), latency_ns=500)
    request = a_request()
    worker.submit(request)
    start = request.frame.stamp_ns
    assert worker.busy
    assert worker.poll(start + 499) is None
    answer = worker.poll(start + 500)
    assert isinstance(answer, Grounding)
    assert answer.latency_s == 500 / 1e9
    assert tuple(answer.items[0].box_xyxy) == RED  # type: ignore[arg-type]
    assert not worker.busy
    assert worker.poll(start + 501) is None


def test_an_unreadable_reply_is_a_failure_and_not_a_nothing() -> None:
    worker = ReplayWorker(ColorGrounder(), latency_ns=0)
    worker.submit(a_request("something else"))
    assert isinstance(worker.poll(10**18), GroundingFailure)


def test_no_worker_never_takes_a_question() -> None:
    worker = NoWorker()
    assert worker.busy
    assert worker.poll(0) is None


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_an_answer_comes_from_elsewhere_while_polling_never_blocks(kind: str) -> None:
    make = partial(SlowGrounder, delay_s=0.3)
    worker: Worker = ThreadWorker(make) if kind == "thread" else ProcessWorker(make, timeout_s=20)
    try:
        worker.submit(a_request())
        started = time.monotonic()
        assert worker.poll(0) is None
        assert time.monotonic() - started < 0.2
        answer = wait_for(worker)
        assert isinstance(answer, Grounding)
        assert answer.nothing_reason == "slow"
        assert answer.request.frame.depth_m is not None  # the question itself comes back, not a copy
        assert answer.latency_s >= 0.3
        assert not worker.busy
    finally:
        worker.close()


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_the_answer_to_a_cancelled_question_is_thrown_away(kind: str) -> None:
    make = partial(SlowGrounder, delay_s=0.2)
    worker: Worker = ThreadWorker(make) if kind == "thread" else ProcessWorker(make, timeout_s=20)
    try:
        worker.submit(a_request())
        worker.cancel()
        end = time.monotonic() + 60
        while worker.busy and time.monotonic() < end:
            assert worker.poll(0) is None
            time.sleep(0.01)
        assert not worker.busy
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)
    finally:
        worker.close()


def test_a_killed_grounder_process_is_reported_and_started_again() -> None:
    worker = ProcessWorker(partial(SlowGrounder, delay_s=0.0), timeout_s=20)
    try:
        worker.submit(a_request())
        wait_for(worker)
        os.kill(worker._link.process.pid, signal.SIGKILL)  # type: ignore[union-attr,arg-type]
        worker._link.process.join()  # type: ignore[union-attr]
        worker.submit(a_request())
        failure = wait_for(worker)
        assert isinstance(failure, GroundingFailure)
        assert "grounder process" in failure.message
        while worker.busy:  # the pause before it is started again
            time.sleep(0.02)
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)
    finally:
        worker.close()


def test_asking_a_grounder_that_still_loads_never_holds_up_the_frame() -> None:
    worker = ProcessWorker(slow_to_load, timeout_s=20)
    try:
        started = time.monotonic()
        worker.submit(a_large_request())
        assert worker.poll(0) is None
        assert time.monotonic() - started < 0.3
        assert isinstance(wait_for(worker), Grounding)
    finally:
        worker.close()


def test_a_grounder_that_takes_too_long_is_given_up() -> None:
    worker = ProcessWorker(partial(SlowGrounder, delay_s=30), timeout_s=0.3)
    try:
        worker.submit(a_request())
        failure = wait_for(worker)
        assert isinstance(failure, GroundingFailure)
        assert "no answer within 0.3 s" in failure.message
    finally:
        worker.close()


def test_a_grounder_that_cannot_start_says_why() -> None:
    worker = ProcessWorker(broken_grounder, timeout_s=20)
    try:
        worker.submit(a_request())
        failure = wait_for(worker)
        assert isinstance(failure, GroundingFailure)
        assert failure.message == "model.safetensors is not there"
    finally:
        worker.close()
