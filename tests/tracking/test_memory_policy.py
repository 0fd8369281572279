"""Which frames the anchored memory keeps, as DAM4SAM and SAMURAI recommend, and what a later frame reads of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from memories import BOUNDS, WELL_SEEN, an_entry, pointers, spatial

from referent.errors import ConfigError
from referent.tracking.health import Signs
from referent.tracking.memory import Fate, MemoryBounds, MemoryEntry, ObjectMemory
from referent.tracking.memory_policy import policy_of

ABSENT = replace(WELL_SEEN, object_score=-3.0, area=0.0, area_ratio=0.0)
DOUBTFUL = replace(WELL_SEEN, predicted_iou=0.5)
TOLD_APART = replace(WELL_SEEN, alternative_iou=0.6)
FOUR_SLOTS = MemoryBounds(cond_slots=4, spatial_frames=6, pointer_frames=15)


def an_anchored_memory(
    signs: Mapping[int, Signs], *, until: int, prompted: tuple[int, ...] = (0,), bounds: MemoryBounds = FOUR_SLOTS
) -> ObjectMemory:
    """Frames 0 to `until`, well seen where `signs` says nothing else."""
    memory = ObjectMemory(bounds, policy_of("anchored"))
    for index in range(until + 1):
        if index in prompted:
            memory.prompt(index, an_entry(index))
        else:
            memory.track(index, an_entry(index), signs.get(index, WELL_SEEN))
    return memory


def conditioning(memory: ObjectMemory, index: int) -> list[int]:
    return sorted(frame for slot, frame in spatial(memory, index) if slot == 0)


def test_the_official_policy_remembers_absence_too() -> None:
    policy = policy_of("official")
    assert {policy.fate(s, frames_since_conditioning=9) for s in (WELL_SEEN, ABSENT, TOLD_APART)} == {Fate.TRACKED}


def test_absent_and_doubtful_frames_are_not_remembered() -> None:
    memory = an_anchored_memory({3: ABSENT, 5: DOUBTFUL}, until=7)
    assert spatial(memory, 8) == [(0, 0), (5, 1), (4, 2), (3, 4), (2, 6), (1, 7)]
    assert pointers(memory, 8) == [(8, 0), (1, 7), (2, 6), (4, 4), (6, 2), (7, 1)]


def test_however_long_an_object_is_away_its_last_six_views_stay() -> None:
    memory = an_anchored_memory(dict.fromkeys(range(20, 501), ABSENT), until=500)
    assert spatial(memory, 501) == [(0, 0), *((20 - frame, frame) for frame in range(14, 20))]
    assert pointers(memory, 501)[:3] == [(501, 0), (482, 19), (483, 18)], "slots count views, pointer ages are true"
    assert len(memory.read(501).pointers) == 1 + 15


def test_without_gaps_both_policies_read_the_same() -> None:
    anchored, official = (ObjectMemory(BOUNDS, policy_of(name)) for name in ("anchored", "official"))
    for index in range(40):
        for memory in (anchored, official):
            if index in (0, 13):
                memory.prompt(index, an_entry(index))
            else:
                memory.track(index, an_entry(index), WELL_SEEN)
    assert spatial(anchored, 40) == spatial(official, 40)
    assert pointers(anchored, 40)[:17] == pointers(official, 40)


def test_an_object_told_apart_from_a_look_alike_leaves_an_anchor() -> None:
    memory = an_anchored_memory({20: TOLD_APART}, until=60)
    assert conditioning(memory, 61) == [0, 20]


@pytest.mark.parametrize(
    "unresolved",
    [
        replace(TOLD_APART, object_score=-1.0),
        replace(TOLD_APART, predicted_iou=0.8),
        replace(TOLD_APART, alternative_iou=0.71),
        replace(TOLD_APART, area_ratio=1.25),
        replace(TOLD_APART, area_ratio=0.75),
    ],
    ids=["absent", "unsure", "no look-alike", "grown", "shrunk"],
)
def test_without_certainty_there_is_no_anchor(unresolved: Signs) -> None:
    assert conditioning(an_anchored_memory({20: unresolved}, until=30), 31) == [0]


def test_anchors_keep_a_distance_from_each_other_and_from_prompts() -> None:
    memory = an_anchored_memory(dict.fromkeys(range(1, 13), TOLD_APART), until=13)
    assert conditioning(memory, 14) == [0, 5, 10]


def test_the_oldest_anchor_makes_room_and_the_first_and_newest_prompts_stay() -> None:
    signs = dict.fromkeys((10, 20, 40, 50), TOLD_APART)
    assert conditioning(an_anchored_memory(signs, prompted=(0, 30), until=39), 40) == [0, 10, 20, 30]
    assert conditioning(an_anchored_memory(signs, prompted=(0, 30), until=49), 50) == [0, 20, 30, 40]
    assert conditioning(an_anchored_memory(signs, prompted=(0, 30), until=59), 60) == [0, 30, 40, 50]


def test_a_prompt_between_others_gives_way_before_any_anchor() -> None:
    memory = an_anchored_memory({10: TOLD_APART, 40: TOLD_APART}, prompted=(0, 20, 30), until=45)
    assert conditioning(memory, 46) == [0, 10, 30, 40]


def test_where_prompts_fill_the_slots_there_are_no_anchors() -> None:
    for slots, expected in ((1, [30]), (2, [0, 30])):
        bounds = replace(FOUR_SLOTS, cond_slots=slots)
        memory = an_anchored_memory({10: TOLD_APART, 40: TOLD_APART}, prompted=(0, 30), until=42, bounds=bounds)
        assert conditioning(memory, 43) == expected


def test_an_endless_stream_of_look_alikes_and_prompts_keeps_memory_bounded() -> None:
    signs = {index: (ABSENT, TOLD_APART, DOUBTFUL, WELL_SEEN)[index // 3 % 4] for index in range(3000)}
    sizes = {
        until: len(list(an_anchored_memory(signs, prompted=tuple(range(0, until, 50)), until=until).entries))
        for until in (299, 2999)
    }
    assert sizes == {299: 4 + 16, 2999: 4 + 16}


def test_an_entry_that_outlives_its_batch_stops_sharing_its_tensors() -> None:
    memory = ObjectMemory(BOUNDS, policy_of("anchored"))
    memory.prompt(0, an_entry(0))
    for index in range(1, 30):
        features, points = torch.zeros(5, 4, 4, dtype=torch.bfloat16), torch.zeros(5, 8)
        memory.track(index, MemoryEntry(features[2], points[2]), WELL_SEEN if index < 10 else ABSENT)
    kept = [entry.features for entry in memory.entries if entry.features is not None]
    assert all(features.untyped_storage().nbytes() == features.nbytes for features in kept)


def test_an_unknown_policy_is_refused_by_the_settings_name() -> None:
    with pytest.raises(ConfigError, match=r"tracker\.memory_policy"):
        policy_of("best")
