"""A tracker and grounders whose behaviour a test decides: what the protocols of referent.types ask for, and no more."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from referent.errors import FrameExpired, GrounderUnavailable, UnreadableReply
from referent.ports import GroundingFailure, PromptOutcome
from referent.types import Array, Grounding, GroundingItem, GroundingRequest, Prompt, RgbdFrame, TrackedMask

COLORS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


class ColorTracker:
    """Follows the color found in the middle of a prompted box: a real, if simple, tracker of painted scenes."""

    def __init__(self, *, keep_frames: int = 1000) -> None:
        self._frames: dict[int, RgbdFrame] = {}
        self._colors: dict[str, Array] = {}
        self._keep_frames = keep_frames
        self.pinned: list[int] = []
        self.prompts: list[Prompt] = []
        self.resets = 0
        self._outcomes: list[PromptOutcome] = []

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        self._frames[frame.stamp_ns] = frame
        while len(self._frames) > self._keep_frames:
            del self._frames[next(iter(self._frames))]
        return tuple(self._mask(object_id, frame) for object_id in self._colors)

    def prefetch(self, frame: RgbdFrame) -> None:
        """Nothing can be begun early."""

    def prompt(self, prompt: Prompt) -> TrackedMask | None:
        if prompt.stamp_ns not in self._frames:
            raise FrameExpired(f"frame {prompt.stamp_ns} is gone")
        assert prompt.box_xyxy is not None
        x, y = ((prompt.box_xyxy[:2] + prompt.box_xyxy[2:]) / 2).astype(int)
        self.prompts.append(prompt)
        self._colors[prompt.object_id] = self._frames[prompt.stamp_ns].rgb[y, x]
        newest = next(reversed(self._frames.values()))
        self._outcomes.append(PromptOutcome(prompt.object_id, prompt.stamp_ns, "committed", newest.stamp_ns))
        return self._mask(prompt.object_id, newest)

    def take_outcomes(self) -> tuple[PromptOutcome, ...]:
        outcomes = tuple(self._outcomes)
        self._outcomes.clear()
        return outcomes

    def pin(self, stamp_ns: int) -> None:
        self.pinned.append(stamp_ns)

    def release(self, stamp_ns: int) -> None:
        self.pinned.remove(stamp_ns)

    def forget(self, object_id: str) -> None:
        self._colors.pop(object_id, None)

    def reset(self) -> None:
        self._frames.clear()
        self._colors.clear()
        self.resets += 1

    def _mask(self, object_id: str, frame: RgbdFrame) -> TrackedMask:
        mask = (frame.rgb == self._colors[object_id]).all(axis=2)
        present = bool(mask.any())
        return TrackedMask(object_id, mask, 0.9 if present else 0.0, 0.9, 5.0 if present else -5.0)


class ColorGrounder:
    """Finds regions of the color an expression names; says that nothing matches when there is none."""

    def __init__(self) -> None:
        self.requests: list[GroundingRequest] = []
        self.closed = False

    def ground(self, request: GroundingRequest) -> Grounding:
        self.requests.append(request)
        color = next((c for name, c in COLORS.items() if name in request.expression), None)
        if color is None:
            raise UnreadableReply(f"no color in {request.expression!r}")
        boxes = boxes_of(request.frame.rgb, color)
        items = tuple(GroundingItem(label=request.expression, box_xyxy=box, score=0.9) for box in boxes)
        return Grounding(request, items, None if items else f"no {request.expression} in view", raw="color")

    def close(self) -> None:
        self.closed = True


class SlowGrounder:
    """Takes a while for every answer."""

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s

    def ground(self, request: GroundingRequest) -> Grounding:
        time.sleep(self._delay_s)
        return Grounding(request, (), nothing_reason="slow")

    def close(self) -> None:
        pass


class PatientGrounder:
    """Works on every answer until it is told to leave off, or for `limit_s`; says what it was shown."""

    def __init__(self, *, limit_s: float = 0.0) -> None:
        self._limit_s = limit_s
        self._told = threading.Event()

    def ground(self, request: GroundingRequest) -> Grounding:
        self._told.clear()
        if self._told.wait(self._limit_s):
            raise GrounderUnavailable("told to leave off")
        seen = hashlib.sha256(request.frame.rgb.tobytes()).hexdigest()
        return Grounding(request, (), nothing_reason=f"{seen} {os.getpid()}", raw=request.expression)

    def cancel(self) -> None:
        self._told.set()

    def close(self) -> None:
        pass


class FaultyGrounder:
    """Dies, raises or answers nonsense, as the expression says; else answers at once."""

    def ground(self, request: GroundingRequest) -> Grounding:
        fault = request.expression
        if fault == "die":
            os._exit(7)
        if fault == "raise":
            raise ValueError("never thought of this")
        if fault == "garbage":
            raise UnreadableReply("no box in the reply '%$#@'")
        return Grounding(request, (), nothing_reason="all is well")

    def close(self) -> None:
        pass


class ScriptedWorker:
    """Hands over prepared answers: each a function of the request, due after some frames' worth of polls."""

    def __init__(
        self, answers: Sequence[Callable[[GroundingRequest], Grounding | GroundingFailure]], *, delay_ns: int = 0
    ) -> None:
        self._answers = list(answers)
        self.delay_ns = delay_ns
        self._request: GroundingRequest | None = None
        self.asked: list[GroundingRequest] = []
        self.cancelled = 0
        self.closed = False

    @property
    def busy(self) -> bool:
        return self._request is not None or not self._answers

    def submit(self, request: GroundingRequest) -> None:
        self.asked.append(request)
        self._request = request

    def poll(self, now_ns: int) -> Grounding | GroundingFailure | None:
        if self._request is None or now_ns < self._request.frame.stamp_ns + self.delay_ns:
            return None
        request, self._request = self._request, None
        return self._answers.pop(0)(request)

    def cancel(self) -> None:
        self._request = None
        self.cancelled += 1

    def close(self) -> None:
        self.closed = True


def boxes_of(rgb: Array, color: tuple[int, int, int]) -> list[Array]:
    """Tight boxes of the separate columns of pixels of exactly this color, left to right."""
    mask = (rgb == np.array(color, np.uint8)).all(axis=2)
    columns = np.flatnonzero(mask.any(axis=0))
    if len(columns) == 0:
        return []
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    boxes = []
    for group in groups:
        rows = np.flatnonzero(mask[:, group].any(axis=1))
        boxes.append(np.array([group[0], rows[0], group[-1] + 1, rows[-1] + 1], np.float32))
    return boxes
