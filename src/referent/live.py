"""Runs a Pipeline beside a producer of frames: newest frame wins, commands are taken between frames.

The pipeline belongs to one thread of this module; everything public here may be called from any thread.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from referent.config import OutputConfig
from referent.errors import ReferentError
from referent.frames.transforms import TransformBuffer
from referent.geometry.registered_check import RegistrationWatch
from referent.pipeline import Pipeline
from referent.types import Array, FrameResult, RgbdFrame

MAX_COMMANDS = 64
TRANSFORM_POLL_S = 0.005
STOP_TIMEOUT_S = 30.0
Item = TypeVar("Item")
Command = Callable[[Pipeline], None]
log = logging.getLogger(__name__)


class Mailbox(Generic[Item]):
    """Holds the newest item only; what it replaces is counted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self.dropped = 0

    def put(self, item: Item) -> None:
        """Leave an item, replacing one that was not taken yet."""
        with self._changed:
            if self._item is not None:
                self.dropped += 1
            self._item = item
            self._changed.notify()

    def take(self) -> Item | None:
        """Wait for an item; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake whoever waits, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class LivePipeline:
    """A pipeline on a thread of its own.

    `on_result` and `on_fault` are called from that thread. A fault costs one frame or one command, never the run.
    """

    def __init__(
        self,
        make_pipeline: Callable[[TransformBuffer], Pipeline],
        *,
        output: OutputConfig,
        on_result: Callable[[RgbdFrame, FrameResult], None],
        on_fault: Callable[[str], None],
        registration_check_s: float = 0.0,
    ) -> None:
        self._make_pipeline = make_pipeline
        self._output = output
        self._on_result = on_result
        self._on_fault = on_fault
        self._transforms = TransformBuffer()
        self._registration = RegistrationWatch(registration_check_s)
        self._frames: Mailbox[RgbdFrame] = Mailbox()
        self._commands: deque[Command] = deque(maxlen=MAX_COMMANDS)
        self._counts: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Build the pipeline here and now, so that its errors reach the caller, then run it."""
        pipeline = self._make_pipeline(self._transforms)
        self._thread = threading.Thread(target=self._run, args=(pipeline,), name="pipeline", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame at hand, free the pipeline, end the thread."""
        self._stopping.set()
        self._frames.close()
        if self._thread is not None:
            self._thread.join(timeout=STOP_TIMEOUT_S)
            self._thread = None

    def put(self, frame: RgbdFrame) -> None:
        """Hand over the newest frame."""
        self._frames.put(frame)

    def instruct(self, instruction: str) -> None:
        """Look for something else from the next frame on; a bad instruction is reported as a fault."""
        self._command(lambda pipeline: pipeline.instruct(instruction))

    def forget(self, object_id: str) -> None:
        """Stop following one target."""

        def command(pipeline: Pipeline) -> None:
            pipeline.forget(object_id)

        self._command(command)

    def reset(self) -> None:
        """Look for nothing and follow nothing."""
        self._command(lambda pipeline: pipeline.reset())

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
    def transforms(self) -> TransformBuffer:
        """What is known of transforms; may be asked from any thread."""
        return self._transforms

    def counts(self) -> Mapping[str, int]:
        """Frames processed, dropped at the mailbox, and faults, since the start."""
        return {**self._counts, "dropped": self._frames.dropped}

    def _command(self, command: Command) -> None:
        if len(self._commands) == MAX_COMMANDS:
            self._counts["commands_dropped"] += 1
        self._commands.append(command)

    def _run(self, pipeline: Pipeline) -> None:
        try:
            while (frame := self._frames.take()) is not None:
                self._take_commands(pipeline)
                self._guarded(lambda frame=frame: self._process(pipeline, frame))  # type: ignore[misc]
        finally:
            pipeline.close()

    def _process(self, pipeline: Pipeline, frame: RgbdFrame) -> None:
        self._wait_for_transform(frame)
        result = pipeline.process(frame)
        self._counts["processed"] += 1
        self._on_result(frame, result)
        self._registration.look(frame)

    def _take_commands(self, pipeline: Pipeline) -> None:
        while self._commands:
            command = self._commands.popleft()
            self._guarded(lambda command=command: command(pipeline))  # type: ignore[misc]

    def _guarded(self, action: Callable[[], None]) -> None:
        """The border of the pipeline thread: a fault is counted and told, and the next frame is taken."""
        try:
            action()
        except ReferentError as error:
            self._counts["faults"] += 1
            self._on_fault(str(error))
        except Exception as error:
            self._counts["faults"] += 1
            log.exception("a frame or command failed")
            self._on_fault(f"internal fault: {type(error).__name__}: {error}")

    def _wait_for_transform(self, frame: RgbdFrame) -> None:
        """Transforms often arrive just after the picture: give the frame's own a moment, within bounds."""
        wanted = [name for name in (self._output.frame, self._output.world_frame) if name]
        polls = int(self._output.transform_wait_s / TRANSFORM_POLL_S)
        while wanted and polls > 0 and not self._stopping.is_set():
            wanted = [n for n in wanted if not self._transforms.can_lookup(n, frame.camera_frame, frame.stamp_ns)]
            polls -= 1
            if wanted:
                self._stopping.wait(TRANSFORM_POLL_S)
