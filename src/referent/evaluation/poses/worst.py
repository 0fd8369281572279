"""The worst poses of a run, one of each object, so that somebody can look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from referent.evaluation.lines import Line
from referent.evaluation.poses.compare import compare
from referent.evaluation.poses.follow import TRACK, Followed
from referent.evaluation.poses.motion import JUMP_RAD, turns
from referent.evaluation.poses.rows import Judged, Value, axis_deg, center_mm, judged_poses, nees_share, side_mm

EACH = 8  # by each measure
MEASURES: dict[str, Value] = {"centre mm": center_mm, "side mm": side_mm, "axis deg": axis_deg, "NEES": nees_share}
JUMP = "jump deg"


@dataclass(frozen=True, eq=False)
class Case:
    """One pose that is bad by one measure."""

    measure: str
    value: float
    judged: Judged


def worst(followed: Sequence[Followed]) -> list[Case]:
    """The track's worst poses by each measure, and its jumps."""
    judged = judged_poses(followed, TRACK)
    of_measures = [case for name, value in MEASURES.items() for case in _ranked(name, value, judged)]
    jumped = sorted((case for one in followed for case in _jumps(one)), key=_value, reverse=True)
    return [*of_measures, *jumped[:EACH]]


def _ranked(name: str, value: Value, judged: Sequence[Judged]) -> list[Case]:
    of_object: dict[int, Case] = {}
    for one in judged:
        known = value(one)
        best = of_object.get(id(one.followed))
        if known is not None and (best is None or known > best.value):
            of_object[id(one.followed)] = Case(name, known, one)
    return sorted(of_object.values(), key=_value, reverse=True)[:EACH]


def _jumps(followed: Followed) -> list[Case]:
    found = []
    for place, turned_rad in turns(followed, TRACK):
        given = followed.poses[TRACK][place]
        if turned_rad > JUMP_RAD and given is not None:
            errors = compare(given, followed.seen[place], followed.category, followed.size_m)
            found.append(Case(JUMP, float(np.rad2deg(turned_rad)), Judged(followed, place, errors)))
    return found


def _value(case: Case) -> float:
    return case.value


def worst_lines(cases: Sequence[Case]) -> list[Line]:
    """The same as JSON values."""
    return [_line(case) for case in cases]


def _line(case: Case) -> Line:
    one = case.judged
    episode, seen = one.followed.episode, one.followed.seen[one.place]
    return {
        "measure": case.measure,
        "value": round(case.value, 2),
        "scene": episode.scene,
        "seed": episode.seed,
        "fps": episode.fps,
        "frame": seen.index,
        "frame of the track": one.place,
        "object": one.followed.instance_id,
        "category": one.followed.category,
        "share seen": round(seen.share, 2),
        "distance m": round(one.distance_m, 2),
    }


def worst_table(lines: Sequence[Line]) -> str:
    """For a terminal."""
    return "\n".join(
        f"{line['measure']:9s} {line['value']:8.1f}  {line['scene']} {line['seed']} frame {line['frame']:3d} "
        f"(of the track {line['frame of the track']}), object {line['object']} {line['category']}, "
        f"{100 * line['share seen']:.0f} % seen at {line['distance m']:.2f} m"
        for line in lines
    )
