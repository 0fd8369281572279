"""Live: the newest frame wins, commands are taken in order, one fault costs one frame."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from doubles import ColorGrounder, ColorTracker
from painted import painted

from referent import live as live_module
from referent.config import Config, OutputConfig
from referent.errors import BadInstruction, GrounderUnavailable, ReferentError, WeightsMissing
from referent.frames.transforms import TransformBuffer
from referent.grounding.workers import ReplayWorker
from referent.live import LivePipeline, Mailbox
from referent.pipeline import Pipeline
from referent.settings import override
from referent.types import FrameResult, GroundingRequest, RegroundReason, RgbdFrame, Target, TrackState

RED = {"red": (10, 10, 24, 24)}


class Heard:
    """What a live pipeline told its owner, and a way to wait for it."""

    def __init__(self) -> None:
        self.results: list[FrameResult] = []
        self.faults: list[str] = []
        self._news = threading.Condition()

    def result(self, frame: RgbdFrame, result: FrameResult) -> None:
        with self._news:
            self.results.append(result)
            self._news.notify_all()

    def fault(self, message: str) -> None:
        with self._news:
            self.faults.append(message)
            self._news.notify_all()

    def wait(self, *, results: int = 0, faults: int = 0) -> None:
        with self._news:
            done = self._news.wait_for(lambda: len(self.results) >= results and len(self.faults) >= faults, timeout=20)
        assert done, (len(self.results), self.faults)


@contextmanager
def live(tracker: ColorTracker | None = None) -> Iterator[tuple[LivePipeline, Heard]]:
    def make(transforms: TransformBuffer) -> Pipeline:
        worker = ReplayWorker(ColorGrounder(), latency_ns=0)
        return Pipeline(Config(), tracker=tracker or ColorTracker(), worker=worker, transforms=transforms)

    heard = Heard()
    running = LivePipeline(make, output=OutputConfig(), on_result=heard.result, on_fault=heard.fault)
    running.start()
    try:
        yield running, heard
    finally:
        running.stop()


def test_an_instruction_given_before_the_first_frame_is_followed() -> None:
    with live() as (running, heard):
        running.instruct("the red block")
        running.put(painted(0, RED))
        heard.wait(results=1)
        assert heard.results[0].objects[0].state is TrackState.TRACKING


def test_newest_frame_wins_and_what_it_replaced_is_counted() -> None:
    class SlowTracker(ColorTracker):
        def step(self, frame: RgbdFrame):  # type: ignore[no-untyped-def]
            time.sleep(0.2)
            return super().step(frame)

    with live(SlowTracker()) as (running, heard):
        running.put(painted(0, RED))
        time.sleep(0.05)
        for number in range(1, 6):
            running.put(painted(number, RED))
        heard.wait(results=2)
        assert [result.stamp_ns for result in heard.results] == [painted(0, {}).stamp_ns, painted(5, {}).stamp_ns]
        waited_s = [result.timings_s["wait"] for result in heard.results]
        assert waited_s[0] < waited_s[1] < 0.2  # which came while the other was worked on, for 0.2 s
        assert running.counts()["dropped"] == 4
        assert running.counts()["processed"] == 2


def test_a_fault_costs_one_frame_and_is_told() -> None:
    class FragileTracker(ColorTracker):
        def step(self, frame: RgbdFrame):  # type: ignore[no-untyped-def]
            if frame.stamp_ns == painted(1, {}).stamp_ns:
                raise ZeroDivisionError("boom")
            return super().step(frame)

    with live(FragileTracker()) as (running, heard):
        for number, (results, faults) in enumerate([(1, 0), (1, 1), (2, 1)]):
            running.put(painted(number, RED))
            heard.wait(results=results, faults=faults)
        assert heard.faults == ["internal fault: ZeroDivisionError: boom"]
        assert running.counts()["faults"] == 1


def test_an_empty_instruction_is_told_and_the_frame_is_still_processed() -> None:
    with live() as (running, heard):
        running.instruct("   ")
        running.put(painted(0, RED))
        heard.wait(results=1, faults=1)
        assert "is empty" in heard.faults[0]


def test_errors_of_building_reach_the_caller() -> None:
    def make(transforms: TransformBuffer) -> Pipeline:
        raise WeightsMissing("no weights")

    running = LivePipeline(make, output=OutputConfig(), on_result=lambda f, r: None, on_fault=lambda m: None)
    with pytest.raises(WeightsMissing):
        running.start()
    running.stop()


def test_models_are_left_out_of_the_search_for_garbage_until_they_are_stopped() -> None:
    with live() as (running, _):
        assert gc.get_freeze_count() > 1000
        running.stop()
        assert gc.get_freeze_count() == 0


def test_memory_that_lies_free_between_what_is_used_goes_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("referent.live.TIDY_PERIOD_S", 0.0)
    with live() as (running, heard):
        pieces = [bytearray(100_000) for _ in range(1000)]  # too small to be given back one by one
        used_mb = resident_mb()
        del pieces[:-1]
        running.put(painted(0, RED))
        heard.wait(results=1)
        running.ask(lambda pipeline: None).result(timeout=20)  # after the frame
        assert resident_mb() < used_mb - 50


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def test_stopping_twice_and_putting_after_is_harmless() -> None:
    with live() as (running, _):
        running.stop()
        running.put(painted(0, RED))
        running.stop()


def test_a_closed_mailbox_gives_nothing() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)
    mailbox.put(2)
    assert mailbox.dropped == 1
    assert mailbox.take() == 2
    mailbox.close()
    mailbox.put(3)
    assert mailbox.take() is None


def test_a_command_is_carried_out_and_answered_while_no_frame_comes() -> None:
    with live() as (running, _):
        assert running.ask(lambda pipeline: pipeline.follow("the red block")).result(20) == ("1",)
        with pytest.raises(BadInstruction, match="no object '7' is followed, but 1"):
            running.ask(lambda pipeline: pipeline.correct("7", text="the blue one")).result(20)


def test_a_command_that_fails_costs_itself_only() -> None:
    with live() as (running, heard):
        answer = running.ask(lambda pipeline: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            answer.result(20)
        running.put(painted(0, RED))
        heard.wait(results=1)
        assert heard.faults == []


def test_commands_are_refused_once_it_is_stopped_and_when_too_many_wait() -> None:
    with live() as (running, _):
        begun, go_on = threading.Event(), threading.Event()
        running.ask(lambda pipeline: (begun.set(), go_on.wait(20)))
        assert begun.wait(20)
        waiting = [running.ask(lambda pipeline: pipeline.reset()) for _ in range(65)]
        with pytest.raises(ReferentError, match="64 commands wait already"):
            waiting[-1].result(20)
        go_on.set()
        assert waiting[0].result(20) is None
        running.stop()
        with pytest.raises(ReferentError, match="stopped"):
            running.ask(lambda pipeline: pipeline.reset()).result(20)


def test_a_command_that_comes_while_it_stops_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with live() as (running, _):
        running.stop()
        looks = iter([False])  # it was not closed yet when the command came
        monkeypatch.setattr(Mailbox, "closed", property(lambda mailbox: next(looks, True)))
        with pytest.raises(ReferentError, match="stopped"):
            running.ask(lambda pipeline: pipeline.reset()).result(5)


def test_a_question_from_beside_to_a_pipeline_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "ASIDE_TIMEOUT_S", 0.1)
    go_on = threading.Event()
    with live() as (running, _):
        running.ask(lambda pipeline: go_on.wait(20))
        request = GroundingRequest((Target("", "the red block"),), painted(0, RED), RegroundReason.NEW)
        with pytest.raises(GrounderUnavailable, match=r"0\.1 s"):
            running.ground(request)
        go_on.set()


def test_a_pipeline_that_does_not_end_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_module, "STOP_TIMEOUT_S", 0.1)
    go_on = threading.Event()
    with live() as (running, _):
        begun = threading.Event()
        running.ask(lambda pipeline: (begun.set(), go_on.wait(20)))
        assert begun.wait(20)
        running.stop()
        go_on.set()
    assert "still at work after 0.1 s" in caplog.text


def test_it_is_broken_after_ten_internal_faults_in_a_row_and_not_before() -> None:
    class FragileTracker(ColorTracker):
        def step(self, frame: RgbdFrame):  # type: ignore[no-untyped-def]
            if frame.stamp_ns != painted(5, {}).stamp_ns:
                raise RuntimeError("out of memory")
            return super().step(frame)

    with live(FragileTracker()) as (running, heard):
        for number in range(15):
            running.put(painted(number, RED))
            heard.wait(results=number >= 5, faults=number + (number < 5))
        assert running.broken is None
        running.put(painted(15, RED))
        heard.wait(results=1, faults=15)
        assert running.broken is not None
        assert "out of memory" in running.broken


def test_changed_thresholds_hold_from_the_next_frame_on() -> None:
    with live() as (running, heard):
        running.instruct("the red block")
        running.put(painted(0, RED))
        heard.wait(results=1)
        running.reconfigure(override(Config(), {"grounding.lost_after_frames": 1}))
        running.put(painted(1, {}))
        heard.wait(results=2)
        assert heard.results[1].objects[0].state is TrackState.LOST
