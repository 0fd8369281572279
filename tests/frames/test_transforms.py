"""The transform buffer against composed matrices and scipy's Slerp."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from referent.errors import BadMessage, TransformUnavailable
from referent.frames.transforms import TransformBuffer

S = 10**9


def a_transform(rotvec=(0.0, 0.0, 0.0), translation=(0.0, 0.0, 0.0)):
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    transform[:3, 3] = translation
    return transform


def a_random_transform(rng):
    return a_transform(rng.normal(size=3), rng.normal(size=3))


def test_a_chain_is_looked_up_through_the_common_ancestor():
    rng = np.random.default_rng(1)
    map_from_odom, odom_from_base, base_from_camera, base_from_tool = (a_random_transform(rng) for _ in range(4))
    buffer = TransformBuffer()
    buffer.add("map", "odom", 0, map_from_odom, static=True)
    buffer.add("odom", "base", S, odom_from_base)
    buffer.add("base", "camera", 0, base_from_camera, static=True)
    buffer.add("base", "tool", S, base_from_tool)
    np.testing.assert_allclose(
        buffer.lookup("map", "camera", S), map_from_odom @ odom_from_base @ base_from_camera, atol=1e-12
    )
    np.testing.assert_allclose(
        buffer.lookup("tool", "camera", S), np.linalg.inv(base_from_tool) @ base_from_camera, atol=1e-12
    )
    np.testing.assert_allclose(
        buffer.lookup("camera", "map", S) @ buffer.lookup("map", "camera", S), np.eye(4), atol=1e-12
    )


def test_a_missing_edge_above_the_common_ancestor_does_not_matter():
    buffer = TransformBuffer()
    buffer.add("map", "base", 5 * S, np.eye(4))
    buffer.add("base", "camera", 0, a_transform(translation=(1, 2, 3)), static=True)
    np.testing.assert_allclose(buffer.lookup("base", "camera", S)[:3, 3], [1, 2, 3])
    with pytest.raises(TransformUnavailable):
        buffer.lookup("map", "camera", S)


def test_the_newest_time_of_a_way_is_that_of_its_most_backward_edge():
    buffer = TransformBuffer()
    for stamp_ns in (0, 1000, 3000):
        buffer.add("map", "odom", stamp_ns, np.eye(4))
    for stamp_ns in (0, 2000):
        buffer.add("odom", "base", stamp_ns, np.eye(4))
    buffer.add("base", "camera", 0, np.eye(4), static=True)
    buffer.add("base", "arm", 500, np.eye(4))
    assert buffer.newest_ns("map", "camera", 5000) == 2000
    assert buffer.newest_ns("camera", "map", 1500) == 1500
    assert buffer.newest_ns("camera", "base", 9000) == 9000, "what stays where it is holds at any time"
    assert buffer.newest_ns("camera", "arm", 9000) == 500, "what is above both does not count"
    assert not buffer.can_lookup("map", "nowhere", buffer.newest_ns("map", "nowhere", 7000))


def test_a_frame_is_itself_without_any_transform():
    np.testing.assert_array_equal(TransformBuffer().lookup("camera", "camera", 7), np.eye(4))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0, 1))
def test_interpolation_equals_scipy_slerp_and_a_straight_line(seed, share):
    rng = np.random.default_rng(seed)
    a, b = a_random_transform(rng), a_random_transform(rng)
    buffer = TransformBuffer()
    buffer.add("base", "camera", 3 * S, a)
    buffer.add("base", "camera", 4 * S, b)
    at = 3 * S + round(share * S)
    got = buffer.lookup("base", "camera", at)
    t = at / S - 3
    turned = Slerp([0, 1], Rotation.from_matrix([a[:3, :3], b[:3, :3]]))(t).as_matrix()
    np.testing.assert_allclose(got[:3, :3], turned, atol=1e-7)
    np.testing.assert_allclose(got[:3, 3], (1 - t) * a[:3, 3] + t * b[:3, 3], atol=1e-7)


@pytest.mark.parametrize("at", [S - 1, 2 * S + 1, 0, 50 * S])
def test_outside_the_known_time_nothing_is_made_up(at):
    buffer = TransformBuffer()
    buffer.add("base", "camera", S, np.eye(4))
    buffer.add("base", "camera", 2 * S, np.eye(4))
    with pytest.raises(TransformUnavailable) as error:
        buffer.lookup("base", "camera", at)
    for part in ("'base'", "'camera'", f"{at // S}.{at % S:09d} s", "1.000000000 s", "2.000000000 s"):
        assert part in str(error.value)


def test_unknown_frames_are_named_with_what_they_hang_under():
    buffer = TransformBuffer()
    buffer.add("map", "camera", S, np.eye(4))
    with pytest.raises(TransformUnavailable, match=r"'camera' \(under 'map'\) and 'base' are not connected"):
        buffer.lookup("base", "camera", S)


def test_late_samples_find_their_place_in_time():
    buffer = TransformBuffer()
    for second in (1, 3, 2, 4):
        buffer.add("base", "camera", second * S, a_transform(translation=(second**2, 0, 0)))
    assert buffer.lookup("base", "camera", 2 * S)[0, 3] == 4
    assert buffer.lookup("base", "camera", int(2.5 * S))[0, 3] == pytest.approx(6.5)


def test_samples_are_bounded_in_time_and_number_and_counted():
    buffer = TransformBuffer(max_age_s=2.0, max_samples=50)
    for i in range(1000):
        buffer.add("base", "camera", i * S // 100, np.eye(4))
    assert buffer.counts == {"added": 1000, "expired": 950, "resets": 0}
    buffer.lookup("base", "camera", 950 * S // 100)
    with pytest.raises(TransformUnavailable):
        buffer.lookup("base", "camera", 949 * S // 100)
    slow = TransformBuffer(max_age_s=2.0)
    for i in range(11):
        slow.add("base", "camera", i * S, np.eye(4))
    slow.lookup("base", "camera", 8 * S)
    with pytest.raises(TransformUnavailable):
        slow.lookup("base", "camera", 7 * S)


def test_static_edges_hold_at_all_times_and_are_kept():
    buffer = TransformBuffer()
    buffer.add("base", "camera", 5 * S, a_transform(translation=(1, 0, 0)), static=True)
    for i in range(100):
        buffer.add("map", "base", i * S, np.eye(4))
    for at in (90 * S, 99 * S):
        assert buffer.lookup("map", "camera", at)[0, 3] == 1
    assert buffer.lookup("base", "camera", 0)[0, 3] == 1


def test_a_child_under_a_new_parent_keeps_its_past():
    buffer = TransformBuffer()
    buffer.add("world", "table", 0, a_transform(translation=(1, 0, 0)), static=True)
    buffer.add("world", "hand", 0, a_transform(translation=(0, 5, 0)), static=True)
    buffer.add("table", "cup", 1 * S, np.eye(4))
    buffer.add("table", "cup", 2 * S, np.eye(4))
    buffer.add("hand", "cup", 3 * S, np.eye(4))
    buffer.add("hand", "cup", 4 * S, np.eye(4))
    np.testing.assert_allclose(buffer.lookup("world", "cup", int(1.5 * S))[:3, 3], [1, 0, 0])
    np.testing.assert_allclose(buffer.lookup("world", "cup", int(3.5 * S))[:3, 3], [0, 5, 0])
    with pytest.raises(TransformUnavailable, match="moved from 'table' to 'hand'"):
        buffer.lookup("world", "cup", int(2.5 * S))


def test_time_that_starts_again_forgets_what_moved_and_keeps_what_is_fixed():
    buffer = TransformBuffer()
    buffer.add("base", "camera", 0, np.eye(4), static=True)
    for second in range(100, 120):
        buffer.add("map", "base", second * S, np.eye(4))
        buffer.add("map", "other", second * S, np.eye(4))
    buffer.add("map", "base", 1 * S, a_transform(translation=(3, 0, 0)))
    assert buffer.counts["resets"] == 1
    assert buffer.lookup("map", "camera", 1 * S)[0, 3] == 3
    for frame in ("base", "other"):
        with pytest.raises(TransformUnavailable):
            buffer.lookup("map", frame, 119 * S)


def test_clear_keeps_static_edges():
    buffer = TransformBuffer()
    buffer.add("base", "camera", 0, np.eye(4), static=True)
    buffer.add("map", "base", S, np.eye(4))
    buffer.clear()
    buffer.lookup("base", "camera", S)
    with pytest.raises(TransformUnavailable):
        buffer.lookup("map", "base", S)


def test_a_slightly_unnormalised_rotation_is_made_rigid():
    buffer = TransformBuffer()
    crooked = a_transform((0.3, 0.2, 0.1), (1, 2, 3))
    crooked[:3, :3] *= 1.004
    buffer.add("base", "camera", S, crooked)
    rotation = buffer.lookup("base", "camera", S)[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4)),
        np.diag([2.0, 2.0, 2.0, 1.0]),
        np.diag([1.0, 1.0, -1.0, 1.0]),
        np.full((4, 4), np.nan),
        np.eye(3),
        np.vstack([np.eye(4)[:3], [0, 0, 1, 1]]),
    ],
)
def test_what_is_no_rigid_transform_is_refused_by_name(bad):
    with pytest.raises(BadMessage, match=r"transform from 'camera' to 'base'"):
        TransformBuffer().add("base", "camera", S, bad)


def test_edges_that_cannot_be_are_refused():
    with pytest.raises(BadMessage, match="own parent"):
        TransformBuffer().add("base", "/base", S, np.eye(4))
    with pytest.raises(BadMessage, match="no frame name"):
        TransformBuffer().add("base", "", S, np.eye(4))


def test_a_loop_is_an_error_and_not_an_endless_walk():
    buffer = TransformBuffer()
    buffer.add("a", "b", S, np.eye(4))
    buffer.add("b", "a", S, np.eye(4))
    with pytest.raises(TransformUnavailable, match="loop"):
        buffer.lookup("c", "a", S)


def test_leading_slashes_of_ros_1_mean_the_same_frame():
    buffer = TransformBuffer()
    buffer.add("/base", "/camera", S, a_transform(translation=(1, 0, 0)))
    assert buffer.lookup("base", "camera", S)[0, 3] == 1


def test_frames_that_come_and_go_do_not_fill_the_memory():
    buffer = TransformBuffer()
    for i in range(2100):
        buffer.add("map", f"object_{i}", i, np.eye(4))
    assert buffer.counts["expired"] == 100
    buffer.lookup("map", "object_2099", 2099)
    with pytest.raises(TransformUnavailable):
        buffer.lookup("map", "object_5", 5)


def test_one_thread_adds_while_another_looks_up():
    buffer = TransformBuffer()
    buffer.add("map", "base", 0, np.eye(4))
    done = threading.Event()
    faults = []

    def look():
        while not done.is_set():
            try:
                assert buffer.lookup("map", "base", 0).shape == (4, 4)
            except Exception as error:
                faults.append(error)
                return

    reader = threading.Thread(target=look)
    reader.start()
    for i in range(1, 3000):
        buffer.add("map", "base", i * 10**6, np.eye(4))
    done.set()
    reader.join()
    assert not faults
