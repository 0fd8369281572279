"""Messages become arrays: every encoding, padding and byte order, from rclpy and rosbags alike; bad ones are named."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from builders import JAZZY, NOETIC, START_NS, a_camera_info, a_compressed, a_header, a_tf, an_image
from rvl_encoder import rvl_from_counts

from referent.coded_size import coded_size
from referent.errors import BadMessage
from referent.messages import (
    COLOR_ENCODINGS,
    depth_from_image,
    frame_name,
    intrinsics_from_camera_info,
    lens_from_camera_info,
    require_registered,
    rgb_from_image,
    stamp_ns,
    transforms_from_tf,
)

# rosidl_parser's lark imports a module of the standard library that Python means to drop.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (4, 5, 3), np.uint8)
ALPHA = np.full((4, 5, 1), 255, np.uint8)
GREY = RGB[..., 0]
AS_SENT = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "8UC3": RGB[..., ::-1],
    "rgba8": np.concatenate([RGB, ALPHA], axis=2),
    "bgra8": np.concatenate([RGB[..., ::-1], ALPHA], axis=2),
    "8UC4": np.concatenate([RGB[..., ::-1], ALPHA], axis=2),
    "mono8": GREY,
    "8UC1": GREY,
}
MILLIMETRES = np.array([[1000, 2500, 0], [65535, 9999, 10001]], np.uint16)
METRES = np.array([[1.0, 2.5, np.nan], [np.nan, 9.999, np.nan]], np.float32)


# color


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_every_color_encoding_becomes_the_same_rgb(encoding: str, padding: int) -> None:
    truth = np.repeat(GREY[..., None], 3, axis=2) if encoding in ("mono8", "8UC1") else RGB
    rgb = rgb_from_image(an_image(AS_SENT[encoding], encoding, padding=padding))
    np.testing.assert_array_equal(rgb, truth)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous


def test_rgb8_is_not_copied() -> None:
    message = an_image(RGB, "rgb8")
    assert np.shares_memory(rgb_from_image(message), message.data)


def test_color_may_be_written_to_even_when_the_message_may_not() -> None:
    message = an_image(RGB, "rgb8")
    message.data.setflags(write=False)
    assert rgb_from_image(message).flags.writeable


@pytest.mark.parametrize(("suffix", "form"), [(".png", "png"), (".png", "rgb8; png compressed bgr8"), (".jpg", "jpeg")])
def test_compressed_color(suffix: str, form: str) -> None:
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    _, file = cv2.imencode(suffix, smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    rgb = rgb_from_image(a_compressed(file.tobytes(), form))
    np.testing.assert_allclose(rgb.astype(int), smooth, atol=0 if suffix == ".png" else 30)
    assert np.abs(rgb.astype(int) - smooth).mean() < np.abs(rgb.astype(int)[..., ::-1] - smooth).mean()


def test_a_png_stored_in_rgb_order_is_not_swapped() -> None:
    _, file = cv2.imencode(".png", RGB)  # what compressed_image_transport leaves when told not to convert
    rgb = rgb_from_image(a_compressed(file.tobytes(), "rgb8; png compressed rgb8"))
    np.testing.assert_array_equal(rgb, RGB)


# depth


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 2, 3])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_counts_become_metres_and_unknown_is_nan(encoding: str, padding: int, big_endian: bool) -> None:
    message = an_image(MILLIMETRES, encoding, padding=padding, big_endian=big_endian)
    depth_m = depth_from_image(message, unit_m=0.001, max_depth_m=10.0)
    np.testing.assert_allclose(depth_m, METRES, rtol=1e-6)
    assert depth_m.dtype == np.float32


def test_the_unit_of_counts_is_a_choice() -> None:
    depth_m = depth_from_image(an_image(MILLIMETRES, "16UC1"), unit_m=0.000125, max_depth_m=1.0)
    np.testing.assert_allclose(depth_m[0], [0.125, 0.3125, np.nan], rtol=1e-6)


@pytest.mark.parametrize("unit_m", [0.001, 0.0001, 0.000125, 0.0002])
def test_a_reading_at_the_largest_depth_is_known_and_one_count_more_is_not(unit_m: float) -> None:
    edge = round(2.0 / unit_m)
    depth_m = depth_from_image(an_image(np.array([[edge, edge + 1]], np.uint16), "16UC1"), unit_m=unit_m, max_depth_m=2)
    np.testing.assert_array_equal(np.isfinite(depth_m), [[True, False]])


@pytest.mark.parametrize("big_endian", [False, True])
def test_float_depth_keeps_what_is_finite_positive_and_near(big_endian: bool) -> None:
    sent = np.array([[1.5, 0.0, -1.0], [np.inf, np.nan, 10.5]], np.float32)
    depth_m = depth_from_image(an_image(sent, "32FC1", padding=4, big_endian=big_endian), unit_m=0.5, max_depth_m=10.0)
    np.testing.assert_array_equal(depth_m, np.array([[1.5, np.nan, np.nan], [np.nan] * 3], np.float32))


def test_every_value_that_is_no_reading_is_unknown() -> None:
    counts = np.array([[0, 65535, 1, 65534, 10_000]], np.uint16)
    np.testing.assert_array_equal(
        np.isnan(depth_from_image(an_image(counts, "16UC1"), max_depth_m=100)), [[True, True, False, False, False]]
    )
    metres = np.array([[0.0, -0.0, -1.0, np.inf, -np.inf, np.nan, 1e-6, 10.0, 10.001, 65.535]], np.float32)
    known = np.isfinite(depth_from_image(an_image(metres, "32FC1"), max_depth_m=10.0))
    np.testing.assert_array_equal(known, [[False] * 6 + [True, True, False, False]])


def test_holes_and_padding_do_not_move_their_neighbours() -> None:
    counts = np.arange(1, 36, dtype=np.uint16).reshape(5, 7)
    counts[1:4, 2:5] = 0
    depth_m = depth_from_image(an_image(counts, "16UC1", padding=5, big_endian=True))
    np.testing.assert_allclose(depth_m, np.where(counts > 0, counts / 1000, np.nan), rtol=1e-6)


def test_float_depth_is_a_copy_the_message_cannot_change() -> None:
    message = an_image(np.ones((2, 2), np.float32), "32FC1")
    depth_m = depth_from_image(message)
    message.data[:] = 0
    assert (depth_m == 1).all()


def test_compressed_depth_in_millimetres() -> None:
    _, file = cv2.imencode(".png", MILLIMETRES)
    header = struct.pack("<iff", 0, 0.0, 0.0)
    for form in ("16UC1; compressedDepth png", "16UC1; compressedDepth"):
        depth_m = depth_from_image(a_compressed(header + file.tobytes(), form), unit_m=0.001, max_depth_m=10.0)
        np.testing.assert_allclose(depth_m, METRES, rtol=1e-6)
    plain = depth_from_image(a_compressed(file.tobytes(), "16UC1; png compressed "), unit_m=0.001, max_depth_m=10.0)
    np.testing.assert_allclose(plain, METRES, rtol=1e-6)


def test_compressed_depth_in_rvl() -> None:
    depth_m = depth_from_image(
        a_compressed(bytes(12) + rvl_from_counts(MILLIMETRES), "16UC1; compressedDepth rvl"), max_depth_m=10.0
    )
    np.testing.assert_allclose(depth_m, METRES, rtol=1e-6)
    counts = np.array([[2020, 1010]], np.uint16)  # of a = 2020, b = 0: 1 m and 2 m
    message = a_compressed(struct.pack("<iff", 0, 2020.0, 0.0) + rvl_from_counts(counts), "32FC1; compressedDepth rvl")
    np.testing.assert_allclose(depth_from_image(message), [[1.0, 2.0]])


def test_compressed_float_depth_is_inverse_quantised() -> None:
    sent = np.array([[0.5, 1.0, 3.0, 8.0]], np.float32)
    a, b = 100.0 * 101.0, 1.0 - 100.0 * 101.0 / 10.0  # depth_quantization 100, depth_max 10 (codec.cpp's formula)
    counts = np.append(np.rint(a / sent + b), 0).astype(np.uint16)[None]
    _, file = cv2.imencode(".png", counts)
    message = a_compressed(struct.pack("<iff", 0, a, b) + file.tobytes(), "32FC1; compressedDepth png")
    depth_m = depth_from_image(message, max_depth_m=10.0)
    np.testing.assert_allclose(depth_m[0, :4], sent[0], rtol=0.01)
    assert np.isnan(depth_m[0, 4])


# camera_info


def test_rectified_images_use_p() -> None:
    info = a_camera_info(
        640, 480, k=[500, 0, 320, 0, 500, 240, 0, 0, 1], p=[400, 0, 310, 0, 0, 410, 230, 0, 0, 0, 1, 0]
    )
    camera = intrinsics_from_camera_info(info)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (400, 410, 310, 230)
    assert (camera.width, camera.height) == (640, 480)


def test_without_p_k_is_used() -> None:
    camera = intrinsics_from_camera_info(a_camera_info(640, 480, f=500, p=[0] * 12))
    assert (camera.fx, camera.cx) == (500, 320)


def test_binning_and_region_scale_and_shift_the_camera() -> None:
    camera = intrinsics_from_camera_info(a_camera_info(640, 480, f=500, binning=2, roi=(100, 40, 400, 300)))
    assert (camera.width, camera.height) == (200, 150)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (250, 250, 110, 100)


@pytest.mark.parametrize("binning", [0, 1, 3])
def test_a_region_is_where_the_rectified_image_was_cut_out_with_and_without_do_rectify(binning: int) -> None:
    info = a_camera_info(640, 480, f=510, binning=binning, roi=(90, 60, 420, 300))
    without = intrinsics_from_camera_info(info)
    info.roi.do_rectify = True
    assert intrinsics_from_camera_info(info) == without
    scale = max(binning, 1)
    assert (without.width, without.height) == (420 // scale, 300 // scale)
    assert (without.cx, without.cy) == ((320 - 90) / scale, (240 - 60) / scale)


def test_the_lens_of_a_camera_without_p_keeps_its_camera_and_of_ros_1_reads_alike() -> None:
    lens = lens_from_camera_info(a_camera_info(640, 480, f=500, p=[0] * 12))
    assert lens.changes_nothing
    assert lens.raw == (500, 500, 320, 240)
    assert lens_from_camera_info(a_camera_info(store=NOETIC)) == lens_from_camera_info(a_camera_info())


def test_ros_1_camera_info_reads_alike() -> None:
    assert intrinsics_from_camera_info(a_camera_info(store=NOETIC)) == intrinsics_from_camera_info(a_camera_info())


# tf


def test_transforms_move_points_of_the_child_into_the_parent() -> None:
    half = np.sqrt(0.5)
    [(parent, child, when_ns, parent_from_child)] = transforms_from_tf(
        a_tf("/world", "/camera", stamp_ns=5, xyz=(1, 2, 3), xyzw=(0, 0, half, half))
    )
    assert (parent, child, when_ns) == ("world", "camera", 5)
    np.testing.assert_allclose(parent_from_child @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)


def test_a_quaternion_that_is_not_quite_unit_still_gives_a_rotation() -> None:
    [(_, _, _, turn)] = transforms_from_tf(a_tf("a", "b", xyzw=(0.2, 0.4, 0.6, 0.8)))
    np.testing.assert_allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=1e-12)


def test_rotation_agrees_with_scipy() -> None:
    from scipy.spatial.transform import Rotation

    for xyzw in np.random.default_rng(0).normal(size=(20, 4)):
        unit = xyzw / np.linalg.norm(xyzw)
        [(_, _, _, turn)] = transforms_from_tf(a_tf("a", "b", xyzw=tuple(unit)))
        np.testing.assert_allclose(turn[:3, :3], Rotation.from_quat(unit).as_matrix(), atol=1e-12)


# header


def test_a_stamp_is_exact_to_the_nanosecond() -> None:
    assert stamp_ns(a_header(1_753_000_000_123_456_789)) == 1_753_000_000_123_456_789


def test_frame_names_lose_the_slash_of_ros_1() -> None:
    assert frame_name(a_header(frame="/openni_rgb_optical_frame")) == "openni_rgb_optical_frame"


# what is wrong is named, with the way out


def _bad_transform(**changes: object) -> object:
    return a_tf("world", "camera", **changes)


def _changed(message: object, **changes: object) -> object:
    for name, value in changes.items():
        setattr(message, name, value)
    return message


class _Plain(SimpleNamespace):
    """A message whose fields may be changed."""


def _loose(message: object) -> _Plain:
    return _Plain(**{name: getattr(message, name) for name in message.__dataclass_fields__ if name != "__msgtype__"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "bayer_rggb8"}, "'bayer_rggb8' is not one of rgb8, bgr8"),
        ({"encoding": ""}, "'' is not one of rgb8"),
        ({"data": np.zeros(59, np.uint8)}, "59 bytes, 60 expected"),
        ({"data": np.zeros(0, np.uint8)}, "0 bytes, 60 expected"),
        ({"data": np.zeros(61, np.uint8)}, "61 bytes, 60 expected"),
        ({"step": 14}, "step 14 is too small: 5 pixels of rgb8 need 15"),
        ({"width": 0}, "image size 0x4"),
        ({"height": 0}, "image size 5x0"),
        ({"width": 1 << 20, "step": 3 << 20}, "image size 1048576x4"),
    ],
)
def test_a_bad_color_image_says_what_is_wrong(changes: dict[str, object], words: str) -> None:
    message = _loose(an_image(RGB, "rgb8"))
    with pytest.raises(BadMessage, match=words):
        rgb_from_image(_changed(message, **changes))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (an_image(RGB, "rgb8"), "'rgb8' is not one of 16UC1, mono16, 32FC1"),
        (a_compressed(b"", "16UC1; compressedDepth png"), "0 bytes"),
        (a_compressed(bytes(30), "16UC1; compressedDepth png"), "cannot be decoded"),
        (a_compressed(bytes(30), "16UC1; compressedDepth rvl"), "0x0 pixels"),
        (a_compressed(bytes(16), "16UC1; compressedDepth rvl"), "cut off"),
        (a_compressed(bytes(30), "16UC1; compressedDepth zstd"), "png and rvl are read"),
        (a_compressed(cv2.imencode(".png", RGB)[1].tobytes(), "png"), "16-bit grey is needed"),
    ],
)
def test_a_bad_depth_image_says_what_is_wrong(message: object, words: str) -> None:
    with pytest.raises(BadMessage, match=words):
        depth_from_image(message)


JPEG = cv2.imencode(".jpg", RNG.integers(0, 256, (48, 64, 3), np.uint8))[1].tobytes()
PNG = cv2.imencode(".png", RNG.integers(0, 256, (48, 64, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "form", "words"),
    [
        (b"", "jpeg", r"cannot be decoded \(0 bytes\)"),
        (b"rubbish", "jpeg", "cannot be decoded"),
        (JPEG[: len(JPEG) // 2], "jpeg", "no end marker: it is cut off"),
        (PNG, "16UC1; compressedDepth png", "is depth, color"),
    ],
)
def test_bad_compressed_color_says_what_is_wrong(data: bytes, form: str, words: str) -> None:
    with pytest.raises(BadMessage, match=words):
        rgb_from_image(a_compressed(data, form))


def test_a_jpeg_padded_with_zeros_is_whole() -> None:
    assert rgb_from_image(a_compressed(JPEG + bytes(100), "jpeg")).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (a_camera_info(k=[0] * 9), "uncalibrated"),
        (a_camera_info(p=[-1.0] + [1.0] * 11), "fx=-1"),
        (a_camera_info(k=[np.nan] * 9, p=[np.nan] * 12), "fx=nan"),
        (a_camera_info(width=0), "image size 0x6"),
        (a_camera_info(640, 480, roi=(600, 0, 100, 100)), "leaves the 640x480 image"),
        (SimpleNamespace(k=[], p=[1.0] * 12), "K has 0 numbers, 9 are needed"),
    ],
)
def test_a_bad_camera_info_says_what_is_wrong(info: object, words: str) -> None:
    with pytest.raises(BadMessage, match=words):
        intrinsics_from_camera_info(info)


@pytest.mark.parametrize(
    "message",
    [
        _bad_transform(xyzw=(0.0, 0.0, 0.0, 0.0)),
        _bad_transform(xyzw=(np.nan, 0.0, 0.0, 1.0)),
        _bad_transform(xyz=(np.inf, 0.0, 0.0)),
        a_tf("world", ""),
    ],
)
def test_a_bad_transform_names_its_frames(message: object) -> None:
    with pytest.raises(BadMessage, match=r"'world' -> '.*is no transform"):
        transforms_from_tf(message)


@pytest.mark.parametrize(("seconds", "nanoseconds"), [(-1, 0), (0, 1_000_000_000)])
def test_a_bad_stamp_is_refused(seconds: int, nanoseconds: int) -> None:
    header = SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds))
    with pytest.raises(BadMessage, match="is no time"):
        stamp_ns(header)


def test_depth_in_another_frame_than_color_is_not_registered() -> None:
    require_registered("camera_color_optical_frame", "camera_color_optical_frame")
    require_registered("camera_color_optical_frame", "")
    with pytest.raises(BadMessage, match="'camera_depth_optical_frame' and color in 'camera_color_optical_frame'"):
        require_registered("camera_color_optical_frame", "camera_depth_optical_frame")


# live and replay cannot differ


def _twin(message: object, kind: str) -> object:
    """The rclpy message of the same bytes."""
    serialization = pytest.importorskip("rclpy.serialization")
    package, name = kind.split("/")
    rclpy_type = getattr(pytest.importorskip(f"{package}.msg"), name)
    return serialization.deserialize_message(bytes(JAZZY.serialize_cdr(message, message.__msgtype__)), rclpy_type)


@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_rclpy_and_rosbags_color_messages_read_alike(encoding: str) -> None:
    message = an_image(AS_SENT[encoding], encoding, padding=3)
    twin = _twin(message, "sensor_msgs/Image")
    np.testing.assert_array_equal(rgb_from_image(twin), rgb_from_image(message))
    assert stamp_ns(twin.header) == stamp_ns(message.header) == START_NS


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_rclpy_and_rosbags_depth_messages_read_alike(encoding: str) -> None:
    message = an_image(np.array([[0, 1, 2], [5, 7, 9]]), encoding, padding=6, big_endian=True)
    twin = _twin(message, "sensor_msgs/Image")
    np.testing.assert_array_equal(depth_from_image(twin), depth_from_image(message))


def test_rclpy_and_rosbags_compressed_messages_read_alike() -> None:
    message = a_compressed(JPEG, "jpeg")
    twin = _twin(message, "sensor_msgs/CompressedImage")
    np.testing.assert_array_equal(rgb_from_image(twin), rgb_from_image(message))


def test_rclpy_and_rosbags_camera_info_read_alike() -> None:
    message = a_camera_info(640, 480, f=512.5, binning=2)
    twin = _twin(message, "sensor_msgs/CameraInfo")
    assert intrinsics_from_camera_info(twin) == intrinsics_from_camera_info(message)


def test_rclpy_and_rosbags_transforms_read_alike() -> None:
    message = a_tf("world", "camera", xyz=(1, 2, 3), xyzw=(0.5, 0.5, 0.5, 0.5))
    twin = SimpleNamespace(transforms=[_twin(message.transforms[0], "geometry_msgs/TransformStamped")])
    for ours, theirs in zip(transforms_from_tf(message)[0], transforms_from_tf(twin)[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_a_compressed_image_that_promises_a_world_of_pixels_is_refused_before_room_is_made(extension: str) -> None:
    file = bytearray(cv2.imencode(extension, RGB)[1].tobytes())
    if extension == ".png":
        file[16:24] = struct.pack(">II", 60_000, 60_000)
    else:
        at = file.index(b"\xff\xc0") + 5
        file[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(BadMessage, match="60000x60000 pixels are more than"):
        rgb_from_image(a_compressed(bytes(file), extension[1:]))


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_the_size_of_a_compressed_image_is_read_from_its_first_bytes(extension: str) -> None:
    file = np.frombuffer(cv2.imencode(extension, np.zeros((7, 300, 3), np.uint8))[1].tobytes(), np.uint8)
    assert coded_size(file) == (300, 7)
    for cut in range(20):
        assert coded_size(file[:cut]) is None
