"""The whole pipeline over a bag, every frame in order, no ROS running: what `referent replay` does."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from referent import __version__
from referent.config import Config, to_tree
from referent.errors import ReferentError
from referent.evaluation.recorder import Recorder, result_line
from referent.grounding.supervisor import clean_instruction
from referent.pipeline import Pipeline, build_pipeline, no_worker, replay_worker
from referent.sources.rosbag import BagSource, read_bag
from referent.types import FrameResult, RgbdFrame

PACKAGES = ("torch", "transformers", "sam2", "numpy", "opencv-python-headless", "rosbags")


@dataclass(frozen=True)
class ReplayJob:
    """What to replay. With neither instruction nor box, instructions are taken from the bag's own topic."""

    bag: Path
    output: Path
    config: Config
    instruction: str | None = None
    prompt_box_xyxy: tuple[float, float, float, float] | None = None
    at_s: float = 0.0  # frame time after the first frame at which the instruction is given
    topics: dict[str, str] = field(default_factory=dict)  # color_topic, depth_topic, info_topic where not found by type


def replay(job: ReplayJob) -> dict[str, Any]:
    """Process the bag and write `results.jsonl`, `overlay.mp4` and `summary.json`; returns the summary.

    Raises BadMessage, WeightsMissing, ConfigError or BadInstruction before anything is written.
    """
    if job.instruction is not None:
        clean_instruction(job.instruction)
    source = read_bag(job.bag, job.config.input, **job.topics)
    make_worker = no_worker if job.prompt_box_xyxy is not None else replay_worker
    pipeline = build_pipeline(job.config, make_worker=make_worker, transforms=source.transforms)
    started = time.perf_counter()
    try:
        with Recorder(job.output) as recorder:
            for frame, result in _results(job, source, pipeline):
                recorder.write(result_line(result), frame.rgb, result.groundings)
            return recorder.close(
                wall_s=time.perf_counter() - started,
                drops=dict(source.drops),
                config=to_tree(job.config),
                models=models_of(job.config),
                versions=versions(),
            )
    finally:
        pipeline.close()


def models_of(config: Config) -> dict[str, str]:
    """The names of the models a configuration uses."""
    return {"tracker": config.tracker.model, "grounder": f"{config.grounder.backend}:{config.grounder.model}"}


def versions() -> dict[str, str]:
    """What a result depends on: versions of Referent, Python and the packages that compute."""
    found = {"referent": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def _results(job: ReplayJob, source: BagSource, pipeline: Pipeline) -> Iterator[tuple[RgbdFrame, FrameResult]]:
    spoken = _Speech(job, source)
    for frame in tqdm(source, total=len(source), desc="replay", unit="frame", disable=None, delay=2):
        spoken.say_what_is_due(frame, pipeline)
        yield frame, pipeline.process(frame)
    if not spoken.begun:
        raise ReferentError(f"{job.bag}: nothing to look for; give --instruction TEXT or --prompt-box X1 Y1 X2 Y2")


class _Speech:
    """Says the job's instruction, or the bag's own ones, when their time has come."""

    def __init__(self, job: ReplayJob, source: BagSource) -> None:
        self._job = job
        self._source = source
        self._first_ns: int | None = None
        self._said = 0
        self.begun = False

    def say_what_is_due(self, frame: RgbdFrame, pipeline: Pipeline) -> None:
        if self._first_ns is None:
            self._first_ns = frame.stamp_ns
        if self._job.instruction is None and self._job.prompt_box_xyxy is None:
            self._say_recorded(frame, pipeline)
        elif not self.begun and frame.stamp_ns >= self._first_ns + round(self._job.at_s * 1e9):
            self._say_given(frame, pipeline)

    def _say_given(self, frame: RgbdFrame, pipeline: Pipeline) -> None:
        self.begun = True
        if self._job.prompt_box_xyxy is None:
            pipeline.instruct(str(self._job.instruction))
        else:
            box = box_in_image(self._job.prompt_box_xyxy, width=frame.rgb.shape[1], height=frame.rgb.shape[0])
            pipeline.follow_box(self._job.instruction or "object", box)

    def _say_recorded(self, frame: RgbdFrame, pipeline: Pipeline) -> None:
        heard = self._source.instructions
        while self._said < len(heard) and heard[self._said][0] <= frame.stamp_ns:
            pipeline.instruct(heard[self._said][1])
            self._said, self.begun = self._said + 1, True


def box_in_image(box_xyxy: tuple[float, float, float, float], *, width: int, height: int) -> np.ndarray:
    """The box clipped to the image, (4,) float32. Raises ReferentError when nothing of it is left."""
    x1, y1, x2, y2 = box_xyxy
    clipped = np.clip(np.array([x1, y1, x2, y2], np.float32), 0, np.array([width, height, width, height], np.float32))
    if not np.isfinite(box_xyxy).all() or clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        raise ReferentError(
            f"--prompt-box {x1:g} {y1:g} {x2:g} {y2:g} holds no pixel of the {width}x{height} image; "
            "give X1 Y1 X2 Y2 in pixels with X1 < X2 and Y1 < Y2"
        )
    return clipped
