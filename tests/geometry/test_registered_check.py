"""Depth that does not fit color is told, depth that does is not: on rendered scenes and on five real sensors."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from referent.geometry.registered_check import RegistrationWatch, registration_shift
from referent.posing.from_files import PosePictures, poses_from_files
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.types import Array, Intrinsics, RgbdFrame

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
PAIRS = {  # where color and registered depth lie, and what replaces what in the name
    "sevenscenes_redkitchen_a": ("color/0000[0-9]0.jpg", "color", "depth", ".jpg"),
    "mosd_learn": ("color/*.png", "color", "depth", ".png"),
    "uoc_tabletop": ("*-color.png", "-color", "-depth", ".png"),
    "apc_shelf_views": ("*.color.png", ".color", ".depth", ".png"),
    "visp_castel": ("gray/00[01]0.png", "gray", "depth", ".png"),
}
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is not on this machine")
SEEDS = (3, 5, 8, 13)


@cache
def rendered(seed: int) -> RgbdFrame:
    (shot,) = simulate(named_scene("tabletop", seed), frames=1)
    return shot.frame


def moved(depth_m: Array, *, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> Array:
    """Depth scaled about the middle and shifted, as an unregistered camera's would be."""
    height, width = depth_m.shape
    matrix = np.array([[scale, 0, width / 2 * (1 - scale) + x], [0, scale, height / 2 * (1 - scale) + y]])
    return cv2.warpAffine(depth_m, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=(np.nan,))


def real_pairs(name: str) -> list[tuple[Array, Array]]:
    pattern, color, depth, suffix = PAIRS[name]
    pairs = []
    for path in sorted((REAL / name).glob(pattern)):
        beside = str(path.relative_to(REAL / name)).replace(color, depth).replace(suffix, ".png")
        counts = cv2.imread(str(REAL / name / beside), cv2.IMREAD_UNCHANGED).astype(np.float32)
        depth_m = np.where(counts > 0, counts / 1000, np.float32(np.nan))  # the unit does not matter
        pairs.append((np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]), depth_m))
    assert pairs
    return pairs


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_that_fits_is_never_reported(seed: int) -> None:
    frame = rendered(seed)
    found = registration_shift(frame.rgb, frame.depth_m)
    assert found is None or not found.misfit


def test_depth_of_another_focal_length_is_found_with_its_scale() -> None:
    found = [registration_shift(frame.rgb, moved(frame.depth_m, scale=0.8)) for frame in map(rendered, SEEDS)]
    sure = [each for each in found if each is not None and each.misfit]
    assert len(sure) >= 3
    for each in sure:
        assert each.scale == pytest.approx(1.25, rel=0.06)
        assert not each.fit


def test_depth_from_beside_is_found_with_its_shift() -> None:
    found = [registration_shift(frame.rgb, moved(frame.depth_m, x=30, y=-8)) for frame in map(rendered, SEEDS)]
    sure = [each for each in found if each is not None and each.misfit]
    assert len(sure) >= 3
    for each in sure:
        assert each.shift_px == pytest.approx((-30, 8), abs=8)
        assert each.scale == pytest.approx(1.0, abs=0.07)
        assert each.offset_px == pytest.approx(31, abs=8)


def test_nothing_is_said_where_there_is_nothing_to_compare() -> None:
    frame = rendered(SEEDS[0])
    assert registration_shift(frame.rgb, np.full_like(frame.depth_m, np.nan)) is None
    assert registration_shift(frame.rgb, np.full_like(frame.depth_m, 1.5)) is None
    blank = registration_shift(np.full_like(frame.rgb, 128), frame.depth_m)
    assert blank is None or not (blank.misfit or blank.fit)
    noise = np.random.default_rng(0).integers(0, 256, frame.rgb.shape, np.uint8)
    random = registration_shift(noise, frame.depth_m)
    assert random is None or not (random.misfit or random.fit)


