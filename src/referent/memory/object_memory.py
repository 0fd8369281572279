"""The memory itself: notes sightings, answers phrases, forgets. Read `remember` and `find` first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np

from referent.config import MemoryConfig
from referent.memory.absence import is_empty, seen_through
from referent.memory.association import Bond, associate
from referent.memory.crops import crop_of, crop_quality, jpeg_from_rgb
from referent.memory.matching import match_score
from referent.memory.notebook import Look, Notebook
from referent.memory.places import Place, carried, checked_rigid, published
from referent.memory.records import Entry, Remembered, place_at, score_at
from referent.memory.sightings import Sighting, sightings_in
from referent.types import Array, FrameResult, RgbdFrame, TrackState

_SAME_CLOCK_NS = 60_000_000_000  # frames farther apart than this do not tell how old anything is
_BETTER, _FRESH = 1.1, 0.5  # a picture replaces the one kept when it shows so much of what that does; of a new visit


def open_memory(config: MemoryConfig) -> ObjectMemory | None:
    """The memory that is configured; None when `memory.frame` is empty. Raises ConfigError, see `ObjectMemory`."""
    if not config.frame:
        return None
    return ObjectMemory(Path(config.path).expanduser() if config.path else None, config)


class ObjectMemory:
    """What was seen where in `config.frame`, bounded and kept in a file. Every method may be called from any thread."""

    def __init__(self, path: Path | None, config: MemoryConfig) -> None:
        """Opens or makes the file at `path`; None keeps everything in RAM.

        Raises ConfigError, and leaves the file as it is, when it is damaged, another program's, of another version or
        coordinate frame, in use, or cannot be written.
        """
        self._config = config
        self._lock = Lock()
        self._book = Notebook(path, config)
        self._bonds: OrderedDict[str, Bond] = OrderedDict()  # by track id; the newest max_objects
        self._unsaved: dict[int, Sighting] = {}  # the newest look at what is in sight and not due yet
        self._followed: Mapping[int, tuple[str, TrackState]] = {}  # track id and state by memory id
        self._looked_ns: int | None = None
        self._newest_ns: int | None = None

    def __len__(self) -> int:
        return len(self._book.entries)

    @property
    def counts(self) -> dict[str, int]:
        """Totals since the start: notes, new, merged, evicted, expired, unplaced (frames), unusable (poses)."""
        with self._lock:
            return dict(self._book.counts)

    def remember(self, result: FrameResult, frame: RgbdFrame, fixed_from_camera: Array | None) -> None:
        """Note what `result` says is tracked, seen and measured in `frame`; each object once in `interval_s`.

        `fixed_from_camera` (4, 4) is that of the frame's stamp; when it is None nothing is noted, which is counted.
        Raises MemoryUnavailable when the file cannot be written, BadMessage for what is no rigid transform.
        """
        if fixed_from_camera is None:
            with self._lock:
                self._book.counts["unplaced"] += bool(result.objects)
                self._note_followed(result)
            return
        fixed_from_camera = checked_rigid("fixed_from_camera", fixed_from_camera)
        sightings, unusable = sightings_in(result, fixed_from_camera, self._config)
        with self._lock:
            self._book.counts["unusable"] += unusable
            in_sight = self._take(sightings, frame)
            self._note_followed(result)
            self._look_after_the_others(frame, fixed_from_camera, in_sight)

    def let_go(self) -> None:
        """Nothing is followed any more, until the next result."""
        with self._lock:
            self._followed = {}

    def find(
        self, phrase: str = "", *, near_m: Array | None = None, radius_m: float | None = None, now_ns: int
    ) -> list[Remembered]:
        """What fits the phrase, the best first: by match, then the nearer to `near_m` (3,), or else the surer.

        An empty phrase is fitted by everything. With `radius_m` only what is so near to `near_m`. Covariances and
        scores are those of `now_ns`. Raises MemoryUnavailable, and ValueError for a radius around nothing.
        """
        if radius_m is not None and near_m is None:
            raise ValueError(f"radius_m is {radius_m}, but near_m, what it is around, is not given")
        with self._lock:
            self._note_unsaved(tuple(self._unsaved))
            fitting = [
                self._answer(entry, match, now_ns)
                for entry in self._book.entries
                if _is_within(entry.place, near_m, radius_m)
                and not self._book.is_too_old(entry, now_ns)
                and (match := match_score(phrase, entry.names)) > 0
            ]
        return sorted(fitting, key=lambda answer: _rank(answer, near_m))

    def forget(self, memory_id: str) -> bool:
        """Forget one object, in the file too; False when there is none of that id. What is seen again is new."""
        with self._lock:
            known = [entry.memory_id for entry in self._book.entries if str(entry.memory_id) == memory_id]
            self._drop(known)
            return bool(known)

    def clear(self) -> None:
        """Forget everything, in the file too."""
        with self._lock:
            self._drop([entry.memory_id for entry in self._book.entries])

    def reexpress(self, new_from_old: Array, *, since_ns: int | None = None) -> None:
        """Carry places over a jump of the fixed frame, (4, 4); with `since_ns` only what was seen at or after it.

        Raises BadMessage for what is no rigid transform, MemoryUnavailable when the file cannot be written.
        """
        new_from_old = checked_rigid("new_from_old", new_from_old)
        with self._lock:
            self._note_unsaved(tuple(self._unsaved))
            jumped = [e for e in self._book.entries if since_ns is None or e.last_seen_ns >= since_ns]
            self._book.update([replace(entry, place=carried(entry.place, new_from_old)) for entry in jumped])
            ids = {entry.memory_id for entry in jumped}
            for object_id, bond in self._bonds.items():
                if bond.memory_id in ids:
                    self._bonds[object_id] = replace(bond, place=carried(bond.place, new_from_old))

    def close(self) -> None:
        """Note what is not noted yet, and let go of the file."""
        with self._lock:
            try:
                self._note_unsaved(tuple(self._unsaved))
            finally:
                self._book.close()

    def _note_followed(self, result: FrameResult) -> None:
        self._followed = {
            bond.memory_id: (thing.target.id, thing.state)
            for thing in result.objects
            if (bond := self._bonds.get(thing.target.id)) is not None
        }

    def _take(self, sightings: Sequence[Sighting], frame: RgbdFrame) -> frozenset[int]:
        """Note the sightings that are due and hold the others; the memory ids in sight."""
        ids = self._ids_of(sightings)
        for memory_id, sighting in zip(ids, sightings, strict=True):
            self._bind(sighting, memory_id)
            self._unsaved[memory_id] = sighting
        due = [i for i in ids if self._is_due(i, self._unsaved[i])]
        looks = [self._look(memory_id, self._unsaved[memory_id], frame) for memory_id in due]
        out_of_sight = self._unsaved.keys() - set(ids)
        looks += [Look(memory_id, self._unsaved[memory_id]) for memory_id in sorted(out_of_sight)]
        for look in looks:
            del self._unsaved[look.memory_id]
        self._book.note(looks, in_sight=ids)
        return frozenset(ids)

    def _ids_of(self, sightings: Sequence[Sighting]) -> list[int]:
        """Which memory each sighting is of; new ids for new things."""
        if not sightings:
            return []
        near = self._book.near(np.array([s.place.position_m for s in sightings]), self._config.gate_max_m)
        bonded = [self._bonds[i].memory_id for s in sightings for i in s.object_ids if i in self._bonds]
        known = [entry for memory_id in bonded if (entry := self._book.get(memory_id)) is not None]
        candidates = {entry.memory_id: entry for entry in (*near, *known)}
        chosen = associate(sightings, candidates, self._bonds, self._config)
        return [chosen[i] if i in chosen else self._book.new_id() for i in range(len(sightings))]

    def _bind(self, sighting: Sighting, memory_id: int) -> None:
        for object_id, generation in zip(sighting.object_ids, sighting.generations, strict=True):
            self._bonds[object_id] = Bond(memory_id, generation, sighting.changed, sighting.place)
            self._bonds.move_to_end(object_id)
        while len(self._bonds) > self._config.max_objects:
            self._bonds.popitem(last=False)

    def _is_due(self, memory_id: int, sighting: Sighting) -> bool:
        entry = self._book.get(memory_id)
        if entry is None or entry.visit not in sighting.object_ids or sighting.stamp_ns < entry.last_seen_ns:
            return True
        return sighting.stamp_ns - entry.last_seen_ns >= self._config.interval_s * 1e9

    def _look(self, memory_id: int, sighting: Sighting, frame: RgbdFrame) -> Look:
        """With a picture, when it is worth keeping instead of the one there is."""
        entry = self._book.get(memory_id)
        quality = crop_quality(sighting.mask, sighting.score)
        if entry is not None:
            newer = entry.visit not in sighting.object_ids  # it may look otherwise by now
            if quality < entry.crop_quality * (_FRESH if newer else _BETTER):
                return Look(memory_id, sighting)
        return Look(
            memory_id, sighting, jpeg_from_rgb(crop_of(frame.rgb, sighting.mask, self._config.crop_px)), quality
        )

    def _note_unsaved(self, memory_ids: Iterable[int]) -> None:
        looks = [Look(memory_id, self._unsaved.pop(memory_id)) for memory_id in memory_ids]
        self._book.note(looks, in_sight={look.memory_id for look in looks})

    def _look_after_the_others(self, frame: RgbdFrame, fixed_from_camera: Array, in_sight: frozenset[int]) -> None:
        """Once in `interval_s`: forget what is too old, and count looks at places that are empty now."""
        now_ns, before_ns = frame.stamp_ns, self._looked_ns
        previous_ns, self._newest_ns = self._newest_ns, now_ns
        if before_ns is not None and 0 <= now_ns - before_ns < self._config.interval_s * 1e9:
            return
        self._looked_ns = now_ns
        if previous_ns is not None and 0 <= now_ns - previous_ns <= _SAME_CLOCK_NS:  # else the stamp may be nonsense
            self._book.expire(now_ns)
        looked_at = self._book.where(seen_through(frame, fixed_from_camera, self._book.positions_m))
        empty = [
            replace(entry, empty_looks=entry.empty_looks + 1)
            for entry in looked_at
            if entry.memory_id not in in_sight
            and not entry.gone
            and is_empty(frame, fixed_from_camera, self._place_at(entry, now_ns))
        ]
        self._book.update(empty)

    def _drop(self, memory_ids: Sequence[int]) -> None:
        for memory_id in memory_ids:
            self._unsaved.pop(memory_id, None)
        if memory_ids:
            self._book.delete(memory_ids, settled=True)

    def _place_at(self, entry: Entry, now_ns: int) -> Place:
        return published(place_at(entry, now_ns, self._config), self._config)

    def _answer(self, entry: Entry, match: float, now_ns: int) -> Remembered:
        place = self._place_at(entry, now_ns)
        object_id, state = self._followed.get(entry.memory_id, ("", TrackState.LOST))
        return Remembered(
            memory_id=str(entry.memory_id),
            object_id=object_id,
            label=entry.label,
            expression=entry.expression,
            fixed_frame=self._config.frame,
            fixed_from_object=place.fixed_from_object,
            covariance=place.covariance,
            size_m=place.size_m,
            first_seen_ns=entry.first_seen_ns,
            last_seen_ns=entry.last_seen_ns,
            sightings=entry.sightings,
            score=score_at(entry, now_ns, self._config),
            state=state,
            how=entry.how,
            match=match,
            crop_jpeg=self._book.crop(entry.memory_id),
            gone=entry.gone,
        )


def _is_within(place: Place, near_m: Array | None, radius_m: float | None) -> bool:
    if near_m is None or radius_m is None:
        return True
    return float(np.linalg.norm(place.position_m - near_m)) <= radius_m


def _rank(answer: Remembered, near_m: Array | None) -> tuple[float, float, float, int]:
    """The smaller, the better it answers."""
    away_m = 0.0 if near_m is None else float(np.linalg.norm(answer.fixed_from_object[:3, 3] - near_m))
    return (-answer.match, away_m, -answer.score, -answer.last_seen_ns)
