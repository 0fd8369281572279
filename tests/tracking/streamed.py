"""Our tracker over a clip with the logits behind its masks, and their comparison with the official predictor's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from torch import Tensor
from torch.nn.functional import interpolate

from referent.config import TrackerConfig
from referent.tracking import track
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Prompt, RgbdFrame
from referent.weights import ModelEntry

TOLERANCE = 1e-4  # of logits; sums in another order differ in the last bits


class Streamed:
    """Our tracker over a clip; keeps the logits at picture resolution behind every mask it returns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, config: TrackerConfig, entry: ModelEntry) -> None:
        self.tracker = Sam2Tracker(config, entry)
        self.masks: dict[int, dict[str, Array]] = {}
        self.logits: dict[int, dict[str, Tensor]] = {}
        self._latest: list[Tensor] = []
        to_masks = track.masks_from_logits

        def remember(low_res: Tensor, size_hw: tuple[int, int]) -> Array:
            self._latest[:] = interpolate(low_res, size=size_hw, mode="bilinear", align_corners=False)[:, 0]
            return to_masks(low_res, size_hw)

        monkeypatch.setattr(track, "masks_from_logits", remember)

    def over(
        self, clip: Sequence[RgbdFrame], prompts: Mapping[int, Sequence[Prompt]], *, pinned: int | None = None
    ) -> Streamed:
        """Step through `clip`; `prompts` are given after the frame of their number, one frame is pinned."""
        for index, frame in enumerate(clip):
            self.step(index, frame)
            if index == pinned:
                self.tracker.pin(frame.stamp_ns)
            for prompt in prompts.get(index, ()):
                self.prompt(index, prompt)
        return self

    def step(self, index: int, frame: RgbdFrame) -> None:
        self._latest.clear()
        found = self.tracker.step(frame)
        self.masks[index] = {mask.object_id: mask.mask for mask in found}
        self.logits[index] = {mask.object_id: x for mask, x in zip(found, self._latest, strict=True)}

    def prompt(self, index: int, prompt: Prompt) -> None:
        found = self.tracker.prompt(prompt)
        if found is not None:
            self.masks[index][found.object_id] = found.mask
            self.logits[index][found.object_id] = self._latest[-1]


def assert_same(
    ours: Streamed, truth: Mapping[int, Mapping[str, Tensor]], *, since: int = 0, tolerance: float = TOLERANCE
) -> None:
    """Logits agree within the tolerance, and masks wherever the truth is not within it of the threshold."""
    truth = {index: objects for index, objects in truth.items() if index >= since}
    worst = max((ours.logits[i][name] - logits).abs().max().item() for i in truth for name, logits in truth[i].items())
    assert worst <= tolerance, f"logits differ by {worst}"
    for index, objects in truth.items():
        for name, logits in objects.items():
            differs = ours.masks[index][name] != (logits > 0).numpy()
            assert not (differs & (logits.abs() > tolerance).numpy()).any(), f"{name} in frame {index}"
