"""Where the six faces of an object's box are: what one frame shows of each, and what all frames together say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from referent.geometry.box import BoxFit
from referent.geometry.ends import cleaned_away_m, cut_off_m, noiseless_ends
from referent.geometry.points import ends_of, thinned
from referent.types import Array

_POINTS = 6000  # of a frame; more change nothing but time
_QUANTILE = 0.01  # of the points may lie outside the box at each end
_TAIL_QUANTILE = 0.002
_TAPERING = (
    2.0  # times as far as the last points thin out, an end may go on: thin ends are cleaned away with the border
)
_SIDE_SHARE = 0.015  # of a side: what one view's face is off by beside noise
_MEMORY = 20.0  # a face's past weighs at most as much as so many frames as good as its best
_SHRINKING = 0.1  # a face that moves inwards by more than its sigma does so this much slower
_UNOBSERVED_SHARE = 0.25  # of a side: a face less sure than this was not seen
_UNOBSERVED_M = 0.015
BEHIND_ROUND = 0.15  # of its width: what a round thing may hide behind itself, such as a mug its handle
_OUTWARDS = np.array([[-1.0], [1.0]])
_STEEP = (0.5, 0.9)  # sine of the view downwards from which the foot begins to be hidden, and is
_SHARP_VIEW = 0.7


@dataclass(frozen=True, eq=False)
class Faces:
    """Both ends of a box along its three axes, from a chosen origin, and how sure each is."""

    ends_m: Array  # (2, 3): low, high
    sigma_m: Array  # (2, 3)
    weight: Array  # (2, 3) 1 / m^2: all frames so far

    @property
    def center_m(self) -> Array:
        """(3,) middle of the box."""
        return np.asarray(self.ends_m.mean(axis=0))

    @property
    def size_m(self) -> Array:
        """(3,) sides, at least a millimetre."""
        return np.maximum(self.ends_m[1] - self.ends_m[0], 0.001)

    @property
    def center_sigma_m(self) -> Array:
        """(3,) how sure the middle is along each axis."""
        return np.asarray(np.sqrt((self.sigma_m**2).sum(axis=0)) / 2)

    @property
    def unobserved(self) -> tuple[bool, bool, bool]:
        """Along which axes a face was never seen, so that the side may be longer."""
        loose = self.sigma_m.max(axis=0) > np.maximum(_UNOBSERVED_M, _UNOBSERVED_SHARE * self.size_m)
        return bool(loose[0]), bool(loose[1]), bool(loose[2])

    def merged(self, new: Faces) -> Faces:
        """With one more frame: each face moves by how sure it is; a face is never surer than its best view.

        All frames share the errors of a view, so that more of them do not make it surer.
        """
        outwards = np.array([[-1.0], [1.0]]) * (new.ends_m - self.ends_m)
        # What was seen once is there: less is mostly less seen, a handle behind the cup or depth that dropped out.
        gained = np.where(outwards < -2 * self.sigma_m, _SHRINKING, 1.0) * new.weight
        share = gained / (self.weight + gained)
        best = np.minimum(self.sigma_m, new.sigma_m)
        weight = np.minimum(self.weight + gained, _MEMORY / best**2)
        return Faces(self.ends_m + share * (new.ends_m - self.ends_m), best, weight)

    def turned(self, to: Array) -> Faces:
        """Along other axes that are nearly the same: the columns of `to` in the old ones; only the middle moves."""
        shift = to.T @ self.center_m - self.center_m
        return replace(self, ends_m=self.ends_m + shift)


def faces_of(
    points_m: Array,
    fit: BoxFit,
    axes: Array,
    *,
    floor_m: float | None,
    missing_m: Array,
    noise_m: float,
    shown_m: float,
    border_m: float,
) -> Faces:
    """What one frame shows of the faces across `axes` (3, 3, columns, in the camera's optical frame), from its origin.

    `floor_m` is where along the third axis its support is, when known. `missing_m` (2, 2) is how much longer it may be
    to the left and right, above and below; `shown_m` how much of the noise `noise_m` its depth shows.
    """
    center = fit.box.camera_from_object[:3, 3]
    view = center / np.linalg.norm(center)
    along = points_m.take(thinned(np.arange(len(points_m)), _POINTS), axis=0) @ axes
    ends = ends_of(along, _QUANTILE)
    tails = np.abs(ends_of(along, _TAIL_QUANTILE) - ends)
    # Of a top that is seen, the rim is taken off sideways, not downwards; what noise adds to it rounded tops have lost.
    level = 2 if fit.upright else 3
    ends[:, :level] = noiseless_ends(along[:, :level], _QUANTILE, shown_m * np.abs(view @ axes[:, :level]))
    if fit.upright:
        lost = cleaned_away_m(axes, view, np.ptp(ends, axis=0)[:2], border_m)
        lost += cut_off_m(along[:, :2], ends[:, :2], _QUANTILE) * (_OUTWARDS * (view @ axes[:, :2]) > 0)
        ends[:, :2] += _OUTWARDS * lost
    else:
        ends += _OUTWARDS * border_m * np.sqrt(np.maximum(0.0, 1 - (view @ axes) ** 2))
    if fit.body_center_m is not None:  # the far half of a round thing follows from the near one
        body = fit.body_center_m @ axes[:, :2] + np.array([[-1.0], [1.0]]) * fit.body_radius_m
        outer = np.stack([np.minimum(ends[0, :2], body[0]), np.maximum(ends[1, :2], body[1])])
        ends[:, :2] = body if fit.is_round else outer
    if floor_m is not None:
        ends[0, 2] = min(floor_m, ends[1, 2])
    sides = np.maximum(ends[1] - ends[0], 0.001)
    variance = np.tile((_SIDE_SHARE * sides) ** 2 + noise_m**2 + 1e-6, (2, 1))
    variance += (_TAPERING * tails) ** 2
    variance += _hidden_m(axes, missing_m, on_floor=floor_m is not None) ** 2
    variance += _behind_m(axes, view, fit, sides) ** 2
    return Faces(ends, np.sqrt(variance), 1 / variance)


def _hidden_m(axes: Array, missing_m: Array, *, on_floor: bool) -> Array:
    """(2, 3) how far each face may be beyond what is seen, for things before it or the picture's border."""
    ways = np.array([-1.0, 1.0])[:, None, None] * axes[None, :2, :]  # (end, picture axis, box axis)
    beyond = np.where(ways < 0, missing_m[None, :, 0, None], missing_m[None, :, 1, None])
    hidden = (np.abs(ways) * beyond).max(axis=1)
    if on_floor:
        hidden[0, 2] = 0.0
    return np.asarray(hidden)


def _behind_m(axes: Array, view: Array, fit: BoxFit, sides: Array) -> Array:
    """(2, 3) how far each face may be behind what is seen, when the view does not reach the object's far side."""
    behind = np.zeros((2, 3))
    along = view @ axes
    if fit.is_round:
        behind[1, :2] = np.where(along[:2] > 0, along[:2], 0.0) * BEHIND_ROUND * sides[:2]
        behind[0, :2] = np.where(along[:2] < 0, -along[:2], 0.0) * BEHIND_ROUND * sides[:2]
    if fit.upright and not fit.on_floor:
        behind[0, 2] = below_m(fit)
    if fit.far_side_seen:
        return behind
    deep = np.abs(along) >= min(_SHARP_VIEW, float(np.abs(along).max()))
    if fit.on_floor:
        deep[2] = False
    behind[1, deep & (along > 0)] = sides.max()
    behind[0, deep & (along < 0)] = sides.max()
    return behind


def below_m(fit: BoxFit) -> float:
    """How far an object without a support in sight may go on below what is seen of it from above."""
    center = fit.box.camera_from_object[:3, 3]
    steep = float(-center @ fit.box.camera_from_object[:3, 2]) / float(np.linalg.norm(center))
    return float(np.clip((steep - _STEEP[0]) / (_STEEP[1] - _STEEP[0]), 0.0, 1.0) * fit.box.size_m.max())
