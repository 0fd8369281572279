"""Whether color and depth become frames, and if not, why."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TOLD_S = 2.0  # a fault is told for so long at least, or people would miss it
FEW = 5  # images left over are no news: queues are emptied now and then
_STAMP_FAULTS = {
    "duplicates": "images came with a stamp that an image of their topic had before",
    "out_of_order": "images came later than newer ones that were used already",
    "frame_mismatch": "color images came in another frame_id than color/camera_info",
}


@dataclass(frozen=True)
class PairingReport:
    """What is wrong now. `unpaired`: why no frame comes at all, "" while some do."""

    unpaired: str
    complaints: tuple[str, ...]


class PairingHealth:
    """Follows the stamps of both topics, given by name for people. Owned by the executor's thread."""

    def __init__(self, color: str, depth: str, *, length: int, max_skew_s: float) -> None:
        self._names = f"{color} and {depth}"
        self._max_skew_s = max_skew_s
        self._color_ns: deque[int] = deque(maxlen=length)
        self._depth_ns: deque[int] = deque(maxlen=length)
        self._told: Mapping[str, int] = {}
        self._unpaired_s = -math.inf
        self._recent: dict[str, tuple[float, str]] = {}  # what is told for a while: since when, and in which words
        self._stamp_faults: dict[str, int] = {}
        self.skew_s: float | None = None  # of the newest pictures, paired or not

    def color(self, stamp_ns: int) -> None:
        """Tell of a color image."""
        self._color_ns.append(stamp_ns)
        self._measure(stamp_ns, self._depth_ns)

    def depth(self, stamp_ns: int) -> None:
        """Tell of a depth image."""
        self._depth_ns.append(stamp_ns)
        self._measure(stamp_ns, self._color_ns)

    def report(self, counts: Mapping[str, int], now_s: float) -> PairingReport:
        """What `counts` (of the intake) say that is news, told for TOLD_S; begins the next window."""
        new = {name: count - self._told.get(name, 0) for name, count in counts.items()}
        self._told = dict(counts)
        left_over = min(new["unmatched_color"], new["unmatched_depth"])
        if new["pairs"]:
            self._unpaired_s = -math.inf
        elif left_over:
            self._unpaired_s = now_s
        if 0 < new["pairs"] < left_over and left_over >= FEW:
            both = new["pairs"] + left_over
            self._recent["few"] = now_s, f"only {new['pairs']} of {both} color images pair with depth: {self._apart}"
        self._note_stamp_faults(new, now_s)
        self._recent = {name: found for name, found in self._recent.items() if now_s - found[0] < TOLD_S}
        told = tuple(words for _, words in self._recent.values())
        unpaired = now_s - self._unpaired_s < TOLD_S and self.skew_s is not None
        return PairingReport(f"color and depth never pair: {self._apart}" if unpaired else "", told)

    @property
    def _apart(self) -> str:
        skew_s = self.skew_s or 0.0
        return f"stamps on {self._names} are {skew_s:.3f} s apart and input.max_skew_s is {self._max_skew_s:g}; " + (
            "raise it where cameras are not synchronised" if skew_s < 1 else "both must come from one clock"
        )

    def _note_stamp_faults(self, new: Mapping[str, int], now_s: float) -> None:
        for name, words in _STAMP_FAULTS.items():
            if name not in self._recent:
                self._stamp_faults[name] = 0
            if new[name]:
                self._stamp_faults[name] += new[name]
                unfilled = name == "duplicates" and 0 in (*self._color_ns, *self._depth_ns)
                way_out = ": it is 0, the driver must fill header.stamp" if unfilled else ""
                self._recent[name] = now_s, f"{self._stamp_faults[name]} {words}{way_out}"

    def _measure(self, stamp_ns: int, others_ns: Iterable[int]) -> None:
        gaps = [abs(stamp_ns - other) for other in others_ns]
        if gaps:
            self.skew_s = min(gaps) / 1e9
