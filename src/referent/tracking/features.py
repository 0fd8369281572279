"""The image features of past frames, kept so that a late prompt needs no second look at the pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from referent.errors import FrameExpired


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """What the image encoder made of one frame. `index` counts frames since the last reset."""

    index: int
    stamp_ns: int
    size_hw: tuple[int, int]  # of the original picture
    maps: tuple[Tensor, ...]  # (1, C, h, w) each, finest first, as `SAM2Base.forward_image` leaves them
    scene_cut: float = 0.0  # how much the picture differs from the one before, 0 to 1

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(level.nbytes for level in self.maps)


class FeatureRing:
    """The newest frames, up to a number and a size; the newest always stays.

    The oldest leaves first. While it is pinned, frames after it leave instead, evenly spread, so that an answer which
    takes longer than the history still lands: its catch-up only takes bigger steps.
    """

    def __init__(self, *, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: dict[int, FrameFeatures] = {}  # by stamp, oldest first
        self._pins: Counter[int] = Counter()
        self._nbytes = 0
        self.evicted = 0

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data kept."""
        return self._nbytes

    @property
    def newest(self) -> FrameFeatures | None:
        """The last frame added."""
        return next(reversed(self._frames.values()), None)

    @property
    def indices(self) -> set[int]:
        """The numbers of the frames kept."""
        return {frame.index for frame in self._frames.values()}

    @property
    def pinned_indices(self) -> set[int]:
        """The numbers of the frames that are pinned."""
        return {self._frames[stamp_ns].index for stamp_ns in self._pins}

    def add(self, frame: FrameFeatures) -> None:
        """Keep `frame`, which is newer than all others."""
        self._frames[frame.stamp_ns] = frame
        self._nbytes += frame.nbytes
        while len(self._frames) > 1 and (len(self._frames) > self._max_frames or self._nbytes > self._max_bytes):
            victim = self._next_victim()
            del self._frames[victim.stamp_ns]
            self._pins.pop(victim.stamp_ns, None)
            self._nbytes -= victim.nbytes
            self.evicted += 1

    def at(self, stamp_ns: int) -> FrameFeatures:
        """The frame of that stamp. Raises FrameExpired when it is not kept (any more)."""
        if stamp_ns not in self._frames:
            kept = f"{min(self._frames)} to {max(self._frames)} ns are kept" if self._frames else "none is kept"
            raise FrameExpired(
                f"no frame of {stamp_ns} ns ({kept}); raise tracker.history_frames or tracker.history_bytes"
            )
        return self._frames[stamp_ns]

    def after(self, index: int) -> list[FrameFeatures]:
        """The kept frames later than number `index`, in order."""
        return [frame for frame in self._frames.values() if frame.index > index]

    def pin(self, stamp_ns: int) -> None:
        """Let this frame outlast older ones until `release`; without effect when it is not kept."""
        if stamp_ns in self._frames:
            self._pins[stamp_ns] += 1

    def release(self, stamp_ns: int) -> None:
        """Undo one `pin`."""
        if self._pins[stamp_ns] <= 1:
            del self._pins[stamp_ns]
        else:
            self._pins[stamp_ns] -= 1

    def clear(self) -> None:
        """Drop all frames and pins."""
        self._frames.clear()
        self._pins.clear()
        self._nbytes = 0

    def _next_victim(self) -> FrameFeatures:
        frames = list(self._frames.values())
        inner = [i for i in range(1, len(frames) - 1) if frames[i].stamp_ns not in self._pins]
        if frames[0].stamp_ns not in self._pins or not inner:
            return frames[0]
        return frames[min(inner, key=lambda i: frames[i + 1].index - frames[i - 1].index)]
