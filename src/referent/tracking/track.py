"""One object's track, and following any number of them through one frame in a single batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from referent.tracking.build import Engine
from referent.tracking.engine import Sightings, Signal
from referent.tracking.features import FeatureRing, FrameFeatures
from referent.tracking.health import AreaHistory, Signs, health_of
from referent.tracking.masks import masks_from_logits, pairwise_iou
from referent.tracking.memory import MemoryEntry, ObjectMemory
from referent.types import TrackedMask


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A track as it stood in one frame."""

    memory: ObjectMemory  # that frame included
    logits: Tensor  # (1, 1, h, w)


class Track:
    """What is remembered of one object, and how it looked in its newest frame. Bounded by memory and history."""

    def __init__(self, memory: ObjectMemory, index: int, logits: Tensor, signs: Signs) -> None:
        """Begins in frame `index`, as (1, 1, h, w) `logits`."""
        self.memory = memory
        self._areas = AreaHistory()
        self._seen: dict[int, Tensor] = {}  # (h, w) bool low-resolution masks of the frames kept
        self._snapshots: dict[int, Snapshot] = {}  # of the frames pinned
        self.last_mask: Tensor | None = None  # (h, w) bool, the newest that is not empty
        self.hidden_frames = 0  # in which it was not seen, in all
        self.note(index, logits, signs)

    def note(self, index: int, logits: Tensor, signs: Signs) -> None:
        """Take how it looks in frame `index`, the newest."""
        self.index = index
        self.logits = logits
        self.signs = replace(signs, area_ratio=self._areas.add(signs.area))
        self._seen[index] = logits[0, 0] > 0
        self.hidden_frames += not signs.present
        if signs.area > 0:
            self.last_mask = self._seen[index]

    def seen(self, index: int) -> Tensor | None:
        """(h, w) bool: its low-resolution mask in a kept frame; None where it was not followed."""
        return self._seen.get(index)

    def snapshot(self, index: int) -> Snapshot | None:
        """How it stood in its newest frame or in a pinned one."""
        if index == self.index:
            return Snapshot(self.memory, self.logits)
        return self._snapshots.get(index)

    def keep_snapshot(self) -> None:
        """Keep how it stands now, until its frame is forgotten."""
        self._snapshots[self.index] = Snapshot(self.memory.snapshot(), self.logits.clone())

    def forget_frames(self, *, kept: Collection[int], pinned: Collection[int]) -> None:
        """Drop what belongs to frames that are not kept, or pinned, any more."""
        self._seen = {index: mask for index, mask in self._seen.items() if index in kept}
        self._snapshots = {index: snapshot for index, snapshot in self._snapshots.items() if index in pinned}

    @property
    def _masks(self) -> list[Tensor]:
        older = self.last_mask is not None and not any(mask is self.last_mask for mask in self._seen.values())
        return [*self._seen.values(), *([self.last_mask] if older and self.last_mask is not None else [])]

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data, each entry counted once."""
        memories = [self.memory, *(snapshot.memory for snapshot in self._snapshots.values())]
        entries: dict[int, MemoryEntry] = {id(entry): entry for memory in memories for entry in memory.entries}
        masks = [self.logits, *self._masks, *(snapshot.logits for snapshot in self._snapshots.values())]
        return sum(entry.nbytes for entry in entries.values()) + sum(mask.nbytes for mask in masks)


def follow(engine: Engine, frame: FrameFeatures, tracks: Sequence[Track], ring: FeatureRing) -> None:
    """Find all tracks in `frame`, the next of each, and write it into their memories."""
    if not tracks:
        return
    sightings = engine.follow(frame, [track.memory.read(frame.index) for track in tracks])
    kept, pinned = ring.indices, ring.pinned_indices
    for row, (track, signs) in enumerate(zip(tracks, read_signs(sightings), strict=True)):
        track.note(frame.index, sightings.low_res_logits[row : row + 1], signs)
        track.memory.track(frame.index, sightings.memories[row], track.signs)
        track.forget_frames(kept=kept, pinned=pinned)
        if frame.index in pinned:
            track.keep_snapshot()


def read_signs(sightings: Sightings) -> list[Signs]:
    """The numbers of all objects of one batch, in one transfer from the device."""
    overlaps = _overlaps(sightings.low_res_logits)
    rows = torch.cat([sightings.signals, overlaps[:, None]], dim=1).tolist()
    return [
        Signs(
            object_score=row[Signal.OBJECT_SCORE],
            predicted_iou=row[Signal.PREDICTED_IOU],
            stability=row[Signal.STABILITY],
            alternative_iou=row[Signal.ALTERNATIVE_IOU],
            area=row[Signal.AREA],
            overlap=row[-1],
        )
        for row in rows
    ]


def compare_tracks(tracks: Sequence[Track]) -> None:
    """Measure anew how far the tracks overlap each other, after one of them was replaced."""
    overlaps = _overlaps(torch.cat([track.logits for track in tracks])).tolist()
    for track, overlap in zip(tracks, overlaps, strict=True):
        track.signs = replace(track.signs, overlap=overlap)


def masks_of(tracks: Mapping[str, Track], frame: FrameFeatures) -> tuple[TrackedMask, ...]:
    """The newest masks of tracks by object id, enlarged to the picture of `frame`, in one transfer from the device."""
    if not tracks:
        return ()
    masks = masks_from_logits(torch.cat([track.logits for track in tracks.values()]), frame.size_hw)
    return tuple(
        TrackedMask(
            object_id=object_id,
            mask=mask,
            score=track.signs.score,
            predicted_iou=track.signs.predicted_iou,
            object_score=track.signs.object_score,
            health=health_of(track.signs, scene_cut=frame.scene_cut),
        )
        for (object_id, track), mask in zip(tracks.items(), masks, strict=True)
    )


def _overlaps(low_res_logits: Tensor) -> Tensor:
    """(N, 1, h, w) to (N,): the largest IoU of each mask with another one."""
    return pairwise_iou(low_res_logits[:, 0] > 0).fill_diagonal_(0).amax(dim=1)