@needs_real
@pytest.mark.parametrize("name", list(PAIRS))
def test_real_registered_depth_is_never_reported(name: str) -> None:
    found = [registration_shift(rgb, depth_m) for rgb, depth_m in real_pairs(name)]
    assert not [each for each in found if each is not None and each.misfit]


@needs_real
def test_kinect_depth_taken_as_if_it_were_registered_is_found() -> None:
    """7-Scenes as published: depth has a focal length of 585 px, color of 525 px, and both the same size."""
    found = [
        registration_shift(rgb, moved(depth_m, scale=585 / 525))
        for rgb, depth_m in real_pairs("sevenscenes_redkitchen_a")
    ]
    sure = [each for each in found if each is not None and each.misfit]
    assert len(sure) >= 0.7 * len(found)
    assert np.median([each.scale for each in sure]) == pytest.approx(525 / 585, rel=0.04)


def watched(frames: list[RgbdFrame], period_s: float = 5.0) -> RegistrationWatch:
    watch = RegistrationWatch(period_s)
    for frame in frames:
        watch.look(frame)
    return watch


def a_clip(seconds: float, *, scale: float = 1.0, seed: int = SEEDS[1]) -> list[RgbdFrame]:
    frame = rendered(seed)
    unregistered = frame if scale == 1.0 else replace(frame, depth_m=moved(frame.depth_m, scale=scale))
    return [replace(unregistered, stamp_ns=round(number * 1e8)) for number in range(round(seconds * 10))]


def test_two_looks_that_agree_make_a_warning_that_names_the_way_out() -> None:
    assert watched(a_clip(0.9, scale=0.8)).warning is None
    warning = watched(a_clip(2.0, scale=0.8)).warning
    assert warning is not None
    assert "depth does not fit color" in warning
    assert "camera_info" in warning
    assert watched(a_clip(8.0)).warning is None
    assert watched(a_clip(8.0, scale=0.8), period_s=0).warning is None


def test_a_warning_ends_when_depth_fits_again_and_time_may_begin_again() -> None:
    watch = watched(a_clip(2.0, scale=0.8))
    assert watch.warning is not None
    for frame in a_clip(2.0):  # stamps jump back
        watch.look(frame)
    assert watch.warning is None


def test_pictures_of_any_size_are_looked_at() -> None:
    frame = rendered(SEEDS[0])
    for width, height in ((1280, 720), (160, 120), (101, 77), (8, 6)):
        rgb = cv2.resize(frame.rgb, (width, height))
        depth_m = cv2.resize(frame.depth_m, (width, height), interpolation=cv2.INTER_NEAREST)
        found = registration_shift(rgb, depth_m)
        assert found is None or not found.misfit
    tiny = RgbdFrame(0, "c", frame.rgb[:2, :2].copy(), frame.depth_m[:2, :2].copy(), Intrinsics(2, 2, 1, 1, 1, 1))
    watched([tiny])


def test_one_picture_of_depth_that_does_not_fit_is_told_of_with_its_pose(tmp_path: Path) -> None:
    (shot,) = simulate(named_scene("tabletop", SEEDS[1]), frames=1)
    camera = shot.frame.intrinsics
    (tmp_path / "camera.json").write_text(json.dumps(asdict(camera)))
    cv2.imwrite(str(tmp_path / "color.png"), shot.frame.rgb[..., ::-1])
    cv2.imwrite(
        str(tmp_path / "mask.png"), (shot.truth.instance_ids == shot.truth.objects[0].instance_id) * np.uint8(1)
    )
    pictures = PosePictures(tmp_path / "color.png", tmp_path / "depth.npy", tmp_path / "camera.json")
    for shift_px, told in ((0, 0), (35, 1)):
        np.save(tmp_path / "depth.npy", moved(shot.frame.depth_m, x=shift_px))
        said: list[str] = []
        poses_from_files(pictures, [tmp_path / "mask.png"], warn=said.append)
        assert len(said) == told
        assert all("depth.npy: does not fit color" in line and "--depth-camera" in line for line in said)
