"""A made-up run whose truth is known exactly: a red disc wanders over a gradient, is found, hidden, found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from referent.evaluation.lines import result_line, truth_line
from referent.evaluation.recorder import Recorder
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.types import (
    Array,
    FrameResult,
    GroundingEvent,
    Intrinsics,
    ObjectCloud,
    ObjectPose,
    OrientedBox,
    RegroundReason,
    Target,
    TrackedMask,
    TrackedObject,
    TrackState,
)

CAMERA_FRAME = "camera_color_optical_frame"
FRAME_NS = 33_333_333
RADIUS_M, DISTANCE_M = 0.06, 0.8


class SyntheticRun:
    """`frames` frames of a red mug (instance 1) beside a still blue box (instance 2)."""

    def __init__(self, *, frames: int = 30, width: int = 160, height: int = 120, noise_m: float = 0.0) -> None:
        self.frames = frames
        self.camera = Intrinsics(width, height, 0.9 * width, 0.9 * width, width / 2, height / 2)
        self.hidden = range(frames // 2, frames // 2 + max(1, frames // 10))
        self.answered = frames // 6  # the first frame with a mask
        self._noise_m = np.random.default_rng(7).normal(0.0, 1.0, (frames, 3)) * noise_m

    def stamp_ns(self, number: int) -> int:
        return 1_000_000_000 + number * FRAME_NS

    def position_m(self, number: int) -> Array:
        turn = 2 * np.pi * number / self.frames
        return np.array([0.16 * np.cos(turn), 0.08 * np.sin(2 * turn), DISTANCE_M + 0.05 * np.sin(turn)])

    def disc(self, position_m: Array) -> Array:
        camera = self.camera
        u = camera.fx * position_m[0] / position_m[2] + camera.cx
        v = camera.fy * position_m[1] / position_m[2] + camera.cy
        y, x = np.mgrid[: camera.height, : camera.width]
        return (x - u) ** 2 + (y - v) ** 2 <= (camera.fx * RADIUS_M / position_m[2]) ** 2

    def true_mask(self, number: int) -> Array:
        seen = number not in self.hidden
        return self.disc(self.position_m(number)) & seen

    def rgb(self, number: int) -> Array:
        camera = self.camera
        ramp = np.linspace(60, 220, camera.width, dtype=np.uint8)
        picture = np.repeat(np.repeat(ramp[None, :, None], camera.height, 0), 3, 2).copy()
        picture[camera.height // 2 :] = picture[camera.height // 2 :] // 2 + 40
        picture[self.disc(np.array([0.2, 0.12, 0.9]))] = (40, 60, 190)
        picture[self.true_mask(number)] = (190, 30, 40)
        return picture

    def truth(self, number: int) -> FrameTruth:
        mask = self.true_mask(number)
        still = self.disc(np.array([0.2, 0.12, 0.9])) & ~mask
        ids = (mask * 1 + still * 2).astype(np.uint8)
        mug = _true_object(1, "mug", "red", self.position_m(number), mask)
        box = _true_object(2, "box", "blue", np.array([0.2, 0.12, 0.9]), still)
        return FrameTruth(ids, np.eye(4), np.ones(mask.shape, np.float32), (mug, box))

    def result(self, number: int) -> FrameResult:
        return FrameResult(
            stamp_ns=self.stamp_ns(number),
            camera_frame=CAMERA_FRAME,
            objects=(self._tracked(number),),
            timings_s={"track": 0.012 + 0.002 * (number % 5), "locate": 0.004, "total": 0.017 + 0.002 * (number % 5)},
            drops={"unmatched": number // 20},
            groundings=self._groundings(number),
        )

    def _tracked(self, number: int) -> TrackedObject:
        target = Target("1", "the red mug")
        if number < self.answered:
            return TrackedObject(target, "", TrackState.SEARCHING, reason="waiting for the first answer")
        mask = self.true_mask(number)
        if not mask.any():
            gone = TrackedMask("1", mask, 0.02, 0.3, -4.0)
            return TrackedObject(target, "red mug", TrackState.OCCLUDED, mask=gone, grounded_stamp_ns=self.stamp_ns(0))
        found = TrackedMask("1", np.roll(mask, 1, axis=1), 0.9 + 0.05 * np.sin(number / 4), 0.95, 6.0)
        return TrackedObject(
            target, "red mug", TrackState.TRACKING, found, self._pose(number), self.stamp_ns(0), self.stamp_ns(0)
        )

    def _pose(self, number: int) -> ObjectPose:
        camera_from_object = np.eye(4)
        camera_from_object[:3, 3] = self.position_m(number) + self._noise_m[number]
        box = OrientedBox(camera_from_object, np.array([0.12, 0.12, 0.1]), 500)
        sigma = np.array([0.003, 0.003, 0.006, 0.05, 0.05, 0.1])
        cloud = ObjectCloud(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8))
        return ObjectPose(box, np.diag(sigma**2), cloud)

    def _groundings(self, number: int) -> tuple[GroundingEvent, ...]:
        if number == self.answered:
            box = self.disc(self.position_m(0))
            columns, rows = np.flatnonzero(box.any(0)), np.flatnonzero(box.any(1))
            corners = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            return (
                self._event(0, number, RegroundReason.NEW, "found", '[{"bbox_2d": [812, 410, 951, 590]}]', (corners,)),
            )
        if number == self.hidden.stop:
            return (
                self._event(self.hidden.start, number, RegroundReason.LOST, "nothing", "no red mug is in view", ()),
            )
        return ()

    def _event(
        self,
        asked: int,
        answered: int,
        reason: RegroundReason,
        outcome: str,
        detail: str,
        boxes: tuple[tuple[float, float, float, float], ...],
    ) -> GroundingEvent:
        latency_s = (answered - asked) * FRAME_NS * 1e-9
        return GroundingEvent(
            self.stamp_ns(asked), self.stamp_ns(answered), "the red mug", reason, latency_s, outcome, detail, boxes
        )

    def record(self, directory: Path, *, truth: bool = True, stop_after: int | None = None) -> Path:
        with Recorder(directory, fps=30) as recorder:
            for number in range(stop_after or self.frames):
                self.write_frame(recorder, number, truth=truth)
            recorder.close(config={"tracker": {"model": "synthetic", "threads": 1}}, models={"tracker": "none"})
        return directory

    def write_frame(self, recorder: Recorder, number: int, *, truth: bool = True) -> None:
        result = self.result(number)
        recorder.write(result_line(result), self.rgb(number), result.groundings, camera=self.camera)
        if truth:
            recorder.write_truth(truth_line(result.stamp_ns, self.truth(number)))


def _true_object(instance_id: int, category: str, color: str, position_m: Array, mask: Array) -> ObjectTruth:
    camera_from_object = np.eye(4)
    camera_from_object[:3, 3] = position_m
    count = int(mask.sum())
    box = None
    if count:
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return ObjectTruth(
        instance_id,
        category,
        color,
        "plain",
        "",
        camera_from_object,
        np.array([0.12, 0.12, 0.1]),
        count,
        max(count, 1),
        1.0,
        box,
    )
