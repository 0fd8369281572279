"""Where an object ends though its points are noisy: the outermost of many are those that noise carried out."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from referent.geometry.footprint import ALL_AROUND, Circle, lengths_of
from referent.geometry.points import ends_of, thinned
from referent.types import Array

_NORMAL = NormalDist()
_STEPS = 4  # bring an end within a tenth of a sigma of where more would
# Within two sigmas above a face lie of those on it, and of one each sigma that go on evenly from it; below it of these:
_FACE_ABOVE = _NORMAL.cdf(2.0) - 0.5
_SLOPE_BELOW = _NORMAL.pdf(0.0)
_SLOPE_ABOVE = 2 * _NORMAL.cdf(2.0) + _NORMAL.pdf(2.0) - _SLOPE_BELOW
_OUTER = 6.0  # sigmas: values farther in have no say
_LAG_PX = 6  # over less, neighbouring pixels err together
_DIFFERENCES = 1500  # more change their median by nothing
_FEWEST = 30
_EVEN_M = 0.01  # so near to their end values are taken to lie evenly
_LOWEST_SINE = 0.25  # of a view from above that sees a top at all
_SIDE_COS = np.cos(np.deg2rad(45.0))
_SIGMAS_OF_MEDIAN = 1 / _NORMAL.inv_cdf(0.75)


def noise_shown_m(depth_m: Array, inside: Array) -> float:
    """Standard deviation of the depth (h, w) where `inside` is True, as far as the picture shows it.

    Third differences are free of slope and bend. The direction counts that says less: along the other there may be
    edges. 0 where too little is seen to tell; less than it is where pixels err together over more than their lag.
    """
    return min(_noise_along(depth_m, inside), _noise_along(depth_m.T, inside.T))


def _noise_along(depth_m: Array, inside: Array) -> float:
    width = inside.shape[1] - 3 * _LAG_PX
    if width <= 0:
        return 0.0
    at = [slice(step * _LAG_PX, step * _LAG_PX + width) for step in range(4)]
    whole = np.flatnonzero(inside[:, at[0]] & inside[:, at[1]] & inside[:, at[2]] & inside[:, at[3]])
    if len(whole) < _FEWEST:
        return 0.0
    rows, columns = np.divmod(thinned(whole, _DIFFERENCES), width)
    first, second, third, fourth = (depth_m[rows, columns + step * _LAG_PX] for step in range(4))
    return float(np.median(np.abs(first - 3 * second + 3 * third - fourth))) * _SIGMAS_OF_MEDIAN / np.sqrt(20.0)


def noiseless_ends(values: Array, share: float, sigma: Array) -> Array:
    """(2, K) between which (N, K) values would lie, but for a `share` at each end, without their noise `sigma` (K,)."""
    ends = ends_of(values, share)
    for k in np.flatnonzero(sigma > 0):
        column = np.ascontiguousarray(values[:, k])
        ends[0, k] += carried_out(column, float(ends[0, k]), share, float(sigma[k]))
        ends[1, k] -= carried_out(-column, -float(ends[1, k]), share, float(sigma[k]))
    return ends


def carried_out(values: Array, end: float, share: float, sigma: float) -> float:
    """How far below its true place noise carried the `end` that a `share` of (N,) values lie below.

    Taken for some of the values, `face`, that end all at one place, and others that go on evenly from there, `slope` of
    them within each sigma. How many lie below that place, and within two sigmas above it, tells both, and they tell how
    many sigmas above it the `share` ends with the noise and without; from where it ends that place follows again.
    """
    noisy, exact = _NORMAL.inv_cdf(share), 0.0  # where all are one face
    outer = values[values < end + _OUTER * sigma]
    for _ in range(_STEPS):
        place = end - noisy * sigma
        below = np.count_nonzero(outer < place) / len(values)
        above = np.count_nonzero(outer < place + 2 * sigma) / len(values) - below
        face, slope = _face_and_slope(below, above)
        if face + slope <= 0:
            return 0.0
        cdf, pdf = _NORMAL.cdf(noisy), _NORMAL.pdf(noisy)  # one Newton step towards the share
        missing = share - face * cdf - slope * (noisy * cdf + pdf)
        noisy = max(noisy + min(1.0, max(-1.0, missing / (face * pdf + slope * cdf))), -_OUTER / 2)
        exact = (share - face) / slope if slope > 0 and share > face else 0.0
    return max(0.0, (exact - noisy) * sigma)


def _face_and_slope(below: float, above: float) -> tuple[float, float]:
    """Shares of the values, not negative, that lie on the face and within each sigma from there on."""
    slope = (above - 2 * _FACE_ABOVE * below) / (_SLOPE_ABOVE - 2 * _FACE_ABOVE * _SLOPE_BELOW)
    if slope <= 0:
        return 2 * below, 0.0
    face = 2 * (below - slope * _SLOPE_BELOW)
    return (face, slope) if face > 0 else (0.0, below / _SLOPE_BELOW)


def noiseless_circle(circle: Circle, ground: Array, corners: Array, sigma_m: float) -> Circle:
    """The circle without what the noise `sigma_m` along the view carried the points of its outline out.

    `ground` (N, 2) are points seen from above in metres, x to the right and y away from the camera, `corners` (M, 2)
    those of their hull.
    One of which the near side is seen lies nearer by as much. One seen all around lies nearer by half of how much
    farther its near side was carried than its far side, and its radius is larger by the mean of |cos|, 2 / pi, of both.
    """
    near_m = _rim_carried_m(circle, ground, corners, sigma_m, -1.0)
    if circle.arc_rad < ALL_AROUND * 2 * np.pi:
        return replace(circle, center_m=circle.center_m + np.array([0.0, near_m]))
    far_m = _rim_carried_m(circle, ground, corners, sigma_m, 1.0)
    center = circle.center_m + np.array([0.0, (near_m - far_m) / 2])
    return replace(circle, center_m=center, radius_m=circle.radius_m - (near_m + far_m) / np.pi)


def _rim_carried_m(circle: Circle, ground: Array, corners: Array, sigma_m: float, way: float) -> float:
    """How far out noise carried the outline towards the camera (`way` -1) or away from it: as many of the noisy points
    are outside of their true place as it has corners there."""
    side, at = _towards(ground, circle, way), _towards(corners, circle, way)
    if sigma_m <= 0 or len(side) < _FEWEST or not len(at):
        return 0.0
    share = min(0.5, len(at) / len(side))
    return carried_out(-side, float(np.quantile(-side, share)), share, sigma_m)


def _towards(points: Array, circle: Circle, way: float) -> Array:
    """(N,) distances from a circle's middle of those of (M, 2) points that lie towards the camera from it, or away."""
    offsets = points - circle.center_m
    distances = lengths_of(offsets)
    return np.asarray(distances[way * offsets[:, 1] > _SIDE_COS * distances])


