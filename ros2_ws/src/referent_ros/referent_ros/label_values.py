"""Which pixel value of the label image belongs to which track."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LARGEST_8_BIT = 254  # 255 is often read as "unlabelled"
LARGEST_16_BIT = 65534


class LabelValues:
    """Gives each track a value of its own for life; values are not taken up again before all others were used."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._newest = 0

    @property
    def by_track(self) -> Mapping[str, int]:
        """The values of the live tracks."""
        return dict(self._values)

    def update(self, track_ids: Iterable[str]) -> bool:
        """Make these the live tracks; True when that changed anything."""
        wanted = tuple(track_ids)
        gone = self._values.keys() - set(wanted)
        new = [track_id for track_id in wanted if track_id not in self._values]
        for track_id in gone:
            del self._values[track_id]
        for track_id in new:
            self._values[track_id] = self._next_value()
        return bool(gone or new)

    def _next_value(self) -> int:
        taken = set(self._values.values())
        if len(taken) >= LARGEST_16_BIT:
            raise ValueError(f"{len(taken)} tracks at once: a 16-bit label image holds no more")
        self._newest = self._newest % LARGEST_16_BIT + 1
        while self._newest in taken:
            self._newest = self._newest % LARGEST_16_BIT + 1
        return self._newest
