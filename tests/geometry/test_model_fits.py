"""Known models found and followed in exact depth pictures with sensor noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_shapes import BRICK, CAN, DRILL, MUG, STEPS, Part, Scene, a_pose, a_scene, add_m, pose_error, write_obj

from referent.config import GeometryConfig
from referent.geometry.models import (
    ModelFit,
    ObjectModel,
    find_model,
    load_model,
    model_box,
    nearest_equivalent,
    refine_model,
)
from referent.geometry.models.turns import about, angle_between
from referent.geometry.poses import rigid, transform_points
from referent.types import Array

CONFIG = GeometryConfig()
Load = Callable[[Sequence[Part]], ObjectModel]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Load:
    kept: dict[int, ObjectModel] = {}
    folder: Path = tmp_path_factory.mktemp("models")

    def load(parts: Sequence[Part]) -> ObjectModel:
        if id(parts) not in kept:
            kept[id(parts)] = load_model(write_obj(folder / f"{len(kept)}.obj", parts))
        return kept[id(parts)]

    return load


def found(model: ObjectModel, scene: Scene) -> ModelFit | None:
    return find_model(
        model, scene.points_m, scene.depth_m, scene.mask, scene.camera, up_in_camera=scene.up_in_camera, config=CONFIG
    )


def refined(model: ObjectModel, start: Array | ModelFit, scene: Scene) -> ModelFit | None:
    return refine_model(model, start, scene.points_m, scene.depth_m, scene.mask, scene.camera, config=CONFIG)


def nudged(pose: Array, *, move_m: float = 0.008, turn_deg: float = 4.0) -> Array:
    rng = np.random.default_rng(5)
    move, axis = rng.normal(size=(2, 3))
    turn = about(axis / np.linalg.norm(axis), np.deg2rad(turn_deg))
    return rigid(turn @ pose[:3, :3], pose[:3, 3] + move / np.linalg.norm(move) * move_m)


@pytest.mark.parametrize("parts", [BRICK, CAN, MUG, DRILL, STEPS], ids=["brick", "can", "mug", "drill", "steps"])
def test_a_model_is_found_however_it_lies(loaded: Load, parts: Sequence[Part]) -> None:
    model = loaded(parts)
    sure = []
    for seed in range(100, 105):
        scene = a_scene(parts, a_pose(seed), seed=seed)
        fit = found(model, scene)
        assert fit is not None
        assert fit.score > 0.7
        assert fit.residual_m < 0.002
        pose = nearest_equivalent(fit, scene.camera_from_model, model).camera_from_model
        sure.append(fit.orientation_known or model.axis is not None)
        if sure[-1]:
            assert add_m(model.points_m, pose, scene.camera_from_model) < 0.05 * model.diameter_m
        else:  # such as a mug whose handle is hidden: then the covariance has room for the truth
            error = pose_error(pose, scene.camera_from_model, model.center_m)
            assert error @ np.linalg.solve(fit.covariance, error) < 16.8
    assert np.mean(sure) >= 0.6


def test_the_same_picture_gives_the_same_pose(loaded: Load) -> None:
    scene = a_scene(MUG, a_pose(101))
    first, second = found(loaded(MUG), scene), found(loaded(MUG), scene)
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.camera_from_model, second.camera_from_model)
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_a_can_has_a_place_and_an_axis_but_no_yaw(loaded: Load) -> None:
    model = loaded(CAN)
    scene = a_scene(CAN, a_pose(102))
    fit = found(model, scene)
    assert fit is not None
    assert not fit.orientation_known
    axis = fit.camera_from_model[:3, 2]
    about_axis = np.sqrt(axis @ fit.covariance[3:, 3:] @ axis)
    assert about_axis == pytest.approx(np.pi / np.sqrt(3), rel=0.01)
    across = scene.camera_from_model[:3, 0]
    assert np.sqrt(across @ fit.covariance[3:, 3:] @ across) < np.deg2rad(5)
    assert abs(axis @ scene.camera_from_model[:3, 2]) > np.cos(np.deg2rad(1.0))


def test_a_mug_whose_handle_is_hidden_has_no_known_orientation(loaded: Load) -> None:
    # The handle points away from the camera, straight behind the body.
    up, away = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    pose = rigid(np.stack([away, np.cross(up, away), up], axis=1), np.array([0.0, 0.0, 0.6]))
    fit = found(loaded(MUG), a_scene(MUG, pose))
    assert fit is not None
    assert not fit.orientation_known
    sigma = np.sqrt(up @ fit.covariance[3:, 3:] @ up)
    assert sigma > np.deg2rad(15)


def test_what_one_view_left_open_a_later_one_settles(loaded: Load) -> None:
    model = loaded(MUG)
    up, away = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    hidden = rigid(np.stack([away, np.cross(up, away), up], axis=1), np.array([0.0, 0.0, 0.6]))
    fit = found(model, a_scene(MUG, hidden))
    assert fit is not None
    assert fit.rivals
    seen = hidden @ rigid(about(np.array([0.0, 0, 1]), np.pi / 2), np.zeros(3))
    settled = found(model, a_scene(MUG, seen))
    assert settled is not None
    assert settled.orientation_known
    # Followed with a rival that is wrong by now, the fit drops it.
    doubtful = replace(
        settled, orientation_known=False, rivals=(rigid(about(np.array([0.0, 0, 1]), 1.0), np.zeros(3)),)
    )
    again = refined(model, doubtful, a_scene(MUG, seen, seed=1))
    assert again is not None
    assert again.orientation_known
    assert not again.rivals
    # Followed from a pose that looks worse than its rival, it changes over.
    wrong = replace(
        settled,
        camera_from_model=seen @ rigid(about(np.array([0.0, 0, 1]), 0.9), np.zeros(3)),
        rivals=(rigid(about(np.array([0.0, 0, 1]), -0.9), np.zeros(3)),),
    )
    changed = refined(model, wrong, a_scene(MUG, seen, seed=1))
    assert changed is not None
    same = nearest_equivalent(changed, seen, model)
    assert add_m(model.points_m, same.camera_from_model, seen) < 0.003


@pytest.mark.parametrize("parts", [BRICK, MUG, DRILL], ids=["brick", "mug", "drill"])
def test_a_moving_model_is_followed_without_drift(loaded: Load, parts: Sequence[Part]) -> None:
    model = loaded(parts)
    pose = a_pose(103)
    fit = refined(model, nudged(pose), a_scene(parts, pose))
    assert fit is not None
    for step in range(12):
        pose = rigid(about(np.array([0.0, 1.0, 0.0]), np.deg2rad(3)) @ pose[:3, :3], pose[:3, 3] + [0.004, 0, 0.002])
        fit = refined(model, fit, a_scene(parts, pose, seed=step))
        assert fit is not None
        assert add_m(model.points_m, fit.camera_from_model, pose) < 0.004
    assert np.rad2deg(angle_between(fit.camera_from_model[:3, :3], pose[:3, :3])) < 1.5


def test_a_model_half_behind_something_is_found_or_said_to_be_unsure(loaded: Load) -> None:
    model = loaded(DRILL)
    for seed in (104, 105, 106, 107):
        scene = a_scene(DRILL, a_pose(seed), seed=seed, hidden_columns=slice(0, 300))
        fit = found(model, scene)
        if fit is not None and fit.orientation_known:
            error = add_m(model.points_m, fit.camera_from_model, scene.camera_from_model)
            assert error < 0.1 * model.diameter_m


def test_what_cleaning_left_out_is_taken_from_the_mask(loaded: Load) -> None:
    model = loaded(DRILL)
    scene = a_scene(DRILL, a_pose(6), seed=6)
    foot = scene.points_m[scene.points_m[:, 2] < np.quantile(scene.points_m[:, 2], 0.5)]
    fit = found(model, replace(scene, points_m=foot))
    assert fit is not None
    assert add_m(model.points_m, fit.camera_from_model, scene.camera_from_model) < 0.003


def test_a_model_that_is_not_there_is_not_found(loaded: Load) -> None:
    for seed in (108, 109):
        for parts, other in ((CAN, DRILL), (DRILL, CAN), (DRILL, MUG), (BRICK, DRILL)):
            scene = a_scene(parts, a_pose(seed), seed=seed)
            fit = found(loaded(other), scene)
            assert fit is None or fit.score < 0.6


def test_a_mask_of_the_floor_holds_no_model(loaded: Load) -> None:
    scene = a_scene(DRILL, a_pose(110))
    floor = np.zeros_like(scene.mask)
    floor[380:440, 60:160] = True
    from referent.geometry.camera import backproject

    points = backproject(scene.depth_m, floor, scene.camera)
    fit = find_model(loaded(DRILL), points, scene.depth_m, floor, scene.camera, config=CONFIG)
    assert fit is None
    assert find_model(loaded(DRILL), points[:5], scene.depth_m, floor, scene.camera, config=CONFIG) is None
    assert refine_model(loaded(DRILL), a_pose(110), points, scene.depth_m, floor, scene.camera, config=CONFIG) is None


def test_errors_stay_within_what_the_covariance_says(loaded: Load) -> None:
    model = loaded(STEPS)
    normed = []
    for seed in range(120, 136):
        scene = a_scene(STEPS, a_pose(seed, 0.7), seed=seed, noise_px=0.1)
        fit = refined(model, nudged(scene.camera_from_model), scene)
        assert fit is not None
        assert np.linalg.eigvalsh(fit.covariance).min() > 0
        error = pose_error(fit.camera_from_model, scene.camera_from_model, model.center_m)
        normed.append(float(error @ np.linalg.solve(fit.covariance, error)))
    assert np.mean(np.array(normed) < 12.6) >= 0.9  # 95 % bound of 6 degrees of freedom; the floors are wider still


def test_fewer_points_never_shrink_the_covariance(loaded: Load) -> None:
    model = loaded(STEPS)
    scene = a_scene(STEPS, a_pose(121))
    full = refined(model, scene.camera_from_model, scene)
    few = refined(model, scene.camera_from_model, replace(scene, points_m=scene.points_m[::12]))
    assert full is not None
    assert few is not None
    assert np.trace(few.covariance[:3, :3]) > 0.99 * np.trace(full.covariance[:3, :3])
    assert np.trace(few.covariance[3:, 3:]) > 0.99 * np.trace(full.covariance[3:, 3:])


def test_the_box_is_the_meshs_own_posed(loaded: Load) -> None:
    model = loaded(MUG)
    fit = ModelFit(a_pose(7), 0.001, 0.9, np.eye(6), True, 321)
    box = model_box(fit, model)
    np.testing.assert_allclose(box.size_m, (0.121, 0.08, 0.1), atol=1e-4)
    corners = transform_points(np.linalg.inv(box.camera_from_object), transform_points(a_pose(7), model.points_m))
    np.testing.assert_allclose(np.abs(corners).max(axis=0), box.size_m / 2, atol=1e-3)
    assert (box.point_count, box.orientation_known) == (321, True)


def test_a_sheet_has_a_thickness_that_planners_take(tmp_path: Path) -> None:
    path = tmp_path / "sheet.obj"
    path.write_text("v 0 0 0\nv 0.1 0 0\nv 0.1 0.06 0\nv 0 0.06 0\nf 1 2 3 4\n")
    model = load_model(path)
    fit = ModelFit(np.eye(4), 0.001, 1.0, np.eye(6), True, 100)
    np.testing.assert_allclose(model_box(fit, model).size_m, [0.1, 0.06, 0.001])
