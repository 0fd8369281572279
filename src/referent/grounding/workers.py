"""Where questions run: in replay with a simulated delay, on a thread (servers), nowhere; see also `process_worker`."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from referent.errors import ConfigError, GrounderUnavailable, ReferentError
from referent.ports import Grounder, GroundingFailure, Worker
from referent.types import GrounderHealth, Grounding, GroundingRequest

Answer = Grounding | GroundingFailure
Check = Callable[[Grounder], str]  # looks at a grounder that was just made; a note for people. ConfigError refuses it
START_TIMEOUT_S = 120.0
GRACE_S = 1.0  # a grounder that knows its own deadline says more about it: let it speak first
MAX_CHECKS = 3  # tries to check a grounder that cannot be reached


@runtime_checkable
class Cancellable(Protocol):
    """A grounder that can be told, from another thread, to leave off: the question it is at then fails soon."""

    def cancel(self) -> None:
        """Leave off. Does nothing between questions."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A worker that can say how it is doing."""

    @property
    def health(self) -> GrounderHealth | None:
        """Its health now; never blocks."""
        ...


def health_of(worker: Worker) -> GrounderHealth | None:
    """How `worker` is doing; None for one that has nothing to say."""
    return worker.health if isinstance(worker, Reporting) else None


def leave_off(grounder: Grounder | None) -> None:
    """Tell the grounder that nobody waits for the answer any more, if it can be told."""
    if isinstance(grounder, Cancellable):
        grounder.cancel()


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


@dataclass(frozen=True)
class Waiting:
    """A question and whether anybody still waits for its answer."""

    request: GroundingRequest
    asked_s: float  # time.monotonic()
    wanted: bool = True


class ThreadWorker:
    """Runs a grounder that waits rather than computes (an HTTP server) on a thread of its own.

    The thread makes and checks its grounder at once. A question that is not answered in time is given up; until the
    thread comes back from it, the worker is busy: there is never more than one thread.
    """

    def __init__(
        self, make_grounder: Callable[[], Grounder], *, timeout_s: float = START_TIMEOUT_S, check: Check | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._waiting: Waiting | None = None
        self._questions: queue.Queue[GroundingRequest | None] = queue.Queue(maxsize=2)  # one, and the end
        self._answers: queue.Queue[Answer] = queue.Queue(maxsize=1)
        self._closing = threading.Event()
        self._place = _Place(make_grounder, check)
        self._thread = threading.Thread(target=self._run, name="grounder", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """True while a question, even a cancelled one, is being answered."""
        return self._waiting is not None

    @property
    def health(self) -> GrounderHealth:
        """Whether the grounder could be made, and what the check found."""
        if self._place.refused:
            return GrounderHealth("refused", self._place.note)
        if not self._place.ready:
            return GrounderHealth("starting", self._place.note)
        return GrounderHealth("answering" if self.busy else "ready", self._place.note)

    def submit(self, request: GroundingRequest) -> None:
        """Ask."""
        self._waiting = Waiting(request, time.monotonic())
        self._questions.put_nowait(request)

    def poll(self, now_ns: int) -> Answer | None:
        """The answer if it is in, or a failure once it is late, once; that of a cancelled question is thrown away."""
        waiting = self._waiting
        if waiting is None:
            return None
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            if not waiting.wanted:  # again: it may not have begun when it was told
                leave_off(self._place.grounder)
            return self._given_up(waiting)
        self._waiting = None
        return answer if waiting.wanted else None

    def cancel(self) -> None:
        """Throw the answer away, and tell the grounder that it need not come."""
        if self._waiting is not None:
            self._waiting = replace(self._waiting, wanted=False)
            leave_off(self._place.grounder)

    def close(self) -> None:
        """Let the thread end after the question it is at; it is a daemon and never holds up the program."""
        self._waiting = None
        self._closing.set()
        leave_off(self._place.grounder)
        self._questions.put(None)

    def _given_up(self, waiting: Waiting) -> Answer | None:
        limit_s = self._timeout_s + GRACE_S if self._place.ready else max(self._timeout_s, START_TIMEOUT_S)
        if not waiting.wanted or time.monotonic() - waiting.asked_s < limit_s:
            return None
        self.cancel()
        return GroundingFailure(waiting.request, f"no answer within {limit_s:g} s", latency_s=limit_s)

    def _run(self) -> None:
        self._place.prepare()
        while (request := self._questions.get()) is not None and not self._closing.is_set():
            self._answers.put(self._place.answer(request))
        if self._place.grounder is not None:
            self._place.grounder.close()


class _Place:
    """A grounder on the thread it belongs to; the flags may be read from others."""

    def __init__(self, make_grounder: Callable[[], Grounder], check: Check | None) -> None:
        self._make_grounder = make_grounder
        self._check = check
        self._checks_left = MAX_CHECKS if check is not None else 0
        self.grounder: Grounder | None = None
        self.ready = False  # it was tried to make and check it
        self.refused = False
        self.note = ""

    def prepare(self) -> None:
        """Make the grounder and check it, as far as that was not done; faults become the note."""
        try:
            if self.grounder is None and not self.refused:
                self.grounder = self._make_grounder()
                self.note = ""
            self._look_at(self.grounder)
        except Exception as error:  # the border of this thread: whatever happens is told in answers and in health
            self.note = str(error) if isinstance(error, ReferentError) else f"{type(error).__name__}: {error}"
        self.ready = True

    def answer(self, request: GroundingRequest) -> Answer:
        """The answer, whatever happens."""
        self.prepare()
        grounder = self.grounder
        if grounder is None or self.refused:
            return GroundingFailure(request, self.note)
        try:
            return answer_of(grounder, request)
        except Exception as error:  # the border of this thread: whatever happens becomes an answer
            return GroundingFailure(request, f"grounder failed: {type(error).__name__}: {error}")

    def _look_at(self, grounder: Grounder | None) -> None:
        """Check it once; again before the next question when it could not be reached."""
        if grounder is None or self._check is None or not self._checks_left:
            return
        self._checks_left -= 1
        try:
            self.note = self._check(grounder)
            self._checks_left = 0
        except ConfigError:
            self.refused, self._checks_left = True, 0
            raise
        except GrounderUnavailable as error:
            self.note = f"not checked yet: {error}"
