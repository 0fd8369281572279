"""Where questions run: in replay with a simulated delay, on a thread (servers), in a process (models), nowhere."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from referent.errors import GrounderUnavailable, ReferentError
from referent.types import Grounder, Grounding, GroundingFailure, GroundingRequest

Answer = Grounding | GroundingFailure
START_TIMEOUT_S = 120.0
RESTART_PAUSE_S = 1.0
MAX_RESTART_PAUSE_S = 30.0
KILL_TIMEOUT_S = 1.0


def answer_of(grounder: Grounder, request: GroundingRequest) -> Answer:
    """The grounder's answer, with the faults it may have as a GroundingFailure, and the time it took."""
    started = time.perf_counter()
    try:
        answer: Answer = grounder.ground(request)
    except ReferentError as error:
        answer = GroundingFailure(request, str(error))
    return replace(answer, latency_s=time.perf_counter() - started)


class NoWorker:
    """No grounder at all: always busy, so nothing is ever asked."""

    @property
    def busy(self) -> bool:
        """Always true."""
        return True

    def submit(self, request: GroundingRequest) -> None:
        """Never called, since the worker is always busy; raises GrounderUnavailable."""
        raise GrounderUnavailable(f"there is no grounder to ask about {request.expression!r}")

    def poll(self, now_ns: int) -> Answer | None:
        """Nothing, ever."""
        return None

    def cancel(self) -> None:
        """Nothing is in flight."""

    def close(self) -> None:
        """Nothing to free."""


class ReplayWorker:
    """Answers at once, hands the answer over `latency_ns` of frame time later: replays repeat exactly."""

    def __init__(self, grounder: Grounder, *, latency_ns: int) -> None:
        self._grounder = grounder
        self._latency_ns = latency_ns
        self._due: tuple[int, Answer] | None = None

    @property
    def busy(self) -> bool:
        """True from the question until its answer was polled."""
        return self._due is not None

    def submit(self, request: GroundingRequest) -> None:
        """Ask; the answer is due `latency_ns` after the question's frame."""
        answer = replace(answer_of(self._grounder, request), latency_s=self._latency_ns / 1e9)
        self._due = (request.frame.stamp_ns + self._latency_ns, answer)

    def poll(self, now_ns: int) -> Answer | None:
        """The answer, once, when frame time has reached it."""
        if self._due is None or now_ns < self._due[0]:
            return None
        answer, self._due = self._due[1], None
        return answer

    def cancel(self) -> None:
        """Forget the question."""
        self._due = None

    def close(self) -> None:
        """Free the grounder."""
        self._grounder.close()


