"""The table of the suite of poses: what was measured, by each method, beside what must be reached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from referent.evaluation.heldout.estimates import Estimate
from referent.evaluation.lines import Line
from referent.evaluation.poses.compare import Errors, compare
from referent.evaluation.poses.episodes import SETTLING_FRAMES
from referent.evaluation.poses.estimates import Statistic, estimate, mean, median, p90
from referent.evaluation.poses.follow import MASK_PX, METHODS, SINGLE, TRACK, Followed, MaskChange
from referent.evaluation.poses.freedom import BALLS, ROUND, Asked
from referent.evaluation.poses.motion import drift, jitters_m, jumps

NEAR_M = 1.0  # as far as errors are judged


@dataclass(frozen=True, eq=False)
class Judged:
    """One pose of one object in one frame, and its errors."""

    followed: Followed
    place: int  # in followed.seen
    errors: Errors

    @property
    def group(self) -> Hashable:
        """What is drawn together: the episode."""
        return self.followed.episode

    @property
    def distance_m(self) -> float:
        """From the camera to the object's centre."""
        return float(np.linalg.norm(self.followed.seen[self.place].camera_from_object[:3, 3]))


@dataclass(frozen=True)
class Row:
    """A line of the table: one measure, by each method. The bar is for the track."""

    group: str
    name: str
    measured: Mapping[str, Estimate | None]
    unit: str = ""
    low: float | None = None
    high: float | None = None
    short_of: bool = field(default=False)  # the high bar itself is too much

    @property
    def reached(self) -> bool | None:
        """Whether the track reaches the bar; None without a bar or a measurement."""
        known = self.measured.get(TRACK)
        if known is None or (self.low is None and self.high is None):
            return None
        above = self.low is None or known.value >= self.low
        below = self.high is None or (known.value < self.high if self.short_of else known.value <= self.high)
        return bool(above and below)

    def line(self) -> Line:
        """The row as JSON values."""
        return {
            "group": self.group,
            "measure": self.name,
            "unit": self.unit,
            "methods": {name: _estimate_line(known) for name, known in self.measured.items()},
            "bar": [self.low, self.high],
            "reached": self.reached,
        }


def _estimate_line(known: Estimate | None) -> Line | None:
    if known is None or not isfinite(known.value):
        return None
    error = None if known.error is None else round(known.error, 4)
    return {"value": round(known.value, 4), "error": error, "count": known.count}


def judged_poses(followed: Sequence[Followed], method: str, *, hidden: bool = False) -> list[Judged]:
    """Errors of every pose that counts; with `hidden` of those for which too little is seen of the object."""
    return [
        Judged(one, place, compare(pose, one.seen[place], one.category, one.size_m))
        for one in followed
        for place, pose in enumerate(one.poses[method])
        if pose is not None and one.counts(place) != hidden
    ]


def pose_rows(followed: Sequence[Followed]) -> list[Row]:
    """All lines of the table. What was not run has no measurement."""
    judged = {name: judged_poses(followed, name) for name in METHODS}
    return [
        *_center_rows(judged),
        *_side_rows(judged),
        *_axis_rows(judged),
        *_motion_rows(followed),
        *_covariance_rows(judged),
        *_mask_rows(followed),
        *_other_rows(followed, judged),
    ]


Poses = Mapping[str, Sequence[Judged]]
Value = Callable[[Judged], float | None]


def near(judged: Sequence[Judged]) -> list[Judged]:
    """Those at up to 1 m."""
    return [one for one in judged if one.distance_m <= NEAR_M]


def of_values(judged: Sequence[Judged], value: Value, statistic: Statistic) -> Estimate | None:
    """A statistic of one number of each pose that has it."""
    known = [(value(one), one.group) for one in judged]
    return estimate([v for v, _ in known if v is not None], [g for v, g in known if v is not None], statistic)


def _by_method(judged: Poses, value: Value, statistic: Statistic) -> dict[str, Estimate | None]:
    return {name: of_values(near(poses), value, statistic) for name, poses in judged.items()}


def center_mm(one: Judged) -> float:
    """The error of the box centre."""
    return 1e3 * one.errors.center_m


def side_mm(one: Judged) -> float | None:
    """The error of the worst observed side."""
    return None if one.errors.side_m is None else 1e3 * one.errors.side_m


def side_percent(one: Judged) -> float | None:
    """The same by the true side."""
    return None if one.errors.side_share is None else 100 * one.errors.side_share


