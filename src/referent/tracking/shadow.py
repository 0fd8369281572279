"""A corrected track that starts in a past frame and catches up while the old one goes on; who wins at the end.

The steps: `begin` in the frame the prompt is about, `catch_up` through kept features, `verdict` at the newest frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from torch import Tensor

from referent.config import TrackerConfig
from referent.errors import FrameExpired
from referent.tracking.build import Engine
from referent.tracking.features import FeatureRing, FrameFeatures
from referent.tracking.masks import boxes_of, mask_iou
from referent.tracking.memory import MemoryEntry, ObjectMemory
from referent.tracking.prompts import inputs_from_prompt
from referent.tracking.track import Snapshot, Track, follow, read_signs
from referent.types import Prompt


class Outcome(Enum):
    """What becomes of a prompt."""

    COMMITTED = "committed"  # the corrected track replaces the old one
    CONFIRMED = "confirmed"  # the old track was right; the prompted frame is remembered
    REJECTED = "rejected"
    SUPERSEDED = "superseded"  # a newer prompt for the same object came first


@dataclass(frozen=True, eq=False)
class Shadow:
    """A track on its way from the frame of its prompt to the newest."""

    prompt: Prompt
    index: int  # the prompted frame
    entry: MemoryEntry  # what is remembered of it
    area: float  # share of the picture its mask fills there
    track: Track
    round_trip_iou: float | None = None  # of a prompted box with that of the mask it gave

    def due(self, ring: FeatureRing, *, stride: int) -> list[FrameFeatures]:
        """The frames it has yet to visit: every `stride`-th kept one, and always the newest."""
        ahead = ring.after(self.track.index)
        visited = ahead[stride - 1 :: stride]
        return visited if not ahead or ahead[-1] in visited else [*visited, ahead[-1]]


def begin(engine: Engine, prompt: Prompt, frame: FrameFeatures, *, live: Track | None, nothing: ObjectMemory) -> Shadow:
    """Find what `prompt` means in its `frame`.

    The memory starts from `nothing`. Where the live track saw no object and the prompt finds it where it was last seen,
    the frames in which it was shown before stay; to refine, all of the live track's memory does.
    Raises BadInstruction, and FrameExpired when it is to refine and it is not known how the track stood there.
    """
    inputs = inputs_from_prompt(prompt, size_hw=frame.size_hw, image_size=engine.image_size, device=engine.device)
    past = _past(prompt, frame, live)
    if past is None:
        sightings = engine.start(frame, inputs)
        memory = _uncontradicted(live, frame, sightings.low_res_logits[0, 0] > 0) or nothing
    else:
        memory = past.memory.before(frame.index)
        sightings = engine.refine(frame, inputs, memory.read(frame.index), past.logits)
    (signs,), (entry,) = read_signs(sightings), sightings.memories
    memory.prompt(frame.index, entry)
    logits = sightings.low_res_logits
    track = Track(memory, frame.index, logits, signs)
    return Shadow(prompt, frame.index, entry, signs.area, track, _round_trip_iou(prompt, frame, logits))


def catch_up(engine: Engine, shadows: Sequence[Shadow], ring: FeatureRing, *, frames: int | None, stride: int) -> None:
    """Advance each shadow by up to `frames` kept frames (None = all); those that meet in a frame go in one batch."""
    visits: dict[int, tuple[FrameFeatures, list[Track]]] = {}
    for shadow in shadows:
        for frame in shadow.due(ring, stride=stride)[:frames]:
            visits.setdefault(frame.index, (frame, []))[1].append(shadow.track)
    for _, (frame, tracks) in sorted(visits.items()):
        follow(engine, frame, tracks, ring)


def agrees(live: Track | None, shadow: Shadow, index: int, config: TrackerConfig) -> bool:
    """Whether the live track covers in frame `index` what the shadow does there.

    A correction that refines is never taken for an agreement: it is meant to change a little. Nor is any prompt with
    an agreement_iou of 1.
    """
    ours, theirs = shadow.track.seen(index), None if live is None else live.seen(index)
    if ours is None or theirs is None or shadow.prompt.refine or config.agreement_iou >= 1:
        return False
    return mask_iou(ours, theirs) >= config.agreement_iou


def verdict(live: Track | None, shadow: Shadow, config: TrackerConfig) -> Outcome:
    """What becomes of a shadow that has reached the newest frame, beside the track it was to replace."""
    signs = shadow.track.signs
    if signs.area > config.commit_max_area and shadow.area <= config.commit_max_area:
        return Outcome.REJECTED  # it ran over into the background
    if live is None or not live.signs.present:
        return Outcome.COMMITTED  # even when absent now: it knows what to look for
    if not signs.present:
        # The live track sees something; where that was wrong to begin with, knowing of the hidden object is better.
        return Outcome.COMMITTED if shadow.prompt.overrules else Outcome.REJECTED
    return Outcome.CONFIRMED if agrees(live, shadow, shadow.track.index, config) else Outcome.COMMITTED


def _round_trip_iou(prompt: Prompt, frame: FrameFeatures, logits: Tensor) -> float | None:
    """IoU of a prompted box with the box of the mask it gave; low = the box is not that of one object."""
    if prompt.box_xyxy is None:
        return None
    height, width = frame.size_hw
    rows, columns = logits.shape[-2:]
    found = boxes_of(logits[:, 0] > 0)[0].cpu().numpy() * np.tile([width / columns, height / rows], 2)
    given = prompt.box_xyxy
    sides = np.clip(np.minimum(found[2:], given[2:]) - np.maximum(found[:2], given[:2]), 0, None)
    union = np.prod(found[2:] - found[:2]) + np.prod(given[2:] - given[:2]) - np.prod(sides)
    return float(np.prod(sides) / union) if union > 0 else 0.0


def _uncontradicted(live: Track | None, frame: FrameFeatures, found: Tensor) -> ObjectMemory | None:
    """What a lost track knew of its object; None where it saw something, which the prompt then says is wrong.

    None too where the object is `found` (h, w) away from where it was last seen: memory knows places as well as looks,
    and would take what now stands in the old place for it.
    """
    seen = None if live is None else live.seen(frame.index)
    if live is None or seen is None or seen.any().item():
        return None
    moved = live.last_mask is None or not (live.last_mask & found).any().item()
    return None if moved else live.memory.prompted_before(frame.index)


def _past(prompt: Prompt, frame: FrameFeatures, live: Track | None) -> Snapshot | None:
    """How the track to refine stood in the prompt's frame; None when the prompt starts it anew."""
    if live is None or not prompt.refine:
        return None
    snapshot = live.snapshot(frame.index)
    if snapshot is None:
        raise FrameExpired(
            f"the track of {prompt.object_id!r} at {frame.stamp_ns} ns is not known any more, so it cannot be refined "
            "there; pin the frame while it is the newest, or prompt without refine"
        )
    return snapshot
