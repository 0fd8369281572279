"""Which remembered object a sighting is of: the one its track was noted under, else a like thing at the same place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from referent.config import MemoryConfig
from referent.memory.places import Place, distance_m, distance_sigmas, published
from referent.memory.records import Entry, place_at
from referent.memory.sightings import Sighting
from referent.memory.words import may_be_same
from referent.types import Provenance

_NO_MATCH = 1e6  # sigmas squared, beyond every gate
_OVERLAP = 0.25  # of its width: two solid things of one size are never so close to each other
_ALIKE = 1.5  # ratio of widths up to which two things have one size
_FOUND_ANEW = ("new", "lost", "scene_cut")  # reasons after which a track may follow another thing of the same name


@dataclass(frozen=True, eq=False)
class Bond:
    """Which memory a track of this run was noted under, and what it looked like in its newest frame."""

    memory_id: int
    generation: int
    changed: Provenance | None
    place: Place


def associate(
    sightings: Sequence[Sighting], entries: Mapping[int, Entry], bonds: Mapping[str, Bond], config: MemoryConfig
) -> dict[int, int]:
    """Memory ids by index of the sighting; one that is missing is of something new. No memory is given twice.

    `entries` are those near enough to matter, and those bonded. Sightings of one frame are of different things.
    """
    chosen: dict[int, int] = {}
    held = [(i, bond) for i, s in enumerate(sightings) if (bond := _bond_of(s, entries, bonds, config)) is not None]
    for index, bond in sorted(held, key=lambda pair: distance_m(pair[1].place, sightings[pair[0]].place)):
        if bond.memory_id not in chosen.values():
            chosen[index] = bond.memory_id
    rest = [index for index in range(len(sightings)) if index not in chosen]
    free = [entry for entry in entries.values() if entry.memory_id not in chosen.values()]
    chosen.update(_assigned(sightings, rest, free, config))
    return chosen


def same_as(entry: Entry, others: Iterable[Entry]) -> list[Entry]:
    """Other memories of what `entry` is: like things that could not stand there beside it."""
    return [
        other
        for other in others
        if other.memory_id != entry.memory_id
        and _share_a_place(entry.place, other.place)
        and may_be_same(entry.names, other.names)
    ]


def _bond_of(
    sighting: Sighting, entries: Mapping[int, Entry], bonds: Mapping[str, Bond], config: MemoryConfig
) -> Bond | None:
    """The bond of one of its tracks that still holds: the same meaning, and no leap to something found anew."""
    for object_id, generation in zip(sighting.object_ids, sighting.generations, strict=True):
        bond = bonds.get(object_id)
        if bond is None or bond.memory_id not in entries or bond.generation != generation:
            continue
        anew = sighting.changed != bond.changed and sighting.changed is not None and sighting.changed.why in _FOUND_ANEW
        if not anew or _gate(bond.place, sighting.place, config) is not None:
            return bond
    return None


def _assigned(
    sightings: Sequence[Sighting], rest: Sequence[int], free: Sequence[Entry], config: MemoryConfig
) -> dict[int, int]:
    """The best one-to-one choice among what lies within the gates; as many as can be are matched."""
    if not rest or not free:
        return {}
    costs = np.array([[_cost(sightings[index], entry, config) for entry in free] for index in rest])
    pairs = [(int(row), int(column)) for row, column in zip(*linear_sum_assignment(costs), strict=True)]
    return {rest[row]: free[column].memory_id for row, column in pairs if costs[row, column] < _NO_MATCH}


def _cost(sighting: Sighting, entry: Entry, config: MemoryConfig) -> float:
    """Sigmas squared between a sighting and a memory."""
    place = place_at(entry, sighting.stamp_ns, config)
    sigmas = _gate(place, sighting.place, config)
    if sigmas is not None and may_be_same(sighting.names, entry.names):
        return sigmas**2
    if _share_a_place(place, sighting.place):  # whatever it is called now
        return config.gate_sigmas**2
    return _NO_MATCH


def _gate(kept: Place, seen: Place, config: MemoryConfig) -> float | None:
    """Sigmas between two places, the size of the thing among them; None beyond the gates."""
    room = (min(kept.width_m, seen.width_m) * _OVERLAP) ** 2 * np.eye(3)
    spread = published(kept, config).covariance[:3, :3] + seen.covariance[:3, :3] + room
    sigmas = distance_sigmas(kept, seen, spread)
    near = sigmas <= config.gate_sigmas and distance_m(kept, seen) <= config.gate_max_m
    return sigmas if near else None


def _share_a_place(a: Place, b: Place) -> bool:
    """Whether two things of one size would stand inside each other."""
    small, large = sorted((a.width_m, b.width_m))
    return large <= _ALIKE * small and distance_m(a, b) <= _OVERLAP * small
