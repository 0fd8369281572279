"""One object's pose over time: the box of each frame, continued from the one before."""

from __future__ import annotations

from referent.config import GeometryConfig
from referent.geometry.estimate import estimate_pose
from referent.types import Array, ObjectPose, OrientedBox, RgbdFrame


class PoseTrack:
    """The pose of one object, frame by frame. Frames come in order of time; belongs to one thread."""

    def __init__(self, config: GeometryConfig) -> None:
        self._config = config
        self._box: OrientedBox | None = None

    def step(
        self,
        frame: RgbdFrame,
        mask: Array,
        *,
        up_in_camera: Array | None = None,
        fixed_from_camera: Array | None = None,
    ) -> ObjectPose | None:
        """The pose in `frame` of what `mask` (H, W) bool covers, in the camera's optical frame; None when not seen.

        `up_in_camera` (3,) is the direction against gravity, `fixed_from_camera` (4, 4) where the camera is in a frame
        that does not move, both when known. ValueError for a mask or direction of the wrong shape.
        """
        pose = estimate_pose(frame, mask, self._config, up_in_camera=up_in_camera, previous=self._box)
        if pose is not None:
            self._box = pose.box
        return pose
