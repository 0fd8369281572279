"""Gives the object memory what was seen, once it is known where the camera was."""

from __future__ import annotations

from collections import deque

from referent.errors import TransformUnavailable
from referent.frames.transforms import TransformBuffer
from referent.memory import ObjectMemory
from referent.types import FrameResult, RgbdFrame

MAX_WAITING = 8  # pictures: a localisation tells where it was some time after the picture
PATIENCE_NS = 1_000_000_000


class Remembering:
    """Belongs to the pipeline's thread. Transforms of frames may come late, in order."""

    def __init__(self, memory: ObjectMemory, transforms: TransformBuffer, frame: str) -> None:
        self._memory = memory
        self._transforms = transforms
        self._frame = frame
        self._waiting: deque[tuple[RgbdFrame, FrameResult]] = deque()

    def take(self, frame: RgbdFrame, result: FrameResult) -> None:
        """Remember what was seen in this picture, or in earlier ones. Raises MemoryUnavailable."""
        self._waiting.append((frame, result))
        while self._waiting and self._settles(*self._waiting[0], newest_ns=frame.stamp_ns):
            self._waiting.popleft()

    def _settles(self, frame: RgbdFrame, result: FrameResult, *, newest_ns: int) -> bool:
        """Remember one picture, or give it up; False when its transform may still come."""
        try:
            fixed_from_camera = self._transforms.lookup(self._frame, frame.camera_frame, frame.stamp_ns)
        except TransformUnavailable:
            age_ns = newest_ns - frame.stamp_ns  # negative: the bag began again
            if len(self._waiting) <= MAX_WAITING and 0 <= age_ns <= PATIENCE_NS:
                return False
            fixed_from_camera = None
        self._memory.remember(result, frame, fixed_from_camera)
        return True
