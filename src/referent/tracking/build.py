"""The engine that the settings ask for, on the device that is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from referent.config import TrackerConfig
from referent.errors import ConfigError
from referent.tracking.engine import EncodedAhead, Sam2Engine, Sightings
from referent.tracking.features import FrameFeatures
from referent.tracking.memory import MemoryBounds, MemoryReading
from referent.tracking.model import build_sam2
from referent.tracking.official_engine import OfficialEngine
from referent.tracking.prompts import PromptInputs
from referent.types import Array
from referent.weights import ModelEntry


class Engine(Protocol):
    """SAM 2 for one frame at a time."""

    @property
    def image_size(self) -> int:
        """See `Sam2Engine`."""
        ...

    @property
    def device(self) -> torch.device:
        """See `Sam2Engine`."""
        ...

    @property
    def overlaps(self) -> bool:
        """See `Sam2Engine`."""
        ...

    def encode(self, rgb: Array) -> tuple[Tensor, ...]:
        """See `Sam2Engine`."""
        ...

    def encode_ahead(self, rgb: Array) -> EncodedAhead:
        """See `Sam2Engine`."""
        ...

    def start(self, frame: FrameFeatures, inputs: PromptInputs) -> Sightings:
        """See `Sam2Engine`."""
        ...

    def refine(
        self, frame: FrameFeatures, inputs: PromptInputs, reading: MemoryReading, previous_logits: Tensor
    ) -> Sightings:
        """See `Sam2Engine`."""
        ...

    def follow(self, frame: FrameFeatures, readings: Sequence[MemoryReading]) -> Sightings:
        """See `Sam2Engine`."""
        ...


def build_engine(config: TrackerConfig, entry: ModelEntry) -> tuple[Engine, MemoryBounds]:
    """SAM 2 loaded and ready, and how far back its memory reaches.

    Raises WeightsMissing when the model cannot be loaded, ConfigError when the device is not there or settings
    contradict each other.
    """
    _check(config)
    device = _device(config.device)
    model = build_sam2(entry, image_size=config.image_size, device=device)
    bounds = MemoryBounds.of_model(model, cond_slots=config.max_cond_frames)
    if config.arithmetic == "official":
        return OfficialEngine(model, fill_hole_area=config.fill_hole_area), bounds
    dtype = _dtype(config.precision, device)
    engine = Sam2Engine(model, dtype=dtype, acceleration=config.acceleration, fill_hole_area=config.fill_hole_area)
    return engine, bounds


def _check(config: TrackerConfig) -> None:
    if config.arithmetic != "official":
        return
    wanted = {
        "precision": (config.precision, ("auto", "fp32")),
        "acceleration": (config.acceleration, ("auto", "eager")),
        "memory_policy": (config.memory_policy, ("official",)),
    }
    for name, (value, allowed) in wanted.items():
        if value not in allowed:
            raise ConfigError(
                f"tracker.{name}: {value} does not go with tracker.arithmetic official; "
                f"set it to {' or '.join(allowed)}, or tracker.arithmetic to fast"
            )


def _device(choice: str) -> str:
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigError("tracker.device: 'cuda' is set, but torch finds no GPU; use auto or cpu")
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice


def _dtype(precision: str, device: str) -> torch.dtype:
    if precision == "auto":
        precision = "bf16" if device == "cuda" else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32
