"""What is kept of an object and of past frames, and what leaves."""

from __future__ import annotations

import itertools

import pytest
import torch

from referent.errors import FrameExpired
from referent.tracking.features import FeatureRing, FrameFeatures
from referent.tracking.memory import MemoryBounds, MemoryEntry, ObjectMemory

BOUNDS = MemoryBounds(cond_slots=3, spatial_frames=6, pointer_frames=15)
POSITION = torch.zeros(1, 4, 2, 2)


def an_entry() -> MemoryEntry:
    return MemoryEntry(torch.zeros(1, 4, 2, 2, dtype=torch.bfloat16), torch.zeros(1, 8))


def a_memory(*, prompted: set[int], until: int, bounds: MemoryBounds = BOUNDS) -> ObjectMemory:
    memory = ObjectMemory(bounds)
    for index in range(until + 1):
        memory.write(index, an_entry(), prompted=index in prompted)
    return memory


def test_frame_40_can_read_six_spatial_memories_and_fifteen_pointers() -> None:
    tracked = a_memory(prompted={0}, until=39).read(POSITION)["non_cond_frame_outputs"]
    assert sorted(tracked) == list(range(25, 40))
    assert [i for i, entry in sorted(tracked.items()) if entry["maskmem_features"] is not None] == list(range(34, 40))


def test_past_the_slots_the_first_and_the_newest_prompted_frames_stay() -> None:
    memory = a_memory(prompted={0, 10, 20, 30, 33}, until=34).read(POSITION)
    assert sorted(memory["cond_frame_outputs"]) == [0, 30, 33]
    assert 20 in memory["non_cond_frame_outputs"], "a frame that lost its slot counts as tracked while it is recent"


def test_with_a_single_slot_the_newest_prompted_frame_stays() -> None:
    bounds = MemoryBounds(cond_slots=1, spatial_frames=6, pointer_frames=15)
    memory = a_memory(prompted={0, 9}, until=12, bounds=bounds).read(POSITION)
    assert sorted(memory["cond_frame_outputs"]) == [9]


def test_a_fresh_start_takes_over_only_earlier_prompted_frames() -> None:
    memory = a_memory(prompted={0, 10, 20}, until=25).conditioning_before(15).read(POSITION)
    assert sorted(memory["cond_frame_outputs"]) == [0, 10]
    assert memory["non_cond_frame_outputs"] == {}


def a_ring(count: int, *, max_frames: int = 100, max_bytes: int = 10**9, pin: int | None = None) -> FeatureRing:
    ring = FeatureRing(max_frames=max_frames, max_bytes=max_bytes)
    for index in range(count):
        ring.add(FrameFeatures(index, 1000 + index, (4, 4), (torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4))))
        if index == pin:
            ring.pin(1000 + index)
    return ring


def test_the_history_is_bounded_by_frames_and_by_bytes_and_counts_what_left() -> None:
    one_frame = a_ring(1).nbytes
    by_frames, by_bytes = a_ring(50, max_frames=7), a_ring(50, max_bytes=7 * one_frame + 1)
    for ring in (by_frames, by_bytes):
        assert ring.indices == set(range(43, 50))
        assert ring.nbytes == 7 * one_frame
        assert ring.evicted == 43


def test_the_newest_frame_stays_even_when_it_alone_is_too_large() -> None:
    assert a_ring(3, max_bytes=1).indices == {2}


def test_while_a_frame_is_pinned_later_ones_thin_out_evenly() -> None:
    kept = sorted(a_ring(41, max_frames=9, pin=3).indices)
    assert len(kept) == 9
    assert kept[0] == 3
    assert kept[-1] == 40
    steps = [later - earlier for earlier, later in itertools.pairwise(kept)]
    assert max(steps) <= 2 * 37 / 8, f"{kept} leave a large hole"


def test_pinning_twice_needs_releasing_twice() -> None:
    ring = a_ring(5, max_frames=5)
    ring.pin(1000)
    ring.pin(1000)
    ring.pin(77)
    ring.release(1000)
    ring.add(FrameFeatures(5, 1005, (4, 4), ()))
    assert ring.at(1000).index == 0
    ring.release(1000)
    ring.release(1000)
    ring.add(FrameFeatures(6, 1006, (4, 4), ()))
    with pytest.raises(FrameExpired, match="1000"):
        ring.at(1000)
