"""Several grounders in order: a remote one that is down, late or talks nonsense costs time and no answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import failed, found
from doubles import ColorGrounder, FaultyGrounder, PatientGrounder, ScriptedWorker
from questions import RED_BOX, a_request

from referent.config import GrounderConfig
from referent.errors import BadMessage, ConfigError, GrounderUnavailable, WeightsMissing
from referent.grounding import fallback
from referent.grounding.fallback import FallbackGrounder, FallbackWorker, in_order, name_of
from referent.grounding.process_worker import ProcessWorker
from referent.grounding.recordings import RecordingWorker
from referent.grounding.worker_choice import check_from, live_worker_from, replay_worker_from
from referent.grounding.workers import NoWorker, ThreadWorker, health_of
from referent.ports import GroundingFailure, Worker
from referent.types import Grounding, GroundingRequest


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that passes when the test says so."""
    now = [1000.0]
    monkeypatch.setattr(fallback.time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


class Late(ScriptedWorker):
    """Never answers by itself; says when it was told to leave off."""

    def __init__(self) -> None:
        super().__init__([found(RED_BOX)], delay_ns=10**18)


def chain(*workers: Worker, deadline_s: float = 5.0) -> FallbackWorker:
    return FallbackWorker([(f"number {index}", worker, deadline_s) for index, worker in enumerate(workers, 1)])


def answer_to(worker: Worker, request: GroundingRequest, *, limit_s: float = 60.0) -> Grounding | GroundingFailure:
    worker.submit(request)
    end = time.perf_counter() + limit_s
    while time.perf_counter() < end:
        if (answer := worker.poll(request.frame.stamp_ns)) is not None:
            return answer
        time.sleep(0.001)
    raise AssertionError("no answer")


def test_while_the_first_answers_no_other_is_asked() -> None:
    first, second = ScriptedWorker([found(RED_BOX)]), ScriptedWorker([found(RED_BOX)])
    answer = answer_to(chain(first, second), a_request())
    assert isinstance(answer, Grounding)
    assert answer.notes == ()
    assert second.asked == []


def test_after_a_failure_the_next_is_asked_about_the_same_frame_and_the_answer_says_so() -> None:
    request = a_request()
    second = ScriptedWorker([found(RED_BOX)])
    answer = answer_to(chain(ScriptedWorker([failed]), second), request)
    assert isinstance(answer, Grounding)
    assert answer.request is request
    assert second.asked == [request]
    assert answer.notes == ("answered by number 2", "number 1: server said 500")


def test_a_late_one_is_told_to_leave_off_and_the_next_is_asked(clock: Callable[[float], None]) -> None:
    first, second = Late(), ScriptedWorker([found(RED_BOX)])
    worker = chain(first, second, deadline_s=5.0)
    worker.submit(a_request())
    clock(4.9)
    assert worker.poll(0) is None
    assert (first.cancelled, second.asked) == (0, [])
    clock(0.2)
    assert worker.poll(0) is None
    assert first.cancelled == 1
    clock(0.5)
    answer = worker.poll(a_request().frame.stamp_ns)
    assert isinstance(answer, Grounding)
    assert answer.notes[1] == "number 1: no answer within 5 s"
    assert answer.latency_s == pytest.approx(5.6)


def test_the_last_one_has_the_time_it_gives_itself(clock: Callable[[float], None]) -> None:
    worker = chain(ScriptedWorker([failed]), Late(), deadline_s=5.0)
    worker.submit(a_request())
    for _ in range(3):
        assert worker.poll(a_request().frame.stamp_ns) is None
        clock(10)
    assert worker.busy


def test_when_all_fail_every_fault_is_told() -> None:
    answer = answer_to(chain(ScriptedWorker([failed]), ScriptedWorker([failed])), a_request())
    assert isinstance(answer, GroundingFailure)
    assert answer.message == "number 1: server said 500; number 2: server said 500"


def test_one_that_failed_rests_ever_longer_and_is_tried_again(clock: Callable[[float], None]) -> None:
    first = ScriptedWorker([failed, failed, found(RED_BOX), failed])
    second = ScriptedWorker([found(RED_BOX)] * 9)
    worker = chain(first, second)
    answer_to(worker, a_request())
    answer_to(worker, a_request())
    assert len(first.asked) == 1, "it rests"
    clock(2.1)
    answer_to(worker, a_request())
    assert len(first.asked) == 2
    clock(2.1)
    answer_to(worker, a_request())
    assert len(first.asked) == 2, "it rests twice as long"
    clock(2.1)
    answer_to(worker, a_request())
    answer_to(worker, a_request())
    assert len(first.asked) == 4, "it is back, and stays"
    assert len(second.asked) == 5


def test_when_all_rest_the_first_is_asked_anyway(clock: Callable[[float], None]) -> None:
    first = ScriptedWorker([failed, found(RED_BOX)])
    worker = chain(first, ScriptedWorker([failed, found(RED_BOX)]))
    assert isinstance(answer_to(worker, a_request()), GroundingFailure)
    assert isinstance(answer_to(worker, a_request()), Grounding)
    assert len(first.asked) == 2


def test_one_that_is_busy_is_passed_over() -> None:
    second = ScriptedWorker([found(RED_BOX)])
    worker = chain(NoWorker(), second)
    assert not worker.busy
    assert isinstance(answer_to(worker, a_request()), Grounding)
    assert chain(NoWorker(), NoWorker()).busy


def test_cancelling_reaches_whoever_is_asked_and_closing_reaches_all() -> None:
    first, second = ScriptedWorker([failed]), Late()
    worker = chain(first, second)
    worker.submit(a_request())
    assert worker.poll(a_request().frame.stamp_ns) is None
    worker.cancel()
    assert second.cancelled == 1
    assert worker.poll(10**19) is None
    worker.close()
    assert first.closed
    assert second.closed


def test_health_tells_of_all_and_who_rests() -> None:
    thread = ThreadWorker(FaultyGrounder, check=lambda _: "boxes are where they should be")
    worker = chain(thread, ScriptedWorker([found(RED_BOX)]))
    try:
        answer_to(worker, a_request("garbage"))
        health = health_of(worker)
        assert health is not None
        assert health.note == "number 1: resting, ready (boxes are where they should be); number 2: there"
    finally:
        worker.close()


def test_a_late_process_is_replaced_by_a_thread_and_hung_up_on() -> None:
    slow = ProcessWorker(a_minute_of_patience, timeout_s=60)
    worker = FallbackWorker([("local", slow, 0.3), ("other", ThreadWorker(ColorGrounder), 5.0)])
    try:
        answer = answer_to(worker, a_request())
        assert isinstance(answer, Grounding)
        assert len(answer.items) == 1
        assert "local: no answer within 0.3 s" in answer.notes
        assert not worker.busy
    finally:
        worker.close()


def a_minute_of_patience() -> PatientGrounder:
    return PatientGrounder(limit_s=60.0)


def test_in_replay_the_next_is_asked_when_the_one_before_fails() -> None:
    grounder = FallbackGrounder([("first", FaultyGrounder()), ("second", ColorGrounder())])
    assert grounder.ground(a_request()).nothing_reason == "all is well"
    with pytest.raises(GrounderUnavailable, match=r"first: no box in the reply .*; second: no color in 'garbage'"):
        grounder.ground(a_request("garbage"))


# What a configuration asks for.


def test_fallbacks_are_named_in_one_line() -> None:
    config = GrounderConfig(
        backend="openai_server",
        model="big",
        url="http://there/v1",
        fallback="openai_server:qwen2.5vl:7b@http://here:11434/v1, qwen3_vl:referent-qwen3vl-tiny qwen3_vl",
        timeout_s=3.0,
    )
    first, second, third, fourth = in_order(config)
    assert (first.model, first.fallback) == ("big", "")
    assert (second.model, second.url, second.timeout_s) == ("qwen2.5vl:7b", "http://here:11434/v1", 3.0)
    assert name_of(third) == "qwen3_vl:referent-qwen3vl-tiny"
    assert fourth.model == "big"


def test_a_fallback_can_be_a_file_of_grounder_settings(tmp_path: Path) -> None:
    path = tmp_path / "local.yaml"
    path.write_text("grounder: {backend: qwen3_vl, model: referent-qwen3vl-tiny, timeout_s: 60.0}")
    _, local = in_order(GrounderConfig(backend="openai_server", url="http://x/v1", threads=2, fallback=str(path)))
    assert (local.backend, local.timeout_s, local.threads) == ("qwen3_vl", 60.0, 2)
    path.write_text("tracker: {threads: 4}")
    with pytest.raises(ConfigError, match="group 'grounder' only"):
        in_order(GrounderConfig(fallback=str(path)))
    path.write_text("grounder: {fallback: qwen3_vl}")
    with pytest.raises(ConfigError, match="neither fallback nor record"):
        in_order(GrounderConfig(fallback=str(path)))


@pytest.mark.parametrize("fallback", ["qwen3_vl@", ":model", "qwen3_vl:m@ftp://x"])
def test_a_fallback_that_is_no_name_is_refused(fallback: str) -> None:
    with pytest.raises(ConfigError, match=r"grounder\.fallback"):
        in_order(GrounderConfig(fallback=fallback))


def test_an_unknown_fallback_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"grounder\.backend: 'nobody' is unknown"):
        live_worker_from(GrounderConfig(backend="openai_server", url="http://x/v1", fallback="nobody"))


