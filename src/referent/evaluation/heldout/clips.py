"""Held-out clips with their truth, frame by frame, for judging a tracker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.grounding.boxes import mask_box_xyxy
from referent.sources.simulation.scenes import sample_scene
from referent.sources.simulation.simulate import simulate
from referent.types import Array, Prompt, RgbdFrame

KIND = "clip_test"
WIDTH_PX, HEIGHT_PX, FRAMES, FPS = 320, 240, 64, 15.0
SMALLEST_TARGET_PX = 100  # visible pixels in the first frame of an object worth following


@dataclass(frozen=True, eq=False)
class JudgedClip:
    """A clip, the instance each pixel belongs to, and how much of every object can be seen."""

    seed: int
    frames: tuple[RgbdFrame, ...]
    instance_ids: Array  # (T, H, W) uint8, 0 = no object
    visible_share: dict[int, Array]  # instance id -> (T,) share of the whole silhouette that is seen

    @property
    def targets(self) -> tuple[int, ...]:
        """The instance ids of all objects that can be seen well in the first frame."""
        counts = np.bincount(self.instance_ids[0].ravel(), minlength=256)
        return tuple(int(i) for i in np.flatnonzero(counts >= SMALLEST_TARGET_PX) if i != 0)

    def prompts(self) -> list[Prompt]:
        """A tight box in the first frame for each target, under its instance id."""
        return [self._prompt(target) for target in self.targets]

    def _prompt(self, target: int) -> Prompt:
        box = mask_box_xyxy(self.instance_ids[0] == target)
        return Prompt(str(target), self.frames[0].stamp_ns, box_xyxy=box)


def render_clip(seed: int, *, frames: int = FRAMES, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> JudgedClip:
    """The held-out clip of a seed, from its beginning."""
    played = list(simulate(sample_scene(seed, KIND), frames=frames, fps=FPS, width=width, height=height))
    shares: dict[int, list[float]] = {}
    for shown in played:
        for thing in shown.truth.objects:
            share = thing.in_view_fraction * thing.visible_px / max(thing.amodal_px, 1)
            shares.setdefault(thing.instance_id, []).append(share)
    return JudgedClip(
        seed,
        tuple(shown.frame for shown in played),
        np.stack([shown.truth.instance_ids for shown in played]),
        {number: np.array(values) for number, values in shares.items()},
    )
