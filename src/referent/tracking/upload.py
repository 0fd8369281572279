"""Pictures on their way to the tracker's device: from pinned memory and beside the computation where that is CUDA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from referent.types import Array

BUFFERS = 2  # one is filled while the other is copied


class Finish(Protocol):
    """Something under way that can be waited for, such as a torch.cuda.Event."""

    def synchronize(self) -> None:
        """Return once it is over."""


@dataclass(eq=False)
class HostBuffer:
    """Memory a picture is put into, and the copy that last read it."""

    pixels: Tensor
    in_flight: Finish | None = None


@final
class BufferRotation:
    """A few host buffers in turn; none is handed out again before the copy that reads it is over."""

    def __init__(self, allocate: Callable[[tuple[int, ...]], Tensor], count: int = BUFFERS) -> None:
        self._allocate = allocate
        self._buffers: list[HostBuffer | None] = [None] * count
        self._next = 0

    def take(self, shape: tuple[int, ...]) -> HostBuffer:
        """A buffer of that shape that nobody reads; the caller sets `in_flight` when it starts a copy from it."""
        buffer = self._buffers[self._next]
        if buffer is not None and buffer.in_flight is not None:
            buffer.in_flight.synchronize()
            buffer.in_flight = None
        if buffer is None or tuple(buffer.pixels.shape) != shape:
            buffer = HostBuffer(self._allocate(shape))
        self._buffers[self._next] = buffer
        self._next = (self._next + 1) % len(self._buffers)
        return buffer


@final
class FrameUploader:
    """Brings (H, W, 3) uint8 pictures to one device. On CUDA neither the caller nor the kernels queued before wait."""

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._on_cuda = self._device.type == "cuda"
        self._stream = torch.cuda.Stream(self._device) if self._on_cuda else None
        self._rotation = BufferRotation(_pinned)

    def upload(self, rgb: Array) -> Tensor:
        """`rgb` as (H, W, 3) uint8 on the device, ready for whatever is queued next on the caller's stream.

        On the CPU it shares the memory of `rgb` where that may be written. Elsewhere `rgb` may change at once.
        """
        if self._stream is not None:
            return self._upload_beside(rgb, self._stream)
        return tensor_from_picture(rgb).to(self._device)

    def _upload_beside(self, rgb: Array, stream: torch.cuda.Stream) -> Tensor:
        buffer = self._rotation.take(rgb.shape)
        np.copyto(buffer.pixels.numpy(), rgb)
        with torch.cuda.stream(stream):
            picture = torch.empty(rgb.shape, dtype=torch.uint8, device=self._device)
            picture.copy_(buffer.pixels, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(stream)
        buffer.in_flight = copied
        reader = torch.cuda.current_stream(self._device)
        reader.wait_event(copied)
        picture.record_stream(reader)  # it was allocated on the copying stream, which must not re-use it too early
        return picture


def tensor_from_picture(rgb: Array) -> Tensor:
    """`rgb` on the CPU: the same memory where it may be written and has positive strides, else a copy."""
    shareable = rgb.flags.writeable and min(rgb.strides, default=0) >= 0
    return torch.from_numpy(rgb if shareable else rgb.copy())


def _pinned(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=torch.uint8, pin_memory=True)
