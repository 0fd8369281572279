"""How good masks, poses and times are: the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, hypot

import cv2
import numpy as np

from referent.types import Array

CONTOUR_TOLERANCE = 0.008  # share of the image diagonal (Perazzi et al., DAVIS, CVPR 2016)


def region_j(mask: Array, truth: Array) -> float:
    """Intersection over union of two (H, W) bool masks; 1 when both are empty (DAVIS)."""
    union = np.count_nonzero(mask | truth)
    return 1.0 if union == 0 else float(np.count_nonzero(mask & truth) / union)


def boundary_f(mask: Array, truth: Array) -> float:
    """F-measure of two (H, W) bool masks' contours, matched within 0.8 % of the image diagonal (DAVIS 2016)."""
    contour, true_contour = contour_of(mask), contour_of(truth)
    count, true_count = np.count_nonzero(contour), np.count_nonzero(true_contour)
    if count == 0 or true_count == 0:
        return 1.0 if count == true_count else 0.0
    radius_px = ceil(CONTOUR_TOLERANCE * hypot(*mask.shape))
    precision = np.count_nonzero(contour & _widened(true_contour, radius_px)) / count
    recall = np.count_nonzero(true_contour & _widened(contour, radius_px)) / true_count
    return 0.0 if precision + recall == 0 else float(2 * precision * recall / (precision + recall))


def contour_of(mask: Array) -> Array:
    """The (H, W) bool contour: pixels that differ from their right, lower or lower right neighbour."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    return (here != padded[:-1, 1:]) | (here != padded[1:, :-1]) | (here != padded[1:, 1:])


def _widened(contour: Array, radius_px: int) -> Array:
    """`contour` grown by a disk."""
    y, x = np.ogrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    disk = (x * x + y * y <= radius_px * radius_px).astype(np.uint8)
    return cv2.dilate(contour.astype(np.uint8), disk).astype(bool)


def percentiles(values_s: Sequence[float]) -> dict[str, float | None]:
    """p50, p95 and p99, interpolated linearly between ranks; None without values."""
    if not len(values_s):
        return {"p50": None, "p95": None, "p99": None}
    return {f"p{rank}": float(np.percentile(values_s, rank)) for rank in (50, 95, 99)}


def mean_or_none(values: Sequence[float]) -> float | None:
    """The mean; None without values."""
    return float(np.mean(values)) if len(values) else None


@dataclass(frozen=True)
class FrameScore:
    """One object in one frame against its truth."""

    stamp_ns: int
    visible: bool  # the truth shows at least one pixel of it
    answered: bool  # the result has a mask
    j: float  # [0, 1]
    f: float  # [0, 1]
    position_error_m: float | None  # None when no pose is given or its frame cannot be compared


@dataclass(frozen=True)
class ObjectScore:
    """One object over a run. The means start at the first mask; `found_rate` starts at the instruction."""

    frames: int
    first_mask_s: float | None  # from the first frame with the target to its first mask; None = never
    found_rate: float | None  # share of frames in which the object is visible and J >= 0.5
    j: float | None
    f: float | None
    j_and_f: float | None
    position_error_m: float | None  # median

    @property
    def found(self) -> bool:
        """True when the object has ever had a mask."""
        return self.first_mask_s is not None


FOUND_J = 0.5


def object_score(scores: Sequence[FrameScore]) -> ObjectScore:
    """The score of one object from its frames, in order of time."""
    first = next((index for index, score in enumerate(scores) if score.answered), None)
    visible = [score for score in scores if score.visible]
    since = [] if first is None else scores[first:]
    j, f = mean_or_none([score.j for score in since]), mean_or_none([score.f for score in since])
    errors_m = [score.position_error_m for score in since if score.position_error_m is not None]
    return ObjectScore(
        frames=len(scores),
        first_mask_s=None if first is None else (scores[first].stamp_ns - scores[0].stamp_ns) * 1e-9,
        found_rate=mean_or_none([float(score.answered and score.j >= FOUND_J) for score in visible]),
        j=j,
        f=f,
        j_and_f=None if j is None or f is None else (j + f) / 2,
        position_error_m=float(np.median(errors_m)) if errors_m else None,
    )
