"""Jumps, jitter and drift of poses, on paths made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from posed import camera, followed, given, seen, standing, turned

from referent.evaluation.poses.episodes import DRIFT_FRAMES, Seen
from referent.evaluation.poses.follow import TRACK
from referent.evaluation.poses.motion import REST_FRAMES, drift, jitters_m, jumps
from referent.geometry.poses import rigid

LONG = DRIFT_FRAMES + 1


def orbit(count: int) -> list[Seen]:
    """The object at rest, the camera moving aside."""
    return [seen(None, camera(aside_m=0.003 * n), index=n) for n in range(count)]


def pushed(count: int, *, yaw_rate_deg: float = 0.4) -> list[Seen]:
    """The camera at rest, the object moving and turning."""
    return [seen(standing(yaw_deg=yaw_rate_deg * n, at=(0.001 * n, 0, 0.03)), index=n) for n in range(count)]


def rolling(count: int) -> list[Seen]:
    """A ball that rolls fast."""
    return [
        seen(standing(at=(0.01 * n, 0, 0)) @ rigid(turned((1, 0, 0), 20.0 * n), np.zeros(3)), index=n)
        for n in range(count)
    ]


@pytest.mark.parametrize("truths", [orbit(LONG), pushed(LONG), pushed(LONG, yaw_rate_deg=-2.0)])
@pytest.mark.parametrize("category", ["box", "cup", "mug"])
def test_a_perfect_track_neither_drifts_nor_jumps(truths: Sequence[Seen], category: str) -> None:
    one = followed(truths, category=category)
    moved = drift(one, TRACK, start=0)
    assert moved is not None
    assert moved.center_m == pytest.approx(0.0, abs=1e-9)
    assert moved.turn_rad == pytest.approx(0.0, abs=1e-7)
    assert jumps(one, TRACK) == (0, LONG - 1)


def test_a_constant_error_in_the_objects_frame_is_no_drift_and_no_jump() -> None:
    error = rigid(turned((0, 0, 1), 30.0), np.array([0.02, 0.01, -0.01]))
    one = followed(pushed(LONG), lambda _, truth: given(truth, error))
    moved = drift(one, TRACK, start=0)
    assert moved is not None
    assert (moved.center_m, moved.turn_rad) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-7))
    assert jumps(one, TRACK)[0] == 0


def test_drift_is_what_the_error_changed_by() -> None:
    def creeping(place: int, truth: Seen):
        return given(truth, rigid(turned((0, 0, 1), 0.05 * place), np.array([0.0001 * place, 0, 0])))

    moved = drift(followed(orbit(LONG), creeping), TRACK, start=0)
    assert moved is not None
    assert moved.center_m == pytest.approx(0.01)
    assert np.rad2deg(moved.turn_rad or 0) == pytest.approx(5.0)
    cup = drift(followed(orbit(LONG), creeping, category="cup"), TRACK, start=0)
    ball = drift(followed(orbit(LONG), creeping, category="ball"), TRACK, start=0)
    assert cup is not None
    assert ball is not None
    assert cup.turn_rad == pytest.approx(0.0, abs=1e-7), "the yaw of a cup says nothing"
    assert ball.turn_rad is None


def test_the_tilt_of_a_round_thing_may_drift() -> None:
    def tilting(place: int, truth: Seen):
        return given(truth, rigid(turned((1, 0, 0), 0.03 * place), np.zeros(3)))

    moved = drift(followed(orbit(LONG), tilting, category="cup"), TRACK, start=0)
    assert moved is not None
    assert np.rad2deg(moved.turn_rad or 0) == pytest.approx(3.0)


def test_no_drift_is_told_where_nothing_moves_nor_where_an_end_is_not_seen_well() -> None:
    assert drift(followed([seen(index=n) for n in range(LONG)]), TRACK, start=0) is None
    assert drift(followed(orbit(LONG - 1)), TRACK, start=0) is None
    hidden = [*orbit(LONG)[:-1], seen(None, camera(aside_m=0.3), index=LONG - 1, share=0.1)]
    assert drift(followed(hidden), TRACK, start=0) is None
    assert drift(followed(orbit(LONG), lambda place, truth: given(truth) if place else None), TRACK, start=0) is None


@pytest.mark.parametrize("category", ["box", "cup", "ball"])
@pytest.mark.parametrize(("axis", "degrees"), [((1, 0, 0), 180.0), ((0, 0, 1), 90.0), ((0, 0, 1), 16.0)])
def test_a_flipped_axis_is_a_jump_and_the_flip_back_another(
    category: str, axis: tuple[int, ...], degrees: float
) -> None:
    flip = rigid(turned(axis, degrees), np.zeros(3))
    one = followed(pushed(9), lambda place, truth: given(truth, flip if place == 4 else None), category=category)
    assert jumps(one, TRACK) == (2, 8)


def test_a_turn_of_14_degrees_is_no_jump() -> None:
    small = rigid(turned((0, 0, 1), 14.0), np.zeros(3))
    assert jumps(followed(orbit(9), lambda place, truth: given(truth, small if place == 4 else None)), TRACK)[0] == 0


def test_a_rolling_ball_need_not_be_said_to_turn() -> None:
    truths = rolling(9)
    still = lambda _, truth: given(truth, rigid(truth.world_from_object[:3, :3].T, np.zeros(3)))  # noqa: E731
    assert jumps(followed(truths, still, category="ball"), TRACK) == (0, 8)
    assert jumps(followed(truths, still, category="box"), TRACK) == (8, 8)


def test_a_flip_while_there_is_no_pose_is_a_jump_and_poses_that_do_not_count_are_not_asked() -> None:
    flip = rigid(turned((0, 0, 1), 90.0), np.zeros(3))
    lost = followed(orbit(9), lambda p, truth: None if p in (3, 4) else given(truth, flip if p > 4 else None))
    assert jumps(lost, TRACK) == (1, 6)
    truths = [seen(index=n, share=0.1 if n == 4 else 1.0) for n in range(9)]
    unasked = followed(truths, lambda p, truth: given(truth, flip if p == 4 else None))
    assert jumps(unasked, TRACK) == (0, 7)


def test_jitter_is_the_standard_deviation_of_the_centre_at_rest() -> None:
    rng = np.random.default_rng(2)

    def shaking(place: int, truth: Seen):
        return given(truth, rigid(np.eye(3), rng.normal(0, 0.001, 3)))

    truths = orbit(40 * REST_FRAMES + 1)
    jitters = jitters_m(followed(truths, shaking), TRACK)
    assert len(jitters) == 40
    assert np.sqrt(np.mean(np.square(jitters))) == pytest.approx(np.sqrt(3 * (1 - 1 / REST_FRAMES)) * 0.001, rel=0.1)


def test_what_moves_has_no_jitter_and_a_frame_without_a_pose_begins_anew() -> None:
    assert jitters_m(followed(pushed(100)), TRACK) == []
    gap = followed(orbit(41), lambda place, truth: None if place == 20 else given(truth))
    assert jitters_m(gap, TRACK) == []
    assert jitters_m(followed(orbit(41)), TRACK) == [pytest.approx(0.0, abs=1e-9)]