class ThreadWorker:
    """Runs a grounder that waits rather than computes (an HTTP server) on a thread of its own."""

    def __init__(self, make_grounder: Callable[[], Grounder]) -> None:
        self._make_grounder = make_grounder
        self._questions: queue.Queue[GroundingRequest | None] = queue.Queue(maxsize=1)
        self._answers: queue.Queue[Answer] = queue.Queue(maxsize=1)
        self._busy = False
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="grounder", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """True while a question, even a cancelled one, is being answered."""
        return self._busy

    def submit(self, request: GroundingRequest) -> None:
        """Ask."""
        self._busy, self._cancelled = True, False
        self._questions.put_nowait(request)

    def poll(self, now_ns: int) -> Answer | None:
        """The answer if it is in, once; that of a cancelled question is thrown away."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        self._busy = False
        return None if self._cancelled else answer

    def cancel(self) -> None:
        """Throw the answer away when it comes."""
        self._cancelled = True

    def close(self) -> None:
        """Let the thread end after the question it is at; it is a daemon and never holds up the program."""
        self.cancel()
        self._questions.put(None)

    def _run(self) -> None:
        grounder: Grounder | None = None
        while (request := self._questions.get()) is not None:
            try:
                grounder = grounder or self._make_grounder()
                self._answers.put(answer_of(grounder, request))
            except Exception as error:  # the border of this thread: whatever happens becomes an answer
                self._answers.put(GroundingFailure(request, f"grounder failed: {type(error).__name__}: {error}"))
        if grounder is not None:
            grounder.close()


class ProcessWorker:
    """Runs a local model in a process of its own, so that generating never slows the tracker.

    The process is started at once and loads the model while frames already flow. When it dies it is started again
    with back-off, and the question it had is answered by a GroundingFailure. Pictures travel without depth, and only
    to a process that waits for them: a pipe that nobody reads would hold up the frame.
    """

    def __init__(self, make_grounder: Callable[[], Grounder], *, timeout_s: float) -> None:
        self._make_grounder = make_grounder
        self._timeout_s = timeout_s
        self._question: _Question | None = None
        self._failures = 0
        self._not_before = 0.0
        self._ready = False  # the process has loaded its model and waits for questions
        self._link: _Link | None = _start(make_grounder)

    @property
    def busy(self) -> bool:
        """True while a question is in flight or the process may not be restarted yet."""
        return self._question is not None or time.monotonic() < self._not_before

    def submit(self, request: GroundingRequest) -> None:
        """Ask; starts the process again if it has died."""
        self._question = _Question(request, time.monotonic())
        self._link = self._link or _start(self._make_grounder)
        if self._ready:
            self._send(request)

    def poll(self, now_ns: int) -> Answer | None:
        """The answer if it is in, or the failure of a process that died or took too long."""
        question = self._question
        if question is None:
            return None
        answer = self._received(question) or self._given_up(question)
        if answer is None:
            return None
        self._question = None
        latency_s = time.monotonic() - question.asked
        return None if question.cancelled else replace(answer, request=question.request, latency_s=latency_s)

    def cancel(self) -> None:
        """Throw the answer away when it comes."""
        if self._question is not None:
            self._question = replace(self._question, cancelled=True)

    def close(self) -> None:
        """End the process."""
        self._question = None
        if self._link is not None:
            self._link.stop(grace_s=0.5)
            self._link = None

    def _send(self, request: GroundingRequest) -> None:
        try:
            if self._link is not None:
                self._link.connection.send(replace(request, frame=replace(request.frame, depth_m=None)))
        except OSError:
            self._drop_process()

    def _received(self, question: _Question) -> Answer | None:
        if self._link is None:
            return GroundingFailure(question.request, "the grounder process has died and is being started again")
        try:
            if not self._link.connection.poll():
                return None
            message = self._link.connection.recv()
        except (EOFError, OSError):
            exit_code = self._drop_process()
            return GroundingFailure(question.request, f"the grounder process ended with exit code {exit_code}")
        if isinstance(message, _Ready):  # loading the model does not count against the answer
            self._ready, self._question = True, replace(question, asked=time.monotonic())
            self._send(question.request)
            return None
        if isinstance(message, _StartFailed):
            self._drop_process()
            return GroundingFailure(question.request, message.text)
        self._failures = 0
        answer: Answer = message
        return answer

    def _given_up(self, question: _Question) -> Answer | None:
        current = self._question or question  # its clock starts again when the model is loaded
        limit_s = self._timeout_s if self._ready else max(self._timeout_s, START_TIMEOUT_S)
        if time.monotonic() - current.asked < limit_s:
            return None
        self._drop_process()
        return GroundingFailure(question.request, f"no answer within {limit_s:g} s")

    def _drop_process(self) -> int | None:
        """Stop the process; the next question starts another one after a pause that doubles."""
        exit_code, self._ready = None, False
        if self._link is not None:
            exit_code = self._link.stop(grace_s=0.1)
            self._link = None
        pause_s = min(RESTART_PAUSE_S * 2.0**self._failures, MAX_RESTART_PAUSE_S)
        self._failures += 1
        self._not_before = time.monotonic() + pause_s
        return exit_code


@dataclass(frozen=True)
class _Question:
    request: GroundingRequest
    asked: float  # time.monotonic() seconds
    cancelled: bool = False


@dataclass(frozen=True)
class _Ready:
    """The process has loaded its model."""


@dataclass(frozen=True)
class _StartFailed:
    text: str


@dataclass(frozen=True)
class _Link:
    """A grounder process and our end of its pipe."""

    process: BaseProcess
    connection: Connection

    def stop(self, *, grace_s: float) -> int | None:
        """End the process, by force after `grace_s`; returns its exit code if it was known by then."""
        self.connection.close()
        self.process.join(timeout=grace_s)
        exit_code = self.process.exitcode
        if exit_code is None:
            self.process.kill()
            self.process.join(timeout=KILL_TIMEOUT_S)
        return exit_code


def _start(make_grounder: Callable[[], Grounder]) -> _Link:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(make_grounder, theirs), name="grounder", daemon=True)
    process.start()
    theirs.close()
    return _Link(process, ours)


def _serve(make_grounder: Callable[[], Grounder], connection: Connection) -> None:
    """The grounder process: answers questions until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to handle: it closes the pipe
    grounder: Grounder | None = None
    try:
        try:
            grounder = make_grounder()
        except ReferentError as error:
            connection.send(_StartFailed(str(error)))
            return
        connection.send(_Ready())
        while True:
            request = connection.recv()
            connection.send(_without_frame(answer_of(grounder, request)))
    except (EOFError, OSError):  # the owner is gone
        if grounder is not None:
            grounder.close()


def _without_frame(answer: Answer) -> Answer:
    """The answer without its question: the asking side has it, and pictures need not travel back."""
    return replace(answer, request=None)  # type: ignore[arg-type]
