"""Objects followed through a clip from one box, and how well: the judge of any tracker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from referent.evaluation.heldout.clips import JudgedClip
from referent.evaluation.heldout.estimates import Estimate, mean_of
from referent.evaluation.metrics import boundary_f, region_j
from referent.ports import Tracker
from referent.types import Array, Prompt

CERTAIN_PX = 6  # of one to this many pixels nobody can say whether the object is there
WHOLLY_VISIBLE = 0.9

Follower = Callable[[JudgedClip, Sequence[Prompt]], Array]
"""Masks (N, T, H, W) bool of the prompts' objects in a clip."""


@dataclass(frozen=True, eq=False)
class Follow:
    """One object followed through one clip; the first frame, which carries the prompt, is left out."""

    seed: int
    instance_id: int
    j: Array  # (T - 1,) as DAVIS counts: 1 where neither mask has a pixel
    f: Array  # (T - 1,)
    true_px: Array  # (T - 1,) pixels of it that can be seen
    denied: Array  # (T - 1,) bool, the tracker has no pixel of it
    visible_share: Array  # (T,) of its whole silhouette
    masks: Array  # (T, H, W / 8) uint8 packed bits, for pictures

    @property
    def visible(self) -> Array:
        """(T - 1,) bool: it can be seen for certain."""
        return self.true_px >= CERTAIN_PX

    @property
    def absent(self) -> Array:
        """(T - 1,) bool: nothing of it can be seen."""
        return self.true_px == 0

    @property
    def returned(self) -> Array:
        """(T - 1,) bool: it can be seen after it was wholly gone."""
        return self.visible & np.logical_or.accumulate(self.absent)

    @property
    def never_occluded(self) -> bool:
        """Whether all of it can be seen in every frame, but for a rim."""
        return bool((self.visible_share > WHOLLY_VISIBLE).all())

    @property
    def j_and_f(self) -> float:
        """The mean of J and F over the frames."""
        return float((self.j.mean() + self.f.mean()) / 2)


def follows_in(clip: JudgedClip, follower: Follower) -> list[Follow]:
    """Every target of a clip followed from its box in the first frame."""
    prompts = clip.prompts()
    masks = follower(clip, prompts) if prompts else np.zeros((0,))
    return [_judged(clip, int(prompt.object_id), found) for prompt, found in zip(prompts, masks, strict=True)]


def _judged(clip: JudgedClip, target: int, masks: Array) -> Follow:
    truth = clip.instance_ids == target
    pairs = list(zip(masks[1:], truth[1:], strict=True))
    return Follow(
        seed=clip.seed,
        instance_id=target,
        j=np.array([region_j(found, true) for found, true in pairs]),
        f=np.array([boundary_f(found, true) for found, true in pairs]),
        true_px=truth[1:].sum((1, 2)),
        denied=np.logical_not(masks[1:].any((1, 2))),
        visible_share=clip.visible_share[target],
        masks=np.packbits(masks, axis=-1),
    )


def by_tracker(tracker: Tracker) -> Follower:
    """A follower that shows a clip to `tracker` frame by frame, as it comes from a camera."""

    def follow(clip: JudgedClip, prompts: Sequence[Prompt]) -> Array:
        tracker.reset()
        shape = clip.instance_ids.shape
        masks = np.zeros((len(prompts), *shape), bool)
        for number, frame in enumerate(clip.frames):
            found = {mask.object_id: mask.mask for mask in tracker.step(frame)}
            if number == 0:
                started = [tracker.prompt(prompt) for prompt in prompts]
                found = {mask.object_id: mask.mask for mask in started if mask is not None}
            for row, prompt in enumerate(prompts):
                masks[row, number] = found.get(prompt.object_id, np.zeros(shape[1:], bool))
        tracker.take_outcomes()
        return masks

    return follow


def mean_j(follows: Sequence[Follow], chosen: Callable[[Follow], Array]) -> Estimate | None:
    """The mean J over the frames that `chosen` (T - 1,) picks of every object; clips are the groups."""
    return _over_frames(follows, chosen, lambda follow: follow.j)


def share_denied(follows: Sequence[Follow], chosen: Callable[[Follow], Array]) -> Estimate | None:
    """The share of the chosen frames in which the tracker has no pixel of the object."""
    return _over_frames(follows, chosen, lambda follow: follow.denied)


def mean_j_and_f(follows: Sequence[Follow]) -> Estimate | None:
    """The mean J&F over objects."""
    return mean_of([follow.j_and_f for follow in follows], [follow.seed for follow in follows])


def _over_frames(
    follows: Sequence[Follow], chosen: Callable[[Follow], Array], values: Callable[[Follow], Array]
) -> Estimate | None:
    picked = [(follow.seed, value) for follow in follows for value in values(follow)[chosen(follow)]]
    return mean_of([float(value) for _, value in picked], [seed for seed, _ in picked])
