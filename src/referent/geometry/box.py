"""The oriented box around an object's points: upright on its support, sides along what is seen of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.geometry.ends import cleaned_away_m, cut_off_m, noiseless_circle, noiseless_ends
from referent.geometry.footprint import (
    ALL_AROUND,
    Circle,
    closeness_yaw,
    distances_from_sides,
    elongated_yaw,
    fit_circle,
    hull_corners,
    in_company,
    least_area_yaw,
    lengths_of,
    near_rim,
    outlines,
    rectangle_residual_m,
    round_body,
)
from referent.geometry.points import ends_of, mean_of, thinned
from referent.geometry.poses import rigid
from referent.types import Array, OrientedBox

_FIT_POINTS = 6000  # more change a box by nothing but time
_QUANTILE = 0.01  # of the points may lie outside the box at each end
_MIN_SIDE_M = 0.001
_NEAR_M = 0.002  # closer to a side than this, points lie on it
_ROUND_ARC = np.deg2rad(100.0)  # a shorter arc fits corners and edges as well as circles
_ROUND_RATIO = 0.5  # of the outline's distance from a rectangle that a circle must stay below
_ROUND_WIDTH = (1.75, 2.2)  # widths across the view, in radii, that a circle's points may have
_ROUND_DEPTH = 0.85  # depths along the view, in radii: the near half of a round thing is always seen
_ROUND_MIDDLE = 0.03  # of the points of a round thing seen from above lie within half its radius
_OVERLOOK_SINE = 0.25  # a camera this much above the horizon sees the far side of the top,
_GRAZING_SINE = 0.5  # one below this unless cleaning took the top for an edge:
_DROPPED = 0.15  # of the depth along the view
_CLEARLY_ROUNDER = 0.1  # of the rim
_STRAYS = 0.04  # of the rim at each side may lie beyond what is its rectangle
_RIM_SHARE = 0.12  # of the radius
_CELL_M = 0.005
_CLEARLY_SMALLER, _SMALLER = 0.9, 0.97  # of the area
_AGREEING = np.deg2rad(6.0)  # yaws
_OUT_M = 0.004  # what stands out of a round body does so by this much, or more of a large one
_OUT_SHARE = 0.08
_OUT_POINTS = 8
_OUT_LEAST = 0.005  # of all points
_OUT_ONE_WAY = 0.7  # resultant of the directions, modulo half a turn: a rim all around is no handle
_FLAT_RATIO = 0.2  # a footprint this thin may be one face of something deeper


@dataclass(frozen=True, eq=False)
class BoxFit:
    """A box and what was seen to build it; axes are the columns of `camera_from_object`."""

    box: OrientedBox
    is_round: bool  # its yaw cannot be observed
    upright: bool  # its z axis is gravity or the normal of its support
    on_floor: bool  # its lower face is the support
    far_side_seen: bool  # its depth along the view was observed, not only its front
    body_center_m: Array | None = None  # (3,) on the axis of its round body, in the camera's optical frame
    body_radius_m: float = 0.0


def upright_box(
    points_m: Array,
    up: Array,
    *,
    floor_m: float | None = None,
    missing_m: Array | None = None,
    noise_m: float = 0.0,
    shown_m: float = 0.0,
    border_m: float = 0.0,
) -> BoxFit:
    """The box of (N, 3) points in the camera's optical frame, z along the unit vector `up`.

    `floor_m` is the height (along `up`, from the camera) of its lower face when a support is known; `missing_m` (2, 2)
    how much its points may lack to the left and right, above and below; `noise_m` the depth noise at the object,
    `shown_m` how much of it the depth shows; `border_m` how much of its silhouette the depth cleaning took off.
    """
    points = points_m.take(thinned(np.arange(len(points_m)), _FIT_POINTS), axis=0).astype(np.float64)
    view, base = _view_of(points, up)
    ground = points @ base[:, :2]
    low, high = _heights(points @ up, floor_m)
    overlooked = _is_overlooked(up, view, missing_m, float(np.ptp(ground[:, 1])), border_m)
    solid = ground.take(np.flatnonzero(in_company(ground)), axis=0)
    corners = hull_corners(solid)
    whole, facing = outlines(corners, np.zeros(2))
    yaw = _best_yaw(solid, whole, facing, max(_NEAR_M, noise_m), overlooked=overlooked)
    circle = _round_footprint(solid, corners, whole, facing, yaw, noise_m, overlooked=overlooked)
    standing_out = None if circle is None else _standing_out(solid, circle, noise_m)
    if circle is not None:
        circle = noiseless_circle(circle, solid, corners, shown_m * float(view @ base[:, 1]))
    radius_m = 0.0 if circle is None else circle.radius_m + border_m * abs(float(view @ up))
    if circle is None:
        axes = _turned(base, yaw)
        center, sides = _sides(ground, base, axes, view, shown_m, border_m)
    else:
        axes, center, sides = _around(circle, radius_m, standing_out, base, border_m)
    is_round = circle is not None and standing_out is None
    one_face = circle is None and not overlooked and sides.min() < max(4 * noise_m, _FLAT_RATIO * sides.max())
    size = np.maximum([*sides, high - low], _MIN_SIDE_M)
    halfway = up * (low + high) / 2
    camera_from_object = rigid(axes, base[:, :2] @ center + halfway)
    return BoxFit(
        _longest_first(OrientedBox(camera_from_object, size, len(points_m), not is_round and not one_face)),
        is_round=is_round,
        upright=True,
        on_floor=floor_m is not None,
        far_side_seen=overlooked or circle is not None,
        body_center_m=None if circle is None else base[:, :2] @ circle.center_m + halfway,
        body_radius_m=radius_m,
    )


def principal_box(points_m: Array, *, noise_m: float = 0.0, shown_m: float = 0.0, border_m: float = 0.0) -> BoxFit:
    """The box of points about which neither up nor a support is known: z along their thinnest direction."""
    points = np.asarray(points_m, np.float64)
    middle = mean_of(points)
    _, axes = np.linalg.eigh((points - middle).T @ (points - middle))
    thinnest = axes[:, 0] * (-1.0 if axes[:, 0] @ middle > 0 else 1.0)
    fit = upright_box(points, thinnest, noise_m=noise_m, shown_m=shown_m, border_m=border_m)
    box = OrientedBox(fit.box.camera_from_object, fit.box.size_m, fit.box.point_count, orientation_known=False)
    return BoxFit(box, fit.is_round, upright=False, on_floor=False, far_side_seen=False)


def _view_of(points: Array, up: Array) -> tuple[Array, Array]:
    """Where the camera looks at (N, 3) points, a unit vector, and the level axes (3, 3) that go with it."""
    middle = mean_of(points)
    view = np.asarray(middle / np.linalg.norm(middle))
    return view, _level_axes(up, view)


def _heights(heights: Array, floor_m: float | None) -> tuple[float, float]:
    """The lower and the upper face of (N,) points: the lower one is the support, where one is known."""
    low, high = (float(end) for end in ends_of(heights[:, None], _QUANTILE)[:, 0])
    return (low if floor_m is None else min(floor_m, high)), high


def _is_overlooked(up: Array, view: Array, missing_m: Array | None, depth_m: float, border_m: float) -> bool:
    """Whether the camera looks down so far that the far side of the top is seen, and cleaning left it there."""
    down = float(-view @ up)
    if down <= _OVERLOOK_SINE:
        return False
    return missing_m is None or not _top_is_dropped(up, down, missing_m, depth_m, border_m)


def _top_is_dropped(up: Array, down: float, missing_m: Array, depth_m: float, border_m: float) -> bool:
    """Whether a top seen at a grazing angle is missing: its pixels are as far behind each other as those of an edge.

    What is missing upwards in the picture is the longer on the top, the lower the camera.
    """
    if down > _GRAZING_SINE:
        return False
    upwards = up[:2] / max(float(np.linalg.norm(up[:2])), 1e-9)
    beyond_m = np.where(upwards < 0, missing_m[:, 0], missing_m[:, 1])
    return float((np.abs(upwards) * beyond_m).max()) > max(border_m, _DROPPED * depth_m * down)


def _level_axes(up: Array, towards: Array) -> Array:
    """(3, 3) right-handed axes in columns: x to the camera's right as far as level, y away, z up."""
    right = np.cross(towards, up)
    if np.linalg.norm(right) < 1e-3 * np.linalg.norm(towards):  # straight from above
        right = np.array([1.0, 0.0, 0.0]) - up[0] * up
    right = right / np.linalg.norm(right)
    return np.column_stack([right, np.cross(up, right), up])


