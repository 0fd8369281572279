"""All entries, in RAM and in their file, which are changed together: notes, merges, bounds of count and age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from referent.config import MemoryConfig
from referent.memory.association import same_as
from referent.memory.records import Entry, absorbing, age_s, first_entry, seen_again
from referent.memory.sightings import Sighting
from referent.memory.store import MemoryFile
from referent.types import Array


@dataclass(frozen=True, eq=False)
class Look:
    """One sighting to be noted under a memory id, with a picture when it shows more than the one kept."""

    memory_id: int
    sighting: Sighting
    crop_jpeg: bytes | None = None
    crop_quality: float = 0.0


class Notebook:
    """The entries, at most `max_objects`. A write that fails changes nothing in RAM either."""

    def __init__(self, path: Path | None, config: MemoryConfig) -> None:
        """Opens or makes the file. Raises ConfigError, see `MemoryFile`."""
        self._config = config
        self._file = MemoryFile(path, config.frame)
        try:
            self._entries = {entry.memory_id: entry for entry in self._file.load()}
            self._next_id = self._file.next_id()
        except BaseException:
            self._file.close()
            raise
        self._order = max((entry.order for entry in self._entries.values()), default=0)
        self._positions: Array | None = None  # (N, 3), in the order of the entries
        self.counts: Counter[str] = Counter()
        self._commit([], deleted=self._surplus(self._entries), counted="evicted")

    @property
    def entries(self) -> Collection[Entry]:
        """All of them, by id."""
        return self._entries.values()

    def get(self, memory_id: int) -> Entry | None:
        """None when it is not, or no longer, known."""
        return self._entries.get(memory_id)

    def new_id(self) -> int:
        """An id that nothing in this file has had."""
        self._next_id += 1
        return self._next_id - 1

    def near(self, positions_m: Array, radius_m: float) -> list[Entry]:
        """Entries within `radius_m` of any of (N, 3) positions."""
        offsets = self.positions_m[:, None] - positions_m[None]
        close = (np.einsum("ijk,ijk->ij", offsets, offsets) <= radius_m**2).any(axis=1)
        return self.where(close)

    def where(self, chosen: Array) -> list[Entry]:
        """Entries by a (N,) mask over `positions_m`."""
        entries = list(self._entries.values())
        return [entries[index] for index in np.flatnonzero(chosen)]

    @property
    def positions_m(self) -> Array:
        """(N, 3) of all entries, in their order."""
        if self._positions is None:
            self._positions = np.array([entry.place.position_m for entry in self.entries]).reshape(-1, 3)
        return self._positions

    def crop(self, memory_id: int) -> bytes | None:
        """The JPEG kept of an entry."""
        return self._file.crop(memory_id)

    def note(self, looks: Sequence[Look], *, in_sight: Collection[int]) -> None:
        """Write looks down, in one transaction. Memories that turn out to be of the same thing become one, unless
        they are `in_sight`; beyond `max_objects` those not seen for longest go."""
        if not looks:
            return
        noted: dict[int, Entry] = {}
        doubles: set[int] = set()
        for look in looks:
            self._order += 1
            entry = self._noted(look)
            others = [e for e in self._close_to(entry) if e.memory_id not in in_sight and e.memory_id not in noted]
            same = [e for e in same_as(entry, others) if e.memory_id not in doubles]
            doubles.update(e.memory_id for e in same)
            noted[look.memory_id] = absorbing(entry, same)
        kept = {i: e for i, e in {**self._entries, **noted}.items() if i not in doubles}
        surplus = self._surplus(kept)
        new = len(noted.keys() - self._entries.keys())
        crops = {look.memory_id: look.crop_jpeg for look in looks if look.crop_jpeg is not None}
        self._commit(list(noted.values()), crops=crops, deleted=[*doubles, *surplus])
        self.counts.update(notes=len(looks), new=new, merged=len(doubles), evicted=len(surplus))

    def update(self, entries: Sequence[Entry]) -> None:
        """Write entries that are known, as they are now."""
        self._commit(entries)

    def delete(self, memory_ids: Sequence[int], *, settled: bool = False) -> None:
        """Forget entries; `settled`: so that nothing of them is left in the file."""
        self._commit([], deleted=memory_ids)
        if settled:
            self._file.settle()

    def expire(self, now_ns: int) -> None:
        """Forget what was not seen for longer than `max_age_h`."""
        old = [entry.memory_id for entry in self.entries if self.is_too_old(entry, now_ns)]
        self._commit([], deleted=old, counted="expired")

    def is_too_old(self, entry: Entry, now_ns: int) -> bool:
        """Whether it was not seen for longer than `max_age_h`."""
        return self._config.max_age_h > 0 and age_s(entry, now_ns) > self._config.max_age_h * 3600

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _noted(self, look: Look) -> Entry:
        before = self._entries.get(look.memory_id)
        if before is None:
            entry = first_entry(look.memory_id, look.sighting, order=self._order)
        else:
            entry = seen_again(before, look.sighting, order=self._order, config=self._config)
        return entry if look.crop_jpeg is None else replace(entry, crop_quality=look.crop_quality)

    def _close_to(self, entry: Entry) -> list[Entry]:
        return self.near(entry.place.position_m[None], entry.place.width_m)

    def _surplus(self, entries: dict[int, Entry]) -> list[int]:
        """Of too many entries, the ids of those not seen for longest."""
        count = len(entries) - self._config.max_objects
        by_order = sorted(entries.values(), key=lambda entry: entry.order) if count > 0 else []
        return [entry.memory_id for entry in by_order[: max(count, 0)]]

    def _commit(
        self,
        saved: Sequence[Entry],
        *,
        crops: dict[int, bytes] | None = None,
        deleted: Iterable[int] = (),
        counted: str = "",
    ) -> None:
        """Change the file, then what is in RAM. Raises MemoryUnavailable, and then nothing has changed."""
        gone = set(deleted)
        if not saved and not gone:
            return
        with self._file.changes():
            self._file.save(entry for entry in saved)
            for memory_id, jpeg in (crops or {}).items():
                self._file.save_crop(memory_id, jpeg)
            self._file.delete(gone)
        self._entries.update((entry.memory_id, entry) for entry in saved)
        for memory_id in gone:
            self._entries.pop(memory_id, None)
        self._positions = None
        if counted:
            self.counts[counted] += len(gone)
