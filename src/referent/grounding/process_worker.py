"""A local model in a process of its own, so that generating never stops the tracker.

Questions go through a pipe, pictures through shared memory. The process starts at once and loads its model while frames
already flow; when it dies it is started again, after a pause that doubles. It keeps to as many cores as it has threads
and yields to everything else that runs.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from referent.errors import ConfigError, GrounderUnavailable, ReferentError
from referent.grounding.shared_pictures import PictureBoard, Slip, picture_from
from referent.grounding.workers import START_TIMEOUT_S, Answer, Check, Waiting, answer_of, leave_off
from referent.ports import Grounder, GroundingFailure
from referent.types import Array, GrounderHealth, GroundingRequest, Intrinsics, RgbdFrame

RESTART_PAUSE_S = 1.0
MAX_RESTART_PAUSE_S = 30.0
COME_BACK_S = 2.0  # for a process whose answer is not waited for any more; then it is ended
KILL_TIMEOUT_S = 1.0
ORPHAN_S = 5.0  # how long the process may outlive its owner
NICENESS = 5  # the tracker comes first where cores are few


class ProcessWorker:
    """Asks a grounder that lives in a process of its own.

    `threads`: cores the process keeps to, 0 = all. `check` looks at the grounder when it was made, in the process.
    """

    def __init__(
        self, make_grounder: Callable[[], Grounder], *, timeout_s: float, threads: int = 0, check: Check | None = None
    ) -> None:
        self._plan = _Plan(make_grounder, check, threads)
        self._timeout_s = timeout_s
        self._waiting: Waiting | None = None
        self._board = PictureBoard()
        self._failures = 0  # in a row
        self._restarts = 0
        self._not_before_s = 0.0
        self._ready = False  # the process has loaded its model and waits for questions
        self._refused = False
        self._note = self._start_note = ""
        self._link: _Link | None = _linked(self._plan)

    @property
    def busy(self) -> bool:
        """True while a question is in flight or the process may not be restarted yet."""
        return self._waiting is not None or time.monotonic() < self._not_before_s

    @property
    def health(self) -> GrounderHealth:
        """Whether the process is up, how often it had to be started again, and why."""
        if self._refused:
            return GrounderHealth("refused", self._note, self._restarts)
        if self._link is None:
            pause_s = max(0.0, self._not_before_s - time.monotonic())
            return GrounderHealth("restarting", f"in {pause_s:.0f} s: {self._note}", self._restarts)
        state = "starting" if not self._ready else "ready" if self._waiting is None else "answering"
        return GrounderHealth(state, self._note, self._restarts)

    def submit(self, request: GroundingRequest) -> None:
        """Ask. A process that still loads gets the question when it is ready."""
        self._waiting = Waiting(request, time.monotonic())
        self._start_again()
        if self._ready:
            self._send(request)

    def poll(self, now_ns: int) -> Answer | None:
        """The answer if it is in, or the failure of a process that died or took too long."""
        answer = self._received()
        waiting = self._waiting
        if waiting is None:
            self._start_again()
            return None
        if answer is None and self._link is None:
            answer = GroundingFailure(waiting.request, self._note)
        if answer is None:
            return self._given_up(waiting)
        self._waiting = None
        latency_s = time.monotonic() - waiting.asked_s
        return replace(answer, request=waiting.request, latency_s=latency_s) if waiting.wanted else None

    def cancel(self) -> None:
        """Throw the answer away, and tell the grounder that it need not come."""
        if self._waiting is None:
            return
        if not self._ready:
            self._waiting = None  # it was not even sent
            return
        self._waiting = replace(self._waiting, wanted=False)
        self._tell(_LeaveOff())

    def close(self) -> None:
        """End the process and free the shared memory."""
        self._waiting = None
        if self._link is not None:
            self._link.stop(grace_s=0.5)
            self._link = None
        self._board.close()
        self._refused, self._note = True, "closed"

    def _send(self, request: GroundingRequest) -> None:
        """The question without depth, and without the picture where shared memory can be had."""
        frame, slip = request.frame, self._board.show(request.frame.rgb)
        about = _About(frame.stamp_ns, frame.camera_frame, frame.intrinsics, slip, frame.rgb if slip is None else None)
        self._tell(_Ask(replace(request, frame=None), about))  # type: ignore[arg-type]

    def _tell(self, message: object) -> None:
        """Reading finds out what became of a process that does not listen any more."""
        if self._link is not None:
            self._link.tell(message)

    def _received(self) -> Answer | None:
        """The answer, if one came; anything else that came is dealt with here."""
        if self._link is None:
            return None
        try:
            if not self._link.connection.poll():
                return None
            message = self._link.connection.recv()
        except (EOFError, OSError):
            self._drop_process("the grounder process ended with exit code {}")
            return None
        if isinstance(message, _Ready):
            self._welcome(message)
            return None
        if isinstance(message, _StartFailed):
            self._refused = message.for_good
            self._drop_process(message.text)
            return None
        self._failures, self._note = 0, self._start_note
        answer: Answer = message
        return answer

    def _welcome(self, message: _Ready) -> None:
        """Loading the model does not count against the answer."""
        self._ready, self._note, self._start_note = True, message.note, message.note
        if self._waiting is not None:
            self._waiting = replace(self._waiting, asked_s=time.monotonic())
            self._send(self._waiting.request)

    def _given_up(self, waiting: Waiting) -> Answer | None:
        """The failure of a question that is late; a process that does not come back from it is ended."""
        limit_s = self._timeout_s if self._ready else max(self._timeout_s, START_TIMEOUT_S)
        late_s = time.monotonic() - waiting.asked_s - limit_s
        if late_s < 0:
            return None
        failure = GroundingFailure(waiting.request, f"no answer within {limit_s:g} s", latency_s=limit_s)
        if not self._ready or late_s > COME_BACK_S:
            self._drop_process(failure.message)
            self._waiting = None
        elif waiting.wanted:
            self.cancel()
        return failure if waiting.wanted else None

    def _drop_process(self, why: str) -> None:
        """Stop the process; another one starts after a pause that doubles. `{}` in `why` becomes the exit code."""
        self._ready = False
        if self._link is not None:
            self._note = why.format(self._link.stop(grace_s=0.1))
            self._link = None
        self._not_before_s = time.monotonic() + min(RESTART_PAUSE_S * 2.0**self._failures, MAX_RESTART_PAUSE_S)
        self._failures = min(self._failures + 1, 10)

    def _start_again(self) -> None:
        if self._link is None and not self._refused and time.monotonic() >= self._not_before_s:
            self._link = _linked(self._plan)
            self._restarts += 1


@dataclass(frozen=True)
class _Plan:
    """What the process is to do when it starts."""

    make_grounder: Callable[[], Grounder]
    check: Check | None
    threads: int


@dataclass(frozen=True)
class _Ready:
    """The process has loaded its model."""

    note: str


@dataclass(frozen=True)
class _StartFailed:
    text: str
    for_good: bool  # starting again would end the same way


@dataclass(frozen=True)
class _LeaveOff:
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, eq=False)
class _About:
    """The frame a question is about: its picture on the board, or itself."""

    stamp_ns: int
    camera_frame: str
    intrinsics: Intrinsics
    slip: Slip | None
    rgb: Array | None

    def frame(self) -> RgbdFrame:
        """The frame. Raises OSError when its picture is gone."""
        rgb = picture_from(self.slip) if self.slip is not None else self.rgb
        if rgb is None:
            raise OSError("a question came without its picture")
        return RgbdFrame(self.stamp_ns, self.camera_frame, rgb, None, self.intrinsics)


@dataclass(frozen=True, eq=False)
class _Ask:
    request: GroundingRequest  # without its frame
    about: _About


@dataclass(frozen=True)
class _Link:
    """A grounder process and our end of its pipe."""

    process: BaseProcess
    connection: Connection

    def tell(self, message: object) -> None:
        """Send; a process that has died is found out when its answer is read."""
        try:
            self.connection.send(message)
        except OSError:
            return

    def stop(self, *, grace_s: float) -> int | None:
        """End the process, by force after `grace_s`; returns its exit code if it was known by then."""
        self.connection.close()
        self.process.join(timeout=grace_s)
        exit_code = self.process.exitcode
        if exit_code is None:
            self.process.kill()
            self.process.join(timeout=KILL_TIMEOUT_S)
        return exit_code


def _linked(plan: _Plan) -> _Link:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(plan, theirs), name="grounder", daemon=True)
    process.start()
    theirs.close()
    return _Link(process, ours)


def _serve(plan: _Plan, connection: Connection) -> None:
    """The grounder process: answers questions until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to handle: it closes the pipe
    _keep_to(plan.threads)
    try:
        try:
            grounder = plan.make_grounder()
            note = _checked(grounder, plan.check)
        except ReferentError as error:
            connection.send(_StartFailed(str(error), for_good=isinstance(error, ConfigError)))
            return
        connection.send(_Ready(note))
        inbox: queue.SimpleQueue[_Ask | None] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(connection, inbox, grounder), daemon=True).start()
        while (ask := inbox.get()) is not None:
            answer = answer_of(grounder, replace(ask.request, frame=ask.about.frame()))
            connection.send(replace(answer, request=None))  # type: ignore[arg-type]  # the asking side has it
        grounder.close()
    except OSError:  # the owner is gone
        return


def _checked(grounder: Grounder, check: Check | None) -> str:
    try:
        return "" if check is None else check(grounder)
    except GrounderUnavailable as error:
        return f"not checked: {error}"


def _listen(connection: Connection, inbox: queue.SimpleQueue[_Ask | None], grounder: Grounder) -> None:
    """Pass questions on while the grounder works, so that it can be told to leave off; end with the owner."""
    try:
        while True:
            message = connection.recv()
            if isinstance(message, _LeaveOff):
                leave_off(grounder)
            else:
                inbox.put(message)
    except (EOFError, OSError):
        inbox.put(None)
        leave_off(grounder)
        time.sleep(ORPHAN_S)
        os._exit(1)


def _keep_to(cores: int) -> None:
    """Keep this process to so many cores, the last ones, and behind other work; 0 = all cores."""
    os.nice(NICENESS)
    if not cores:
        return
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(cores)
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
