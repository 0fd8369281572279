"""How a track is doing: the numbers of one object in one frame, and what they say beside its past."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from referent.types import TrackHealth

AREAS_KEPT = 10  # DAM4SAM compares with the median area of the last 10 frames


@dataclass(frozen=True)
class Signs:
    """What SAM 2 says of one object in one frame besides its mask."""

    object_score: float  # logit; <= 0 = not in view
    predicted_iou: float  # in [0, 1]
    stability: float  # in [0, 1]
    alternative_iou: float  # IoU of its box with and without the best other mask, in [0, 1]
    area: float  # share of the picture, in [0, 1]
    area_ratio: float = 1.0  # area / median area of its last seen frames; 0 = not seen
    overlap: float = 0.0  # largest IoU with another object's mask

    @property
    def present(self) -> bool:
        """Whether SAM 2 takes the object for visible (sam2_base.py: score > 0)."""
        return self.object_score > 0

    @property
    def score(self) -> float:
        """How sure SAM 2 is, in [0, 1]: sigmoid(object score) * predicted IoU."""
        return self.predicted_iou / (1 + math.exp(-max(self.object_score, -80.0)))


class AreaHistory:
    """The areas of one object in the last frames it was seen in."""

    def __init__(self) -> None:
        self._areas: deque[float] = deque(maxlen=AREAS_KEPT)

    def __len__(self) -> int:
        return len(self._areas)

    def add(self, area: float) -> float:
        """Remember `area` and return its ratio to the median of those before; 1 for the first, 0 for none."""
        if area <= 0:
            return 0.0
        ratio = area / median(self._areas) if self._areas else 1.0
        self._areas.append(area)
        return ratio


def health_of(signs: Signs, *, scene_cut: float) -> TrackHealth:
    """The part of `signs` that tells how the track is doing, with that of the whole picture."""
    return TrackHealth(
        stability=signs.stability,
        area_ratio=signs.area_ratio,
        alternative_iou=signs.alternative_iou,
        overlap=signs.overlap,
        scene_cut=scene_cut,
    )
