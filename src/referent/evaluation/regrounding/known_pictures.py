"""An engine that encodes each picture of a clip once, however many runs go over it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from referent.tracking.build import Engine
from referent.tracking.engine import EncodedAhead, Sightings
from referent.tracking.features import FrameFeatures
from referent.tracking.memory import MemoryReading
from referent.tracking.prompts import PromptInputs
from referent.types import Array


class Encodings:
    """The feature maps of a clip's pictures, by the pictures themselves, which are kept alive."""

    def __init__(self) -> None:
        self._maps: dict[int, tuple[Array, tuple[Tensor, ...]]] = {}

    def of(self, rgb: Array, engine: Engine) -> tuple[Tensor, ...]:
        """What `engine` makes of a picture."""
        known = self._maps.get(id(rgb))
        if known is None:
            known = self._maps[id(rgb)] = (rgb, engine.encode(rgb))
        return known[1]


class EngineOfKnownPictures:
    """A `tracking.build.Engine` that shares encodings with others of its kind. Nothing is encoded ahead."""

    def __init__(self, engine: Engine, encodings: Encodings) -> None:
        self._engine = engine
        self._encodings = encodings

    @property
    def image_size(self) -> int:
        """See `Sam2Engine`."""
        return self._engine.image_size

    @property
    def device(self) -> torch.device:
        """See `Sam2Engine`."""
        return self._engine.device

    @property
    def overlaps(self) -> bool:
        """Never: a picture may be known already."""
        return False

    def encode(self, rgb: Array) -> tuple[Tensor, ...]:
        """See `Sam2Engine`."""
        return self._encodings.of(rgb, self._engine)

    def encode_ahead(self, rgb: Array) -> EncodedAhead:
        """See `Sam2Engine`."""
        return EncodedAhead(self.encode(rgb), None)

    def start(self, frame: FrameFeatures, inputs: PromptInputs) -> Sightings:
        """See `Sam2Engine`."""
        return self._engine.start(frame, inputs)

    def refine(
        self, frame: FrameFeatures, inputs: PromptInputs, reading: MemoryReading, previous_logits: Tensor
    ) -> Sightings:
        """See `Sam2Engine`."""
        return self._engine.refine(frame, inputs, reading, previous_logits)

    def follow(self, frame: FrameFeatures, readings: Sequence[MemoryReading]) -> Sightings:
        """See `Sam2Engine`."""
        return self._engine.follow(frame, readings)
