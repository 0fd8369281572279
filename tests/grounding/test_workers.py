"""Workers: replay delays answers exactly, threads and processes outlive their grounder's faults, nothing blocks."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from functools import partial

import numpy as np
import pytest
from awaiting import wait_for, wait_until, wait_until_free
from doubles import ColorGrounder, FaultyGrounder, PatientGrounder, SlowGrounder
from questions import RED_BOX, a_request

from referent.errors import ConfigError, GrounderUnavailable, WeightsMissing
from referent.grounding.process_worker import ProcessWorker
from referent.grounding.workers import NoWorker, ReplayWorker, ThreadWorker
from referent.ports import Grounder, GroundingFailure
from referent.types import GrounderHealth, Grounding


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
    assert tuple(answer.items[0].box_xyxy) == RED_BOX  # type: ignore[arg-type]
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
    with closing(ThreadWorker(make) if kind == "thread" else ProcessWorker(make, timeout_s=20)) as worker:
        worker.submit(a_request())
        assert worker.poll(0) is None  # had it waited, this would be the answer
        answer = wait_for(worker)
        assert isinstance(answer, Grounding)
        assert answer.nothing_reason == "slow"
        assert answer.request.frame.depth_m is not None  # the question itself comes back, not a copy
        assert answer.latency_s >= 0.3
        assert not worker.busy


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_the_answer_to_a_cancelled_question_is_thrown_away(kind: str) -> None:
    make = partial(SlowGrounder, delay_s=0.2)
    with closing(ThreadWorker(make) if kind == "thread" else ProcessWorker(make, timeout_s=20)) as worker:
        worker.submit(a_request())
        worker.cancel()
        wait_until_free(worker)
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)


def test_a_killed_grounder_process_is_reported_and_started_again() -> None:
    with closing(ProcessWorker(partial(SlowGrounder, delay_s=0.0), timeout_s=20)) as worker:
        worker.submit(a_request())
        wait_for(worker)
        os.kill(worker._link.process.pid, signal.SIGKILL)  # type: ignore[union-attr,arg-type]
        worker._link.process.join()  # type: ignore[union-attr]
        worker.submit(a_request())
        failure = wait_for(worker)
        assert isinstance(failure, GroundingFailure)
        assert "grounder process" in failure.message
        wait_until_free(worker)  # the pause before it is started again
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)


def test_asking_a_grounder_that_still_loads_never_holds_up_the_frame() -> None:
    with closing(ProcessWorker(slow_to_load, timeout_s=20)) as worker:
        started = time.monotonic()
        worker.submit(a_request(rgb=np.zeros((480, 640, 3), np.uint8)))  # larger than any pipe's buffer
        assert worker.poll(0) is None
        assert time.monotonic() - started < 1.5
        assert isinstance(wait_for(worker), Grounding)


def test_a_grounder_that_cannot_start_says_why() -> None:
    with closing(ProcessWorker(broken_grounder, timeout_s=20)) as worker:
        worker.submit(a_request())
        failure = wait_for(worker)
        assert isinstance(failure, GroundingFailure)
        assert failure.message == "model.safetensors is not there"


def test_a_hanging_thread_is_given_up_once_and_takes_no_question_until_it_is_back() -> None:
    with closing(ThreadWorker(partial(SlowGrounder, delay_s=1.6), timeout_s=0.2)) as worker:
        worker.submit(a_request())
        failure = wait_for(worker)
        assert isinstance(failure, GroundingFailure)
        assert failure.message == "no answer within 1.2 s"
        assert worker.busy
        wait_until_free(worker)
        assert worker.health.state == "ready"


def test_a_cancelled_question_reaches_the_thread_which_is_free_at_once() -> None:
    with closing(ThreadWorker(partial(PatientGrounder, limit_s=30.0))) as worker:
        worker.submit(a_request())
        time.sleep(0.2)
        started = time.monotonic()
        worker.cancel()
        wait_until_free(worker)
        assert time.monotonic() - started < 5


def test_a_thread_outlives_whatever_its_grounder_raises() -> None:
    with closing(ThreadWorker(FaultyGrounder)) as worker:
        for expression, told in (("raise", "ValueError: never thought of this"), ("garbage", "no box in the reply")):
            worker.submit(a_request(expression))
            failure = wait_for(worker)
            assert isinstance(failure, GroundingFailure)
            assert told in failure.message
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)


def test_a_grounder_that_cannot_be_made_on_a_thread_is_tried_again_with_every_question() -> None:
    tries = []

    def make() -> Grounder:
        tries.append(1)
        if len(tries) < 3:
            raise WeightsMissing("model.safetensors is not there")
        return SlowGrounder(delay_s=0.0)

    with closing(ThreadWorker(make)) as worker:
        worker.submit(a_request())
        failure = wait_for(worker)
        assert isinstance(failure, GroundingFailure)
        assert failure.message == "model.safetensors is not there"
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)


def test_a_thread_looks_at_its_new_grounder_before_anything_is_asked_and_tells_what_it_found() -> None:
    found = "boxes are where they should be"
    with closing(ThreadWorker(partial(SlowGrounder, delay_s=0.0), check=lambda grounder: found)) as worker:
        wait_until(worker, lambda: worker.health.state == "ready")
        assert worker.health == GrounderHealth("ready", found)


def test_a_refused_grounder_answers_nothing_but_why() -> None:
    looks = []

    def refuse(grounder: Grounder) -> str:
        looks.append(grounder)
        raise ConfigError("boxes are written upside down")

    with closing(ThreadWorker(partial(SlowGrounder, delay_s=0.0), check=refuse)) as worker:
        for _ in range(2):
            worker.submit(a_request())
            failure = wait_for(worker)
            assert isinstance(failure, GroundingFailure)
            assert failure.message == "boxes are written upside down"
        assert worker.health == GrounderHealth("refused", "boxes are written upside down")
        assert len(looks) == 1


def test_a_grounder_that_cannot_be_reached_is_looked_at_again_a_few_times() -> None:
    looks = []

    def look(grounder: Grounder) -> str:
        looks.append(grounder)
        if len(looks) < 2:
            raise GrounderUnavailable("connection refused")
        return "all is well"

    with closing(ThreadWorker(partial(SlowGrounder, delay_s=0.0), check=look)) as worker:
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)
        assert worker.health.note == "all is well"
        worker.submit(a_request())
        wait_for(worker)
        assert len(looks) == 2


def test_closing_a_thread_that_waits_does_not_wait_with_it() -> None:
    worker = ThreadWorker(partial(PatientGrounder, limit_s=60.0), check=lambda grounder: "")
    worker.submit(a_request())
    started = time.monotonic()
    worker.close()
    assert time.monotonic() - started < 10
    worker._thread.join(timeout=10)
    assert not worker._thread.is_alive()
