"""What is kept of an object and of past frames, and what leaves."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

import pytest
import torch
from memories import BOUNDS, WELL_SEEN, an_entry, pointers, spatial

from referent.errors import FrameExpired
from referent.tracking.features import FeatureRing, FrameFeatures
from referent.tracking.memory import MemoryBounds, MemoryEntry, ObjectMemory
from referent.tracking.memory_policy import policy_of


def a_memory(*, prompted: Collection[int], until: int, bounds: MemoryBounds = BOUNDS) -> ObjectMemory:
    """Frames 0 to `until`, written as the official predictor writes them."""
    memory = ObjectMemory(bounds, policy_of("official"))
    for index in range(until + 1):
        if index in prompted:
            memory.prompt(index, an_entry(index))
        else:
            memory.track(index, an_entry(index), WELL_SEEN)
    return memory


def official_reading(
    index: int, prompted: Iterable[int], bounds: MemoryBounds
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """What `_prepare_memory_conditioned_features` gathers at frame `index` from an endless memory, in its own words."""
    prompted = list(prompted)
    tracked = set(range(index)) - set(prompted)
    num_maskmem = bounds.spatial_frames + 1
    gathered = [(0, t) for t in prompted]
    for t_pos in range(1, num_maskmem):
        t_rel = num_maskmem - t_pos
        if index - t_rel in tracked:
            gathered.append((t_rel, index - t_rel))
    ages = [(index - t, t) for t in prompted]
    ages += [(age, index - age) for age in range(1, bounds.pointer_frames + 1) if index - age in tracked]
    return gathered, ages


@pytest.mark.parametrize("prompted", [(0,), (0, 4), (0, 4, 11)])
def test_every_frame_reads_what_it_would_read_of_an_endless_memory(prompted: tuple[int, ...]) -> None:
    for index in range(1, 60):
        past = [t for t in prompted if t < index]
        memory = a_memory(prompted=past, until=index - 1)
        expected_spatial, expected_pointers = official_reading(index, past, BOUNDS)
        assert spatial(memory, index) == expected_spatial
        assert pointers(memory, index) == expected_pointers


def test_exactly_one_frame_more_than_can_be_read_is_kept() -> None:
    entries = list(a_memory(prompted={0}, until=99).entries)
    assert len(entries) == 1 + 16
    assert sum(entry.features is not None for entry in entries) == 1 + 7


def test_a_snapshot_taken_after_a_frame_still_tells_what_was_before_it() -> None:
    live = a_memory(prompted={0, 12}, until=40)
    snapshot = live.snapshot()
    for index in range(41, 80):
        live.track(index, an_entry(index), WELL_SEEN)
    before = a_memory(prompted={0, 12}, until=39)
    assert spatial(snapshot.before(40), 40) == spatial(before, 40)
    assert pointers(snapshot.before(40), 40) == pointers(before, 40)
    assert spatial(snapshot, 41) == spatial(a_memory(prompted={0, 12}, until=40), 41)


def test_a_snapshot_shares_its_entries() -> None:
    memory = a_memory(prompted={0}, until=20)
    assert set(map(id, memory.snapshot().entries)) == set(map(id, memory.entries))


def test_past_the_slots_the_first_and_the_newest_prompted_frames_stay() -> None:
    memory = a_memory(prompted={0, 10, 20, 30, 33}, until=34)
    assert [frame for slot, frame in spatial(memory, 35) if slot == 0] == [0, 30, 33]
    assert (15, 20) in pointers(memory, 35), "a frame that lost its slot counts as tracked while it is recent"


def test_a_frame_that_lost_its_slot_while_recent_is_read_as_a_tracked_one() -> None:
    memory = a_memory(prompted={0, 30, 32, 34}, until=34)
    assert (5, 30) in spatial(memory, 35)
    assert (5, 30) in pointers(memory, 35)


def test_with_a_single_slot_the_newest_prompted_frame_stays() -> None:
    bounds = MemoryBounds(cond_slots=1, spatial_frames=6, pointer_frames=15)
    memory = a_memory(prompted={0, 9}, until=12, bounds=bounds)
    assert [frame for slot, frame in spatial(memory, 13) if slot == 0] == [9]


def test_a_frame_confirmed_in_the_past_becomes_a_prompted_one_and_later_frames_stay() -> None:
    memory = a_memory(prompted={0}, until=30)
    memory.prompt(27, an_entry(27))
    assert spatial(memory, 31) == [(0, 0), (0, 27), (6, 25), (5, 26), (3, 28), (2, 29), (1, 30)]
    assert pointers(memory, 31)[:3] == [(31, 0), (4, 27), (1, 30)]
    memory.prompt(3, an_entry(3))
    assert [frame for slot, frame in spatial(memory, 31) if slot == 0] == [0, 27, 3]


def test_nothing_is_read_of_an_object_without_a_prompted_frame() -> None:
    assert not a_memory(prompted={5}, until=6).before(5).read(5)


def test_what_an_object_was_shown_as_before_a_frame_is_its_conditioning_frames_alone() -> None:
    memory = a_memory(prompted={0, 6, 20}, until=30).prompted_before(20)
    assert spatial(memory, 20) == [(0, 0), (0, 6)]
    assert pointers(memory, 20) == [(20, 0), (14, 6)]


def test_a_prompted_frame_does_not_keep_its_whole_batch_in_memory() -> None:
    batch = torch.zeros(10, 4, 4, dtype=torch.bfloat16), torch.zeros(10, 8)
    memory = ObjectMemory(BOUNDS, policy_of("official"))
    memory.prompt(0, MemoryEntry(batch[0][3], batch[1][3]))
    (entry,) = memory.entries
    assert entry.features is not None
    assert entry.features.untyped_storage().nbytes() == entry.features.nbytes
    assert entry.pointer.untyped_storage().nbytes() == entry.pointer.nbytes
    whole = an_entry(1)
    memory.prompt(1, whole)
    assert any(entry.features is whole.features for entry in memory.entries), "what is whole is not copied"


def test_memory_after_ten_thousand_frames_is_memory_after_a_hundred() -> None:
    assert a_memory(prompted={0}, until=100).nbytes == a_memory(prompted={0}, until=10_000).nbytes


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
