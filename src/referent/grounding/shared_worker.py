"""One worker for two: the targets' questions, and questions from beside that have no target, such as about memories."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from referent.errors import GrounderUnavailable
from referent.grounding.workers import Answer, health_of
from referent.ports import Worker
from referent.types import GrounderHealth, GroundingRequest

MAX_WAITING = 32


@dataclass(frozen=True, eq=False)
class _Aside:
    request: GroundingRequest
    answer: Future[Answer] = field(default_factory=Future)


class SharedWorker:
    """A `ports.Worker` for the targets; `ask_aside` is for everybody else. Belongs to the pipeline thread.

    Whoever polls it, at least once in a while, keeps the questions from beside going, one after the other, whenever the
    targets have none.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting: deque[_Aside] = deque()
        self._at_work: _Aside | None = None

    @property
    def busy(self) -> bool:
        """True while a question of either kind is in flight."""
        return self._at_work is not None or self._worker.busy

    @property
    def health(self) -> GrounderHealth | None:
        """That of the worker itself."""
        return health_of(self._worker)

    def submit(self, request: GroundingRequest) -> None:
        """Ask about targets; only while not busy."""
        self._worker.submit(request)

    def poll(self, now_ns: int) -> Answer | None:
        """The answer about targets, if it is in at frame time `now_ns`, once; never blocks."""
        answer = self._worker.poll(now_ns)
        if self._at_work is None or (answer is not None and answer.request is not self._at_work.request):
            self._begin_next()
            return answer
        if answer is not None:
            self._at_work.answer.set_result(answer)
            self._at_work = None
            # The next one waits for the next poll: targets may have a question by then.
        return None

    def cancel(self) -> None:
        """Throw away the question about targets in flight, if any."""
        if self._at_work is None:
            self._worker.cancel()

    def ask_aside(self, request: GroundingRequest) -> Future[Answer]:
        """Ask about something else; the answer comes while the worker is polled. Raises GrounderUnavailable."""
        if len(self._waiting) >= MAX_WAITING:
            raise GrounderUnavailable(f"{MAX_WAITING} questions wait for the grounder already; try again")
        self._waiting.append(_Aside(request))
        return self._waiting[-1].answer

    def close(self) -> None:
        """Stop and free everything; whoever still waits is told."""
        left = [*([] if self._at_work is None else [self._at_work]), *self._waiting]
        self._at_work = None
        self._waiting.clear()
        for aside in left:
            aside.answer.set_exception(GrounderUnavailable("the grounder was stopped"))
        self._worker.close()

    def _begin_next(self) -> None:
        if self._at_work is None and self._waiting and not self._worker.busy:
            self._at_work = self._waiting.popleft()
            self._worker.submit(self._at_work.request)
