"""What is known about one remembered object, inside the memory and as it is handed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from referent.config import MemoryConfig
from referent.memory.places import Place, aged, fused, has_moved
from referent.memory.sightings import Sighting
from referent.memory.words import names_after
from referent.types import Array, Provenance, TrackState

GONE_AFTER = 3  # looks at its place that went through it, a note's interval apart
_GONE_SCORE = 0.1  # what is left of the score then


@dataclass(frozen=True, eq=False)
class Remembered:
    """The answer to "where is it?": what was seen, where and when, and how far it fits the phrase asked for."""

    memory_id: str  # of this memory file, never given to another object
    object_id: str  # the id it is followed under now, "" when it is not followed
    label: str
    expression: str  # by which it was found last
    fixed_frame: str
    fixed_from_object: Array  # (4, 4) float64
    covariance: Array  # (6, 6) float64 in ROS order about the fixed axes, at the time asked for
    size_m: Array  # (3,) float64
    first_seen_ns: int
    last_seen_ns: int
    sightings: int  # notes it was made from
    score: float  # in [0, 1]: how sure the grounding was, halved for every half-life without a look
    state: TrackState  # of its track; LOST when none follows it
    how: Provenance | None  # how it was found
    match: float  # in [0, 1]: how far it fits the phrase
    crop_jpeg: bytes | None  # RGB picture of it, itself in the middle half (`box_in_crop`)
    gone: bool = False  # its place was looked at since, and it was not there


@dataclass(frozen=True, eq=False)
class Entry:
    """One remembered object as it was when it was seen last."""

    memory_id: int
    place: Place
    label: str
    expression: str
    names: tuple[str, ...]  # what it was called, the newest first; no two contradict each other
    first_seen_ns: int
    last_seen_ns: int
    sightings: int
    order: int  # counts notes of the whole memory: who was seen longest ago, whatever clocks did
    score: float
    how: Provenance | None
    visit: str = ""  # the track it was noted from last; "" = one of an earlier run
    crop_quality: float = 0.0
    empty_looks: int = 0

    @property
    def gone(self) -> bool:
        """Whether its place was looked at often enough without it."""
        return self.empty_looks >= GONE_AFTER


def first_entry(memory_id: int, sighting: Sighting, *, order: int) -> Entry:
    """A thing seen for the first time."""
    return Entry(
        memory_id=memory_id,
        place=sighting.place,
        label=sighting.label,
        expression=sighting.expression,
        names=names_after((), sighting.names),
        first_seen_ns=sighting.stamp_ns,
        last_seen_ns=sighting.stamp_ns,
        sightings=1,
        order=order,
        score=sighting.score,
        how=sighting.how,
        visit=sighting.object_id,
    )


def seen_again(entry: Entry, sighting: Sighting, *, order: int, config: MemoryConfig) -> Entry:
    """`entry` after one more look: where it is now if it moved, both looks together if it rests."""
    before = place_at(entry, sighting.stamp_ns, config)
    moved = sighting.moving or has_moved(before, sighting.place, config)
    same_visit = entry.visit in sighting.object_ids
    return replace(
        entry,
        place=sighting.place if moved else fused(before, sighting.place, independent=not same_visit),
        label=sighting.label,
        expression=sighting.expression,
        names=names_after(entry.names, sighting.names),
        first_seen_ns=min(entry.first_seen_ns, sighting.stamp_ns),
        last_seen_ns=sighting.stamp_ns,
        sightings=entry.sightings + 1,
        order=order,
        score=sighting.score,
        how=sighting.how,
        visit=sighting.object_id,
        empty_looks=0,
    )


def absorbing(entry: Entry, others: Sequence[Entry]) -> Entry:
    """`entry` with what older memories of the same thing knew."""
    names = entry.names
    for other in others:
        names = names_after(other.names, names)
    return replace(
        entry,
        names=names,
        first_seen_ns=min([entry.first_seen_ns, *(other.first_seen_ns for other in others)]),
        sightings=entry.sightings + sum(other.sightings for other in others),
    )


def place_at(entry: Entry, now_ns: int, config: MemoryConfig) -> Place:
    """Where it is as far as can be said at `now_ns`."""
    return aged(entry.place, age_s(entry, now_ns), config)


def age_s(entry: Entry, now_ns: int) -> float:
    """Seconds since it was seen; 0 for what was seen by a clock that is ahead (a bag that begins again)."""
    return max(now_ns - entry.last_seen_ns, 0) / 1e9


def score_at(entry: Entry, now_ns: int, config: MemoryConfig) -> float:
    """How sure it is still what and where it was, in [0, 1]."""
    halvings = age_s(entry, now_ns) / 3600 / config.half_life_h if config.half_life_h else 0.0
    return float(entry.score * 0.5**halvings * (_GONE_SCORE if entry.gone else 1.0))
