"""Runs a Pipeline beside a producer of frames: newest frame wins, commands are taken between frames.

The pipeline belongs to one thread of this module; everything public here may be called from any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from referent.config import Config, OutputConfig
from referent.errors import GrounderUnavailable, ReferentError
from referent.frames.transforms import TransformBuffer
from referent.geometry.registered_check import RegistrationWatch
from referent.grounding.targets import Numbering
from referent.pipeline import Pipeline
from referent.ports import GroundingFailure
from referent.tracking.release import exempt_from_search, free_unused_memory, return_free_memory
from referent.types import Array, FrameResult, Grounding, GroundingRequest, RgbdFrame

MAX_COMMANDS = 64
TRANSFORM_POLL_S = 0.005
STOP_TIMEOUT_S = 30.0
ASIDE_TIMEOUT_S, ASIDE_POLL_S = 60.0, 0.02
TIDY_PERIOD_S = 10.0
BROKEN_AFTER = 10  # internal faults in a row: what is broken will not mend itself
Item = TypeVar("Item")
Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class Mailbox(Generic[Item]):
    """Holds the newest item only; what it replaces is counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._woken = False
        self._closed = False
        self.dropped = 0

    @property
    def closed(self) -> bool:
        """Whether nothing more will be given."""
        return self._closed

    def put(self, item: Item) -> None:
        """Leave an item, replacing one that was not taken yet."""
        with self._changed:
            if self._item is not None:
                self.dropped += 1
            self._item = item
            self._changed.notify()

    def take(self) -> Item | None:
        """Wait for an item; None when woken without one, or once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._woken or self._closed)
            item, self._item, self._woken = self._item, None, False
            return None if self._closed else item

    def wake(self) -> None:
        """Let whoever waits look up from waiting."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def close(self) -> None:
        """Wake whoever waits, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass(frozen=True, eq=False)
class _Command:
    """Something the pipeline is to do between two frames, and where the answer goes."""

    carry_out: Callable[[Pipeline], Any]
    answer: Future[Any]


class LivePipeline:
    """A pipeline on a thread of its own.

    `on_result` and `on_fault` are called from that thread. A fault costs one frame or one command, never the run.
    A result's timings tell how long its frame waited from `put` on, as "wait", which its "total" does not hold.
    `numbering` of an earlier one is gone on from, so that no id means another object after a pause.
    """

    def __init__(
        self,
        make_pipeline: Callable[[TransformBuffer], Pipeline],
        *,
        output: OutputConfig,
        on_result: Callable[[RgbdFrame, FrameResult], None],
        on_fault: Callable[[str], None],
        registration_check_s: float = 0.0,
        numbering: Numbering | None = None,
    ) -> None:
        self._make_pipeline = make_pipeline
        self._output = output
        self._on_result = on_result
        self._on_fault = on_fault
        self._transforms = TransformBuffer()
        self.numbering = numbering or Numbering()
        self._registration = RegistrationWatch(registration_check_s)
        self._frames: Mailbox[tuple[RgbdFrame, float]] = Mailbox()  # and when they were handed over
        self._commands: deque[_Command] = deque()
        self._counts: Counter[str] = Counter()
        self._faults_in_a_row: list[str] = []
        self._newest_ns: int | None = None
        self._tidied_s = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Build the pipeline here and now, so that its errors reach the caller, then run it."""
        pipeline = self._make_pipeline(self._transforms)
        pipeline.numbering.go_on_from(self.numbering)
        self.numbering = pipeline.numbering
        exempt_from_search()
        self._thread = threading.Thread(target=self._run, args=(pipeline,), name="pipeline", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame at hand, free the pipeline, end the thread."""
        self._stopping.set()
        self._frames.close()
        if self._thread is not None:
            self._thread.join(timeout=STOP_TIMEOUT_S)
            if self._thread.is_alive():
                log.error("the pipeline is still at work after %g s and is left behind", STOP_TIMEOUT_S)
            self._thread = None
            free_unused_memory()
        self._refuse_commands()

    def put(self, frame: RgbdFrame) -> None:
        """Hand over the newest frame."""
        self._frames.put((frame, time.perf_counter()))

    def instruct(self, instruction: str) -> None:
        """Look for something else from the next frame on; a bad instruction is reported as a fault."""
        self.ask(lambda pipeline: pipeline.instruct(instruction)).add_done_callback(self._tell_fault)

    def reset(self) -> None:
        """Look for nothing and follow nothing."""
        self.ask(lambda pipeline: pipeline.reset())

    def reconfigure(self, config: Config) -> None:
        """Go on with other settings; only those that `config.is_live` says may differ."""
        self._output = config.output
        self.ask(lambda pipeline: pipeline.reconfigure(config))

    def ask(self, command: Callable[[Pipeline], Answer]) -> Future[Answer]:
        """Have something done between two frames, whether frames come or not.

        The future holds what it returned or raised, or a ReferentError when it could not be begun; callbacks of the
        future run on the pipeline's thread.
        """
        answer: Future[Answer] = Future()
        if self._frames.closed:
            answer.set_exception(ReferentError("the pipeline is stopped"))
        elif len(self._commands) >= MAX_COMMANDS:
            self._counts["commands_dropped"] += 1
            answer.set_exception(ReferentError(f"{MAX_COMMANDS} commands wait already; try again"))
        else:
            self._commands.append(_Command(command, answer))
            self._frames.wake()
            if self._frames.closed:  # since it was looked at: nobody may come for the command any more
                self._refuse_commands()
        return answer

    def ground(self, request: GroundingRequest) -> Grounding | GroundingFailure:
        """Ask the grounder something that is about no target, and wait: only for threads that may.

        Raises ReferentError when it is stopped or busy, or ASIDE_TIMEOUT_S are over.
        """
        try:
            answer = self.ask(lambda pipeline: pipeline.ask_aside(request)).result(ASIDE_TIMEOUT_S)
        except TimeoutError as error:
            raise GrounderUnavailable(f"the pipeline was busy for {ASIDE_TIMEOUT_S:g} s") from error
        for _ in range(round(ASIDE_TIMEOUT_S / ASIDE_POLL_S)):
            done, _ = wait([answer], timeout=ASIDE_POLL_S)
            if done:
                break
            self.ask(lambda pipeline: pipeline.wait_aside())
        else:
            raise GrounderUnavailable(f"no answer within {ASIDE_TIMEOUT_S:g} s")
        return answer.result()

    def add_transform(
        self, parent: str, child: str, stamp_ns: int, parent_from_child: Array, *, static: bool = False
    ) -> None:
        """Tell of a transform. Raises BadMessage."""
        self._transforms.add(parent, child, stamp_ns, parent_from_child, static=static)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the pictures themselves, for people."""
        warning = self._registration.warning
        return () if warning is None else (warning,)

    @property
    def newest_ns(self) -> int | None:
        """The stamp of the newest picture that was processed."""
        return self._newest_ns

    @property
    def broken(self) -> str | None:
        """Why it should be built anew; None while it works, or may again."""
        if len(self._faults_in_a_row) < BROKEN_AFTER:
            return None
        return f"{BROKEN_AFTER} frames in a row failed, the last by an {self._faults_in_a_row[-1]}"

    @property
    def transforms(self) -> TransformBuffer:
        """What is known of transforms; may be asked from any thread."""
        return self._transforms

    def counts(self) -> Mapping[str, int]:
        """Frames processed, dropped at the mailbox, and faults, since the start."""
        return {**self._counts, "dropped": self._frames.dropped}

    def _run(self, pipeline: Pipeline) -> None:
        try:
            while not self._frames.closed:
                taken = self._frames.take()
                self._take_commands(pipeline)
                if taken is not None:
                    self._guarded(partial(self._process, pipeline, *taken))
        finally:
            pipeline.close()

    def _process(self, pipeline: Pipeline, frame: RgbdFrame, handed_over_s: float) -> None:
        self._wait_for_transform(frame)
        waited_s = time.perf_counter() - handed_over_s
        result = pipeline.process(frame)
        result = replace(result, timings_s={"wait": waited_s, **result.timings_s})
        self._counts["processed"] += 1
        self._faults_in_a_row.clear()
        self._newest_ns = result.stamp_ns
        self._on_result(frame, result)
        self._registration.look(frame)
        self._tidy()

    def _tidy(self) -> None:
        """Keep what the process takes of the machine near what it uses, over a long shift too."""
        if time.monotonic() - self._tidied_s > TIDY_PERIOD_S:
            return_free_memory()
            self._tidied_s = time.monotonic()

    def _take_commands(self, pipeline: Pipeline) -> None:
        while (command := self._next_command()) is not None:
            try:
                command.answer.set_result(command.carry_out(pipeline))
            except ReferentError as error:
                command.answer.set_exception(error)
            except Exception as error:
                log.exception("a command failed")
                command.answer.set_exception(error)

    def _tell_fault(self, answer: Future[None]) -> None:
        error = answer.exception()
        if error is not None:
            self._counts["faults"] += 1
            self._on_fault(str(error) if isinstance(error, ReferentError) else _internal(error))

    def _refuse_commands(self) -> None:
        while (command := self._next_command()) is not None:
            command.answer.set_exception(ReferentError("the pipeline was stopped"))

    def _next_command(self) -> _Command | None:
        try:
            return self._commands.popleft()
        except IndexError:  # another thread may have refused what was there
            return None

    def _guarded(self, action: Callable[[], None]) -> None:
        """The border of the pipeline thread: a fault is counted and told, and the next frame is taken."""
        try:
            action()
        except ReferentError as error:
            self._counts["faults"] += 1
            self._on_fault(str(error))
        except Exception as error:
            self._counts["faults"] += 1
            log.exception("a frame failed")
            self._faults_in_a_row = [*self._faults_in_a_row, _internal(error)][-BROKEN_AFTER:]
            self._on_fault(_internal(error))

    def _wait_for_transform(self, frame: RgbdFrame) -> None:
        """Transforms often arrive just after the picture: give the frame's own a moment, within bounds."""
        wanted = [name for name in (self._output.frame, self._output.world_frame) if name]
        polls = int(self._output.transform_wait_s / TRANSFORM_POLL_S)
        while wanted and polls > 0 and not self._stopping.is_set():
            wanted = [n for n in wanted if not self._transforms.can_lookup(n, frame.camera_frame, frame.stamp_ns)]
            polls -= 1
            if wanted:
                self._stopping.wait(TRANSFORM_POLL_S)


def _internal(error: BaseException) -> str:
    return f"internal fault: {type(error).__name__}: {error}"
