"""Frames to a rosbag2 (MCAP) with the topics Referent listens to; whole or not there at all."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from referent.errors import BadMessage
from referent.sources.topics import CAMERA_INFO, IMAGE, STRING, TF_TYPES
from referent.types import Array, Intrinsics, RgbdFrame

COLOR_TOPIC, DEPTH_TOPIC = "/camera/color/image_rect", "/camera/depth/image_rect"
INFO_TOPIC = "/camera/color/camera_info"
TF_TOPIC, TF_STATIC_TOPIC, INSTRUCTION_TOPIC = "/tf", "/tf_static", "/instruction"
WORLD_FRAME, CAMERA_FRAME, OPTICAL_FRAME = "world", "camera_link", "camera_color_optical_frame"

# REP-103: an optical frame looks along z with y down, a camera body along x with z up.
LINK_FROM_OPTICAL = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)

_WRITTEN_DEPTH_UNIT_M = 0.001  # REP-118: 16UC1 is millimetres
_UNLIMITED = QosTime(2147483647, 4294967295)


class BagWriter:
    """Writes one bag; `with BagWriter(path) as bag: bag.write_frame(frame)`.

    The bag is written beside `path` under a temporary name and takes its name when the block ends well; after an
    exception or Ctrl-C nothing is left. A path ending in .mcap gives a single file, any other a rosbag2 folder.
    """

    def __init__(self, path: Path | str, *, overwrite: bool = False) -> None:
        self._path = Path(path)
        self._overwrite = overwrite
        if self._path.suffix in (".bag", ".db3"):
            raise BadMessage(f"{path}: MCAP is written, not {self._path.suffix}; give a folder name or one with .mcap")
        if self._path.exists() and not overwrite:
            raise BadMessage(f"{path}: exists already; choose another name or ask for it to be overwritten")
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._partial = Path(tempfile.mkdtemp(prefix=f".{self._path.name}.", dir=self._path.parent))
        except OSError as error:
            raise BadMessage(f"{self._path}: cannot be written ({error.strerror})") from error
        # The MCAP file is named after its folder: the folder has its final name, one level down.
        self._folder = (
            self._partial / self._path.stem if self._path.suffix == ".mcap" else self._partial / self._path.name
        )
        self._writer = Writer(self._folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._writer.close()
                self._publish()
            else:
                self._writer.abort()
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def write_frame(self, frame: RgbdFrame) -> None:
        """Color (rgb8), depth (16UC1 millimetres, 0 = unknown) and camera_info, all with the frame's stamp."""
        self.write_image(COLOR_TOPIC, frame.stamp_ns, frame.camera_frame, frame.rgb, "rgb8")
        if frame.depth_m is not None:
            counts = counts_from_metres(frame.depth_m)
            self.write_image(DEPTH_TOPIC, frame.stamp_ns, frame.camera_frame, counts, "16UC1")
        self._write_camera_info(frame.stamp_ns, frame.camera_frame, frame.intrinsics)

    def write_image(self, topic: str, stamp_ns: int, camera_frame: str, pixels: Array, encoding: str) -> None:
        """One sensor_msgs/Image of (H, W) or (H, W, C) pixels."""
        height, width = pixels.shape[:2]
        rows = np.ascontiguousarray(pixels).reshape(height, -1)
        message = self._type(IMAGE)(
            header=self._header(stamp_ns, camera_frame),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=rows.shape[1] * rows.itemsize,
            data=rows.view(np.uint8).reshape(-1),
        )
        self.write_message(topic, stamp_ns, message)

    def write_transform(
        self, parent: str, child: str, stamp_ns: int, parent_from_child: Array, *, static: bool = False
    ) -> None:
        """One transform (4, 4) on /tf or /tf_static."""
        message = self._type(TF_TYPES[0])(transforms=[self._stamped(parent, child, stamp_ns, parent_from_child)])
        self.write_message(TF_STATIC_TOPIC if static else TF_TOPIC, stamp_ns, message)

    def write_camera_pose(self, stamp_ns: int, world_from_optical: Array) -> None:
        """The camera's pose as world -> camera_link; `write_camera_mount` gives the optical frame."""
        world_from_link = world_from_optical @ np.linalg.inv(LINK_FROM_OPTICAL)
        self.write_transform(WORLD_FRAME, CAMERA_FRAME, stamp_ns, world_from_link)

    def write_camera_mount(self, stamp_ns: int) -> None:
        """The static rotation camera_link -> camera_color_optical_frame of REP-103."""
        self.write_transform(CAMERA_FRAME, OPTICAL_FRAME, stamp_ns, LINK_FROM_OPTICAL, static=True)

    def write_text(self, topic: str, stamp_ns: int, text: str) -> None:
        """One std_msgs/String, recorded at `stamp_ns`."""
        self.write_message(topic, stamp_ns, self._type(STRING)(data=text))

    def write_message(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Any message made by the Jazzy typestore of rosbags, recorded at `stamp_ns`."""
        kind = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=self._types, offered_qos_profiles=[_qos(latched=topic == TF_STATIC_TOPIC)]
            )
        self._writer.write(self._connections[topic], stamp_ns, self._types.serialize_cdr(message, kind))

    def _publish(self) -> None:
        """Give the finished bag its name."""
        finished = self._folder
        if self._path.suffix == ".mcap":
            finished = self._folder / f"{self._folder.name}.mcap"
        if self._path.is_dir():
            _require_rosbag2(self._path)
            shutil.rmtree(self._path)
        finished.replace(self._path)

    def _type(self, name: str) -> Any:
        return self._types.types[name]

    def _header(self, stamp_ns: int, frame: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = self._type("builtin_interfaces/msg/Time")(sec=seconds, nanosec=nanoseconds)
        return self._type("std_msgs/msg/Header")(stamp=stamp, frame_id=frame)

    def _write_camera_info(self, stamp_ns: int, camera_frame: str, camera: Intrinsics) -> None:
        k = [camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1]
        p = [camera.fx, 0, camera.cx, 0, 0, camera.fy, camera.cy, 0, 0, 0, 1, 0]
        message = self._type(CAMERA_INFO)(
            header=self._header(stamp_ns, camera_frame),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=np.array(k, np.float64),
            r=np.eye(3).ravel(),
            p=np.array(p, np.float64),
            binning_x=0,
            binning_y=0,
            roi=self._type("sensor_msgs/msg/RegionOfInterest")(
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            ),
        )
        self.write_message(INFO_TOPIC, stamp_ns, message)

    def _stamped(self, parent: str, child: str, stamp_ns: int, parent_from_child: Array) -> Any:
        from scipy.spatial.transform import Rotation

        x, y, z, w = Rotation.from_matrix(parent_from_child[:3, :3]).as_quat().tolist()
        geometry = "geometry_msgs/msg/"
        transform = self._type(geometry + "Transform")(
            translation=self._type(geometry + "Vector3")(*parent_from_child[:3, 3].tolist()),
            rotation=self._type(geometry + "Quaternion")(x, y, z, w),
        )
        header = self._header(stamp_ns, parent)
        return self._type(geometry + "TransformStamped")(header=header, child_frame_id=child, transform=transform)


def write_bag(
    path: Path | str,
    frames: Iterable[RgbdFrame],
    *,
    world_from_optical: Iterable[Array] | None = None,
    instructions: Sequence[tuple[int, str]] = (),
    overwrite: bool = False,
) -> None:
    """Write frames, the camera's pose (4, 4) at each of them if known, and (stamp_ns, text) instructions as one bag.

    Raises BadMessage when the bag exists already or there are no frames.
    """
    poses = iter(world_from_optical) if world_from_optical is not None else None
    texts = deque(sorted(instructions))
    written = 0
    with BagWriter(path, overwrite=overwrite) as bag:
        for frame in frames:
            while texts and texts[0][0] <= frame.stamp_ns:
                bag.write_text(INSTRUCTION_TOPIC, *texts.popleft())
            if poses is not None:
                if written == 0:
                    bag.write_camera_mount(frame.stamp_ns)
                bag.write_camera_pose(frame.stamp_ns, next(poses))
            bag.write_frame(frame)
            written += 1
        if written == 0:
            raise BadMessage(f"{path}: no frames to write")
        for stamp_ns, text in texts:
            bag.write_text(INSTRUCTION_TOPIC, stamp_ns, text)


def counts_from_metres(depth_m: Array) -> Array:
    """Depth as uint16 millimetres (REP-118); NaN and what does not fit become 0."""
    counts = np.nan_to_num(np.rint(depth_m / _WRITTEN_DEPTH_UNIT_M), nan=0.0, posinf=0.0, neginf=0.0)
    return np.where((counts > 0) & (counts < 0xFFFF), counts, 0).astype(np.uint16)


def _qos(*, latched: bool) -> Qos:
    """Reliable; static transforms also for those who come late (tf2's profile), so that bag players repeat them."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=100 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_UNLIMITED,
        lifespan=_UNLIMITED,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_UNLIMITED,
        avoid_ros_namespace_conventions=False,
    )


def _require_rosbag2(folder: Path) -> None:
    """Only a bag may be replaced: never delete a folder that holds something else."""
    if not (folder / "metadata.yaml").exists():
        raise BadMessage(f"{folder}: is a folder but no rosbag2, it is not overwritten; choose another name")
