"""SAM 2 over an endless stream: bounded memory, everything mid-stream, prompts on past frames.

A prompt is applied to the frame it is about, by a shadow track that catches up through the kept features, a few frames
between two live ones, before it replaces the object's old track. So the stream never waits and never shows a
half-corrected object, and the image encoder never runs twice on a frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from referent.config import TrackerConfig
from referent.errors import BadInstruction, BadMessage, StalePrompt
from referent.ports import PromptOutcome
from referent.tracking.build import Engine, build_engine
from referent.tracking.engine import EncodedAhead
from referent.tracking.features import FeatureRing, FrameFeatures
from referent.tracking.memory import ObjectMemory
from referent.tracking.memory_policy import policy_of
from referent.tracking.scene_cut import scene_change, scene_signature
from referent.tracking.shadow import Outcome, Shadow, agrees, begin, catch_up, verdict
from referent.tracking.track import Track, compare_tracks, follow, masks_of
from referent.types import Prompt, RgbdFrame, TrackedMask
from referent.weights import ModelEntry

OUTCOMES_KEPT = 1024  # for a caller that does not take them
FRAMES_AHEAD = 2  # the one in hand and the next
FORGOTTEN_KEPT = 1024  # ids; they matter only as long as the frames before they were forgotten are kept


@dataclass(eq=False)
class _Object:
    """One object: the track that is published, and the one that is to correct it."""

    live: Track | None = None
    shadow: Shadow | None = None
    applied: Prompt | None = None  # the newest that was not refused
    applied_index: int = -1


class Sam2Tracker:
    """A `ports.Tracker`. Belongs to one thread. `config.threads` > 0 sets torch's threads for the whole process.

    `adapt_engine` may wrap what computes. Raises WeightsMissing when the model cannot be loaded, ConfigError when its
    device is not there or settings contradict each other.
    """

    def __init__(
        self, config: TrackerConfig, entry: ModelEntry, *, adapt_engine: Callable[[Engine], Engine] = lambda e: e
    ) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self._config = config
        engine, self._bounds = build_engine(config, entry)
        self._engine = adapt_engine(engine)
        self._policy = policy_of(config.memory_policy)
        self._ring = FeatureRing(max_frames=config.history_frames, max_bytes=config.history_bytes)
        self._objects: dict[str, _Object] = {}
        self._forgotten: dict[str, int] = {}  # id -> the newest frame then
        self._outcomes: deque[PromptOutcome] = deque(maxlen=OUTCOMES_KEPT)
        self._signature: Tensor | None = None  # the newest frame's colors
        self._ahead: dict[int, EncodedAhead] = {}  # pictures of coming frames, by stamp
        self._next_index = 0

    @torch.inference_mode()
    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        """The masks of all objects in `frame`, in the order they were added.

        Raises BadMessage, and changes nothing, when the frame is not newer than the last one.
        """
        newest = self._ring.newest
        if newest is not None and frame.stamp_ns <= newest.stamp_ns:
            raise BadMessage(f"a frame of {frame.stamp_ns} ns came after one of {newest.stamp_ns} ns; reset first")
        features = self._encoded(frame)
        follow(self._engine, features, list(self._live.values()), self._ring)
        self._advance_shadows(features)
        return masks_of(self._live, features)

    @torch.inference_mode()
    def prefetch(self, frame: RgbdFrame) -> None:
        """See `ports.Tracker`. Without effect on a CPU, where both would share the cores."""
        if self._engine.overlaps and len(self._ahead) < FRAMES_AHEAD:
            self._ahead[frame.stamp_ns] = self._engine.encode_ahead(frame.rgb)

    @torch.inference_mode()
    def prompt(self, prompt: Prompt) -> TrackedMask | None:
        """See `ports.Tracker`. A prompt that the live track agrees with only adds its frame to the track's memory.

        Besides, raises BadInstruction when it is one object too many.
        """
        frame = self._ring.at(prompt.stamp_ns)
        known = self._objects.get(prompt.object_id) or _Object()
        self._check_fresh(prompt, frame, known)
        nothing = ObjectMemory(self._bounds, self._policy)
        shadow = begin(self._engine, prompt, frame, live=known.live, nothing=nothing)
        if frame.index in self._ring.pinned_indices:
            shadow.track.keep_snapshot()
        outcome = self._outcome_now(known.live, shadow)
        self._supersede(known)
        self._objects[prompt.object_id] = known
        if outcome is None:
            known.shadow = shadow
        else:
            self._settle(known, shadow, outcome)
        return self._newest_mask(prompt.object_id)

    def take_outcomes(self) -> tuple[PromptOutcome, ...]:
        """See `ports.Tracker`."""
        outcomes = tuple(self._outcomes)
        self._outcomes.clear()
        return outcomes

    def pin(self, stamp_ns: int) -> None:
        """Keep this frame and, as far as the history reaches, the later ones until `release`.

        While it is the newest frame, how the tracks stand is kept too, so that they can be refined there later.
        """
        self._ring.pin(stamp_ns)
        newest = self._ring.newest
        if newest is not None and newest.stamp_ns == stamp_ns:
            for track in self._live.values():
                track.keep_snapshot()

    def release(self, stamp_ns: int) -> None:
        """Undo `pin`."""
        self._ring.release(stamp_ns)
        for track in self._tracks:
            track.forget_frames(kept=self._ring.indices, pinned=self._ring.pinned_indices)

    def forget(self, object_id: str) -> None:
        """See `ports.Tracker`."""
        if self._objects.pop(object_id, None) is not None:
            self._forgotten[object_id] = self._next_index - 1
        while len(self._forgotten) > FORGOTTEN_KEPT:
            del self._forgotten[next(iter(self._forgotten))]

    def reset(self) -> None:
        """Drop all objects and frames."""
        self._objects.clear()
        self._forgotten.clear()
        self._outcomes.clear()
        self._ring.clear()
        self._ahead.clear()
        self._signature = None
        self._next_index = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes of what is remembered of all objects; bounded however long the stream."""
        return sum(track.nbytes for track in self._tracks)

    @property
    def history_bytes(self) -> int:
        """Bytes of the image features kept for late prompts; at most `tracker.history_bytes` or one frame."""
        return self._ring.nbytes

    @property
    def _live(self) -> dict[str, Track]:
        return {object_id: known.live for object_id, known in self._objects.items() if known.live is not None}

    @property
    def _tracks(self) -> list[Track]:
        shadows = (known.shadow for known in self._objects.values())
        return [*self._live.values(), *(shadow.track for shadow in shadows if shadow is not None)]

    def _encoded(self, frame: RgbdFrame) -> FrameFeatures:
        maps = self._maps_of(frame)
        before, self._signature = self._signature, scene_signature(frame.rgb)
        scene_cut = 0.0 if before is None else scene_change(before, self._signature).item()
        features = FrameFeatures(self._next_index, frame.stamp_ns, frame.rgb.shape[:2], maps, scene_cut)
        self._ring.add(features)
        self._next_index += 1
        oldest = min(self._ring.indices)
        self._forgotten = {object_id: index for object_id, index in self._forgotten.items() if index >= oldest}
        return features

    def _maps_of(self, frame: RgbdFrame) -> tuple[Tensor, ...]:
        ahead = self._ahead.pop(frame.stamp_ns, None)
        self._ahead = {stamp_ns: later for stamp_ns, later in self._ahead.items() if stamp_ns > frame.stamp_ns}
        return self._engine.encode(frame.rgb) if ahead is None else ahead.take()

    def _check_fresh(self, prompt: Prompt, frame: FrameFeatures, known: _Object) -> None:
        """Raise StalePrompt or BadInstruction when the prompt is not to be applied."""
        running = known.shadow
        earlier = [known.applied, None if running is None else running.prompt]
        if frame.index < self._forgotten.get(prompt.object_id, -1):
            raise StalePrompt(f"object {prompt.object_id!r} was forgotten after the frame of {frame.stamp_ns} ns")
        if frame.index < max(known.applied_index, -1 if running is None else running.index):
            raise StalePrompt(
                f"object {prompt.object_id!r} was prompted after the frame of {frame.stamp_ns} ns already"
            )
        if any(_same(prompt, other) for other in earlier if other is not None):
            raise StalePrompt(f"object {prompt.object_id!r} was prompted just so at {frame.stamp_ns} ns already")
        if prompt.object_id not in self._objects and len(self._objects) >= self._config.max_objects:
            raise BadInstruction(
                f"{len(self._objects)} objects are tracked already; forget one or raise tracker.max_objects"
            )

    def _outcome_now(self, live: Track | None, shadow: Shadow) -> Outcome | None:
        """What becomes of a new shadow if that can be told at once; it is caught up when that is near enough."""
        if agrees(live, shadow, shadow.index, self._config):
            return Outcome.CONFIRMED
        at_once, stride = self._config.catch_up_frames, self._config.catch_up_stride
        if at_once and len(shadow.due(self._ring, stride=stride)) > at_once:
            return None
        catch_up(self._engine, [shadow], self._ring, frames=None, stride=stride)
        return verdict(live, shadow, self._config)

    def _advance_shadows(self, newest: FrameFeatures) -> None:
        """Let the shadows catch up a little; those that arrive at the newest frame are decided on."""
        running = [(known, known.shadow) for known in self._objects.values() if known.shadow is not None]
        # The frame in hand comes on top, else a shadow of one frame a step would never arrive.
        frames, stride = self._config.catch_up_frames + 1, self._config.catch_up_stride
        catch_up(self._engine, [shadow for _, shadow in running], self._ring, frames=frames, stride=stride)
        for known, shadow in running:
            if shadow.track.index == newest.index:
                self._settle(known, shadow, verdict(known.live, shadow, self._config))

    def _settle(self, known: _Object, shadow: Shadow, outcome: Outcome) -> None:
        known.shadow = None
        if outcome is Outcome.CONFIRMED and known.live is not None:
            known.live.memory.prompt(shadow.index, shadow.entry)
        if outcome is Outcome.COMMITTED:
            known.live = shadow.track
            compare_tracks(list(self._live.values()))
        if outcome is Outcome.REJECTED and known.live is None:
            del self._objects[shadow.prompt.object_id]
        if outcome is not Outcome.REJECTED:
            known.applied, known.applied_index = shadow.prompt, shadow.index
        self._tell(shadow, outcome)

    def _supersede(self, known: _Object) -> None:
        if known.shadow is not None:
            self._tell(known.shadow, Outcome.SUPERSEDED)
            known.shadow = None

    def _tell(self, shadow: Shadow, outcome: Outcome) -> None:
        newest, prompt = self._ring.newest, shadow.prompt
        assert newest is not None, "a prompt is about a kept frame"
        told = PromptOutcome(
            prompt.object_id,
            prompt.stamp_ns,
            outcome.value,
            newest.stamp_ns,
            round_trip_iou=shadow.round_trip_iou,
            hidden_frames=shadow.track.hidden_frames,
        )
        self._outcomes.append(told)

    def _newest_mask(self, object_id: str) -> TrackedMask | None:
        newest, known = self._ring.newest, self._objects.get(object_id)
        if newest is None or known is None or known.live is None or known.shadow is not None:
            return None
        return masks_of({object_id: known.live}, newest)[0]


def _same(prompt: Prompt, other: Prompt) -> bool:
    """Whether two prompts for one object say the same of the same frame."""
    if (prompt.stamp_ns, prompt.refine) != (other.stamp_ns, other.refine):
        return False
    kinds = ("box_xyxy", "points_xy", "point_labels", "mask", "embedding")
    return all(np.array_equal(getattr(prompt, kind), getattr(other, kind)) for kind in kinds)
