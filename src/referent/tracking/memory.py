"""What SAM 2 remembers of one object: exactly what a later frame can still read, and nothing more.

Read at frame t (`_prepare_memory_conditioned_features`, sam2_base.py): every conditioning frame, the spatial memories
of t-1..t-6 and the object pointers of t-1..t-15. Masks are the same as with an endless memory as long as an object
has no more prompted frames than it has conditioning slots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class MemoryEntry:
    """One object in one frame."""

    features: Tensor | None  # (1, C, h, w) bfloat16; None once only the pointer can be read
    pointer: Tensor  # (1, D) float32

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(part.nbytes for part in (self.features, self.pointer) if part is not None)


@dataclass(frozen=True)
class MemoryBounds:
    """How far back, in frames, what can be read, and how many prompted frames stay."""

    cond_slots: int
    spatial_frames: int
    pointer_frames: int

    @classmethod
    def of_model(cls, model: Any, *, cond_slots: int) -> MemoryBounds:
        """The reach of a `SAM2Base`; with a temporal stride r, (num_maskmem - 2) * r + 1 frames back."""
        reach = (model.num_maskmem - 2) * model.memory_temporal_stride_for_eval + 1
        return cls(cond_slots, reach, model.max_obj_ptrs_in_encoder - 1)


class ObjectMemory:
    """Prompted (conditioning) and tracked frames of one object, by frame number. Bounded by `MemoryBounds`."""

    def __init__(self, bounds: MemoryBounds) -> None:
        self._bounds = bounds
        self._conditioning: dict[int, MemoryEntry] = {}
        self._tracked: dict[int, MemoryEntry] = {}

    def write(self, index: int, entry: MemoryEntry, *, prompted: bool) -> None:
        """Remember frame `index`, the newest so far, and forget what no later frame can read."""
        if prompted:
            self._conditioning[index] = entry
            self._free_a_slot()
        else:
            self._tracked[index] = entry
        self._prune(newest=index)

    def conditioning_before(self, index: int) -> ObjectMemory:
        """A memory of the prompted frames before `index` alone: a start for tracking anew from there."""
        memory = ObjectMemory(self._bounds)
        memory._conditioning = {i: entry for i, entry in self._conditioning.items() if i < index}
        return memory

    def read(self, position_encoding: Tensor) -> dict[str, dict[int, dict[str, Any]]]:
        """The memory in the words of `SAM2Base`; `position_encoding` (1, C, h, w) is that of every spatial memory."""
        return {
            "cond_frame_outputs": _as_outputs(self._conditioning, position_encoding),
            "non_cond_frame_outputs": _as_outputs(self._tracked, position_encoding),
        }

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(entry.nbytes for kind in (self._conditioning, self._tracked) for entry in kind.values())

    def _free_a_slot(self) -> None:
        """Past the bound, keep the first prompted frame and the newest; the next oldest counts as tracked from then."""
        if len(self._conditioning) > self._bounds.cond_slots:
            oldest_first = sorted(self._conditioning)
            index = oldest_first[1 if self._bounds.cond_slots > 1 else 0]
            self._tracked[index] = self._conditioning.pop(index)

    def _prune(self, *, newest: int) -> None:
        # The next reader is frame newest + 1, which sees newest - (frames - 1) and later.
        for index, entry in list(self._tracked.items()):
            if index <= newest - max(self._bounds.pointer_frames, self._bounds.spatial_frames):
                del self._tracked[index]
            elif index <= newest - self._bounds.spatial_frames and entry.features is not None:
                self._tracked[index] = replace(entry, features=None)


def _as_outputs(entries: dict[int, MemoryEntry], position_encoding: Tensor) -> dict[int, dict[str, Any]]:
    return {
        index: {"maskmem_features": entry.features, "maskmem_pos_enc": [position_encoding], "obj_ptr": entry.pointer}
        for index, entry in entries.items()
    }