def _turned(base: Array, yaw_rad: float) -> Array:
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.asarray(base @ np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]))


def _best_yaw(ground: Array, whole: Array, facing: Array, near_m: float, *, overlooked: bool) -> float:
    """The closeness yaw, or a least-area one where that fits better what is seen from above.

    Where the whole outline is seen, the clearly smaller rectangle around it is the better one: closeness lays the sides
    of what is no box, such as a banana, across it. Where both nearly agree, a little smaller is enough.
    """
    if overlooked and (long := elongated_yaw(ground, _CELL_M)) is not None:
        return long
    close = closeness_yaw(ground, near_m)
    if overlooked:
        least = least_area_yaw(whole)
        agree = abs((least - close + np.pi / 4) % (np.pi / 2) - np.pi / 4) < _AGREEING
        if _area_m2(whole, least) < (_SMALLER if agree else _CLEARLY_SMALLER) * _area_m2(whole, close):
            return least
    candidates = [close, least_area_yaw(facing)]
    residuals = [rectangle_residual_m(facing, yaw) for yaw in candidates]
    return candidates[0] if residuals[0] <= 2 * residuals[1] else candidates[1]


def _area_m2(outline: Array, yaw_rad: float) -> float:
    """Of the rectangle around (N, 2) points at a yaw."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return float(np.prod(np.ptp(outline @ np.array([[cos, -sin], [sin, cos]]), axis=0)))


def _standing_out(ground: Array, circle: Circle, noise_m: float) -> Array | None:
    """(N, 2) what stands out of a round body to one side or two, such as handle and spout, from its centre."""
    offsets = ground - circle.center_m
    distances = lengths_of(offsets)
    margin_m = max(_OUT_M, _OUT_SHARE * circle.radius_m, 3 * noise_m)
    beyond = distances > circle.radius_m + margin_m
    if np.count_nonzero(beyond) < max(_OUT_POINTS, _OUT_LEAST * len(ground)):
        return None
    if np.quantile(distances[beyond], 0.9) < circle.radius_m + 2 * margin_m:  # the rim itself, where noise is worst
        return None
    out = offsets[beyond]
    doubled = np.exp(2j * np.arctan2(out[:, 1], out[:, 0]))
    return out if abs(doubled.mean()) > _OUT_ONE_WAY else None


def _yaw_of(standing_out: Array) -> float:
    """The direction, modulo half a turn, of what stands out; what is farther out says more."""
    angles = np.arctan2(standing_out[:, 1], standing_out[:, 0])
    weights = np.linalg.norm(standing_out, axis=1)
    return float(np.angle((weights * np.exp(2j * angles)).sum()) / 2)


def _around(
    circle: Circle, radius_m: float, standing_out: Array | None, base: Array, border_m: float
) -> tuple[Array, Array, Array]:
    """Axes, middle in the base's axes, and lengths of the two sides around a round body and what stands out of it."""
    if standing_out is None:
        return base, circle.center_m, np.full(2, 2 * radius_m)
    axes = _turned(base, _yaw_of(standing_out))
    return axes, *_sides_around(circle.center_m, radius_m, standing_out, base, axes, border_m)


