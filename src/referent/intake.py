"""Messages of one RGB-D camera to frames: rectified, depth as color sees it, paired. The same for a robot and a bag."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from referent.config import InputConfig
from referent.errors import BadMessage, DepthNotRegistered, TransformUnavailable
from referent.frames.assembler import FrameAssembler
from referent.frames.rectification import largest_bend_px, rectified_depth, rectified_rgb
from referent.frames.transforms import TransformBuffer
from referent.geometry.registered import is_registered, register_depth
from referent.messages import (
    Lens,
    depth_from_image,
    frame_name,
    intrinsics_from_camera_info,
    lens_from_camera_info,
    require_registered,
    rgb_from_image,
    stamp_ns,
)
from referent.types import Array, Intrinsics, RgbdFrame

_BEND_PX = 3.0  # lenses that bend less are as good as rectified


@dataclass(frozen=True)
class _Calibration:
    """One camera as its newest camera_info tells."""

    frame: str
    camera: Intrinsics
    lens: Lens | None  # None: its images come rectified

    def fits(self, image: Array) -> bool:
        return image.shape[:2] == (self.camera.height, self.camera.width)


class CameraIntake:
    """Takes the messages of a camera, gives frames. Owned by one thread.

    Depth that is given in another frame than color, or by a camera with other pixels, is registered to color through
    its own camera_info and the transform between both at its stamp.
    """

    def __init__(self, config: InputConfig, transforms: TransformBuffer) -> None:
        self._config = config
        self._transforms = transforms
        self._assembler = FrameAssembler(config)
        self._color: _Calibration | None = None
        self._depth: _Calibration | None = None
        self._color_frame = ""
        self._unused_lens: Lens | None = None  # color's by its newest camera_info, while images are taken as rectified
        self.registers = False  # whether the newest depth image was registered here
        self.knows_depth = False  # whether any pixel of it is known

    @property
    def counts(self) -> Mapping[str, int]:
        """Running totals since the start, by the names in assembler.COUNTERS."""
        return self._assembler.counts

    def camera_info(self, msg: Any) -> None:
        """The calibration of color from here on. Raises BadMessage."""
        self._color = self._calibration(msg)
        if self._config.rectified:
            with suppress(BadMessage):  # an unknown lens matters only where it is to be undone
                self._unused_lens = lens_from_camera_info(msg)
        self._color_frame = self._color_frame or self._color.frame
        self._assembler.set_camera_info(self._color.camera, self._color.frame)

    def raw_warning(self, color_topic: str) -> str | None:
        """What to set when the topic's name and the lens say that color is not rectified though it is taken so."""
        bend_px = 0.0 if self._unused_lens is None else largest_bend_px(self._unused_lens)
        if bend_px < _BEND_PX or "raw" not in re.split(r"[/_]", color_topic):
            return None
        return (
            f"{color_topic} is raw by its name, and its camera_info tells of a lens that moves pixels by up to "
            f"{bend_px:.0f} px: set input.rectified to false, or give rectified images"
        )

    def depth_camera_info(self, msg: Any) -> None:
        """The calibration of depth's own camera; not needed when depth comes registered. Raises BadMessage."""
        self._depth = self._calibration(msg)

    def color(self, msg: Any) -> RgbdFrame | None:
        """Take a color image; returns the oldest frame that is complete now. Raises BadMessage."""
        when_ns, rgb = stamp_ns(msg.header), rgb_from_image(msg)
        self._color_frame = frame_name(msg.header) or self._color_frame
        if self._color is not None and self._color.lens is not None and self._color.fits(rgb):
            rgb = rectified_rgb(rgb, self._color.lens)
        return self._assembler.add_color(when_ns, frame_name(msg.header), rgb)

    def depth(self, msg: Any) -> RgbdFrame | None:
        """Take a depth image; returns the oldest frame that is complete now. Raises BadMessage, DepthNotRegistered."""
        when_ns, frame = stamp_ns(msg.header), frame_name(msg.header)
        depth_m = depth_from_image(msg, unit_m=self._config.depth_unit_m, max_depth_m=self._config.max_depth_m)
        if self._color is not None:
            depth_m = self._as_color_sees(depth_m, frame, when_ns, self._color)
        self.knows_depth = bool(np.isfinite(depth_m).any())
        return self._assembler.add_depth(when_ns, depth_m)

    def no_depth(self, msg: Any) -> RgbdFrame | None:
        """Take a depth image that cannot be used as one of which nothing is known: masks still come, poses cannot."""
        if self._color is None:
            return None
        unknown = np.full((self._color.camera.height, self._color.camera.width), np.nan, np.float32)
        return self._assembler.add_depth(stamp_ns(msg.header), unknown)

    def flush(self) -> Iterator[RgbdFrame]:
        """The frames that still wait for a better partner, when nothing more will come."""
        return self._assembler.flush()

    def reset(self) -> None:
        """Forget all images and their order, as after a jump back in time; calibration and counts stay."""
        self._assembler.reset()

    def _calibration(self, msg: Any) -> _Calibration:
        camera = intrinsics_from_camera_info(msg)
        return _Calibration(
            frame_name(msg.header), camera, None if self._config.rectified else lens_from_camera_info(msg)
        )

    def _as_color_sees(self, depth_m: Array, frame: str, when_ns: int, color: _Calibration) -> Array:
        own = self._depth if self._depth is not None and frame in ("", self._depth.frame) else None
        taken_by = own or color
        if taken_by.lens is not None and taken_by.fits(depth_m):
            depth_m = rectified_depth(depth_m, taken_by.lens)
        self.registers = False
        if own is None:
            require_registered(self._color_frame, frame)
            return depth_m
        color_from_depth = self._color_from(own.frame, when_ns)
        if is_registered(own.camera, color_from_depth, color.camera) or not own.fits(depth_m):
            return depth_m  # or of a wrong size, which the assembler refuses
        self.registers = True
        return register_depth(depth_m, own.camera, color_from_depth, color.camera)

    def _color_from(self, depth_frame: str, when_ns: int) -> Array:
        """The way from depth's frame to color's (4, 4). Raises DepthNotRegistered."""
        if not depth_frame or not self._color_frame:
            return np.eye(4)
        try:
            return self._transforms.lookup(self._color_frame, depth_frame, when_ns)
        except TransformUnavailable as error:
            raise DepthNotRegistered(f"depth cannot be registered to color: {error}") from error
