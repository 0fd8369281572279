"""Pictures handed to another process through shared memory: one copy in, one copy out, no pickling.

The side that shows a picture owns the memory and frees it, also when the other side has died. Should the owner itself
be killed, Python's resource tracker frees it once both are gone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from referent.types import Array

SHARED_FOLDER = "/dev/shm"
SPARE = 2  # writing to shared memory that the system cannot back kills the process: keep away from the edge


@dataclass(frozen=True)
class Slip:
    """Where to find a picture: the name of the memory and the picture's (H, W, 3)."""

    name: str
    shape: tuple[int, ...]


class PictureBoard:
    """Shows one uint8 picture at a time to another process."""

    def __init__(self) -> None:
        self._memory: SharedMemory | None = None

    def show(self, picture: Array) -> Slip | None:
        """Put up `picture` in place of the last one; None where the system has no shared memory left for it."""
        size = prod(picture.shape)
        if self._memory is None or self._memory.size < size:
            self.close()
            self._memory = _memory(size)
        if self._memory is None:
            return None
        np.copyto(np.ndarray(picture.shape, np.uint8, self._memory.buf), picture)
        return Slip(self._memory.name, picture.shape)

    def close(self) -> None:
        """Free the memory."""
        if self._memory is not None:
            self._memory.close()
            self._memory.unlink()
            self._memory = None


def picture_from(slip: Slip) -> Array:
    """A copy of the picture that the other process shows. Raises OSError when that is gone."""
    memory = SharedMemory(slip.name)
    try:
        return np.ndarray(slip.shape, np.uint8, memory.buf).copy()
    finally:
        memory.close()


def _memory(size: int) -> SharedMemory | None:
    try:
        free = os.statvfs(SHARED_FOLDER)
        if free.f_bavail * free.f_frsize < SPARE * size:
            return None
    except OSError:  # not Linux: creating it tells
        pass
    try:
        return SharedMemory(create=True, size=size)
    except OSError:
        return None