def _sides_around(
    center: Array, radius_m: float, standing_out: Array, base: Array, axes: Array, border_m: float
) -> tuple[Array, Array]:
    """Middle, in the base's axes, and lengths of the two sides around a round body and what stands out of it."""
    turn = base[:, :2].T @ axes[:, :2]
    low, high = ends_of(standing_out @ turn, 2 * _QUANTILE)
    low, high = np.minimum(low - border_m, -radius_m), np.maximum(high + border_m, radius_m)
    return center + turn @ ((low + high) / 2), high - low


def _round_footprint(
    ground: Array, corners: Array, whole: Array, facing: Array, yaw: float, noise_m: float, *, overlooked: bool
) -> Circle | None:
    """The circle of the footprint where the outline follows it clearly better than a rectangle.

    `ground` has x across and y along the view.
    """
    of_whole = _circle_of(whole, noise_m)
    of_facing = of_whole if facing is whole else _circle_of(facing, noise_m)
    width, depth = np.ptp(ends_of(ground, _QUANTILE), axis=0)
    circles = [c for c in (of_whole, of_facing) if c is not None and _is_filled(c.radius_m, width, depth)]
    circle = min(circles, key=lambda c: c.residual_m, default=None)
    if circle is not None and circle.residual_m < _ROUND_RATIO * rectangle_residual_m(facing, yaw):
        # Seen from above, a round thing has a far rim or a top in its middle; the hollow of a banana has neither.
        central = lengths_of(ground - circle.center_m) < circle.radius_m / 2
        if of_whole is not None or not overlooked or central.mean() > _ROUND_MIDDLE:
            return circle
    rim = np.concatenate([corners, near_rim(ground)])
    return _body_with_more(ground, rim, whole, yaw, noise_m, overlooked=overlooked)


