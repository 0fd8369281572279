"""Writes a run to a folder: results.jsonl, truth.jsonl, overlay.mp4, pictures and summary.json, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from referent.evaluation.drawing import draw_overlay
from referent.evaluation.lines import Line, grounding_line, result_line, truth_line
from referent.evaluation.pictures import PictureBook
from referent.evaluation.summary import add_truth, read_lines, summarize, versions
from referent.evaluation.video import VideoWriter
from referent.geometry.poses import rigid_inverse
from referent.types import Array, FrameResult, GroundingEvent, Intrinsics, RgbdFrame

__all__ = ["Recorder", "grounding_line", "result_line", "truth_line"]

UNFINISHED = ".part"
FILES = ("results.jsonl", "truth.jsonl", "overlay.mp4", "summary.json", "report.html")
PICTURES = "pictures"


class LineFile:
    """A JSON Lines file that holds only whole lines, whatever interrupts the writing."""

    def __init__(self, path: Path) -> None:
        """Starts an empty file."""
        self._file: BinaryIO = path.open("wb")
        self._whole_bytes = 0

    def write(self, line: Line) -> None:
        """Append one line; ValueError for a number JSON cannot hold."""
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._whole_bytes += self._file.write(text.encode() + b"\n")

    def close(self) -> None:
        """Finish the file, without the line that an interrupt may have cut."""
        self._file.truncate(self._whole_bytes)
        self._file.close()


class Recorder:
    """Records one run. A context manager: leaving it by any way, Ctrl-C too, leaves a whole, maybe shorter recording.

    Everything is written under temporary names and renamed by `close`, together; files of an earlier run in the folder
    are replaced then, and those this run has no equal of are removed.
    """

    def __init__(self, directory: Path | str, *, fps: float = 30.0, overlay: bool = True) -> None:
        """Records into `directory`, made if needed; `fps` is the rate overlay.mp4 plays at."""
        self.directory = Path(directory)
        self._fps, self._overlay = fps, overlay
        self.directory.mkdir(parents=True, exist_ok=True)
        self._remove_unfinished()
        self._results = LineFile(self._part("results.jsonl"))
        self._truth: LineFile | None = None
        self._video: VideoWriter | None = None
        self._pictures = PictureBook(self._part(PICTURES))
        self._groundings: list[Line] = []
        self._started_s = self._last_s = time.perf_counter()
        self._frames = self._frames_without_picture = 0
        self._summary: Line | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._summary is not None:
            return
        if fault is not None and self._frames == 0:
            self._discard()
        else:
            self.close()

    def write_result(self, frame: RgbdFrame, result: FrameResult) -> None:
        """Record one frame of the library's own: line, picture with 3D boxes, and groundings."""
        given = result.output_from_camera
        camera_from_pose = None if given is None else rigid_inverse(given)
        self.write(
            result_line(result),
            frame.rgb,
            result.groundings,
            camera=frame.intrinsics,
            camera_from_pose=camera_from_pose,
        )

    def write(
        self,
        line: Line,
        rgb: Array | None = None,
        groundings: Sequence[GroundingEvent] = (),
        *,
        camera: Intrinsics | None = None,
        camera_from_pose: Array | None = None,
    ) -> None:
        """Record one frame: its results.jsonl line, its (H, W, 3) uint8 picture, the groundings it finished.

        A frame without a picture is left out of overlay.mp4 and counted. `camera` adds the 3D boxes, with
        `camera_from_pose` (4, 4) where poses are given in another frame than the camera's.
        """
        self._results.write(line)
        if rgb is None:
            self._frames_without_picture += 1
        elif self._overlay:
            self._draw(line, rgb, camera, camera_from_pose)
        for event in groundings:
            picture = self._pictures.add_grounding(len(self._groundings), event.stamp_ns, event.boxes_xyxy)
            self._groundings.append({**grounding_line(event), "picture": picture})
        self._frames += 1
        self._last_s = time.perf_counter()

    def write_truth(self, line: Line) -> None:
        """Record the ground truth of one frame, a truth.jsonl line."""
        if self._truth is None:
            self._truth = LineFile(self._part("truth.jsonl"))
        self._truth.write(line)

    def close(self, *, wall_s: float | None = None, drops: Mapping[str, int] | None = None, **fields: Any) -> Line:
        """Finish and rename all files; returns what summary.json holds.

        `wall_s` is the time the run took, measured between the first and the last frame when not given; `drops` are
        counted beside those of the lines; `fields` (config, models, versions, ...) are taken as they are.
        """
        if self._summary is not None:
            raise ValueError(f"{self.directory}: this recording is closed already")
        self._finish_files()
        wall_s = self._last_s - self._started_s if wall_s is None else wall_s
        summary = self._summarize(wall_s)
        self._summary = {**summary, "drops": {**summary["drops"], **(drops or {})}, **fields}
        text = json.dumps(self._summary, ensure_ascii=False, allow_nan=False, indent=1)
        self._part("summary.json").write_text(text + "\n", encoding="utf-8")
        self._publish()
        return self._summary

    def _finish_files(self) -> None:
        for part in (self._results, self._truth, self._video):
            if part is not None:
                part.close()

    def _draw(self, line: Line, rgb: Array, camera: Intrinsics | None, camera_from_pose: Array | None) -> None:
        overlay = draw_overlay(rgb, line, camera=camera, camera_from_pose=camera_from_pose)
        if self._video is None:
            self._video = VideoWriter(self._part("overlay.mp4"), fps=self._fps)
        self._video.write(overlay)
        self._pictures.add_frame(self._frames, line["stamp_ns"], rgb=rgb, overlay=overlay)

    def _summarize(self, wall_s: float) -> Line:
        results = self._part("results.jsonl")
        summary = summarize(read_lines(results), self._groundings, wall_s=wall_s)
        if self._truth is not None:
            summary = add_truth(summary, list(read_lines(results)), list(read_lines(self._part("truth.jsonl"))))
        described: Line = {"config": {}, "models": {}, "versions": versions()}
        return {**summary, "frames_without_picture": self._frames_without_picture, **described}

    def _part(self, name: str) -> Path:
        return self.directory / (name + UNFINISHED)

    def _publish(self) -> None:
        shutil.rmtree(self.directory / PICTURES, ignore_errors=True)
        self._part(PICTURES).rename(self.directory / PICTURES)
        for name in FILES:
            if self._part(name).exists():
                os.replace(self._part(name), self.directory / name)
            else:
                (self.directory / name).unlink(missing_ok=True)

    def _discard(self) -> None:
        """Leave the folder as it was: nothing was recorded."""
        self._finish_files()
        self._remove_unfinished()
        if not any(self.directory.iterdir()):
            self.directory.rmdir()

    def _remove_unfinished(self) -> None:
        """Take away what a killed run left."""
        shutil.rmtree(self._part(PICTURES), ignore_errors=True)
        for name in FILES:
            self._part(name).unlink(missing_ok=True)
