"""A grounder in a process of its own: it may hang, die, refuse or be killed, and only its answers are missing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from awaiting import wait_for, wait_until, wait_until_free
from doubles import FaultyGrounder, PatientGrounder, SlowGrounder
from questions import a_request

from referent.errors import ConfigError, GrounderUnavailable
from referent.grounding import process_worker, shared_pictures
from referent.grounding.process_worker import ProcessWorker
from referent.grounding.shared_pictures import PictureBoard, picture_from
from referent.grounding.workers import Check
from referent.ports import Grounder, GroundingFailure
from referent.types import Array, Grounding

SHARED = Path("/dev/shm")


def noise(width: int, height: int) -> Array:
    return np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8)


def memory_of(worker: ProcessWorker) -> Path:
    memory = worker._board._memory
    assert memory is not None
    return SHARED / memory.name.lstrip("/")


def failure_of(worker: ProcessWorker, expression: str) -> str:
    worker.submit(a_request(expression))
    answer = wait_for(worker)
    assert isinstance(answer, GroundingFailure)
    assert answer.request.expression == expression
    return answer.message


def what_it_may_use() -> Grounder:
    raise ConfigError(f"cores {len(os.sched_getaffinity(0))}, threads {os.environ['OMP_NUM_THREADS']}, {os.nice(0)}")


def refused(grounder: Grounder) -> str:
    raise ConfigError("boxes are written upside down")


def unreachable(grounder: Grounder) -> str:
    raise GrounderUnavailable("nobody there")


def all_well(grounder: Grounder) -> str:
    return "boxes are where they should be"


def test_pictures_of_any_size_arrive_bit_for_bit_and_leave_nothing_behind() -> None:
    used = set()
    with closing(ProcessWorker(PatientGrounder, timeout_s=20)) as worker:
        for width, height in ((64, 48), (1280, 720), (320, 240)):
            request = a_request(rgb=noise(width, height))
            worker.submit(request)
            answer = wait_for(worker)
            assert isinstance(answer, Grounding)
            assert answer.request is request
            assert str(answer.nothing_reason).split()[0] == hashlib.sha256(request.frame.rgb.tobytes()).hexdigest()
            used.add(memory_of(worker))
        assert [path.exists() for path in used].count(True) == 1, "one picture's worth of memory, not one each"
    assert len(used) == 2, "the smaller picture used the larger one's memory"
    assert not any(path.exists() for path in used)


def test_without_shared_memory_pictures_go_through_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_pictures, "SPARE", 10**12)
    with closing(ProcessWorker(PatientGrounder, timeout_s=20)) as worker:
        request = a_request(rgb=noise(1280, 720))
        worker.submit(request)
        answer = wait_for(worker)
        assert isinstance(answer, Grounding)
        assert hashlib.sha256(request.frame.rgb.tobytes()).hexdigest() in str(answer.nothing_reason)


def test_memory_of_a_process_that_died_is_used_by_the_next_and_freed_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_worker, "RESTART_PAUSE_S", 0.05)
    used = set()
    with closing(ProcessWorker(FaultyGrounder, timeout_s=20)) as worker:
        for _ in range(2):
            assert failure_of(worker, "die") == "the grounder process ended with exit code 7"
            used.add(memory_of(worker))
            wait_until_free(worker)
    assert len(used) == 1
    assert not used.pop().exists()


def test_memory_and_process_are_gone_when_the_owner_is_killed() -> None:
    story = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from doubles import PatientGrounder\n"
        "from test_process_worker import ProcessWorker, a_request, wait_for\n"
        "if __name__ == '__main__':\n"
        "    worker = ProcessWorker(PatientGrounder, timeout_s=20)\n"
        "    worker.submit(a_request()); answer = wait_for(worker)\n"
        "    print(worker._board._memory.name, answer.nothing_reason.split()[1], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run(
        [sys.executable, "-c", story, str(folder.parent)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode == -signal.SIGKILL, told.stderr
    name, pid = told.stdout.split()
    end = time.monotonic() + 30
    while time.monotonic() < end and ((SHARED / name).exists() or Path(f"/proc/{pid}").exists()):
        time.sleep(0.05)
    assert not (SHARED / name).exists()
    assert not Path(f"/proc/{pid}").exists()


def test_a_board_that_is_too_small_is_replaced() -> None:
    board = PictureBoard()
    small, large = np.full((2, 3, 3), 7, np.uint8), np.full((2000, 3000, 3), 9, np.uint8)
    first = board.show(small)
    assert first is not None
    np.testing.assert_array_equal(picture_from(first), small)
    second = board.show(large)
    assert second is not None
    np.testing.assert_array_equal(picture_from(second), large)
    assert board.show(small).name == second.name  # type: ignore[union-attr]
    with pytest.raises(FileNotFoundError):
        picture_from(first)
    board.close()
    with pytest.raises(FileNotFoundError):
        picture_from(second)


def test_a_cancelled_question_reaches_the_process_which_is_free_at_once() -> None:
    with closing(ProcessWorker(partial(PatientGrounder, limit_s=30.0), timeout_s=60)) as worker:
        worker.submit(a_request("warm up"))
        wait_until(worker, lambda: worker.health.state == "answering")
        time.sleep(0.2)
        started = time.monotonic()
        worker.cancel()
        wait_until_free(worker)
        assert time.monotonic() - started < 10, "it would have worked for 30 s"
        assert worker.health.restarts == 0


def test_a_question_cancelled_while_the_model_loads_was_never_asked() -> None:
    with closing(ProcessWorker(PatientGrounder, timeout_s=20)) as worker:
        worker.submit(a_request("first"))
        worker.cancel()
        assert not worker.busy
        worker.submit(a_request("second"))
        answer = wait_for(worker)
        assert isinstance(answer, Grounding)
        assert answer.raw == "second"


def test_a_late_answer_is_given_up_and_a_grounder_that_can_be_told_keeps_its_process() -> None:
    with closing(ProcessWorker(partial(PatientGrounder, limit_s=30.0), timeout_s=0.3)) as worker:
        assert failure_of(worker, "late") == "no answer within 0.3 s"
        wait_until_free(worker)
        assert worker.health.state == "ready"
        assert worker.health.restarts == 0


def test_a_hanging_grounder_costs_its_process_and_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_worker, "COME_BACK_S", 0.3)
    monkeypatch.setattr(process_worker, "RESTART_PAUSE_S", 0.1)
    with closing(ProcessWorker(partial(SlowGrounder, delay_s=60), timeout_s=0.3)) as worker:
        assert failure_of(worker, "hang") == "no answer within 0.3 s"
        wait_until_free(worker)
        wait_until(worker, lambda: worker.health.state == "ready")
        assert worker.health.restarts == 1, "nobody had to ask for that"


def test_a_fault_in_the_grounders_code_ends_its_process_and_one_of_its_reply_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_worker, "RESTART_PAUSE_S", 0.1)
    with closing(ProcessWorker(FaultyGrounder, timeout_s=20)) as worker:
        assert failure_of(worker, "garbage") == "no box in the reply '%$#@'"
        assert worker.health.restarts == 0
        assert failure_of(worker, "raise") == "the grounder process ended with exit code 1"
        assert worker.health.state == "restarting"
        wait_until_free(worker)
        worker.submit(a_request("all is well?"))
        assert isinstance(wait_for(worker), Grounding)
        assert (worker.health.state, worker.health.restarts) == ("ready", 1)


def test_a_process_that_keeps_dying_is_started_ever_more_rarely_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_worker, "RESTART_PAUSE_S", 0.2)
    with closing(ProcessWorker(FaultyGrounder, timeout_s=20)) as worker:
        for pause_s in (0.2, 0.4, 0.8):
            worker.submit(a_request("die"))
            before_s, answer = time.monotonic(), worker.poll(0)
            while answer is None:
                time.sleep(0.01)
                before_s, answer = time.monotonic(), worker.poll(0)
            earliest_s, latest_s = worker._not_before_s - time.monotonic(), worker._not_before_s - before_s
            assert earliest_s - 1e-6 <= pause_s <= latest_s + 1e-6
            assert worker.health.state == "restarting"
            assert "exit code 7" in worker.health.note
            wait_until_free(worker)


def test_a_process_killed_between_questions_is_back_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_worker, "RESTART_PAUSE_S", 0.1)
    with closing(ProcessWorker(PatientGrounder, timeout_s=20)) as worker:
        worker.submit(a_request())
        before = wait_for(worker)
        assert isinstance(before, Grounding)
        os.kill(int(str(before.nothing_reason).split()[1]), signal.SIGKILL)
        wait_until(worker, lambda: worker.health.restarts > 0)
        worker.submit(a_request())
        assert isinstance(wait_for(worker), Grounding)


def test_the_process_keeps_to_its_cores_and_yields() -> None:
    with closing(ProcessWorker(what_it_may_use, timeout_s=20, threads=1)) as worker:
        nice = os.nice(0) + process_worker.NICENESS
        assert failure_of(worker, "x") == f"cores 1, threads 1, {min(nice, 19)}"
        assert worker.health.state == "refused", "a wrong setting is as wrong the next time"
        assert failure_of(worker, "y").startswith("cores 1")
        assert worker.health.restarts == 0


@pytest.mark.parametrize(
    ("check", "state", "note"),
    [
        (all_well, "ready", "boxes are where they should be"),
        (unreachable, "ready", "not checked: nobody there"),
        (refused, "refused", "boxes are written upside down"),
    ],
)
def test_what_a_look_at_the_new_grounder_finds_is_told(check: Check, state: str, note: str) -> None:
    with closing(ProcessWorker(PatientGrounder, timeout_s=20, check=check)) as worker:
        worker.submit(a_request())
        answer = wait_for(worker)
        assert isinstance(answer, GroundingFailure) == (state == "refused")
        assert (worker.health.state, worker.health.note) == (state, note)


def test_closing_does_not_wait_for_a_grounder_that_works() -> None:
    worker = ProcessWorker(partial(PatientGrounder, limit_s=60.0), timeout_s=60)
    worker.submit(a_request())
    wait_until(worker, lambda: worker.health.state == "answering")
    started = time.monotonic()
    worker.close()
    assert time.monotonic() - started < 5
    assert worker.poll(0) is None
