"""What SAM 2 remembers of one object: exactly what a later frame can still read, and one frame more.

Read at frame t (`_prepare_memory_conditioned_features`, sam2_base.py): every conditioning frame, the spatial memories
of t-1..t-6 and the object pointers of t-1..t-15. Masks are the same as with an endless memory as long as an object
has no more conditioning frames than slots. The frame more serves a correction of t after t itself was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

from torch import Tensor

from referent.tracking.health import Signs


@dataclass(frozen=True, eq=False)
class MemoryEntry:
    """One object in one frame; immutable, so that memories and their snapshots share it."""

    features: Tensor | None  # (h * w, C) bfloat16 tokens; None once only the pointer can be read
    pointer: Tensor  # (D,) in the compute dtype

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(part.nbytes for part in (self.features, self.pointer) if part is not None)

    def owned(self) -> MemoryEntry:
        """The same without views of larger tensors, so that keeping it keeps no other object's data."""
        return MemoryEntry(None if self.features is None else _owned(self.features), _owned(self.pointer))


@dataclass(frozen=True, eq=False)
class MemoryReading:
    """What one frame reads of one object, in the official order."""

    spatial: tuple[tuple[int, MemoryEntry], ...]  # (slot, entry); slot 0 = conditioning, else 1 = most recent
    pointers: tuple[tuple[int, Tensor], ...]  # (age in frames >= 0, pointer); conditioning frames first

    def __bool__(self) -> bool:
        return bool(self.spatial)


@dataclass(frozen=True)
class MemoryBounds:
    """How many frames of which kind can be read."""

    cond_slots: int
    spatial_frames: int  # beside the conditioning frames
    pointer_frames: int

    @classmethod
    def of_model(cls, model: Any, *, cond_slots: int) -> MemoryBounds:
        """The bounds of a `SAM2Base`."""
        return cls(cond_slots, model.num_maskmem - 1, model.max_obj_ptrs_in_encoder - 1)


class Fate(Enum):
    """What becomes of a tracked frame."""

    FORGOTTEN = "forgotten"
    TRACKED = "tracked"  # remembered while it is recent
    ANCHOR = "anchor"  # remembered like a prompted frame


class MemoryPolicy(Protocol):
    """Decides what is written and read. Has no state: one serves all objects. Frame numbers come in order."""

    def fate(self, signs: Signs, *, frames_since_conditioning: int) -> Fate:
        """What becomes of the newest frame."""
        ...

    def spatial(self, index: int, tracked: Sequence[int], bounds: MemoryBounds) -> list[tuple[int, int]]:
        """(slot, frame) of the spatial memories that frame `index` reads, oldest first."""
        ...

    def pointers(self, index: int, tracked: Sequence[int], bounds: MemoryBounds) -> list[int]:
        """The frames whose pointers frame `index` reads, most recent first."""
        ...

    def horizon(self, newest: int, tracked: Sequence[int], bounds: MemoryBounds) -> tuple[int, int]:
        """The oldest frames whose features, and whose pointer, `newest` or a later frame can read."""
        ...


class ObjectMemory:
    """Conditioning (prompted or anchor) and tracked frames of one object, by frame number; bounded."""

    def __init__(self, bounds: MemoryBounds, policy: MemoryPolicy) -> None:
        self._bounds = bounds
        self._policy = policy
        self._conditioning: dict[int, MemoryEntry] = {}
        self._anchors: frozenset[int] = frozenset()
        self._tracked: dict[int, MemoryEntry] = {}
        self._newest = -1

    def prompt(self, index: int, entry: MemoryEntry) -> None:
        """Remember a prompted frame, which may lie in the past: the tracked frames after it stay."""
        self._condition(index, entry)
        self._anchors -= {index}
        self._settle(index)

    def track(self, index: int, entry: MemoryEntry, signs: Signs) -> None:
        """Let the policy decide what is remembered of a tracked frame, the newest so far."""
        fate = self._policy.fate(signs, frames_since_conditioning=index - max(self._conditioning, default=index))
        if fate is Fate.ANCHOR:
            self._condition(index, entry)
            self._anchors |= {index}
        elif fate is Fate.TRACKED:
            self._tracked[index] = entry
        self._settle(index)

    def read(self, index: int) -> MemoryReading:
        """What frame `index` reads; empty when there is no conditioning frame."""
        if not self._conditioning:
            return MemoryReading((), ())
        tracked = sorted(self._tracked)
        spatial = [(0, entry) for entry in self._conditioning.values()]
        spatial += [(slot, self._tracked[i]) for slot, i in self._policy.spatial(index, tracked, self._bounds)]
        pointers = [(index - i, entry.pointer) for i, entry in self._conditioning.items() if i <= index]
        recent = self._policy.pointers(index, tracked, self._bounds)
        pointers += [(index - i, self._tracked[i].pointer) for i in recent]
        return MemoryReading(tuple(spatial), tuple(pointers))

    def before(self, index: int) -> ObjectMemory:
        """What was remembered before frame `index`, the newest or the one before it; entries are shared."""
        memory = ObjectMemory(self._bounds, self._policy)
        memory._conditioning = {i: entry for i, entry in self._conditioning.items() if i < index}
        memory._anchors = frozenset(i for i in self._anchors if i < index)
        memory._tracked = {i: entry for i, entry in self._tracked.items() if i < index}
        memory._newest = min(self._newest, index - 1)
        return memory

    def prompted_before(self, index: int) -> ObjectMemory:
        """A memory of the conditioning frames before frame `index` alone: how the object looked when it was shown."""
        memory = self.before(index)
        memory._tracked.clear()
        return memory

    def snapshot(self) -> ObjectMemory:
        """The memory as it is now; entries are shared."""
        return self.before(self._newest + 1)

    @property
    def entries(self) -> Iterator[MemoryEntry]:
        """All that is remembered, in no order."""
        yield from self._conditioning.values()
        yield from self._tracked.values()

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(entry.nbytes for entry in self.entries)

    def _condition(self, index: int, entry: MemoryEntry) -> None:
        # The official predictor, too, drops the tracked output of a frame that becomes a conditioning frame.
        self._tracked.pop(index, None)
        self._conditioning[index] = entry.owned()

    def _settle(self, index: int) -> None:
        self._newest = max(self._newest, index)
        self._free_a_slot()
        self._prune()

    def _free_a_slot(self) -> None:
        """A conditioning frame that loses its slot counts as tracked from then on, as an unselected one does."""
        index = _slot_to_free(sorted(self._conditioning), self._anchors, self._bounds.cond_slots)
        if index is not None:
            self._tracked[index] = self._conditioning.pop(index)
            self._anchors -= {index}

    def _prune(self) -> None:
        features_from, pointers_from = self._policy.horizon(self._newest, sorted(self._tracked), self._bounds)
        for index, entry in list(self._tracked.items()):
            if index < min(features_from, pointers_from):
                del self._tracked[index]
            elif entry.features is None:
                continue
            elif index < features_from:
                self._tracked[index] = replace(entry, features=None)
            elif index < self._newest - self._bounds.spatial_frames:
                # Its neighbours in the batch are gone by now; do not keep their part of the tensors.
                self._tracked[index] = entry.owned()


def _slot_to_free(conditioning: Sequence[int], anchors: frozenset[int], slots: int) -> int | None:
    """The conditioning frame to give up: a prompt between the first and the newest, else the oldest anchor."""
    if len(conditioning) <= slots:
        return None
    prompted = [index for index in conditioning if index not in anchors]
    if len(prompted) > 2:
        return prompted[1]
    return min(anchors, default=prompted[0])


def _owned(tensor: Tensor) -> Tensor:
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
