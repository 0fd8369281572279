"""SAM 2 over an endless stream: bounded memory, everything mid-stream, prompts on past frames.

A prompt is applied to the frame it is about and followed through the kept features to the newest frame before the
object's old track is replaced, so the stream never shows a half-corrected object and the image encoder never runs twice
on a frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from referent.config import TrackerConfig
from referent.errors import BadInstruction, BadMessage, ConfigError
from referent.tracking.engine import Sam2Engine, Sighting
from referent.tracking.features import FeatureRing, FrameFeatures
from referent.tracking.masks import mask_from_logits, mask_iou
from referent.tracking.memory import MemoryBounds, MemoryEntry
from referent.tracking.model import build_sam2
from referent.tracking.prompts import inputs_from_prompt
from referent.types import Prompt, RgbdFrame, TrackedMask
from referent.weights import ModelEntry


class _OldMemory:
    """Prompted (conditioning) and tracked frames of one object, by frame number. Bounded by `MemoryBounds`."""

    def __init__(self, bounds: MemoryBounds) -> None:
        self._bounds = bounds
        self._conditioning: dict[int, MemoryEntry] = {}
        self._tracked: dict[int, MemoryEntry] = {}

    def write(self, index: int, entry: MemoryEntry, *, prompted: bool) -> None:
        """Remember frame `index`, the newest so far, and forget what no later frame can read."""
        if prompted:
            self._conditioning[index] = entry
            self._free_a_slot()
        else:
            self._tracked[index] = entry
        self._prune(newest=index)

    def conditioning_before(self, index: int) -> _OldMemory:
        """A memory of the prompted frames before `index` alone: a start for tracking anew from there."""
        memory = _OldMemory(self._bounds)
        memory._conditioning = {i: entry for i, entry in self._conditioning.items() if i < index}
        return memory

    def read(self, position_encoding: Tensor) -> dict[str, dict[int, dict[str, Any]]]:
        """The memory in the words of `SAM2Base`; `position_encoding` (1, C, h, w) is that of every spatial memory."""
        return {
            "cond_frame_outputs": _as_outputs(self._conditioning, position_encoding),
            "non_cond_frame_outputs": _as_outputs(self._tracked, position_encoding),
        }

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(entry.nbytes for kind in (self._conditioning, self._tracked) for entry in kind.values())

    def _free_a_slot(self) -> None:
        """Past the bound, keep the first prompted frame and the newest; the next oldest counts as tracked from then."""
        if len(self._conditioning) > self._bounds.cond_slots:
            oldest_first = sorted(self._conditioning)
            index = oldest_first[1 if self._bounds.cond_slots > 1 else 0]
            self._tracked[index] = self._conditioning.pop(index)

    def _prune(self, *, newest: int) -> None:
        # The next reader is frame newest + 1, which sees newest - (frames - 1) and later.
        for index, entry in list(self._tracked.items()):
            if index <= newest - max(self._bounds.pointer_frames, self._bounds.spatial_frames):
                del self._tracked[index]
            elif index <= newest - self._bounds.spatial_frames and entry.features is not None:
                self._tracked[index] = replace(entry, features=None)


def _as_outputs(entries: dict[int, MemoryEntry], position_encoding: Tensor) -> dict[int, dict[str, Any]]:
    return {
        index: {"maskmem_features": entry.features, "maskmem_pos_enc": [position_encoding], "obj_ptr": entry.pointer}
        for index, entry in entries.items()
    }


@dataclass(frozen=True, eq=False)
class _Track:
    """One object: its memory and its low-resolution masks (h, w) bool in the frames still kept."""

    memory: _OldMemory
    seen: dict[int, Tensor]


class Sam2Tracker:
    """A `types.Tracker`. Belongs to one thread. `config.threads` > 0 sets torch's threads for the whole process.

    Raises WeightsMissing when the model cannot be loaded, ConfigError when its device is not there.
    """

    def __init__(self, config: TrackerConfig, entry: ModelEntry) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        model = build_sam2(entry, image_size=config.image_size, device=_device(config.device))
        self._config = config
        self._engine = Sam2Engine(model, fill_hole_area=config.fill_hole_area)
        self._bounds = MemoryBounds.of_model(model, cond_slots=config.max_cond_frames)
        self._ring = FeatureRing(max_frames=config.history_frames, max_bytes=config.history_bytes)
        self._tracks: dict[str, _Track] = {}
        self._next_index = 0

    @torch.inference_mode()
    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        """The masks of all objects in `frame`, in the order they were added.

        Raises BadMessage, and changes nothing, when the frame is not newer than the last one.
        """
        newest = self._ring.newest
        if newest is not None and frame.stamp_ns <= newest.stamp_ns:
            raise BadMessage(f"a frame of {frame.stamp_ns} ns came after one of {newest.stamp_ns} ns; reset first")
        maps = self._engine.encode(frame.rgb)
        features = FrameFeatures(self._next_index, frame.stamp_ns, frame.rgb.shape[:2], maps)
        self._ring.add(features)
        self._next_index += 1
        return tuple(self._advance(object_id, track, features) for object_id, track in self._tracks.items())

    @torch.inference_mode()
    def prompt(self, prompt: Prompt) -> TrackedMask:
        """Start or replace an object on a kept frame and catch it up to the newest; returns its mask there.

        When the object's present track covers the same region in that frame, its earlier prompted frames stay in
        memory; otherwise it starts afresh. Nothing changes when this raises: FrameExpired when the frame is no
        longer kept, BadInstruction when the prompt is empty or one object too many.
        """
        frame = self._ring.at(prompt.stamp_ns)
        previous = self._tracks.get(prompt.object_id)
        if previous is None and len(self._tracks) >= self._config.max_objects:
            raise BadInstruction(
                f"{len(self._tracks)} objects are tracked already; forget one or raise tracker.max_objects"
            )
        engine = self._engine
        inputs = inputs_from_prompt(prompt, size_hw=frame.size_hw, image_size=engine.image_size, device=engine.device)
        sighting = engine.start(frame, inputs)
        track = _Track(self._memory_to_start_from(previous, frame, sighting), {})
        self._remember(track, frame, sighting, prompted=True)
        mask = _tracked_mask(prompt.object_id, frame, sighting)
        for later in self._ring.after(frame):
            mask = self._advance(prompt.object_id, track, later)
        self._tracks[prompt.object_id] = track
        return mask

    def pin(self, stamp_ns: int) -> None:
        """Keep this frame and, as far as the history reaches, the later ones until `release`."""
        self._ring.pin(stamp_ns)

    def release(self, stamp_ns: int) -> None:
        """Undo `pin`."""
        self._ring.release(stamp_ns)

    def forget(self, object_id: str) -> None:
        """Drop an object; unknown ids are ignored. Prompting the id again starts an object with no past."""
        self._tracks.pop(object_id, None)

    def reset(self) -> None:
        """Drop all objects and frames."""
        self._tracks.clear()
        self._ring.clear()
        self._next_index = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes of what is remembered of all objects; bounded however long the stream."""
        masks = sum(mask.nbytes for track in self._tracks.values() for mask in track.seen.values())
        return masks + sum(track.memory.nbytes for track in self._tracks.values())

    @property
    def history_bytes(self) -> int:
        """Bytes of the image features kept for late prompts; at most `tracker.history_bytes` or one frame."""
        return self._ring.nbytes

    def _advance(self, object_id: str, track: _Track, frame: FrameFeatures) -> TrackedMask:
        sighting = self._engine.follow(frame, track.memory)
        self._remember(track, frame, sighting, prompted=False)
        return _tracked_mask(object_id, frame, sighting)

    def _remember(self, track: _Track, frame: FrameFeatures, sighting: Sighting, *, prompted: bool) -> None:
        track.memory.write(frame.index, sighting.memory, prompted=prompted)
        track.seen[frame.index] = sighting.low_res_logits[0, 0] > 0
        for gone in track.seen.keys() - self._ring.indices:
            del track.seen[gone]

    def _memory_to_start_from(self, previous: _Track | None, frame: FrameFeatures, sighting: Sighting) -> _OldMemory:
        """The earlier prompted frames if the old track and the new prompt agree on this frame, else nothing."""
        seen = None if previous is None else previous.seen.get(frame.index)
        if previous is None or seen is None:
            return _OldMemory(self._bounds)
        if mask_iou(seen, sighting.low_res_logits[0, 0] > 0) < self._config.agreement_iou:
            return _OldMemory(self._bounds)
        return previous.memory.conditioning_before(frame.index)


def _device(choice: str) -> str:
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigError("tracker.device: 'cuda' is set, but torch finds no GPU; use auto or cpu")
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice


def _tracked_mask(object_id: str, frame: FrameFeatures, sighting: Sighting) -> TrackedMask:
    presence = 1 / (1 + math.exp(-max(sighting.object_score, -80.0)))
    return TrackedMask(
        object_id=object_id,
        mask=mask_from_logits(sighting.low_res_logits, frame.size_hw),
        score=presence * sighting.predicted_iou,
        predicted_iou=sighting.predicted_iou,
        object_score=sighting.object_score,
    )
