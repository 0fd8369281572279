"""One thing is one memory: notes of tracks in this run, of re-found things, of look-alikes and of what moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sightings import CONFIG, HOUR_NS, SECOND_NS, START_NS, Thing, a_frame, a_result, places, see, sigmas

from referent.config import MemoryConfig
from referent.errors import BadMessage
from referent.memory import ObjectMemory
from referent.types import Provenance, TrackState


def test_a_tracked_thing_is_one_memory_in_the_fixed_frame(memory: ObjectMemory) -> None:
    for frame in range(90):
        now_ns = see(memory, [Thing("1", (2.0, 0.5, 0.8))], frame / 30)
    (mug,) = memory.find(now_ns=now_ns)
    assert places([mug]).tolist() == [[2.0, 0.5, 0.8]]
    assert (mug.label, mug.expression, mug.object_id, mug.fixed_frame) == ("red mug", "the red mug", "1", "map")
    assert (mug.first_seen_ns, mug.last_seen_ns) == (START_NS, now_ns)
    assert mug.state is TrackState.TRACKING
    assert mug.how == Provenance("grounder", "new", START_NS, 1)
    assert (mug.score, mug.match) == (0.9, 1.0)
    assert 3 <= mug.sightings <= 4  # 3 s, noted once a second


def test_its_covariance_is_turned_into_the_fixed_frame(memory: ObjectMemory) -> None:
    along_x = np.diag([0.09, 0.01, 0.0025, 0.1, 0.2, 0.3])
    now_ns = see(memory, [Thing("1", (2, 0, 0.8), covariance=along_x)])
    (mug,) = memory.find(now_ns=now_ns)
    shared = np.diag(np.repeat([CONFIG.frame_sigma_m**2, 0], 3))
    assert mug.covariance == pytest.approx(along_x + shared, abs=1e-12)


def test_far_things_are_less_sure_for_the_direction_of_the_camera() -> None:
    memory = ObjectMemory(None, MemoryConfig(frame_sigma_m=0.0, frame_sigma_deg=1.0))
    now_ns = see(memory, [Thing("1", (4.0, 0, 1.0), sigma_m=0.01, angle_sigma_rad=0.1)])  # straight ahead
    sideways = np.hypot(0.01, 4.0 * np.deg2rad(1.0))
    about = np.hypot(0.1, np.deg2rad(1.0))
    assert sigmas(memory.find(now_ns=now_ns)[0]) == pytest.approx([0.01, sideways, sideways, about, about, about])


@pytest.mark.parametrize(
    "thing",
    [
        Thing("1", (2, 0, 0.8), state=TrackState.UNCERTAIN),
        Thing("1", (2, 0, 0.8), state=TrackState.OCCLUDED),
        Thing("1", (2, 0, 0.8), state=TrackState.LOST),
        Thing("1", (2, 0, 0.8), source="predicted"),
    ],
    ids=["unsure", "hidden", "lost", "not measured"],
)
def test_only_what_is_tracked_and_measured_is_noted(memory: ObjectMemory, thing: Thing) -> None:
    see(memory, [thing])
    assert memory.find(now_ns=START_NS) == []


def test_poses_without_numbers_are_counted_and_left_out(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (np.nan, 0, 0)), Thing("2", (2, 0, 0.8), column=2), Thing("3", (1, 0, 0), sigma_m=0)])
    assert len(memory.find(now_ns=START_NS)) == 1
    assert memory.counts["unusable"] == 2


def test_without_a_transform_nothing_is_noted_and_that_is_counted(memory: ObjectMemory) -> None:
    memory.remember(a_result([Thing("1", (2, 0, 0.8))]), a_frame(), None)
    assert (len(memory), memory.counts["unplaced"]) == (0, 1)
    with pytest.raises(BadMessage, match="fixed_from_camera"):
        memory.remember(a_result([]), a_frame(), np.diag([2.0, 1, 1, 1]))


def test_two_look_alikes_side_by_side_stay_two_whoever_is_seen_first(memory: ObjectMemory) -> None:
    left, right = Thing("1", (2, 0.06, 0.8)), Thing("2", (2, -0.06, 0.8), column=3)
    see(memory, [left])
    see(memory, [right], 1)
    see(memory, [right, left], 2)
    now_ns = see(memory, [left], 3)
    assert sorted(places(memory.find("red mug", now_ns=now_ns))[:, 1]) == [-0.06, 0.06]


def test_two_tracks_on_the_same_pixels_are_one_memory(memory: ObjectMemory) -> None:
    pick, place = Thing("1", (2, 0, 0.8)), Thing("2", (2, 0.01, 0.8), expression="the mug", label="mug", score=0.7)
    for second in range(3):
        now_ns = see(memory, [pick, place], second)
    (mug,) = memory.find(now_ns=now_ns)
    assert mug.label == "red mug"  # of the surer one


def test_when_two_tracks_part_the_one_that_stayed_keeps_the_memory(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8), score=0.9), Thing("2", (2, 0, 0.8), score=0.8)])
    (before,) = memory.find(now_ns=START_NS)
    now_ns = see(memory, [Thing("1", (2, 1.5, 0.8), score=0.9, column=4), Thing("2", (2, 0, 0.8), score=0.8)], 2)
    stayed = next(known for known in memory.find(now_ns=now_ns) if known.object_id == "2")
    assert stayed.memory_id == before.memory_id
    assert places([stayed]).tolist() == [[2, 0, 0.8]]
    assert len(memory) == 2


def test_a_mug_asked_for_again_under_another_id_is_the_same_memory(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    see(memory, [], 5)
    now_ns = see(memory, [Thing("7", (2.02, 0.01, 0.8), expression="mug", label="mug")], 10)
    (mug,) = memory.find("red mug", now_ns=now_ns)  # still known to be red
    assert (mug.object_id, mug.match) == ("7", 1.0)


def test_another_color_beside_it_is_another_thing(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    now_ns = see(memory, [Thing("2", (2, 0.1, 0.8), expression="blue mug", label="blue mug")], 3600)
    assert len(memory.find("mug", now_ns=now_ns)) == 2
    assert places(memory.find("blue mug", now_ns=now_ns)).tolist() == [[2, 0.1, 0.8]]


def test_a_thing_that_is_called_otherwise_in_its_place_is_the_same(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8), expression="coffee cup", label="cup")])
    now_ns = see(memory, [Thing("2", (2, 0.005, 0.8))], 10)
    (mug,) = memory.find(now_ns=now_ns)
    assert mug.label == "red mug"
    assert memory.find("cup", now_ns=now_ns)[0].memory_id == mug.memory_id


def test_a_ball_in_a_bowl_is_not_the_bowl(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8), expression="bowl", label="bowl", size_m=(0.2, 0.2, 0.1))])
    now_ns = see(memory, [Thing("2", (2, 0, 0.8), expression="ball", label="ball", size_m=(0.06, 0.06, 0.06))], 5)
    assert {known.label for known in memory.find(now_ns=now_ns)} == {"bowl", "ball"}


def test_what_is_carried_is_where_it_is_now(memory: ObjectMemory) -> None:
    for step in range(60):
        now_ns = see(memory, [Thing("1", (2, 0.05 * step, 0.8))], step / 30)
    assert places(memory.find(now_ns=now_ns)).tolist() == [[2, 2.95, 0.8]]


def test_what_leaves_the_picture_is_remembered_where_it_was_last(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    see(memory, [Thing("1", (2, 0.5, 0.8))], 0.5)  # not due for another half a second
    now_ns = see(memory, [], 0.6)
    assert memory.counts["notes"] == 2  # at once, not first when somebody asks
    (mug,) = memory.find(now_ns=now_ns)
    assert places([mug]).tolist() == [[2, 0.5, 0.8]]
    assert (mug.object_id, mug.state) == ("", TrackState.LOST)


def test_one_set_down_where_a_like_thing_was_remembered_leaves_one_memory(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    see(memory, [Thing("2", (2, 1, 0.8))], 10)
    for step in range(40):
        now_ns = see(memory, [Thing("2", (2, 1 - step / 40, 0.8))], 10 + step / 10)
    now_ns = see(memory, [Thing("2", (2, 0.0, 0.8))], 20)
    (mug,) = memory.find(now_ns=now_ns)
    assert mug.first_seen_ns == START_NS
    assert memory.counts["merged"] == 1


def test_found_again_far_off_after_it_was_lost_may_be_another_one(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    anew = Provenance("grounder", "lost", START_NS + SECOND_NS, 1)
    now_ns = see(memory, [Thing("1", (5, 3, 0.8), changed=anew)], 60)
    assert places(memory.find("mug", now_ns=now_ns)).tolist() == [[5, 3, 0.8], [2, 0, 0.8]]  # the newer one is surer


def test_a_correction_moves_the_memory_that_was_mistaken(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    said = Provenance("user", "corrected", START_NS + SECOND_NS, 2)
    now_ns = see(memory, [Thing("1", (2, 1, 0.8), changed=said)], 5)
    assert places(memory.find("mug", now_ns=now_ns)).tolist() == [[2, 1, 0.8]]


def test_a_target_with_a_new_meaning_is_a_new_memory(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    bowl = Thing("1", (2, 1, 0.8), expression="bowl", label="bowl", generation=1)
    now_ns = see(memory, [bowl], 2)
    assert {known.label for known in memory.find(now_ns=now_ns)} == {"red mug", "bowl"}


def test_resting_looks_are_weighted_by_what_they_know(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2.0, 0, 0.8), sigma_m=0.02)])
    now_ns = see(memory, [Thing("2", (2.03, 0, 0.8), sigma_m=0.01)], 5)  # another visit: independent
    (mug,) = memory.find(now_ns=now_ns)
    assert mug.fixed_from_object[0, 3] == pytest.approx(2.0 + 0.03 * 4 / 5, abs=1e-4)
    of_both = 1 / (1 / 0.02**2 + 1 / 0.01**2)
    assert sigmas(mug)[0] == pytest.approx(np.sqrt(of_both + CONFIG.frame_sigma_m**2), rel=0.01)


def test_looks_of_one_visit_never_claim_more_than_the_best_of_them(memory: ObjectMemory) -> None:
    for second in range(200):
        now_ns = see(memory, [Thing("1", (2.0, 0, 0.8), sigma_m=0.01)], second)
    (mug,) = memory.find(now_ns=now_ns)
    assert sigmas(mug)[:3] == pytest.approx(np.hypot(0.01, CONFIG.frame_sigma_m), rel=0.01)


def test_an_orientation_named_otherwise_is_the_latest_one(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8), size_m=(0.3, 0.1, 0.1))])
    now_ns = see(memory, [Thing("2", (2, 0, 0.8), size_m=(0.1, 0.3, 0.1), turned_rad=np.pi / 2)], 5)
    (box,) = memory.find(now_ns=now_ns)
    assert Rotation.from_matrix(box.fixed_from_object[:3, :3]).magnitude() == pytest.approx(np.pi / 2)
    assert box.size_m.tolist() == [0.1, 0.3, 0.1]


def test_covariance_grows_and_score_falls_with_age(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    fresh, hour, day, month = (memory.find(now_ns=START_NS + hours * HOUR_NS)[0] for hours in (0, 1, 24, 700))
    grown = sigmas(hour)[0] ** 2 - sigmas(fresh)[0] ** 2
    assert grown == pytest.approx(CONFIG.drift_m**2)
    assert sigmas(day)[0] ** 2 - sigmas(fresh)[0] ** 2 == pytest.approx(24 * CONFIG.drift_m**2)
    assert sigmas(month)[3:] == pytest.approx(np.pi / np.sqrt(3))  # no more than nothing known
    assert (fresh.score, day.score) == (0.9, pytest.approx(0.45))
    assert memory.find(now_ns=START_NS + 721 * HOUR_NS) == []
