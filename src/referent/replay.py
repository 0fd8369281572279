"""The whole pipeline over a bag, every frame in order, no ROS running: what `referent replay` does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from referent.building import build_pipeline, no_worker, replay_worker
from referent.config import Config
from referent.errors import ReferentError
from referent.evaluation.recorder import Recorder
from referent.evaluation.summary import versions
from referent.geometry.registered_check import RegistrationWatch
from referent.grounding.instructions import clean_instruction
from referent.pipeline import Pipeline
from referent.settings import to_tree
from referent.sources.rosbag import BagSource, read_bag
from referent.types import FrameResult, RgbdFrame


@dataclass(frozen=True)
class ReplayJob:
    """What to replay. With neither instruction nor box, instructions are taken from the bag's own topic."""

    bag: Path
    output: Path
    config: Config
    instruction: str | None = None
    prompt_box_xyxy: tuple[float, float, float, float] | None = None
    at_s: float = 0.0  # frame time after the first frame at which the instruction is given
    topics: dict[str, str] = field(default_factory=dict)  # arguments of read_bag: color_topic, depth_info_topic, ...


def replay(job: ReplayJob) -> dict[str, Any]:
    """Process the bag and write `results.jsonl`, `overlay.mp4` and `summary.json`; returns the summary.

    Raises BadMessage, WeightsMissing, ConfigError, BadInstruction or ReferentError before anything is written.
    """
    if job.instruction is not None:
        clean_instruction(job.instruction)
    source = read_bag(job.bag, job.config.input, **job.topics)
    _check_something_is_said(job, source)
    make_worker = no_worker if job.prompt_box_xyxy is not None else replay_worker
    pipeline = build_pipeline(job.config, make_worker=make_worker, transforms=source.transforms)
    watch = RegistrationWatch(job.config.input.registration_check_s)
    started = time.perf_counter()
    try:
        with Recorder(job.output, fps=_frames_per_second(source)) as recorder:
            for frame, result in _results(job, source, pipeline):
                recorder.write_result(frame, result)
                watch.look(frame)
            for line in source.truth_lines():
                recorder.write_truth(line)
            return recorder.close(
                wall_s=time.perf_counter() - started,
                drops=dict(source.drops),
                warnings=[*source.warnings, *([] if watch.warning is None else [watch.warning])],
                config=to_tree(job.config),
                models=models_of(job.config),
                versions=versions(),
            )
    finally:
        pipeline.close()


def models_of(config: Config) -> dict[str, str]:
    """The names of the models a configuration uses."""
    return {"tracker": config.tracker.model, "grounder": f"{config.grounder.backend}:{config.grounder.model}"}


def _check_something_is_said(job: ReplayJob, source: BagSource) -> None:
    if job.instruction is None and job.prompt_box_xyxy is None and not source.instructions:
        raise ReferentError(f"{job.bag}: nothing to look for; give --instruction TEXT or --prompt-box X1 Y1 X2 Y2")
    if not 0 <= job.at_s <= source.duration_s:
        raise ReferentError(f"--at {job.at_s:g}: the bag holds 0 to {source.duration_s:.1f} s")


def _frames_per_second(source: BagSource) -> float:
    return max(len(source) - 1, 1) / source.duration_s if source.duration_s > 0 else 1.0


def _results(job: ReplayJob, source: BagSource, pipeline: Pipeline) -> Iterator[tuple[RgbdFrame, FrameResult]]:
    speech = _Speech(job, source)
    frames = tqdm(source, total=len(source), desc="replay", unit="frame", disable=None, delay=2)
    for frame, following in _with_following(frames):
        speech.say_what_is_due(frame, pipeline)
        if following is not None:
            pipeline.prefetch(following)
        yield frame, pipeline.process(frame)


def _with_following(frames: Iterable[RgbdFrame]) -> Iterator[tuple[RgbdFrame, RgbdFrame | None]]:
    """Each frame and the one after it; None after the last."""
    present = None
    for following in frames:
        if present is not None:
            yield present, following
        present = following
    if present is not None:
        yield present, None


class _Speech:
    """Says the job's instruction, or the bag's own ones, when their time has come."""

    def __init__(self, job: ReplayJob, source: BagSource) -> None:
        self._job = job
        self._recorded = source.instructions
        self._first_ns: int | None = None
        self._said = 0

    def say_what_is_due(self, frame: RgbdFrame, pipeline: Pipeline) -> None:
        if self._first_ns is None:
            self._first_ns = frame.stamp_ns
        if self._job.instruction is None and self._job.prompt_box_xyxy is None:
            self._say_recorded(frame, pipeline)
        elif self._said == 0 and frame.stamp_ns >= self._first_ns + round(self._job.at_s * 1e9):
            self._say_given(frame, pipeline)

    def _say_given(self, frame: RgbdFrame, pipeline: Pipeline) -> None:
        self._said = 1
        if self._job.prompt_box_xyxy is None:
            pipeline.instruct(str(self._job.instruction))
        else:
            box = box_in_image(self._job.prompt_box_xyxy, width=frame.rgb.shape[1], height=frame.rgb.shape[0])
            pipeline.follow_box(self._job.instruction or "object", box)

    def _say_recorded(self, frame: RgbdFrame, pipeline: Pipeline) -> None:
        while self._said < len(self._recorded) and self._recorded[self._said][0] <= frame.stamp_ns:
            pipeline.instruct(self._recorded[self._said][1])
            self._said += 1


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
