"""One frame, all objects at once: what the official video predictor does to each object alone.

Source: `_run_single_frame_inference` and `propagate_in_video_preflight` of sam2_video_predictor.py. The engine holds
no object: memories go in, sightings come out, and nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.profiler import record_function

from referent.tracking.features import FrameFeatures
from referent.tracking.launch import launcher
from referent.tracking.masks import fill_small_holes
from referent.tracking.memory import MemoryEntry, MemoryReading
from referent.tracking.network.heads import Decoded, Signal
from referent.tracking.network.sam2_network import Bank, Sam2Network
from referent.tracking.preprocess import image_from_rgb
from referent.tracking.prompts import PromptInputs
from referent.tracking.upload import FrameUploader
from referent.types import Array

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["Sam2Engine", "Sightings", "Signal"]

GIVEN_MASK_SIGNALS = {
    Signal.OBJECT_SCORE: 10.0,
    Signal.PREDICTED_IOU: 1.0,
    Signal.STABILITY: 1.0,
    Signal.ALTERNATIVE_IOU: 1.0,
}


@dataclass(frozen=True, eq=False)
class Sightings:
    """What SAM 2 says of N objects in one frame, on the device."""

    low_res_logits: Tensor  # (N, 1, S / 4, S / 4) float32
    signals: Tensor  # (N, len(Signal)) float32
    memories: tuple[MemoryEntry, ...]


@dataclass(frozen=True, eq=False)
class EncodedAhead:
    """Feature maps that may still be in the making on another stream."""

    maps: tuple[Tensor, ...]
    done: torch.cuda.Event | None  # None = they are ready

    def take(self) -> tuple[Tensor, ...]:
        """The maps, for whatever is queued next on the present stream."""
        if self.done is not None:
            reader = torch.cuda.current_stream()
            reader.wait_event(self.done)
            for level in self.maps:
                level.record_stream(reader)
        return self.maps


class Sam2Engine:
    """SAM 2 without state of its own. Takes over the model, which is not usable by itself afterwards."""

    def __init__(
        self,
        model: SAM2Base,
        *,
        dtype: torch.dtype = torch.float32,
        acceleration: str = "eager",
        fill_hole_area: int = 0,
    ) -> None:
        self._network = Sam2Network(model, dtype=dtype)
        self._fill_hole_area = fill_hole_area
        self._uploader = FrameUploader(self._network.device)
        self._side_stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        launched = launcher(acceleration, self.device)
        self._encode, self._follow = launched(self._network.encode), launched(self._follow_tensors)

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self._network.image_size

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._network.device

    @property
    def overlaps(self) -> bool:
        """Whether a picture can be encoded while objects of another are followed."""
        return self.device.type == "cuda"

    def encode(self, rgb: Array) -> tuple[Tensor, ...]:
        """Run the image encoder on an (H, W, 3) uint8 picture: feature maps, finest first."""
        with record_function("sam2.preprocess"):
            picture = self._uploader.upload(rgb)
            image = image_from_rgb(picture, size_px=self.image_size, dtype=self._network.dtype)
        return self._encode(image)

    def encode_ahead(self, rgb: Array) -> EncodedAhead:
        """Like `encode`, but beside what is queued already where the device can do both."""
        if self._side_stream is None:
            return EncodedAhead(self.encode(rgb), None)
        with torch.cuda.stream(self._side_stream):
            maps = self.encode(rgb)
            done = torch.cuda.Event()
            done.record(self._side_stream)
        return EncodedAhead(maps, done)

    def start(self, frame: FrameFeatures, inputs: PromptInputs) -> Sightings:
        """Find the prompted object in `frame` without any memory."""
        if inputs.mask is not None:
            return self._given(frame, inputs.mask)
        return self._prompted(frame, inputs, self._network.without_memory(frame.maps), is_first=True)

    def refine(
        self, frame: FrameFeatures, inputs: PromptInputs, reading: MemoryReading, previous_logits: Tensor
    ) -> Sightings:
        """Correct an object in `frame`, given what was remembered before it and its (1, 1, h, w) mask there.

        An object that began in this frame has nothing to remember: its reading is empty.
        """
        if inputs.mask is not None:
            return self._given(frame, inputs.mask)
        network = self._network
        features = (
            network.with_memory(frame.maps, self._bank([reading])) if reading else network.without_memory(frame.maps)
        )
        return self._prompted(frame, inputs, features, is_first=not reading, previous_logits=previous_logits)

    def follow(self, frame: FrameFeatures, readings: Sequence[MemoryReading]) -> Sightings:
        """Find the remembered objects in `frame`, all in one batch; one row per reading, in order."""
        bank = self._bank(readings)
        filled = () if bank.bias is None else (bank.bias,)
        logits, pointers, signals, memory = self._follow(
            *frame.maps, bank.spatial, bank.slots, bank.pointers, bank.ages, *filled
        )
        return self._sightings(logits, pointers, signals, memory)

    def _follow_tensors(
        self,
        fine: Tensor,
        middle: Tensor,
        coarse: Tensor,
        spatial: Tensor,
        slots: Tensor,
        pointers: Tensor,
        ages: Tensor,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        decoded, memory = self._network.follow((fine, middle, coarse), Bank(spatial, slots, pointers, ages, bias))
        return decoded.low_res_logits, decoded.pointers, decoded.signals, memory

    def _prompted(
        self,
        frame: FrameFeatures,
        inputs: PromptInputs,
        features: Tensor,
        *,
        is_first: bool,
        previous_logits: Tensor | None = None,
    ) -> Sightings:
        heads = self._network.heads
        if inputs.embedding is not None:
            prompt = heads.embedding(inputs.embedding)
        else:
            assert inputs.points_xy is not None
            assert inputs.point_labels is not None
            prompt = heads.points(
                inputs.points_xy, inputs.point_labels, is_first=is_first, previous_logits=previous_logits
            )
        return self._remembered(frame, self._network.decode(features, frame.maps, prompt))

    def _given(self, frame: FrameFeatures, mask: Tensor) -> Sightings:
        """A mask from outside is taken as it is."""
        logits, pointer = self._network.accept_mask(frame.maps, mask)
        signals = mask.new_zeros(1, len(Signal))
        for signal, value in GIVEN_MASK_SIGNALS.items():
            signals[:, signal] = value
        signals[:, Signal.AREA] = (logits > 0).float().mean()
        return self._remembered(frame, Decoded(logits, pointer, signals))

    def _remembered(self, frame: FrameFeatures, decoded: Decoded) -> Sightings:
        # Prompted frames are remembered as people see them: from the filled low-resolution mask, made hard.
        logits = self._filled(decoded.low_res_logits)
        object_scores = decoded.signals[:, Signal.OBJECT_SCORE, None]
        memory = self._network.memorize(frame.maps, logits, object_scores, prompted=True)
        return self._sightings(logits, decoded.pointers, decoded.signals, memory)

    def _sightings(self, logits: Tensor, pointers: Tensor, signals: Tensor, memory: Tensor) -> Sightings:
        entries = tuple(MemoryEntry(*parts) for parts in zip(memory.unbind(0), pointers.unbind(0), strict=True))
        return Sightings(self._filled(logits), signals, entries)

    def _bank(self, readings: Sequence[MemoryReading]) -> Bank:
        """All readings in one rectangle; those that are shorter are filled up with zeros that no query looks at."""
        network = self._network
        frames = max(len(reading.spatial) for reading in readings)
        pointers = max(len(reading.pointers) for reading in readings)
        features = [_filled_up([entry.features for _, entry in reading.spatial], frames) for reading in readings]
        vectors = [_filled_up([pointer for _, pointer in reading.pointers], pointers) for reading in readings]
        slots = [_numbers([slot for slot, _ in reading.spatial], frames) for reading in readings]
        ages = [_numbers([age for age, _ in reading.pointers], pointers) for reading in readings]
        return Bank(
            spatial=torch.stack([part for row in features for part in row]).unflatten(0, (len(readings), frames)),
            slots=self._uploaded(torch.tensor(slots)),
            pointers=torch.stack([part for row in vectors for part in row]).unflatten(0, (len(readings), pointers)),
            ages=self._uploaded(torch.tensor(ages, dtype=torch.float32)),
            bias=self._bias(readings, frames, pointers, network.tokens),
        )

    def _bias(self, readings: Sequence[MemoryReading], frames: int, pointers: int, tokens: int) -> Tensor | None:
        full = all(len(r.spatial) == frames and len(r.pointers) == pointers for r in readings)
        if full:
            return None
        parts = readings[0].pointers[0][1].shape[-1] // self._network.memory_channels
        bias = torch.zeros(len(readings), 1, frames * tokens + pointers * parts)
        for row, reading in zip(bias[:, 0], readings, strict=True):
            row[len(reading.spatial) * tokens : frames * tokens] = -torch.inf
            row[frames * tokens + len(reading.pointers) * parts :] = -torch.inf
        return self._uploaded(bias).to(self._network.dtype)

    def _uploaded(self, small: Tensor) -> Tensor:
        if self.device.type == "cpu":
            return small
        return small.pin_memory().to(self.device, non_blocking=True)

    def _filled(self, low_res_logits: Tensor) -> Tensor:
        return fill_small_holes(low_res_logits, self._fill_hole_area) if self._fill_hole_area else low_res_logits


def _filled_up(parts: Sequence[Tensor | None], length: int) -> list[Tensor]:
    present = [part for part in parts if part is not None]
    assert len(present) == len(parts), "a frame whose features are gone was read"
    return present + [torch.zeros_like(present[0])] * (length - len(present))


def _numbers(values: list[int], length: int) -> list[int]:
    return values + [0] * (length - len(values))
