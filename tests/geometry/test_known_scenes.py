"""Poses in simulated scenes with sensor noise, and in real pictures, against what is known of them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from referent.config import GeometryConfig
from referent.geometry.estimate import estimate_pose
from referent.sources.simulation.scenes import sample_scene
from referent.sources.simulation.simulate import simulate
from referent.types import Intrinsics, RgbdFrame

CONFIG = GeometryConfig()


def test_simulated_objects_are_found_within_a_centimetre():
    centers_mm, sides_mm, squared = [], [], []
    for seed in range(12):
        simulated = next(iter(simulate(sample_scene(seed, "still_test"), frames=1)))
        up = simulated.truth.world_from_camera[2, :3]
        for item in simulated.truth.objects:
            near = np.linalg.norm(item.camera_from_object[:3, 3]) < 1.0
            if not near or item.in_view_fraction < 1 or item.visible_px < 0.7 * item.amodal_px:
                continue
            mask = simulated.truth.instance_ids == item.instance_id
            pose = estimate_pose(simulated.frame, mask, CONFIG, up_in_camera=up)
            error = pose.box.camera_from_object[:3, 3] - item.camera_from_object[:3, 3]
            centers_mm.append(1e3 * np.linalg.norm(error))
            sides_mm.append(1e3 * np.abs(np.sort(pose.box.size_m) - np.sort(item.size_m)).max())
            squared.append(error @ np.linalg.solve(pose.covariance[:3, :3], error))
    assert len(centers_mm) > 25
    assert np.median(centers_mm) < 8
    assert np.quantile(centers_mm, 0.9) < 25
    assert np.median(sides_mm) < 8
    assert np.mean(np.array(squared) < 7.8) > 0.85  # 95 % of chi-square with three degrees of freedom


def a_real_frame(color, depth, unit_m, camera):
    counts = cv2.imread(str(depth), cv2.IMREAD_UNCHANGED)
    depth_m = np.where(counts > 0, counts * np.float32(unit_m), np.nan).astype(np.float32)
    rgb = np.ascontiguousarray(cv2.imread(str(color))[..., ::-1])
    return RgbdFrame(0, "camera", rgb, depth_m, camera)


def test_ycb_objects_are_where_their_models_are(real_data):
    folder = real_data / "ycbv_frame1"
    truth = json.loads((folder / "000001-gt.json").read_text())
    k = np.array(truth["K"])
    camera = Intrinsics(640, 480, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    frame = a_real_frame(folder / "000001-color.png", folder / "000001-depth.png", truth["depth_unit_m"], camera)
    labels = cv2.imread(str(folder / "000001-label.png"), cv2.IMREAD_UNCHANGED)
    for item in truth["objects"]:
        model = np.loadtxt(folder / "models" / f"{item['name']}.xyz")
        middle = np.append((model.min(axis=0) + model.max(axis=0)) / 2, 1)
        pose = estimate_pose(frame, labels == item["label"], CONFIG)
        error = pose.box.camera_from_object[:3, 3] - (np.array(item["T_cam_obj"]) @ middle)[:3]
        assert np.linalg.norm(error) < 0.02, item["name"]
        assert error @ np.linalg.solve(pose.covariance[:3, :3], error) < 11.3, item["name"]  # 99 %


def masks_of_mosd(folder, name):
    labels = cv2.imread(str(folder / "label" / f"{name}.png"), cv2.IMREAD_UNCHANGED) // 10
    return [labels == number for number in range(2, 26) if np.count_nonzero(labels == number) > 300]


@pytest.mark.parametrize("name", ["learn12", "learn27", "learn3", "learn40", "learn44"])
def test_boxes_on_a_real_table_are_finite_and_stand_upright(real_data, name):
    folder = real_data / "mosd_learn"
    camera = Intrinsics(640, 480, 525.0, 525.0, 319.5, 239.5)
    frame = a_real_frame(folder / "color" / f"{name}.png", folder / "depth" / f"{name}.png", 0.001, camera)
    ups = []
    for mask in masks_of_mosd(folder, name):
        pose = estimate_pose(frame, mask, CONFIG)
        assert np.isfinite(pose.box.camera_from_object).all()
        assert (pose.box.size_m > 0.02).all()
        assert (pose.box.size_m < 0.45).all()
        axes = pose.box.camera_from_object[:3, :3]
        ups.append(axes[:, int(np.argmax(-axes[1]))])
    assert np.ptp(np.array(ups), axis=0).max() < 0.15  # all stand on one table


@pytest.mark.parametrize("name", ["learn18", "learn22"])
def test_boxes_stacked_on_each_other_are_finite_and_unsure(real_data, name):
    folder = real_data / "mosd_learn"
    camera = Intrinsics(640, 480, 525.0, 525.0, 319.5, 239.5)
    frame = a_real_frame(folder / "color" / f"{name}.png", folder / "depth" / f"{name}.png", 0.001, camera)
    for mask in masks_of_mosd(folder, name):
        pose = estimate_pose(frame, mask, CONFIG)
        assert (pose.box.size_m > 0.02).all()
        assert (pose.box.size_m < 0.45).all()
        assert np.sqrt(np.linalg.eigvalsh(pose.covariance[:3, :3]).max()) > 0.01


def test_a_rectangle_on_a_real_tabletop_gives_a_finite_box(real_data):
    folder = real_data / "uoc_tabletop"
    values = json.loads((folder / "camera.json").read_text())
    camera = Intrinsics(*(values[key] for key in ("width", "height", "fx", "fy", "cx", "cy")))
    for number in range(9):
        frame = a_real_frame(
            folder / f"{number:06d}-color.png", folder / f"{number:06d}-depth.png", values["depth_unit_m"], camera
        )
        mask = np.zeros((480, 640), bool)
        mask[200:320, 260:400] = True
        pose = estimate_pose(frame, mask, CONFIG)
        assert pose is None or (
            np.isfinite(pose.box.camera_from_object).all() and np.linalg.eigvalsh(pose.covariance).min() > 0
        )