def cleaned_away_m(axes: Array, view: Array, sides_m: Array, border_m: float) -> Array:
    """(2, 2) how much of both ends along its first two `axes` (3, 3, columns) an upright box of `sides_m` lost.

    Cleaning took `border_m` off its silhouette, seen along `view` (3,). A face towards the camera stays where it is,
    unless it is so narrow in the picture that all of it is border. Of those away from it the edge of the top is seen,
    which runs along the other axis: as far behind it as `border_m` is in the picture, on the slant.
    """
    along = view @ axes
    other = np.sqrt(np.maximum(0.0, 1 - along[[1, 0]] ** 2))
    behind = border_m * other / max(abs(float(along[2])), _LOWEST_SINE)
    narrow = np.clip(2 - sides_m[[1, 0]] * np.abs(along[:2]) / max(border_m, 1e-9), 0.0, 1.0)
    before = border_m * narrow
    return np.where(np.array([[1.0], [-1.0]]) * along[:2] > 0, before, behind)


def cut_off_m(values: Array, ends: Array, share: float) -> Array:
    """(2, K) how far beyond the `ends` (2, K), outside of which is a `share` of (N, K) values, those reach.

    They are taken to go on as evenly as within the last centimetre, as those of a top do up to its edge.
    """
    near = np.empty_like(ends)
    for k, (low, high) in enumerate(ends.T):
        column = np.ascontiguousarray(values[:, k])
        near[0, k] = np.count_nonzero(column < low + _EVEN_M) - np.count_nonzero(column < low)
        near[1, k] = np.count_nonzero(column <= high) - np.count_nonzero(column <= high - _EVEN_M)
    return np.asarray(share * _EVEN_M / np.maximum(near / len(values), share))
