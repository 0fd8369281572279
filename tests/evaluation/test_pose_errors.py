"""What the suite of poses calls an error, against rotations, lengths and samples that are known."""

from __future__ import annotations

import numpy as np
import pytest
from posed import SIZE_M, given, seen, standing, turned

from referent.evaluation.poses.compare import BOUND_95, Placed, compare
from referent.evaluation.poses.freedom import BALLS, DESCRIPTIONS, ROUND, Asked
from referent.geometry.poses import rigid
from referent.sources.simulation.categories import build_shape
from referent.sources.simulation.shapes import Shape
from referent.sources.simulation.vocabulary import CATEGORIES
from referent.types import Array

TRUTH = seen()


def off(rotation: Array | None = None, shift_m: tuple[float, float, float] = (0, 0, 0)) -> Array:
    return rigid(np.eye(3) if rotation is None else rotation, np.array(shift_m))


def axis_deg(pose: Placed, category: str = "box", truth=TRUTH) -> float | None:
    return compare(pose, truth, category, SIZE_M).axis_deg


# Which turns can be seen.


def revolves_about_z(shape: Shape) -> bool:
    """Whether all its surfaces are surfaces of revolution about the object's z axis."""
    return all(
        not part.is_box
        and part.min_x < -1
        and np.allclose(part.object_from_primitive[:2, 3], 0, atol=1e-9)
        and abs(part.object_from_primitive[2, 2]) > 1 - 1e-9
        for part in shape.primitives
    )


def test_the_round_categories_are_those_whose_bodies_are() -> None:
    assert {name for name in CATEGORIES if revolves_about_z(build_shape(name))} == ROUND | BALLS
    ball = build_shape("ball")
    np.testing.assert_allclose(np.linalg.norm(ball.points_m, axis=1), ball.size_m[0] / 2, rtol=1e-6)


# Axes.


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (1, 2, -1)])
@pytest.mark.parametrize("degrees", [0.0, 0.5, 7.0, 30.0])
def test_a_known_turn_is_the_axis_error_however_the_box_is_described(
    axis: tuple[int, int, int], degrees: float
) -> None:
    for description in DESCRIPTIONS:
        pose = given(TRUTH, off(turned(axis, degrees) @ description), size_m=np.abs(description).T @ SIZE_M)
        assert axis_deg(pose) == pytest.approx(degrees, abs=1e-5)


def test_a_box_turned_by_80_degrees_is_one_turned_by_10_with_its_sides_swapped() -> None:
    errors = compare(given(TRUTH, off(turned((0, 0, 1), 80.0))), TRUTH, "box", SIZE_M)
    assert errors.axis_deg == pytest.approx(10.0)
    assert errors.side_m == pytest.approx(0.12 - 0.08), "which is an error of sides"


def test_there_are_24_descriptions_and_none_is_a_mirror_image() -> None:
    assert len({tuple(d.ravel()) for d in DESCRIPTIONS}) == 24
    np.testing.assert_allclose(np.linalg.det(DESCRIPTIONS), 1)


def test_round_things_may_have_any_yaw_and_only_their_tilt_counts() -> None:
    yawed = turned((0, 0, 1), 33.0)
    assert axis_deg(given(TRUTH, off(yawed)), "cup") == pytest.approx(0.0, abs=1e-5)
    assert axis_deg(given(TRUTH, off(turned((1, 0, 0), 9.0) @ yawed)), "cup") == pytest.approx(9.0)
    upside_down = turned((1, 0, 0), 180.0)
    assert axis_deg(given(TRUTH, off(upside_down)), "can") == pytest.approx(0.0, abs=1e-5)


def test_a_ball_has_no_axes() -> None:
    errors = compare(given(TRUTH, off(turned((1, 1, 0), 40.0))), TRUTH, "ball", np.full(3, 0.09))
    assert (errors.axis_deg, errors.asked, errors.freedom) == (None, Asked.NOTHING, 3)


def test_axes_that_are_a_convention_are_asked_for_their_tilt_and_only_of_what_stands_upright() -> None:
    unsure = {"orientation_known": False}
    assert axis_deg(given(TRUTH, off(turned((0, 0, 1), 40.0)), **unsure), "hammer") == pytest.approx(0.0, abs=1e-5)
    assert axis_deg(given(TRUTH, off(turned((0, 1, 0), 8.0)), **unsure), "hammer") == pytest.approx(8.0)
    leaning = seen(standing() @ rigid(turned((1, 0, 0), 30.0), np.zeros(3)))
    assert axis_deg(given(leaning, **unsure), "bottle", leaning) is None
    assert axis_deg(given(leaning), "bottle", leaning) == pytest.approx(0.0, abs=1e-5)


