"""Small builders of ROS-shaped messages and of the bags that hold them. Messages are those of rosbags' typestores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

JAZZY = get_typestore(Stores.ROS2_JAZZY)
NOETIC = get_typestore(Stores.ROS1_NOETIC)
FRAME_NS = 33_333_333
START_NS = 1_000_000_000
OPTICAL = "camera_color_optical_frame"
COLOR, DEPTH, INFO = "/camera/color/image_rect", "/camera/depth/image_rect", "/camera/color/camera_info"

Recorded = tuple[str, int, Any]  # topic, time of recording, message

_DTYPES = {"16UC1": np.uint16, "mono16": np.uint16, "32FC1": np.float32}


def make(kind: str, store: Any = JAZZY, **fields: Any) -> Any:
    """A message `pkg/Name` of a typestore."""
    package, name = kind.split("/")
    return store.types[f"{package}/msg/{name}"](**fields)


def a_header(stamp_ns: int = START_NS, frame: str = OPTICAL, store: Any = JAZZY) -> Any:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = make("builtin_interfaces/Time", store, sec=seconds, nanosec=nanoseconds)
    extra = {"seq": 0} if store is NOETIC else {}
    return make("std_msgs/Header", store, stamp=stamp, frame_id=frame, **extra)


def an_image(
    pixels: np.ndarray,
    encoding: str,
    *,
    stamp_ns: int = START_NS,
    frame: str = OPTICAL,
    padding: int = 0,
    big_endian: bool = False,
    store: Any = JAZZY,
) -> Any:
    """An Image of `pixels`, each row followed by `padding` bytes of rubbish."""
    dtype = np.dtype(_DTYPES.get(encoding, np.uint8)).newbyteorder(">" if big_endian else "<")
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, dtype).reshape(height, -1).view(np.uint8)
    padded = np.concatenate([rows, np.full((height, padding), 0xAB, np.uint8)], axis=1)
    return make(
        "sensor_msgs/Image",
        store,
        header=a_header(stamp_ns, frame, store),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=padded.shape[1],
        data=padded.reshape(-1),
    )


def a_compressed(data: bytes, form: str, *, stamp_ns: int = START_NS, frame: str = OPTICAL, store: Any = JAZZY) -> Any:
    return make(
        "sensor_msgs/CompressedImage",
        store,
        header=a_header(stamp_ns, frame, store),
        format=form,
        data=np.frombuffer(data, np.uint8),
    )


def a_camera_info(
    width: int = 8,
    height: int = 6,
    *,
    f: float = 10.0,
    k: Iterable[float] | None = None,
    p: Iterable[float] | None = None,
    binning: int = 0,
    roi: tuple[int, int, int, int] = (0, 0, 0, 0),
    stamp_ns: int = START_NS,
    frame: str = OPTICAL,
    store: Any = JAZZY,
) -> Any:
    """A CameraInfo with focal length `f` and its centre in the middle, unless `k` or `p` say otherwise."""
    k = np.array(k if k is not None else [f, 0, width / 2, 0, f, height / 2, 0, 0, 1], np.float64)
    p = np.array(p if p is not None else [f, 0, width / 2, 0, 0, f, height / 2, 0, 0, 0, 1, 0], np.float64)
    matrices = {"d": np.zeros(5), "k": k, "r": np.eye(3).ravel(), "p": p}
    if store is NOETIC:
        matrices = {name.upper(): value for name, value in matrices.items()}
    x, y, roi_width, roi_height = roi
    return make(
        "sensor_msgs/CameraInfo",
        store,
        header=a_header(stamp_ns, frame, store),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        binning_x=binning,
        binning_y=binning,
        roi=make(
            "sensor_msgs/RegionOfInterest",
            store,
            x_offset=x,
            y_offset=y,
            height=roi_height,
            width=roi_width,
            do_rectify=False,
        ),
        **matrices,
    )


def a_tf(
    parent: str,
    child: str,
    *,
    stamp_ns: int = START_NS,
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0),
    xyzw: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0),
    store: Any = JAZZY,
) -> Any:
    """A TFMessage of one transform."""
    transform = make(
        "geometry_msgs/Transform",
        store,
        translation=make("geometry_msgs/Vector3", store, x=xyz[0], y=xyz[1], z=xyz[2]),
        rotation=make("geometry_msgs/Quaternion", store, x=xyzw[0], y=xyzw[1], z=xyzw[2], w=xyzw[3]),
    )
    stamped = make(
        "geometry_msgs/TransformStamped",
        store,
        header=a_header(stamp_ns, parent, store),
        child_frame_id=child,
        transform=transform,
    )
    return make("tf2_msgs/TFMessage", store, transforms=[stamped])


def a_text(text: str, store: Any = JAZZY) -> Any:
    return make("std_msgs/String", store, data=text)


def a_recording(
    frames: int = 3,
    *,
    width: int = 8,
    height: int = 6,
    color: str = COLOR,
    depth: str | None = DEPTH,
    info: str | None = INFO,
    start_ns: int = START_NS,
    depth_late_ns: int = 0,
    store: Any = JAZZY,
) -> list[Recorded]:
    """Messages of a camera: frame n is painted n and n mm + 1 m away; depth is stamped `depth_late_ns` later."""
    recorded: list[Recorded] = []
    for number in range(frames):
        now_ns = start_ns + number * FRAME_NS
        rgb = np.full((height, width, 3), number, np.uint8)
        recorded.append((color, now_ns, an_image(rgb, "rgb8", stamp_ns=now_ns, store=store)))
        if info is not None:
            recorded.append((info, now_ns, a_camera_info(width, height, stamp_ns=now_ns, store=store)))
        if depth is not None:
            late_ns = now_ns + depth_late_ns
            millimetres = np.full((height, width), 1000 + number, np.uint16)
            recorded.append((depth, late_ns, an_image(millimetres, "16UC1", stamp_ns=late_ns, store=store)))
    return recorded


def a_bag(path: Path, recorded: Iterable[Recorded], *, storage: str = "mcap") -> Path:
    """Write messages (all of one typestore) as a bag: storage is mcap, sqlite3 or ros1."""
    if storage == "ros1":
        return _ros1_bag(path, recorded)
    connections: dict[str, Any] = {}
    with Writer2(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        for topic, recorded_ns, message in recorded:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=JAZZY)
            writer.write(connections[topic], recorded_ns, JAZZY.serialize_cdr(message, kind))
    return path


def _ros1_bag(path: Path, recorded: Iterable[Recorded]) -> Path:
    connections: dict[str, Any] = {}
    with Writer1(path) as writer:
        for topic, recorded_ns, message in recorded:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=NOETIC)
            writer.write(connections[topic], recorded_ns, NOETIC.serialize_ros1(message, kind))
    return path
