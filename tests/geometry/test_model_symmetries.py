"""Which turns leave a model the same, found from its surface alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_shapes import BRICK, CAN, DRILL, MUG, Part, a_part, a_pose, write_obj

from referent.geometry.models import ModelFit, load_model, nearest_equivalent
from referent.geometry.models.turns import about, angle_between
from referent.geometry.poses import rigid
from referent.types import Array

TILT = about(np.array([1.0, 2.0, 3.0]) / np.sqrt(14), 0.4)


def turned(parts: tuple[Part, ...], turn: Array = TILT) -> tuple[Part, ...]:
    """The same object in a file whose axes are not its own."""
    return tuple((kind, size, rigid(turn, np.array([0.03, -0.02, 0.01])) @ pose) for kind, size, pose in parts)


CUBE = (a_part("box", (0.1, 0.1, 0.1), (0, 0, 0)),)
TILE = (a_part("box", (0.1, 0.1, 0.02), (0, 0, 0)),)


@pytest.mark.parametrize(("parts", "count"), [(BRICK, 4), (TILE, 8), (CUBE, 24), (MUG, 2), (DRILL, 1)])
@pytest.mark.parametrize("tilted", [False, True])
def test_finite_symmetries_are_found_about_any_axes(
    tmp_path: Path, parts: tuple[Part, ...], count: int, tilted: bool
) -> None:
    model = load_model(write_obj(tmp_path / "a.obj", turned(parts) if tilted else parts))
    assert model.axis is None
    assert len(model.symmetries) == count
    np.testing.assert_array_equal(model.symmetries[0], np.eye(4))
    products = np.einsum("aij,bjk->abik", model.symmetries, model.symmetries).reshape(-1, 4, 4)
    apart = angle_between(products[:, None, :3, :3], model.symmetries[None, :, :3, :3]).min(axis=1)
    assert np.rad2deg(apart.max()) < 4.0  # they form a group, up to what registration leaves


def test_a_cylinder_has_an_axis_and_can_stand_on_its_head(tmp_path: Path) -> None:
    model = load_model(write_obj(tmp_path / "can.obj", turned(CAN)))
    assert model.axis is not None
    assert abs(model.axis @ TILT[:, 2]) > np.cos(np.deg2rad(1.0))
    assert not model.is_ball
    assert len(model.symmetries) == 2
    assert abs(model.symmetries[1][:3, :3] @ model.axis @ model.axis + 1) < 1e-3


def test_a_bottle_has_an_axis_but_cannot_stand_on_its_head(tmp_path: Path) -> None:
    bottle = (*CAN, a_part("cylinder", (0.03, 0.03, 0.05), (0, 0, 0.08)))
    model = load_model(write_obj(tmp_path / "bottle.obj", bottle))
    assert model.axis is not None
    assert len(model.symmetries) == 1


def test_a_ball_is_the_same_however_it_is_turned(tmp_path: Path) -> None:
    import trimesh

    path = tmp_path / "ball.stl"
    trimesh.creation.icosphere(3, 0.05).export(path)
    model = load_model(path)
    assert model.is_ball
    fit = ModelFit(a_pose(1), 0.001, 1.0, np.eye(6), False, 100)
    np.testing.assert_allclose(nearest_equivalent(fit, a_pose(2), model).camera_from_model[:3, :3], a_pose(2)[:3, :3])


@pytest.mark.parametrize("parts", [BRICK, CAN])
def test_of_equal_poses_the_one_nearest_to_the_last_is_taken(tmp_path: Path, parts: tuple[Part, ...]) -> None:
    model = load_model(write_obj(tmp_path / "a.obj", turned(parts)))
    previous = a_pose(3)
    moved = previous @ rigid(about(np.array([1.0, 0, 0]), 0.05), np.array([0.0, 0.01, 0]))
    free = np.eye(4)
    if model.axis is not None:
        turn = about(model.axis, 2.0)
        free = rigid(turn, model.middle_m - turn @ model.middle_m)
    for symmetry in model.symmetries:
        fit = ModelFit(moved @ symmetry @ free, 0.001, 1.0, np.eye(6), True, 100)
        found = nearest_equivalent(fit, previous, model).camera_from_model
        # About the free axis it is turned as before; otherwise it is the pose that was there.
        assert np.rad2deg(angle_between(found[:3, :3], previous[:3, :3])) < 3.0
        middle = np.append(model.middle_m, 1.0)
        np.testing.assert_allclose(found @ middle, moved @ middle, atol=5e-4)
