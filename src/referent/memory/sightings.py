"""What one frame's result shows of things worth remembering: followed, seen and measured in this very frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from referent.config import MemoryConfig
from referent.memory.places import Place, distance_m, seen_place
from referent.types import Array, FrameResult, ObjectPose, Provenance, TrackedMask, TrackedObject, TrackState

SAME_MASK_IOU = 0.5  # two tracks that share so much of the picture follow one thing


@dataclass(frozen=True, eq=False)
class Sighting:
    """One thing in one frame, seen by one track or by several."""

    object_ids: tuple[str, ...]
    generations: tuple[int, ...]  # of the tracks' targets: another one means something else
    place: Place
    label: str
    expression: str
    names: tuple[str, ...]  # label and expression of every track
    stamp_ns: int
    score: float  # in [0, 1]
    moving: bool
    how: Provenance | None
    changed: Provenance | None  # how the track came to what it follows now
    mask: Array  # (H, W) bool

    @property
    def object_id(self) -> str:
        """The track it was seen by best."""
        return self.object_ids[0]


def sightings_in(
    result: FrameResult, fixed_from_camera: Array, config: MemoryConfig
) -> tuple[tuple[Sighting, ...], int]:
    """The things seen, each once, and how many poses could not be used because their numbers are none."""
    usable, unusable = [], 0
    for thing, mask, pose in _measured(result):
        place = seen_place(pose, fixed_from_camera, config)
        if place is None:
            unusable += 1
        else:
            usable.append(_sighting(thing, mask, place, result.stamp_ns, moving=pose.quality.motion == "moving"))
    return _one_of_each(usable), unusable


def _measured(result: FrameResult) -> Iterator[tuple[TrackedObject, TrackedMask, ObjectPose]]:
    for thing in result.objects:
        if thing.state is not TrackState.TRACKING or thing.pose is None or thing.mask is None:
            continue
        if thing.pose.quality.source != "predicted" and thing.mask.mask.any():
            yield thing, thing.mask, thing.pose


def _sighting(thing: TrackedObject, mask: TrackedMask, place: Place, stamp_ns: int, *, moving: bool) -> Sighting:
    score = mask.score if thing.grounding_score is None else thing.grounding_score
    label = thing.label or thing.target.expression
    return Sighting(
        object_ids=(thing.target.id,),
        generations=(thing.target.generation,),
        place=place,
        label=label,
        expression=thing.target.expression,
        names=tuple(dict.fromkeys((label, thing.target.expression))),
        stamp_ns=stamp_ns,
        score=min(max(score, 0.0), 1.0) if np.isfinite(score) else 0.0,
        moving=moving,
        how=thing.created if thing.changed is None else thing.changed,
        changed=thing.changed,
        mask=mask.mask,
    )


def _one_of_each(sightings: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """Tracks that follow the same pixels as one sighting, named by the surest of them."""
    things: list[Sighting] = []
    for sighting in sorted(sightings, key=lambda s: -s.score):
        same = next((i for i, thing in enumerate(things) if _same_pixels(thing, sighting)), None)
        if same is None:
            things.append(sighting)
        else:
            things[same] = _joined(things[same], sighting)
    return tuple(things)


def _joined(surest: Sighting, other: Sighting) -> Sighting:
    return replace(
        surest,
        object_ids=surest.object_ids + other.object_ids,
        generations=surest.generations + other.generations,
        names=tuple(dict.fromkeys(surest.names + other.names)),
    )


def _same_pixels(a: Sighting, b: Sighting) -> bool:
    if a.mask.shape != b.mask.shape or distance_m(a.place, b.place) > max(a.place.width_m, b.place.width_m):
        return False  # the second spares comparing most masks
    both = np.count_nonzero(a.mask & b.mask)
    return bool(both >= SAME_MASK_IOU * np.count_nonzero(a.mask | b.mask))
