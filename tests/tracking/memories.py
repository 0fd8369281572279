"""Builders: memory entries that can be told by their frame, and what a frame reads of a memory."""

from __future__ import annotations

import torch

from referent.tracking.health import Signs
from referent.tracking.memory import MemoryBounds, MemoryEntry, ObjectMemory

BOUNDS = MemoryBounds(cond_slots=3, spatial_frames=6, pointer_frames=15)
WELL_SEEN = Signs(object_score=6.0, predicted_iou=0.9, stability=1.0, alternative_iou=1.0, area=0.1)


def an_entry(index: int) -> MemoryEntry:
    """An entry that can be told by its frame."""
    return MemoryEntry(torch.full((4, 4), index, dtype=torch.bfloat16), torch.full((8,), float(index)))


def spatial(memory: ObjectMemory, index: int) -> list[tuple[int, int]]:
    """(slot, frame) of what is read, in order."""
    return [(slot, _frame_of(entry)) for slot, entry in memory.read(index).spatial]


def pointers(memory: ObjectMemory, index: int) -> list[tuple[int, int]]:
    """(age, frame) of what is read, in order."""
    return [(age, int(pointer[0])) for age, pointer in memory.read(index).pointers]


def _frame_of(entry: MemoryEntry) -> int:
    assert entry.features is not None
    return int(entry.features[0, 0])
