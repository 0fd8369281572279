"""What becomes of memories: pictures, places that are empty now, jumps of the map, forgetting, bounds."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from sightings import CONFIG, FIXED_FROM_CAMERA, SECOND_NS, START_NS, Thing, a_frame, a_result, places, see, sigmas

from referent.errors import BadMessage
from referent.memory import ObjectMemory, box_in_crop, open_memory
from referent.memory.crops import crop_of, rgb_from_jpeg


def test_the_picture_kept_is_the_one_that_shows_most_with_the_object_in_its_middle(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8), column=3)])
    smaller = a_result([Thing("1", (2, 0, 0.8), column=5)], START_NS + 2 * SECOND_NS)
    mask = smaller.objects[0].mask
    assert mask is not None
    mask.mask[:60] = False
    memory.remember(smaller, a_frame(START_NS + 2 * SECOND_NS), FIXED_FROM_CAMERA)
    (mug,) = memory.find(now_ns=START_NS)
    picture = rgb_from_jpeg(mug.crop_jpeg or b"")
    assert picture is not None
    x1, y1, x2, y2 = box_in_crop(picture).astype(int)
    assert picture[y1 + 2 : y2 - 2, x1 + 3 : x2 - 3, 0].mean() == pytest.approx(90, abs=4)  # column 3


def test_an_object_at_the_rim_is_in_the_middle_of_its_picture_too() -> None:
    rgb = np.zeros((100, 100, 3), np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[80:100, 0:30] = True
    rgb[mask] = 255
    picture = crop_of(rgb, mask, 224)
    x1, y1, x2, y2 = box_in_crop(picture).astype(int)
    assert picture.shape == (40, 60, 3)
    assert picture[y1:y2, x1:x2].min() == 255
    assert picture[:y1].max() == 0


def test_a_large_object_is_kept_as_a_small_picture() -> None:
    memory = ObjectMemory(None, replace(CONFIG, crop_px=32))
    result = a_result([Thing("1", (2, 0, 0.8))])
    mask = result.objects[0].mask
    assert mask is not None
    mask.mask[:] = True
    memory.remember(result, a_frame(), FIXED_FROM_CAMERA)
    picture = rgb_from_jpeg(memory.find(now_ns=START_NS)[0].crop_jpeg or b"")
    assert picture is not None
    assert picture.shape == (24, 32, 3)


def test_a_place_that_is_seen_through_is_marked_as_gone_until_it_is_seen_again(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    for second in range(1, 5):
        now_ns = see(memory, [], second)  # the wall behind is 9 m away
    (mug,) = memory.find(now_ns=now_ns)
    assert mug.gone
    assert mug.score < 0.1
    now_ns = see(memory, [Thing("2", (2, 0, 0.8))], 6)
    (mug,) = memory.find(now_ns=now_ns)
    assert not mug.gone


@pytest.mark.parametrize("depth_m", [1.0, 2.0, np.nan, None], ids=["hidden", "something there", "unknown", "no depth"])
def test_a_place_that_is_not_seen_through_stays(memory: ObjectMemory, depth_m: float | None) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    for second in range(1, 6):
        stamp_ns = START_NS + second * SECOND_NS
        memory.remember(a_result([], stamp_ns), a_frame(stamp_ns, depth_m=depth_m), FIXED_FROM_CAMERA)
    assert not memory.find(now_ns=stamp_ns)[0].gone


def test_a_jump_of_the_map_carries_everything_along(memory: ObjectMemory) -> None:
    ellipse = np.diag([0.04, 0.01, 0.01, 0.1, 0.1, 0.1]) * 0.01
    see(memory, [Thing("1", (2, 0, 0.8), covariance=ellipse), Thing("2", (1, 1, 0.8), "bowl", "bowl", column=3)])
    new_from_old = np.eye(4)
    new_from_old[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    new_from_old[:3, 3] = (10, 0, 0)
    memory.reexpress(new_from_old)
    (mug,) = memory.find("mug", now_ns=START_NS)
    assert places([mug]).tolist() == [[10, 2, 0.8]]
    assert sigmas(mug)[1] > sigmas(mug)[0]  # what was along x is along y now
    now_ns = START_NS + SECOND_NS  # the same place in the new frame is the same memory
    fixed_from_camera = new_from_old @ FIXED_FROM_CAMERA
    memory.remember(a_result([Thing("9", (10, 2, 0.8))], now_ns, fixed_from_camera), a_frame(now_ns), fixed_from_camera)
    assert len(memory.find("mug", now_ns=now_ns)) == 1
    with pytest.raises(BadMessage, match="new_from_old"):
        memory.reexpress(np.zeros((4, 4)))


def test_a_jump_may_concern_only_what_was_seen_under_the_wrong_localisation(memory: ObjectMemory) -> None:
    see(memory, [Thing("1", (2, 0, 0.8))])
    now_ns = see(memory, [Thing("2", (4, 0, 0.8))], 60)
    new_from_old = np.eye(4)
    new_from_old[0, 3] = 1.0
    memory.reexpress(new_from_old, since_ns=now_ns)
    assert sorted(places(memory.find(now_ns=now_ns))[:, 0]) == [2, 5]


def test_questions_from_another_thread_do_not_disturb(memory: ObjectMemory) -> None:
    answers: list[int] = []
    asked = threading.Event()

    def ask() -> None:
        while not asked.is_set():
            answers.append(len(memory.find("red mug", now_ns=START_NS)))

    asking = threading.Thread(target=ask)
    asking.start()
    for frame in range(60):
        see(memory, [Thing(str(frame // 10), (2, frame // 10, 0.8))], frame / 10)
    asked.set()
    asking.join(10)
    assert not asking.is_alive()
    assert answers == sorted(answers)
    assert len(memory) == 6


def test_forgetting_one_and_all(memory: ObjectMemory) -> None:
    now_ns = see(memory, [Thing("1", (2, 0, 0.8)), Thing("2", (2, 1, 0.8), column=3)])
    first, second = memory.find(now_ns=now_ns)
    assert memory.forget(first.memory_id)
    assert not memory.forget(first.memory_id)
    assert not memory.forget("no such thing")
    assert [known.memory_id for known in memory.find(now_ns=now_ns)] == [second.memory_id]
    memory.clear()
    assert memory.find(now_ns=now_ns) == []


def test_what_is_forgotten_while_in_sight_comes_back_under_a_new_id(memory: ObjectMemory) -> None:
    now_ns = see(memory, [Thing("1", (2, 0, 0.8))])
    (before,) = memory.find(now_ns=now_ns)
    memory.forget(before.memory_id)
    now_ns = see(memory, [Thing("1", (2, 0, 0.8))], 0.1)
    (after,) = memory.find(now_ns=now_ns)
    assert after.memory_id != before.memory_id


def test_near_and_radius(memory: ObjectMemory) -> None:
    now_ns = see(
        memory, [Thing("1", (2, 0, 0.8)), Thing("2", (2, 1, 0.8), column=2), Thing("3", (2, 5, 0.8), column=4)]
    )
    near = np.array([2.0, 4.0, 0.8])
    assert places(memory.find("mug", near_m=near, now_ns=now_ns))[:, 1].tolist() == [5, 1, 0]
    assert places(memory.find("mug", near_m=near, radius_m=3.5, now_ns=now_ns))[:, 1].tolist() == [5, 1]
    with pytest.raises(ValueError, match="near_m"):
        memory.find("mug", radius_m=1.0, now_ns=now_ns)


def test_no_frame_means_no_memory() -> None:
    assert open_memory(replace(CONFIG, frame="")) is None


def test_the_one_not_seen_for_longest_goes_first_even_when_clocks_run_back() -> None:
    memory = ObjectMemory(None, replace(CONFIG, max_objects=3))
    for number, at_s in enumerate([100, 50, 20, 10]):  # a bag that is played backwards, so to speak
        now_ns = see(memory, [Thing(str(number), (2, number, 0.8))], at_s)
    assert sorted(places(memory.find(now_ns=now_ns))[:, 1]) == [1, 2, 3]
    assert memory.counts["evicted"] == 1


def test_age_is_only_told_by_frames_that_follow_each_other() -> None:
    memory = ObjectMemory(None, replace(CONFIG, max_age_h=1.0))
    see(memory, [Thing("1", (2, 0, 0.8))])
    memory.remember(a_result([], 2**62), a_frame(2**62), FIXED_FROM_CAMERA)  # one broken stamp forgets nothing
    assert len(memory) == 1
    for at_s in (3700, 3702):
        see(memory, [], at_s)
    assert len(memory) == 0
    assert memory.counts["expired"] == 1


SIGHTING = st.tuples(
    st.sampled_from("123456"),
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.sampled_from(["red mug", "blue mug", "mug", "bowl", "thing", ""]),
    st.integers(0, 7),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(SIGHTING, max_size=4), st.integers(-2_000, 20_000)), max_size=25), st.integers(1, 5))
def test_whatever_is_seen_the_memory_stays_bounded_and_sound(frames: list, most: int) -> None:
    memory = ObjectMemory(None, replace(CONFIG, max_objects=most))
    stamp_ns = START_NS
    for things, step_ms in frames:
        stamp_ns += step_ms * 1_000_000
        seen = [Thing(i, (x, y, 0.5), expression=name, label=name, column=c) for i, x, y, name, c in things]
        memory.remember(a_result(seen, stamp_ns), a_frame(stamp_ns), FIXED_FROM_CAMERA)
        assert len(memory) <= most
    found = memory.find(now_ns=stamp_ns)
    assert len({known.memory_id for known in found}) == len(found) <= most
    for known in found:
        assert np.linalg.eigvalsh(known.covariance)[0] > 0
        assert 0 <= known.score <= 1
        assert known.first_seen_ns <= known.last_seen_ns
    memory.close()
