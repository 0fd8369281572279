"""ROS-shaped messages to arrays and types; imports no ROS.

Messages are duck-typed: those of rclpy (`array.array` data), of rosbags (`ndarray` data) and of ROS 1 (upper-case
camera_info fields) read alike, so a live robot and a bag cannot differ. Every fault is BadMessage.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from referent.coded_size import LARGEST_PIXELS, require_size
from referent.errors import BadMessage, DepthNotRegistered
from referent.grey_png import counts_from_png
from referent.rvl import counts_from_rvl
from referent.types import Array, Intrinsics

# Encodings of sensor_msgs/image_encodings.hpp: channels, and how OpenCV turns them into RGB (None = they are RGB).
_COLOR: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),  # OpenCV's own order, as cv_bridge takes it
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
}
_DEPTH: dict[str, str] = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
COLOR_ENCODINGS = tuple(_COLOR)
DEPTH_ENCODINGS = tuple(_DEPTH)

# Distortion models of sensor_msgs/distortion_models.hpp, and how many coefficients OpenCV takes for each.
_DISTORTIONS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
_EYE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_DEPTH_HEADER = struct.Struct("<iff")  # ConfigHeader of compressed_depth_image_transport: format, quantisation a, b
_LARGEST_SIDE_PX = 1 << 15


@dataclass(frozen=True)
class Lens:
    """How a raw picture differs from its rectified one, of the same size."""

    camera: Intrinsics  # of the rectified picture
    raw: tuple[float, float, float, float]  # fx, fy, cx, cy of the raw one
    model: str  # a name of sensor_msgs/distortion_models.hpp; "" = no distortion
    coefficients: tuple[float, ...]
    rotation: tuple[float, ...]  # (9,) row by row: rectified_from_raw

    @property
    def changes_nothing(self) -> bool:
        """Whether the raw picture is the rectified one."""
        same = self.raw == (self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy)
        return same and not self.model and self.rotation == _EYE


def stamp_ns(header: Any) -> int:
    """The time of a std_msgs/Header in nanoseconds."""
    seconds, nanoseconds = int(header.stamp.sec), int(header.stamp.nanosec)
    if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
        raise BadMessage(f"header stamp {seconds} s {nanoseconds} ns is no time: the driver must fill header.stamp")
    return seconds * 1_000_000_000 + nanoseconds


def frame_name(header: Any) -> str:
    """The coordinate frame of a header, without the leading slash of ROS 1 (tf2 knows no slashes)."""
    return str(header.frame_id).lstrip("/")


def rgb_from_image(msg: Any) -> Array:
    """Color of a sensor_msgs Image or CompressedImage as contiguous (H, W, 3) uint8 RGB; a view of rgb8 data.

    Data that may not be written to (a bag's) is copied: torch refuses to share it without a warning.
    """
    if not hasattr(msg, "encoding"):
        return _rgb_from_compressed(msg)
    if msg.encoding not in _COLOR:
        raise BadMessage(f"color encoding {msg.encoding!r} is not one of {', '.join(_COLOR)}")
    channels, conversion = _COLOR[msg.encoding]
    pixels = _pixels(msg, np.dtype("u1"), channels)
    if conversion is None:
        return np.require(pixels, requirements=["C", "W"])
    return np.asarray(cv2.cvtColor(pixels, conversion))


def mask_from_image(msg: Any) -> Array:
    """A mono8 sensor_msgs Image as (H, W) bool, True where it is not 0."""
    if msg.encoding not in ("mono8", "8UC1"):
        raise BadMessage(f"mask encoding {msg.encoding!r} is not mono8 or 8UC1")
    return np.asarray(_pixels(msg, np.dtype("u1"), 1) != 0)


def depth_from_image(msg: Any, *, unit_m: float = 0.001, max_depth_m: float = 10.0) -> Array:
    """Depth of a sensor_msgs Image or compressedDepth image as (H, W) float32 metres, NaN = unknown (REP-117, REP-118).

    `unit_m` is metres per count of 16-bit depth; 0, 65535, infinite, negative and too far readings are unknown.
    """
    if not hasattr(msg, "encoding"):
        return _depth_from_compressed(msg, unit_m=unit_m, max_depth_m=max_depth_m)
    if msg.encoding not in _DEPTH:
        raise BadMessage(f"depth encoding {msg.encoding!r} is not one of {', '.join(_DEPTH)}")
    pixels = _pixels(msg, np.dtype(_DEPTH[msg.encoding]), 1)
    if pixels.dtype.kind == "u":
        return metres_from_counts(pixels, unit_m=unit_m, max_depth_m=max_depth_m)
    return _known_metres(pixels, max_depth_m)


def metres_from_counts(counts: Array, *, unit_m: float, max_depth_m: float) -> Array:
    """16-bit depth (H, W) as float32 metres; 0, 65535 and beyond `max_depth_m` become NaN."""
    depth_m = np.multiply(counts, np.float32(unit_m), dtype=np.float32)
    farthest = min(int(max_depth_m / unit_m + 1e-6), 0xFFFE)  # compared in counts: exact, and 65535 is never known
    np.copyto(depth_m, np.float32(np.nan), where=counts - np.uint16(1) >= farthest)  # 0 becomes 65535
    return depth_m


def intrinsics_from_camera_info(msg: Any) -> Intrinsics:
    """The pinhole model of the rectified image: P, or K where P is zero; binning and region of interest applied.

    Width and height are those of the image as sent. The region is that of the image whether it is raw or rectified,
    also with `do_rectify`: image_proc cuts the rectified image out where the raw one was. Source: REP-104,
    sensor_msgs/CameraInfo.msg, image_geometry::PinholeCameraModel.
    """
    k, p = _numbers(msg, "k", 9), _numbers(msg, "p", 12)
    if k[0] == 0:
        raise BadMessage("camera_info is uncalibrated (K[0] is 0): calibrate the camera or publish its intrinsics")
    seen = (p[0], p[5], p[2], p[6]) if p[0] != 0 else (k[0], k[4], k[2], k[5])
    width, height = _sent_size(msg)
    if width * height > LARGEST_PIXELS:
        raise BadMessage(f"camera_info: {width}x{height} pixels are more than {LARGEST_PIXELS}")
    try:
        return Intrinsics(width, height, *_in_sent_image(msg, *seen))
    except ValueError as error:
        raise BadMessage(f"camera_info holds no camera ({error}): calibrate the camera again") from error


def lens_from_camera_info(msg: Any) -> Lens:
    """How the raw image becomes the rectified one that `intrinsics_from_camera_info` describes: K, D, R and P.

    Without P the rectified image keeps K and the direction of view.
    """
    camera, k = intrinsics_from_camera_info(msg), _numbers(msg, "k", 9)
    model, coefficients = _distortion(msg)
    has_p = _numbers(msg, "p", 12)[0] != 0
    rotation = tuple(_numbers(msg, "r", 9)) if has_p else _EYE
    if not any(rotation):  # drivers that leave R out
        rotation = _EYE
    return Lens(camera, _in_sent_image(msg, k[0], k[4], k[2], k[5]), model, coefficients, rotation)


def transforms_from_tf(msg: Any) -> list[tuple[str, str, int, Array]]:
    """The transforms of a tf2_msgs/TFMessage as (parent, child, stamp_ns, parent_from_child (4, 4) float64)."""
    return [
        (frame_name(item.header), str(item.child_frame_id).lstrip("/"), stamp_ns(item.header), _matrix(item))
        for item in msg.transforms
    ]


def require_registered(color_frame: str, depth_frame: str) -> None:
    """Raise DepthNotRegistered unless depth is given in the color camera's own coordinate frame."""
    if depth_frame and color_frame and depth_frame != color_frame:
        raise DepthNotRegistered(
            f"depth is in frame {depth_frame!r} and color in {color_frame!r}: depth must be registered to color "
            "(aligned_depth_to_color, depth_registered, depth_to_rgb; or run depth_image_proc/register), or give its "
            f"own camera_info (depth/camera_info, in {depth_frame!r}) and the transform between both on /tf_static"
        )


def _pixels(msg: Any, dtype: np.dtype[Any], channels: int) -> Array:
    """The pixels of a raw image as a view, (H, W) or (H, W, C), in native byte order; row padding left out."""
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    row = width * channels * dtype.itemsize
    if not 0 < height <= _LARGEST_SIDE_PX or not 0 < width <= _LARGEST_SIDE_PX:
        raise BadMessage(f"image size {width}x{height} must be from 1x1 to {_LARGEST_SIDE_PX} a side")
    if step < row:
        raise BadMessage(f"image step {step} is too small: {width} pixels of {msg.encoding} need {row} bytes a row")
    data = _bytes_of(msg.data)
    if data.size != step * height:
        raise BadMessage(
            f"image data of {data.size} bytes, {step * height} expected ({height} rows of {step}): the image is cut off"
        )
    rows = data.reshape(height, step)[:, :row]
    if dtype.itemsize > 1:
        rows = np.ascontiguousarray(rows).view(dtype.newbyteorder(">" if msg.is_bigendian else "<"))
        rows = rows.astype(dtype, copy=False)
    return rows if channels == 1 else rows.reshape(height, width, channels)


def _bytes_of(data: Any) -> Array:
    """Message data (array.array, ndarray, bytes) as (N,) uint8 without a copy."""
    if len(data) == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer(data, np.uint8)


def _known_metres(depth_m: Array, max_depth_m: float) -> Array:
    """A copy in which what is no reading is NaN."""
    known_m = np.array(depth_m, np.float32)
    with np.errstate(invalid="ignore"):  # some sensors write signalling NaN
        known_m[~((known_m > 0) & (known_m <= max_depth_m))] = np.nan
    return known_m


def _rgb_from_compressed(msg: Any) -> Array:
    data = _bytes_of(msg.data)
    kind = str(msg.format)
    if "compresseddepth" in kind.lower():
        raise BadMessage(f"compressed image of format {kind!r} is depth, color (jpeg or png) is needed")
    _require_whole_jpeg(data, kind)
    # compressed_image_transport: OpenCV's order in the file unless the format says "... compressed rgb8".
    stored_as_rgb = "compressed rgb" in kind
    flag = cv2.IMREAD_COLOR if stored_as_rgb else cv2.IMREAD_COLOR_RGB
    return _decoded(data, flag | cv2.IMREAD_IGNORE_ORIENTATION, kind, known="jpeg and png are read")


def _depth_from_compressed(msg: Any, *, unit_m: float, max_depth_m: float) -> Array:
    kind, data = str(msg.format), _bytes_of(msg.data)
    known = "png and rvl are read; set the publisher's compressedDepth format to one of them"
    if "compresseddepth" not in kind.lower():
        counts = _counts_from_picture(data, kind, known=known)
        return metres_from_counts(counts, unit_m=unit_m, max_depth_m=max_depth_m)
    if data.size <= _DEPTH_HEADER.size:
        raise BadMessage(f"compressed depth of {data.size} bytes, more than {_DEPTH_HEADER.size} expected: cut off")
    header, data = data[: _DEPTH_HEADER.size], data[_DEPTH_HEADER.size :]
    is_rvl = kind.lower().split("compresseddepth")[1].strip() == "rvl"
    counts = counts_from_rvl(data) if is_rvl else _counts_from_picture(data, kind, known=known)
    if kind.startswith("32FC1"):
        _, a, b = _DEPTH_HEADER.unpack(header.tobytes())
        return _known_metres(_metres_from_inverse(counts, a, b), max_depth_m)
    return metres_from_counts(counts, unit_m=unit_m, max_depth_m=max_depth_m)


def _metres_from_inverse(counts: Array, a: float, b: float) -> Array:
    """Inverse-depth quantisation of compressed_depth_image_transport: depth = a / (count - b), 0 = unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = np.float32(a) / (counts.astype(np.float32) - np.float32(b))
    return np.where(counts == 0, np.float32(np.nan), metres)


def _counts_from_picture(data: Array, kind: str, *, known: str) -> Array:
    """16-bit grey (H, W) of a png, or of any other picture that OpenCV finds it in."""
    counts = counts_from_png(data)
    if counts is not None:
        return counts
    picture = _decoded(data, cv2.IMREAD_UNCHANGED, kind, known=known)
    if picture.dtype != np.uint16 or picture.ndim != 2:
        raise BadMessage(f"compressed depth {kind!r} holds {picture.dtype} {picture.shape}, 16-bit grey is needed")
    return picture


def _decoded(data: Array, flags: int, kind: str, *, known: str) -> Array:
    require_size(data, f"compressed image of format {kind!r}", known=known)
    try:
        picture = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        raise BadMessage(f"compressed image of format {kind!r} cannot be decoded ({error.err}): {known}") from error
    if picture is None:
        raise BadMessage(f"compressed image of format {kind!r}, {data.size} bytes, cannot be decoded: {known}")
    return np.asarray(picture)


def _require_whole_jpeg(data: Array, kind: str) -> None:
    """OpenCV fills the rest of a cut-off jpeg with grey and says nothing; cameras may pad the end with zeros."""
    if data[:2].tobytes() == _JPEG_START and not data[-4096:].tobytes().rstrip(b"\0").endswith(_JPEG_END):
        raise BadMessage(f"compressed image of format {kind!r}, {data.size} bytes, has no end marker: it is cut off")


def _numbers(msg: Any, name: str, count: int) -> list[float]:
    """A matrix of camera_info; ROS 1 writes its name upper-case."""
    values = [float(x) for x in getattr(msg, name, getattr(msg, name.upper(), ()))]
    if len(values) != count:
        raise BadMessage(f"camera_info {name.upper()} has {len(values)} numbers, {count} are needed")
    return values


def _distortion(msg: Any) -> tuple[str, tuple[float, ...]]:
    """The distortion model and its coefficients; none when all are zero, as image_geometry takes it."""
    values = tuple(float(x) for x in getattr(msg, "d", getattr(msg, "D", ())))
    model = str(msg.distortion_model)
    if not any(values):
        return "", ()
    if model not in _DISTORTIONS:
        raise BadMessage(
            f"camera_info: distortion model {model!r} is not one of {', '.join(_DISTORTIONS)}: send rectified images "
            "and leave input.rectified true"
        )
    if len(values) not in _DISTORTIONS[model] or not all(math.isfinite(x) for x in values):
        counts = " or ".join(str(n) for n in _DISTORTIONS[model])
        raise BadMessage(f"camera_info: {model} needs {counts} finite coefficients, D is {list(values)}")
    return model, values


def _sent_size(msg: Any) -> tuple[int, int]:
    """Width and height of the image as sent: the region of interest, binned."""
    _, _, width, height = _region(msg)
    return width // max(int(msg.binning_x), 1), height // max(int(msg.binning_y), 1)


def _in_sent_image(msg: Any, fx: float, fy: float, cx: float, cy: float) -> tuple[float, float, float, float]:
    """Full-resolution intrinsics as those of the image that is sent."""
    bin_x, bin_y = max(int(msg.binning_x), 1), max(int(msg.binning_y), 1)
    x0, y0, _, _ = _region(msg)
    return fx / bin_x, fy / bin_y, (cx - x0) / bin_x, (cy - y0) / bin_y


def _region(msg: Any) -> tuple[int, int, int, int]:
    """The region of interest (x, y, width, height) in full-resolution pixels; 0x0 means the whole picture."""
    roi, full_width, full_height = msg.roi, int(msg.width), int(msg.height)
    x0, y0 = int(roi.x_offset), int(roi.y_offset)
    width, height = int(roi.width) or full_width - x0, int(roi.height) or full_height - y0
    if x0 + width > full_width or y0 + height > full_height:
        raise BadMessage(
            f"camera_info: region {width}x{height} at ({x0}, {y0}) leaves the {full_width}x{full_height} image"
        )
    return x0, y0, width, height


def _matrix(item: Any) -> Array:
    """A geometry_msgs/TransformStamped as (4, 4)."""
    q, t = item.transform.rotation, item.transform.translation
    length = math.sqrt(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w)
    if not (0.1 < length < 10 and math.isfinite(t.x + t.y + t.z)) or not item.child_frame_id:
        raise BadMessage(
            f"transform {item.header.frame_id!r} -> {item.child_frame_id!r}: translation ({t.x:g}, {t.y:g}, {t.z:g}), "
            f"quaternion ({q.x:g}, {q.y:g}, {q.z:g}, {q.w:g}) is no transform: fix its publisher"
        )
    x, y, z, w = q.x / length, q.y / length, q.z / length, q.w / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