def axis_deg(one: Judged) -> float | None:
    """The error of the axes, see `freedom`."""
    return one.errors.axis_deg


def yaw_deg(one: Judged) -> float | None:
    """The error of the axes where all three are asked for."""
    return one.errors.axis_deg if one.errors.asked is Asked.ALL else None


def nees_share(one: Judged) -> float | None:
    """NEES by its degrees of freedom: 1 in the mean if the covariance is right."""
    return None if one.errors.nees is None else one.errors.nees / one.errors.freedom


def inside(one: Judged) -> float | None:
    """1 inside the 95 % bound, else 0."""
    return None if one.errors.inside is None else float(one.errors.inside)


def _center_rows(judged: Poses) -> list[Row]:
    name = "box centre error, up to 1 m"
    return [
        Row("centre", f"{name}, median", _by_method(judged, center_mm, median), "mm", high=8),
        Row("centre", f"{name}, p90", _by_method(judged, center_mm, p90), "mm", high=15),
    ]


def _side_rows(judged: Poses) -> list[Row]:
    return [
        Row("sides", "worst observed side, by 8 mm or 10 %, median", _by_method(judged, _side_of_bar, median), high=1),
        Row("sides", "worst observed side, median", _by_method(judged, side_mm, median), "mm"),
        Row("sides", "worst observed side, median, of the side", _by_method(judged, side_percent, median), "%"),
        Row("sides", "sides said not to be observed", _by_method(judged, _unobserved, mean), "%"),
    ]


def _side_of_bar(one: Judged) -> float | None:
    return one.errors.side_of_bar


def _unobserved(one: Judged) -> float | None:
    return 100 * one.errors.unobserved_sides / 3


def _axis_rows(judged: Poses) -> list[Row]:
    name = "axis error modulo symmetry"
    return [
        Row("axes", f"{name}, median", _by_method(judged, axis_deg, median), "deg", high=6),
        Row("axes", f"{name}, p90", _by_method(judged, axis_deg, p90), "deg", high=12),
        Row("axes", "the same where all axes are asked for, median", _by_method(judged, yaw_deg, median), "deg"),
        Row("axes", "the same where all axes are asked for, p90", _by_method(judged, yaw_deg, p90), "deg"),
        Row("axes", "axes of things not round called a convention", _by_method(judged, _convention, mean), "%"),
    ]


def _convention(one: Judged) -> float | None:
    return None if one.followed.category in ROUND | BALLS else 100.0 * (one.errors.asked is not Asked.ALL)


def _motion_rows(followed: Sequence[Followed]) -> list[Row]:
    dense = METHODS[:3]
    jitter = {name: [(1e3 * v, one.episode) for one in followed for v in jitters_m(one, name)] for name in dense}
    rows = [
        Row("motion", "axis jumps over 15 deg in 100 frames", {n: _jumps(followed, n) for n in dense}, high=0),
        Row("motion", "centre jitter at rest, median", _of_pairs(jitter, median), "mm", high=2, short_of=True),
        Row("motion", "centre jitter at rest, p90", _of_pairs(jitter, p90), "mm"),
    ]
    for words, start, barred in (("once settled", SETTLING_FRAMES, True), ("from the first frame", 0, False)):
        rows += _drift_rows(followed, words, start, dense, barred=barred)
    return rows


def _drift_rows(
    followed: Sequence[Followed], words: str, start: int, methods: Sequence[str], *, barred: bool
) -> list[Row]:
    drifts = {n: [(drift(one, n, start=start), one.episode) for one in followed] for n in methods}
    mm = {n: [(1e3 * d.center_m, g) for d, g in known if d] for n, known in drifts.items()}
    deg = {
        n: [(float(np.rad2deg(d.turn_rad)), g) for d, g in known if d and d.turn_rad is not None]
        for n, known in drifts.items()
    }
    name = f"drift over 100 frames {words}"
    return [
        Row("motion", f"{name}, median", _of_pairs(mm, median), "mm", high=4 if barred else None, short_of=True),
        Row("motion", f"{name}, p90", _of_pairs(mm, p90), "mm"),
        Row(
            "motion",
            f"{name}, turn, median",
            _of_pairs(deg, median),
            "deg",
            high=1.5 if barred else None,
            short_of=True,
        ),
        Row("motion", f"{name}, turn, p90", _of_pairs(deg, p90), "deg"),
    ]


def _of_pairs(
    pairs: Mapping[str, Sequence[tuple[float, Hashable]]], statistic: Statistic
) -> dict[str, Estimate | None]:
    return {name: estimate([v for v, _ in known], [g for _, g in known], statistic) for name, known in pairs.items()}


