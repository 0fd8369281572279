"""A tracker and a grounder in one that look at the simulator's truth, so that what comes after them can be tested."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from referent.ports import PromptOutcome
from referent.sources.simulation.truth import SimulatedFrame
from referent.types import Grounding, GroundingItem, GroundingRequest, Prompt, RgbdFrame, TrackedMask


class Knowing:
    """Knows the shots it was given, by stamp; sees nothing while `hidden`; its masks are `off_px` to the right."""

    def __init__(self, shots: Iterable[SimulatedFrame] = (), *, hidden: bool = False, off_px: int = 0) -> None:
        self.shots = {shot.frame.stamp_ns: shot for shot in shots}
        self.hidden = hidden
        self.closed = False
        self._off_px = off_px
        self._followed: dict[str, int] = {}
        self._newest_ns = 0
        self._outcomes: list[PromptOutcome] = []

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        self._newest_ns = frame.stamp_ns
        return tuple(self._mask(object_id) for object_id in self._followed)

    def prefetch(self, frame: RgbdFrame) -> None:
        """Nothing can be begun early."""

    def prompt(self, prompt: Prompt) -> TrackedMask | None:
        assert prompt.box_xyxy is not None
        known = self.shots[prompt.stamp_ns].truth.objects
        of_box = {each.instance_id: each.box_xyxy for each in known if each.box_xyxy is not None}
        self._followed[prompt.object_id] = min(of_box, key=lambda i: float(np.abs(of_box[i] - prompt.box_xyxy).sum()))
        self._outcomes.append(PromptOutcome(prompt.object_id, prompt.stamp_ns, "committed", self._newest_ns))
        return self._mask(prompt.object_id)

    def take_outcomes(self) -> tuple[PromptOutcome, ...]:
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    def pin(self, stamp_ns: int) -> None:
        """Everything is kept."""

    def release(self, stamp_ns: int) -> None:
        """Everything is kept."""

    def forget(self, object_id: str) -> None:
        self._followed.pop(object_id, None)

    def reset(self) -> None:
        self._followed.clear()

    def ground(self, request: GroundingRequest) -> Grounding:
        known = self.shots[request.frame.stamp_ns].truth.objects
        fitting = [k.box_xyxy for k in known if f"{k.color} {k.category}" in request.expression and not self.hidden]
        items = [GroundingItem(request.expression, 0.9, box_xyxy=box) for box in fitting if box is not None]
        return Grounding(request, tuple(items), None if items else "nothing fits")

    def close(self) -> None:
        self.closed = True

    def _mask(self, object_id: str) -> TrackedMask:
        mask = self.shots[self._newest_ns].truth.instance_ids == self._followed[object_id]
        mask = np.roll(mask, self._off_px, axis=1) & (not self.hidden)
        seen = bool(mask.any())
        return TrackedMask(object_id, mask, 0.9 if seen else 0.0, 0.9, 5.0 if seen else -5.0)