def _body_with_more(
    ground: Array, rim: Array, whole: Array, yaw: float, noise_m: float, *, overlooked: bool
) -> Circle | None:
    """The circle of a round body that has handles or spouts, where the rim follows it better than any rectangle."""
    near_m = max(_NEAR_M, noise_m)
    body = round_body(ground, rim, near_m)
    if body is None or not _is_body(body, ground, overlooked=overlooked):
        return None
    off_circle = np.abs(lengths_of(rim - body.center_m) - body.radius_m)
    yaws = yaw, least_area_yaw(whole)
    on_sides = max((distances_from_sides(rim, turn, strays=_STRAYS) < 2 * near_m).mean() for turn in yaws)
    return body if (off_circle < 2 * near_m).mean() > on_sides + _CLEARLY_ROUNDER else None


def _is_body(circle: Circle, ground: Array, *, overlooked: bool) -> bool:
    """A circle that is seen all around, or whose near side is seen and, from above, its middle: no banana's hollow."""
    offsets = ground - circle.center_m
    distances = lengths_of(offsets) / circle.radius_m
    rim = offsets[np.abs(distances - 1) < _RIM_SHARE]
    sectors = np.bincount((np.arctan2(rim[:, 1], rim[:, 0]) / np.deg2rad(20.0) % 18).astype(int) % 18, minlength=18)
    if (sectors > 0).mean() > ALL_AROUND:
        return True
    near_side = np.median(ground[:, 1]) < circle.center_m[1]  # y runs away from the camera
    return bool(near_side and (not overlooked or (distances < 0.5).mean() > _ROUND_MIDDLE))


def _is_filled(radius_m: float, width_m: float, depth_m: float) -> bool:
    """Points of these extents, across and along the view, may be what is seen of a circle."""
    return _ROUND_WIDTH[0] < width_m / radius_m < _ROUND_WIDTH[1] and depth_m / radius_m > _ROUND_DEPTH


def _circle_of(outline: Array, noise_m: float) -> Circle | None:
    circle = fit_circle(outline)
    if circle is None or circle.arc_rad < _ROUND_ARC:
        return None
    return circle if circle.residual_m < max(0.05 * circle.radius_m, noise_m) else None


def _sides(
    ground: Array, base: Array, axes: Array, view: Array, shown_m: float, border_m: float
) -> tuple[Array, Array]:
    """Middle, in the base's axes, and lengths of the footprint's two sides."""
    turn = base[:, :2].T @ axes[:, :2]
    low, high = noiseless_ends(ground @ turn, _QUANTILE, shown_m * np.abs(view @ axes[:, :2]))
    lost = cleaned_away_m(axes, view, high - low, border_m)
    away = np.array([[-1.0], [1.0]]) * (view @ axes[:, :2]) > 0
    lost += cut_off_m(ground @ turn, np.stack([low, high]), _QUANTILE) * away
    low, high = low - lost[0], high + lost[1]
    return turn @ ((low + high) / 2), high - low


def _longest_first(box: OrientedBox) -> OrientedBox:
    """The same box with x along its longer level side, x pointing to the camera's right: its order at birth."""
    axes, size = box.camera_from_object[:3, :3].copy(), box.size_m.copy()
    if size[1] > size[0]:
        axes = np.column_stack([axes[:, 1], -axes[:, 0], axes[:, 2]])
        size = size[[1, 0, 2]]
    if axes[0, 0] < 0:
        axes = axes * np.array([-1.0, -1.0, 1.0])
    return OrientedBox(rigid(axes, box.camera_from_object[:3, 3]), size, box.point_count, box.orientation_known)
