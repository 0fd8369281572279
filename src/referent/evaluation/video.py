"""Pictures to an H.264 file that browsers play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from referent.errors import BadMessage
from referent.types import Array


class VideoWriter:
    """Writes (H, W, 3) uint8 pictures as one yuv420p MP4, one frame each at a fixed rate."""

    def __init__(self, path: Path, *, fps: float) -> None:
        """The file is playable after `close`."""
        import av

        self.frames = 0
        self._container = av.open(str(path), mode="w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "21"}

    def write(self, rgb: Array) -> None:
        """Append a picture; all have the size of the first, an odd last row or column is left out (yuv420p)."""
        import av

        height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
        if self.frames == 0:
            self._stream.width, self._stream.height = width, height
        elif (width, height) != (self._stream.width, self._stream.height):
            have = f"{self._stream.width}x{self._stream.height}"
            raise BadMessage(f"picture of {width}x{height} in a video of {have}: all must have one size")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self.frames:
            self._container.mux(self._stream.encode())
        self._container.close()