def _jumps(followed: Sequence[Followed], method: str) -> Estimate | None:
    counted = [jumps(one, method) for one in followed]
    pairs = sum(of for _, of in counted)
    return Estimate(100 * sum(number for number, _ in counted) / pairs, None, pairs) if pairs else None


def _covariance_rows(judged: Poses) -> list[Row]:
    given = {name: poses for name, poses in judged.items() if any(one.errors.nees is not None for one in poses)}
    nees = {name: of_values(poses, nees_share, mean) for name, poses in given.items()}
    middle = {name: of_values(poses, nees_share, median) for name, poses in given.items()}
    within = {name: of_values(poses, inside, mean) for name, poses in given.items()}
    name = "NEES by degrees of freedom"
    return [
        Row("covariance", f"{name}, mean", nees, low=0.4, high=2.5),
        Row("covariance", f"{name}, median", middle),
        Row("covariance", f"{name}, mean, highest category", _category(given, nees_share, max), high=2.5),
        Row("covariance", f"{name}, mean, lowest category", _category(given, nees_share, min), low=0.4),
        Row("covariance", "share inside the 95 % bound", within, low=0.90, high=0.99),
        Row("covariance", "share inside, lowest category", _category(given, inside, min), low=0.90),
    ]


def _category(given: Poses, value: Value, pick: Callable[..., Estimate]) -> dict[str, Estimate | None]:
    """The mean of one category: the highest or the lowest."""
    found: dict[str, Estimate | None] = {}
    for name, poses in given.items():
        categories = {one.followed.category for one in poses}
        means = [of_values([o for o in poses if o.followed.category == c], value, mean) for c in sorted(categories)]
        found[name] = pick((m for m in means if m is not None), key=lambda known: known.value, default=None)
    return found


def _mask_rows(followed: Sequence[Followed]) -> list[Row]:
    changes = {
        SINGLE: [(c, one.episode) for one in followed for c in one.masks if not c.through_track],
        TRACK: [(c, one.episode) for one in followed for c in one.masks if c.through_track],
    }
    name = "centre moves by"
    rows = []
    for words, sizes in (("dilated", [px for px in MASK_PX if px > 0]), ("eroded", [px for px in MASK_PX if px < 0])):
        of_sign = _moved_mm(changes, sizes)
        title = f"mask {words} by 1-5 px: {name}"
        rows += [
            Row("masks", f"{title}, median", _of_pairs(of_sign, median), "mm", high=4, short_of=True),
            Row("masks", f"{title}, p90", _of_pairs(of_sign, p90), "mm"),
        ]
    for px in MASK_PX:
        of_px = _moved_mm(changes, [px])
        rows.append(Row("masks", f"by {px:+d} px: {name}, median", _of_pairs(of_px, median), "mm"))
    lost = {n: [(100.0 * (c.center_m is None), g) for c, g in cs] for n, cs in changes.items()}
    return [*rows, Row("masks", "no pose is left", _of_pairs(lost, mean), "%")]


Changes = Mapping[str, Sequence[tuple[MaskChange, Hashable]]]


def _moved_mm(changes: Changes, sizes_px: Collection[int]) -> dict[str, list[tuple[float, Hashable]]]:
    return {
        name: [(1e3 * c.center_m, group) for c, group in of_method if c.center_m is not None and c.grow_px in sizes_px]
        for name, of_method in changes.items()
    }


def _other_rows(followed: Sequence[Followed], judged: Poses) -> list[Row]:
    dense = METHODS[:3]
    hidden = {name: judged_poses(followed, name, hidden=True) for name in dense}
    missing = {
        name: [
            (100.0 * (pose is None), one.episode)
            for one in followed
            for place, pose in enumerate(one.poses[name])
            if one.counts(place)
        ]
        for name in dense
    }
    took_ms = {TRACK: [(1e3 * s, one.episode) for one in followed for s in one.took_s]}
    return [
        Row("seen well", "no pose", _of_pairs(missing, mean), "%"),
        Row("hardly seen", "box centre error, median", _by_method(hidden, center_mm, median), "mm"),
        Row("hardly seen", "box centre error, p90", _by_method(hidden, center_mm, p90), "mm"),
        Row("hardly seen", "share inside the 95 % bound", {n: of_values(p, inside, mean) for n, p in hidden.items()}),
        Row("time", "a step of the track, median", _of_pairs(took_ms, median), "ms"),
    ]
