"""What a camera sends becomes frames: raw pictures are rectified, unregistered depth is registered, faults are told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from builders import OPTICAL, START_NS, a_camera_info, a_compressed, an_image

from referent.config import InputConfig
from referent.errors import BadMessage, DepthNotRegistered
from referent.frames.transforms import TransformBuffer
from referent.intake import CameraIntake
from referent.types import RgbdFrame

DEPTH_FRAME = "camera_depth_optical_frame"
RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
COUNTS = np.full((48, 64), 1000, np.uint16)
COUNTS[20:30, 20:30] = 500


def an_intake(*, extrinsic: np.ndarray | None = None, **settings: object) -> CameraIntake:
    transforms = TransformBuffer()
    if extrinsic is not None:
        transforms.add(OPTICAL, DEPTH_FRAME, START_NS, extrinsic, static=True)
    intake = CameraIntake(InputConfig(**settings), transforms)
    intake.camera_info(a_camera_info(64, 48, f=60))
    return intake


def a_frame(intake: CameraIntake, depth: object) -> RgbdFrame:
    assert intake.color(an_image(RGB, "rgb8")) is None
    frame = intake.depth(depth)
    assert frame is not None
    assert frame.depth_m is not None
    return frame


def shifted(x_m: float) -> np.ndarray:
    extrinsic = np.eye(4)
    extrinsic[0, 3] = x_m
    return extrinsic


def test_rectified_registered_pictures_pass_as_they_are() -> None:
    intake = an_intake()
    frame = a_frame(intake, an_image(COUNTS, "16UC1"))
    np.testing.assert_array_equal(frame.rgb, RGB)
    np.testing.assert_allclose(frame.depth_m, COUNTS / 1000, rtol=1e-6)
    assert not intake.registers
    assert intake.knows_depth


def test_depth_of_another_camera_is_registered_by_its_camera_info_and_tf() -> None:
    intake = an_intake(extrinsic=shifted(0.1))
    intake.depth_camera_info(a_camera_info(64, 48, f=60, frame=DEPTH_FRAME))
    frame = a_frame(intake, an_image(COUNTS, "16UC1", frame=DEPTH_FRAME))
    assert intake.registers
    assert (frame.depth_m[24, 20 + 12 : 30 + 12] == 0.5).all()  # 0.1 m at 0.5 m are 12 px
    assert frame.depth_m[24, 31] != 0.5
    assert frame.depth_m[24, 20] == 1.0


def test_depth_with_fewer_pixels_in_colors_own_frame_is_registered_without_tf() -> None:
    intake = an_intake()
    intake.depth_camera_info(a_camera_info(32, 24, f=30))
    frame = a_frame(intake, an_image(COUNTS[::2, ::2], "16UC1"))
    assert intake.registers
    assert frame.depth_m.shape == (48, 64)
    assert np.isfinite(frame.depth_m[2:-2, 2:-2]).all()


def test_a_camera_info_of_another_depth_image_is_not_used_for_registered_depth() -> None:
    intake = an_intake()
    intake.depth_camera_info(a_camera_info(32, 24, f=30, frame=DEPTH_FRAME))
    np.testing.assert_allclose(a_frame(intake, an_image(COUNTS, "16UC1")).depth_m, COUNTS / 1000, rtol=1e-6)


def test_without_its_camera_info_or_transform_it_is_said_what_is_missing() -> None:
    intake = an_intake(extrinsic=shifted(0.1))
    depth = an_image(COUNTS, "16UC1", frame=DEPTH_FRAME)
    with pytest.raises(DepthNotRegistered, match=r"must be registered to color .* own camera_info \(depth/camera_info"):
        intake.depth(depth)
    intake = an_intake()
    intake.depth_camera_info(a_camera_info(64, 48, f=60, frame=DEPTH_FRAME))
    with pytest.raises(DepthNotRegistered, match=f"no transform from '{DEPTH_FRAME}' to '{OPTICAL}'.*publish it on"):
        intake.depth(depth)


def test_masks_can_still_be_had_when_depth_cannot_be_used() -> None:
    intake = an_intake()
    intake.color(an_image(RGB, "rgb8"))
    frame = intake.no_depth(an_image(COUNTS, "16UC1", frame=DEPTH_FRAME))
    assert frame is not None
    assert np.isnan(frame.depth_m).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_raw_pictures_are_rectified_when_the_setting_says_they_are_raw(compressed: bool) -> None:
    info = a_camera_info(64, 48, f=60)
    info.d = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
    color, depth = an_image(RGB, "rgb8"), an_image(COUNTS, "16UC1")
    if compressed:
        color = a_compressed(cv2.imencode(".png", RGB[..., ::-1])[1].tobytes(), "rgb8; png compressed bgr8")
        depth = a_compressed(bytes(12) + cv2.imencode(".png", COUNTS)[1].tobytes(), "16UC1; compressedDepth png")
    frames = []
    for rectified in (True, False):
        intake = an_intake(rectified=rectified)
        intake.camera_info(info)
        assert intake.color(color) is None
        frames.append(intake.depth(depth))
    as_is, undone = frames
    np.testing.assert_array_equal(as_is.rgb, RGB)
    assert not np.array_equal(undone.rgb, RGB)
    straight = cv2.undistort(RGB, np.array(info.k).reshape(3, 3), info.d)
    assert np.abs(undone.rgb.astype(int) - straight).mean() < 1
    assert set(np.unique(undone.depth_m[np.isfinite(undone.depth_m)])) == {np.float32(0.5), np.float32(1.0)}
    assert as_is.intrinsics == undone.intrinsics


def test_a_raw_picture_of_a_wrong_size_is_refused_as_any() -> None:
    intake = an_intake(rectified=False)
    info = a_camera_info(64, 48, f=60)
    info.d = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
    intake.camera_info(info)
    with pytest.raises(BadMessage, match="10x48 but camera_info says 64x48"):
        intake.color(an_image(RGB[:, :10], "rgb8"))


def test_an_unknown_lens_matters_only_when_it_is_to_be_undone() -> None:
    info = a_camera_info(64, 48, f=60)
    info.distortion_model, info.d = "thin_prism", np.array([0.1] * 4)
    an_intake().camera_info(info)
    with pytest.raises(BadMessage, match="distortion model 'thin_prism' is not one of"):
        an_intake(rectified=False).camera_info(info)


def test_a_raw_topic_of_a_bending_lens_is_told_once_for_the_asking() -> None:
    info = a_camera_info(64, 48, f=60)
    info.d = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
    intake = an_intake()
    assert intake.raw_warning("/camera/color/image_raw") is None  # no distortion so far
    intake.camera_info(info)
    warning = intake.raw_warning("/camera/color/image_raw/compressed")
    assert warning is not None
    assert "set input.rectified to false" in warning
    assert intake.raw_warning("/camera/color/image_rect") is None
    undoing = an_intake(rectified=False)
    undoing.camera_info(info)
    assert undoing.raw_warning("/camera/color/image_raw") is None