# Centre and sides.


def test_the_centre_is_off_by_its_distance() -> None:
    assert compare(given(TRUTH, off(None, (0.003, -0.004, 0.012))), TRUTH, "box", SIZE_M).center_m == pytest.approx(
        0.013
    )


def test_the_worst_observed_side_counts_in_metres_by_its_length_and_by_what_is_allowed() -> None:
    errors = compare(given(TRUTH, size_m=SIZE_M + np.array([0.015, -0.004, 0.009])), TRUTH, "box", SIZE_M)
    assert errors.side_m == pytest.approx(0.015)
    assert errors.side_share == pytest.approx(0.009 / 0.05)
    assert errors.side_of_bar == pytest.approx(0.015 / 0.012), "10 % of 12 cm are more than 8 mm"


def test_sides_said_not_to_be_observed_are_not_asked_for() -> None:
    swapped = turned((0, 0, 1), 90.0)  # the box's x lies along the true y
    size = np.array([0.02, 0.12, 0.05])
    hidden = given(TRUTH, off(swapped), size_m=size, unobserved=(True, False, False))
    assert compare(hidden, TRUTH, "box", SIZE_M).side_m == pytest.approx(0.0, abs=1e-12)
    nothing = given(TRUTH, size_m=size, unobserved=(True, True, True))
    assert compare(nothing, TRUTH, "box", SIZE_M).side_m is None
    assert compare(nothing, TRUTH, "box", SIZE_M).unobserved_sides == 3


def test_without_a_yaw_level_sides_are_told_by_their_lengths() -> None:
    pose = given(TRUTH, off(turned((0, 0, 1), 90.0)), orientation_known=False)
    assert compare(pose, TRUTH, "mug", SIZE_M).side_m == pytest.approx(0.0, abs=1e-12)


# Covariance.


@pytest.mark.parametrize(("category", "freedom"), [("box", 6), ("cup", 5), ("ball", 3)])
def test_errors_drawn_from_the_covariance_have_a_nees_of_one_and_19_of_20_are_inside(
    category: str, freedom: int
) -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(size=(6, 6)) * np.array([0.004, 0.003, 0.006, 0.02, 0.01, 0.03])[:, None]
    covariance = root @ root.T + np.eye(6) * 1e-8
    judged = []
    for draw in rng.multivariate_normal(np.zeros(6), covariance, size=1500):
        angle = float(np.linalg.norm(draw[3:]))
        pose = TRUTH.camera_from_object.copy()
        pose[:3, :3] = turned(draw[3:], np.rad2deg(angle)) @ pose[:3, :3]
        pose[:3, 3] += draw[:3]
        if category == "cup":  # what cannot be seen may be anything
            pose[:3, :3] = pose[:3, :3] @ turned((0, 0, 1), rng.uniform(0, 360))
        judged.append(compare(Placed(pose, SIZE_M, covariance), TRUTH, category, SIZE_M))
    assert {one.freedom for one in judged} == {freedom}
    assert np.mean([one.nees for one in judged]) / freedom == pytest.approx(1.0, abs=0.08)
    assert np.mean([one.inside for one in judged]) == pytest.approx(0.95, abs=0.02)


def test_bounds_are_those_of_chi_square() -> None:
    from scipy.stats import chi2

    for freedom, bound in BOUND_95.items():
        assert bound == pytest.approx(chi2.ppf(0.95, freedom), abs=1e-3)


def test_a_covariance_a_hundred_times_too_small_puts_the_truth_outside() -> None:
    pose = given(TRUTH, off(None, (0.01, 0.0, 0.0)), covariance=np.eye(6) * 1e-4)
    sure = given(TRUTH, off(None, (0.01, 0.0, 0.0)), covariance=np.eye(6) * 1e-6)
    assert compare(pose, TRUTH, "box", SIZE_M).nees == pytest.approx(1.0)
    assert compare(pose, TRUTH, "box", SIZE_M).inside is True
    assert compare(sure, TRUTH, "box", SIZE_M).inside is False
    assert compare(sure, TRUTH, "box", SIZE_M).center_sigma_m == pytest.approx(np.sqrt(3) * 1e-3)
    bare = compare(given(TRUTH, covariance=None), TRUTH, "box", SIZE_M)
    assert (bare.nees, bare.inside, bare.center_sigma_m) == (None, None, None)