@pytest.mark.parametrize(
    ("settings", "error", "why"),
    [
        ({"model": "no-such-model"}, WeightsMissing, "unknown model 'no-such-model'"),
        ({"model": "/no/where.safetensors"}, WeightsMissing, "does not exist"),
        ({"model": "referent-sam2-small"}, ConfigError, "is a sam2 model"),
        ({"backend": "openai_server", "url": "http://x/v1", "fallback": "qwen3_vl:lost"}, WeightsMissing, "'lost'"),
        ({"backend": "openai_server"}, ConfigError, r"grounder\.url"),
        ({"backend": "openai_server", "url": "file:///etc/passwd"}, ConfigError, r"grounder\.url"),
        ({"backend": "scripted"}, ConfigError, r"grounder\.script"),
        ({"backend": "scripted", "script": "/no/file"}, BadMessage, "/no/file cannot be read"),
    ],
)
def test_a_grounder_without_what_it_needs_is_told_before_anything_starts(
    settings: dict[str, str], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        live_worker_from(GrounderConfig(**settings))


def test_servers_get_a_thread_and_several_grounders_a_fallback_and_a_recording_is_around_all(tmp_path: Path) -> None:
    server = GrounderConfig(backend="openai_server", url="http://127.0.0.1:9/v1", calibrate="off")
    workers = [
        live_worker_from(server),
        live_worker_from(GrounderConfig(**{**vars(server), "fallback": "openai_server:other"})),
        live_worker_from(GrounderConfig(**{**vars(server), "record": str(tmp_path / "answers.jsonl")})),
    ]
    try:
        assert [type(worker) for worker in workers] == [ThreadWorker, FallbackWorker, RecordingWorker]
    finally:
        for worker in workers:
            worker.close()


def test_a_server_that_is_down_does_not_keep_a_replay_from_starting_with_its_fallback(tmp_path: Path) -> None:
    recorded = tmp_path / "answers.jsonl"
    recorded.write_text('{"format": "referent grounder answers", "version": 1}\n')
    config = GrounderConfig(
        backend="openai_server", url="http://127.0.0.1:9/v1", script=str(recorded), fallback="scripted"
    )
    worker = replay_worker_from(config, latency_ns=0)
    worker.submit(a_request())
    answer = worker.poll(10**18)
    assert isinstance(answer, GroundingFailure)
    assert (
        "openai_server:referent-qwen3vl-tiny: http://127.0.0.1:9/v1/chat/completions cannot be used" in answer.message
    )
    assert "scripted:" in answer.message
    worker.close()


@pytest.mark.parametrize(
    ("backend", "mode", "refuses"),
    [
        ("openai_server", "auto", True),
        ("openai_server", "warn", False),
        ("openai_server", "off", None),
        ("qwen3_vl", "auto", None),
        ("qwen3_vl", "refuse", True),
        ("somebody_elses", "auto", False),
        ("scripted", "refuse", None),
    ],
)
def test_who_is_looked_at_by_default(backend: str, mode: str, refuses: bool | None) -> None:
    check = check_from(GrounderConfig(backend=backend, calibrate=mode))
    assert (None if check is None else check.keywords["refuse"]) == refuses  # type: ignore[attr-defined]
