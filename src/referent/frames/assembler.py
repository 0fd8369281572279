"""Color and depth images to RgbdFrames: paired by stamp, bounded, everything lost is counted."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.types import Array, Intrinsics, RgbdFrame

_Item = TypeVar("_Item")

COUNTERS = (
    "pairs",
    "unmatched_color",
    "unmatched_depth",
    "no_camera_info",
    "duplicates",
    "out_of_order",
    "frame_mismatch",
    "resets",
)


@dataclass
class _Stream(Generic[_Item]):
    """What waits of one kind of image, oldest first."""

    stamps: list[int] = field(default_factory=list)
    items: list[_Item] = field(default_factory=list)
    newest_ns: int | None = None  # newest stamp ever seen, waiting or not
    spacing_ns: int | None = None  # smallest step between neighbours seen so far
    used_ns: int | None = None  # stamp that went into the newest frame: nothing at or before it can be used

    def insert(self, stamp_ns: int, item: _Item) -> None:
        if self.newest_ns is None or stamp_ns > self.newest_ns:
            if self.newest_ns is not None:
                step_ns = stamp_ns - self.newest_ns
                self.spacing_ns = min(step_ns, self.spacing_ns or step_ns)
            self.newest_ns = stamp_ns
        index = bisect_left(self.stamps, stamp_ns)
        self.stamps.insert(index, stamp_ns)
        self.items.insert(index, item)

    def nearest(self, stamp_ns: int) -> int:
        """Index of the waiting image nearest in time (the older of two equally near); one must wait."""
        index = bisect_left(self.stamps, stamp_ns)
        around = [i for i in (index - 1, index) if 0 <= i < len(self.stamps)]
        return min(around, key=lambda i: abs(self.stamps[i] - stamp_ns))

    def drop_oldest(self, count: int) -> None:
        del self.stamps[:count], self.items[:count]

    def may_bring_nearer(self, stamp_ns: int, gap_ns: int) -> bool:
        """Whether an image yet to come may be nearer to `stamp_ns` than `gap_ns`, if images come in order."""
        return self.newest_ns is None or self.newest_ns + (self.spacing_ns or 1) < stamp_ns + gap_ns

    def forget_order(self) -> None:
        self.newest_ns = self.spacing_ns = self.used_ns = None


@dataclass(frozen=True, eq=False)
class _Color:
    camera_frame: str
    rgb: Array
    intrinsics: Intrinsics  # as they were when the image came


class FrameAssembler:
    """Pairs each color image with the nearest depth image; frames come out in time order.

    A pair is handed out at once when no image yet to come can make a better one: stamps are equal, or the gap is less
    than half the spacing of the images. Else it waits for the next image. Owned by one thread; never reads a clock.
    """

    def __init__(self, config: InputConfig) -> None:
        self._queue_length = config.queue_length
        self._max_skew_ns = round(config.max_skew_s * 1e9)
        self._jump_back_ns = round(config.jump_back_s * 1e9)
        self._intrinsics: Intrinsics | None = None
        self._info_frame = ""
        self._color: _Stream[_Color] = _Stream()
        self._depth: _Stream[Array] = _Stream()
        self._counts: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))

    @property
    def counts(self) -> Mapping[str, int]:
        """Running totals since the start, by the names in COUNTERS."""
        return dict(self._counts)

    def set_camera_info(self, intrinsics: Intrinsics, camera_frame: str) -> None:
        """The calibration of the images from here on. A new image size empties the queues."""
        old, self._intrinsics, self._info_frame = self._intrinsics, intrinsics, camera_frame
        if old is not None and (old.width, old.height) != (intrinsics.width, intrinsics.height):
            self._empty_queues()

    def add_color(self, stamp_ns: int, camera_frame: str, rgb: Array) -> RgbdFrame | None:
        """Take a color image (H, W, 3) uint8; returns the oldest frame that is complete now.

        Raises BadMessage when its size is not that of camera_info.
        """
        if self._intrinsics is None:
            self._counts["no_camera_info"] += 1
            return None
        _require_size("color", rgb, self._intrinsics)
        if camera_frame and self._info_frame and camera_frame != self._info_frame:
            self._counts["frame_mismatch"] += 1
        color = _Color(camera_frame or self._info_frame, rgb, self._intrinsics)
        return self._add(self._color, stamp_ns, color, "unmatched_color")

    def add_depth(self, stamp_ns: int, depth_m: Array) -> RgbdFrame | None:
        """Take a depth image (H, W) float32 metres; returns the oldest frame that is complete now.

        Raises BadMessage when its size is not that of camera_info.
        """
        if self._intrinsics is None:
            self._counts["no_camera_info"] += 1
            return None
        _require_size("depth", depth_m, self._intrinsics)
        return self._add(self._depth, stamp_ns, depth_m, "unmatched_depth")

    def flush(self) -> Iterator[RgbdFrame]:
        """The frames that still wait for a better partner, when nothing more will come; empties the queues."""
        while (frame := self._next_frame(last=True)) is not None:
            yield frame
        self._empty_queues()

    def reset(self) -> None:
        """Forget all images and their order, as after a jump back in time; calibration and counts stay."""
        self._empty_queues()
        self._color.forget_order()
        self._depth.forget_order()

    def _add(self, stream: _Stream[_Item], stamp_ns: int, item: _Item, unmatched: str) -> RgbdFrame | None:
        if self._jumped_back(stamp_ns):
            self.reset()
            self._counts["resets"] += 1
        if stamp_ns == stream.used_ns or stamp_ns in stream.stamps:
            self._counts["duplicates"] += 1
        elif stream.used_ns is not None and stamp_ns < stream.used_ns:
            self._counts["out_of_order"] += 1
        else:
            stream.insert(stamp_ns, item)
        frame = self._next_frame(last=False)
        self._drop(stream, len(stream.stamps) - self._queue_length, unmatched)
        return frame

    def _jumped_back(self, stamp_ns: int) -> bool:
        """Whether `stamp_ns` lies so far back that the source began again (a looped bag)."""
        newest = [n for n in (self._color.newest_ns, self._depth.newest_ns) if n is not None]
        return bool(newest) and max(newest) - stamp_ns > self._jump_back_ns

    def _next_frame(self, *, last: bool) -> RgbdFrame | None:
        """Take the oldest pair out of the queues, if it is certain to be the best one (or nothing more will come)."""
        for c, color_ns in enumerate(self._color.stamps):
            d = self._partner(c)
            if d is not None:
                return self._take(c, d) if last or self._settled(color_ns, self._depth.stamps[d]) else None
        return None

    def _partner(self, c: int) -> int | None:
        """The nearest depth within the allowed skew of color `c` that no other color image is nearer to."""
        color_ns = self._color.stamps[c]
        near = [
            d
            for d, depth_ns in enumerate(self._depth.stamps)
            if abs(depth_ns - color_ns) <= self._max_skew_ns and self._color.nearest(depth_ns) == c
        ]
        return min(near, key=lambda d: abs(self._depth.stamps[d] - color_ns), default=None)

    def _settled(self, color_ns: int, depth_ns: int) -> bool:
        """Whether waiting could not find either image a nearer partner, or there is no room to wait."""
        if max(len(self._color.stamps), len(self._depth.stamps)) > self._queue_length:
            return True
        gap_ns = abs(color_ns - depth_ns)
        return not (self._depth.may_bring_nearer(color_ns, gap_ns) or self._color.may_bring_nearer(depth_ns, gap_ns))

    def _take(self, c: int, d: int) -> RgbdFrame:
        """The frame of color `c` and depth `d`; what is older than they are stays without a partner."""
        stamp_ns, color, depth_m = self._color.stamps[c], self._color.items[c], self._depth.items[d]
        self._color.used_ns, self._depth.used_ns = stamp_ns, self._depth.stamps[d]
        self._drop(self._color, c, "unmatched_color")
        self._drop(self._depth, d, "unmatched_depth")
        self._color.drop_oldest(1)
        self._depth.drop_oldest(1)
        self._counts["pairs"] += 1
        return RgbdFrame(stamp_ns, color.camera_frame, color.rgb, depth_m, color.intrinsics)

    def _empty_queues(self) -> None:
        self._drop(self._color, len(self._color.stamps), "unmatched_color")
        self._drop(self._depth, len(self._depth.stamps), "unmatched_depth")

    def _drop(self, stream: _Stream[_Item], count: int, counter: str) -> None:
        if count > 0:
            stream.drop_oldest(count)
            self._counts[counter] += count


def _require_size(kind: str, image: Array, intrinsics: Intrinsics) -> None:
    height, width = image.shape[:2]
    if (width, height) != (intrinsics.width, intrinsics.height):
        raise BadMessage(
            f"{kind} image is {width}x{height} but camera_info says {intrinsics.width}x{intrinsics.height}: "
            f"record {kind} and camera_info of the same stream"
            + (" (depth registered to color)" if kind == "depth" else "")
        )
