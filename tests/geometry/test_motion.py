"""The filter against motions that are known: rest, uniform motion, gaps, and what a measurement does not say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from referent.geometry.motion import GATE, Motion
from referent.geometry.poses import rigid

SIGMA = np.array([0.002] * 3 + [0.01] * 3)
INFORMATION = np.diag(1 / SIGMA**2)
START = rigid(Rotation.from_rotvec([0.3, -0.2, 1.0]).as_matrix(), np.array([0.4, -0.1, 0.8]))
FRAME_NS = 33_333_333


def a_motion(*, moving=False, pose=START):
    return Motion(pose.copy(), np.diag(SIGMA**2), 0, moving=moving)


def displaced(pose, change):
    return rigid(Rotation.from_rotvec(change[3:]).as_matrix() @ pose[:3, :3], pose[:3, 3] + change[:3])


def apart(a, b):
    """(6,) move and turn from a to b about the fixed axes."""
    return np.concatenate([b[:3, 3] - a[:3, 3], Rotation.from_matrix(b[:3, :3] @ a[:3, :3].T).as_rotvec()])


def a_sound_filter(motion):
    covariance = motion.covariance
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    rotation = motion.pose[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0
    assert np.isfinite(motion.pose).all()
    assert np.isfinite(motion.velocity).all()
    return True


def test_what_rests_converges_and_does_not_creep():
    rng, motion, poses = np.random.default_rng(0), a_motion(), []
    for frame in range(1, 601):
        motion.predict(frame * FRAME_NS)
        motion.correct(displaced(START, rng.normal(size=6) * SIGMA), INFORMATION)
        poses.append(apart(START, motion.pose))
    late = np.array(poses[100:])
    assert not motion.moving
    assert (np.abs(late).max(axis=0) < SIGMA).all()
    assert (np.sqrt((late**2).mean(axis=0)) < 0.4 * SIGMA).all()
    assert (np.diag(motion.covariance) < (0.5 * SIGMA) ** 2).all()
    assert not motion.velocity.any()


def test_its_errors_at_rest_are_as_large_as_it_says():
    squared = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        motion = a_motion(pose=displaced(START, rng.normal(size=6) * SIGMA))
        for frame in range(1, 15):
            motion.predict(frame * FRAME_NS)
            motion.correct(displaced(START, rng.normal(size=6) * SIGMA), INFORMATION)
        error = apart(START, motion.pose)
        squared.append(error @ np.linalg.solve(motion.covariance, error))
    assert 0.7 < np.mean(squared) / 6 < 1.2  # it allows for a little creeping, so it is a little too unsure


@pytest.mark.parametrize(
    "rates", [[0.2, 0, 0, 0, 0, 0], [0, -0.1, 0.15, 0, 0, 0], [0, 0, 0, 0, 0, 1.0], [0.1, 0, 0, 0.5, 0, 0.5]]
)
def test_uniform_motion_is_followed(rates):
    rng, rates, motion = np.random.default_rng(1), np.array(rates), a_motion(moving=True)
    errors, velocities = [], []
    for frame in range(1, 91):
        now_s = frame * FRAME_NS / 1e9
        truth = displaced(START, rates * now_s)
        motion.predict(frame * FRAME_NS)
        motion.correct(displaced(truth, rng.normal(size=6) * SIGMA), INFORMATION)
        errors.append(apart(truth, motion.pose))
        velocities.append(motion.velocity.copy())
        assert a_sound_filter(motion)
    assert motion.moving
    assert (np.abs(np.mean(errors[30:], axis=0)) < 0.3 * SIGMA).all()  # it does not lag behind
    assert (np.std(errors[30:], axis=0) < 1.1 * SIGMA).all()
    np.testing.assert_allclose(np.mean(velocities[30:], axis=0), rates, atol=0.02)


def test_one_missed_frame_is_bridged_by_its_velocity():
    motion = a_motion(moving=True)
    for frame in range(1, 61):
        motion.predict(frame * FRAME_NS)
        motion.correct(displaced(START, np.array([0.3, 0, 0, 0, 0, 0]) * frame * FRAME_NS / 1e9), INFORMATION)
    motion.predict(63 * FRAME_NS)
    expected = displaced(START, np.array([0.3, 0, 0, 0, 0, 0]) * 63 * FRAME_NS / 1e9)
    assert np.abs(apart(expected, motion.pose)[:3]).max() < 0.003


def test_what_stops_comes_to_rest_and_stays():
    rng, motion = np.random.default_rng(2), a_motion(moving=True)
    end = displaced(START, np.array([0.1, 0, 0, 0, 0, 0.3]))
    for frame in range(1, 121):
        share = min(1.0, frame / 30)
        truth = displaced(START, share * np.array([0.1, 0, 0, 0, 0, 0.3]))
        motion.predict(frame * FRAME_NS)
        motion.correct(displaced(truth, rng.normal(size=6) * SIGMA / 10), INFORMATION * 4)
    assert not motion.moving
    assert not motion.velocity.any()
    assert np.abs(apart(end, motion.pose))[:3].max() < 0.001


def test_what_rests_sets_off_when_told_and_is_then_anywhere_near():
    motion = a_motion()
    for frame in range(1, 61):
        motion.predict(frame * FRAME_NS)
        motion.correct(START, INFORMATION)
    pushed = displaced(START, np.array([0.06, 0.02, 0, 0, 0, 0.2]))
    assert motion.surprise(pushed, INFORMATION) > GATE
    motion.set_off()
    assert motion.moving
    assert motion.surprise(pushed, INFORMATION) < GATE
    motion.correct(pushed, INFORMATION)
    assert np.abs(apart(pushed, motion.pose)[:3]).max() < 0.001


def test_what_is_lost_is_no_surprise_anywhere():
    motion = a_motion()
    motion.lose()
    far = displaced(START, np.array([0.8, -0.5, 0.4, 0.5, 1.5, -0.5]))
    assert motion.surprise(far, INFORMATION) < GATE
    motion.correct(far, INFORMATION)
    assert np.abs(apart(far, motion.pose)[:3]).max() < 0.001
    assert a_sound_filter(motion)


@pytest.mark.parametrize("axis", range(6))
def test_information_along_one_direction_changes_that_one_alone(axis):
    motion, before = a_motion(), a_motion()
    information = np.zeros((6, 6))
    information[axis, axis] = INFORMATION[axis, axis]
    motion.correct(displaced(START, 2 * SIGMA), information)
    change = apart(before.pose, motion.pose)
    others = np.delete(np.arange(6), axis)
    assert np.abs(change[others] / SIGMA[others]).max() < 0.05
    assert 0.8 * SIGMA[axis] < change[axis] < 1.2 * SIGMA[axis]  # as sure as what was known: half way
    kept = np.diag(motion.covariance) / np.diag(before.covariance)
    assert abs(kept[axis] - 0.5) < 1e-6
    np.testing.assert_allclose(kept[others], 1.0)


def test_a_measurement_without_information_changes_nothing_and_surprises_nobody():
    motion = a_motion(moving=True)
    far = displaced(START, np.array([1.0, 2.0, 3.0, 0.5, 0.5, 0.5]))
    assert motion.surprise(far, np.zeros((6, 6))) == pytest.approx(0.0, abs=1e-6)
    before = motion.covariance.copy()
    motion.correct(far, np.zeros((6, 6)))
    np.testing.assert_allclose(motion.pose, START, atol=1e-12)
    np.testing.assert_allclose(motion.covariance, before)


@pytest.mark.parametrize("directions", [6, 3, 1])
def test_surprise_of_fitting_measurements_follows_chi_square(directions):
    rng, motion = np.random.default_rng(3), a_motion()
    seen = np.diag(np.arange(6) < directions).astype(float)
    information = seen @ INFORMATION @ seen
    both = np.sqrt(2) * SIGMA  # the prior's spread and the measurement's
    values = [motion.surprise(displaced(START, rng.normal(size=6) * both), information) for _ in range(2000)]
    assert abs(np.mean(values) - directions) < 0.15 * directions + 0.05
    share = np.mean(np.array(values) < chi2.ppf(0.95, directions))
    assert 0.93 < share < 0.97


def test_a_stamp_again_or_earlier_moves_nothing():
    motion = a_motion(moving=True)
    for frame in range(1, 31):
        motion.predict(frame * FRAME_NS)
        motion.correct(displaced(START, np.array([0.2, 0, 0, 0, 0, 0]) * frame * FRAME_NS / 1e9), INFORMATION)
    pose, covariance = motion.pose.copy(), motion.covariance.copy()
    motion.predict(30 * FRAME_NS)
    np.testing.assert_allclose(motion.pose, pose, atol=1e-12)
    np.testing.assert_allclose(motion.covariance, covariance)
    motion.predict(10 * FRAME_NS)
    np.testing.assert_allclose(motion.pose, pose, atol=1e-12)
    assert a_sound_filter(motion)


@pytest.mark.parametrize("moving", [False, True])
def test_longer_gaps_make_it_less_sure_but_never_without_bounds(moving):
    sigmas = []
    for gap_s in (0.03, 0.3, 1.0, 100.0, 1e6):
        motion = a_motion(moving=moving)
        motion.predict(int(gap_s * 1e9))
        assert a_sound_filter(motion)
        sigmas.append(np.sqrt(np.diag(motion.covariance)))
    assert (np.diff(sigmas, axis=0) >= 0).all()
    assert (np.diff(sigmas[:3], axis=0) > 0).all()
    assert sigmas[-1][:3].max() < 20


def test_nothing_goes_on_sliding_and_turning_unseen():
    motion = a_motion(moving=True)
    for frame in range(1, 31):
        motion.predict(frame * FRAME_NS)
        motion.correct(displaced(START, np.array([0.5, 0, 0, 0, 0, 2.0]) * frame * FRAME_NS / 1e9), INFORMATION)
    last = motion.pose.copy()
    motion.predict(30 * FRAME_NS + 60_000_000_000)
    change = apart(last, motion.pose)
    assert change[0] < 0.5 * 0.5
    assert change[5] < 1.0


changes = st.tuples(*[st.floats(-0.3, 0.3)] * 6).map(np.array)
looks = st.tuples(
    st.integers(-50, 3000), changes, st.integers(0, 63), st.floats(-6, 8), st.sampled_from(["", "set_off", "lose"])
)


@settings(max_examples=80, deadline=None)
@given(st.lists(looks, min_size=1, max_size=30), st.booleans())
def test_no_sequence_of_frames_breaks_it(sequence, moving):
    motion, stamp_ns = a_motion(moving=moving), 0
    for gap_ms, change, directions, log_information, event in sequence:
        stamp_ns += gap_ms * 1_000_000
        motion.predict(stamp_ns)
        if event:
            getattr(motion, event)()
        seen = np.diag([float(directions >> i & 1) for i in range(6)])
        pose = displaced(motion.pose, change)
        assert motion.surprise(pose, seen * 10.0**log_information) > -1e-6
        motion.correct(pose, seen * 10.0**log_information)
        assert a_sound_filter(motion)


def test_two_thousand_steps_leave_a_rotation():
    rng, motion = np.random.default_rng(4), a_motion(moving=True)
    for frame in range(1, 2001):
        motion.predict(frame * FRAME_NS)
        if frame % 100 == 0:
            motion.set_off()
        motion.correct(
            displaced(motion.pose, rng.normal(size=6) * [0.01] * 6 if frame % 3 else np.zeros(6)), INFORMATION
        )
    rotation = motion.pose[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert a_sound_filter(motion)


@pytest.mark.parametrize(("step", "wakes"), [(0.0, False), (0.7, True)])
def test_many_small_surprises_one_way_say_that_it_moves(step, wakes):
    rng = np.random.default_rng(3)
    motion = a_motion()
    motion.correct(START, 400 * INFORMATION)
    said, largest = [], 0.0
    for frame in range(12):
        motion.predict((frame + 1) * 33_333_333)
        drawn = rng.normal(size=6) * SIGMA / 2 + [step * frame * SIGMA[0], 0, 0, 0, 0, 0]
        pose = displaced(START, drawn)
        said.append(motion.creeps(pose, INFORMATION))
        largest = max(largest, 0.0 if any(said) else motion.surprise(pose, INFORMATION))
    assert any(said) == wakes
    assert largest < GATE
