"""The few pictures of a run kept for its report: evenly spaced overlays, and what the grounder was shown."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from referent.evaluation.drawing import draw_boxes
from referent.types import Array

MAX_STEPS = 60
RECENT_FRAMES = 600  # 20 s at 30 Hz: the longest a grounder may take by default
STEP_WIDTH_PX, ASKED_WIDTH_PX = 640, 320
JPEG_QUALITY = 80


class PictureBook:
    """Keeps at most 60 step pictures, however long the run, and one picture per grounding whose frame is recent."""

    def __init__(self, directory: Path) -> None:
        """Makes `directory`."""
        directory.mkdir(parents=True)
        self._directory = directory
        self._steps: list[Path] = []
        self._stride = 1
        self._recent: deque[tuple[int, float, bytes]] = deque(maxlen=RECENT_FRAMES)  # stamp, scale, JPEG

    def add_frame(self, index: int, stamp_ns: int, *, rgb: Array, overlay: Array) -> None:
        """Take frame number `index`: its overlay, where it falls on a step, and its picture for late answers."""
        small, scale = _narrowed(rgb, ASKED_WIDTH_PX)
        self._recent.append((stamp_ns, scale, _jpeg(small)))
        if index % self._stride:
            return
        self._keep_step(self._directory / f"step_{index:06d}.jpg", overlay)
        if len(self._steps) > MAX_STEPS:
            self._thin_out()

    def add_grounding(self, number: int, stamp_ns: int, boxes_xyxy: Sequence[Sequence[float]]) -> str | None:
        """Save the frame a question was about, with the answered boxes; its file name, None when it is gone."""
        kept = next((entry for entry in reversed(self._recent) if entry[0] == stamp_ns), None)
        if kept is None:
            return None
        _, scale, data = kept
        picture = np.array(Image.open(io.BytesIO(data)))
        draw_boxes(picture, [[value * scale for value in box] for box in boxes_xyxy])
        name = f"grounding_{number:04d}.jpg"
        (self._directory / name).write_bytes(_jpeg(picture))
        return name

    def _keep_step(self, path: Path, overlay: Array) -> None:
        path.write_bytes(_jpeg(_narrowed(overlay, STEP_WIDTH_PX)[0]))
        self._steps.append(path)

    def _thin_out(self) -> None:
        """Halve the steps: every other one goes, and new ones come half as often."""
        for path in self._steps[1::2]:
            path.unlink()
        self._steps = self._steps[::2]
        self._stride *= 2


def _narrowed(picture: Array, width_px: int) -> tuple[Array, float]:
    """`picture` at most `width_px` wide, and its scale."""
    scale = min(1.0, width_px / picture.shape[1])
    if scale == 1.0:
        return picture, 1.0
    size = (width_px, max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def _jpeg(rgb: Array) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"a picture of {rgb.shape} cannot be written as JPEG")
    return data.tobytes()
