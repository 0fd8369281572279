"""The worst poses of a run, one of each object, so that somebody can look at them."""

from __future__ import annotations

from collections.abc import Sequence

from referent.evaluation.lines import Line
from referent.evaluation.poses.follow import TRACK, Followed
from referent.evaluation.poses.rows import Judged, Value, axis_deg, center_mm, judged_poses, nees_share, side_mm

EACH = 8  # by each measure
MEASURES: dict[str, Value] = {"centre mm": center_mm, "side mm": side_mm, "axis deg": axis_deg, "NEES": nees_share}


def worst(followed: Sequence[Followed]) -> list[tuple[str, Judged]]:
    """The track's worst poses by each measure."""
    judged = judged_poses(followed, TRACK)
    found: list[tuple[str, Judged]] = []
    for name, value in MEASURES.items():
        of_object: dict[int, Judged] = {}
        for one in judged:
            known = value(one)
            best = of_object.get(id(one.followed))
            if known is not None and (best is None or known > (value(best) or 0.0)):
                of_object[id(one.followed)] = one
        ranked = sorted(of_object.values(), key=lambda one: value(one) or 0.0, reverse=True)
        found += [(name, one) for one in ranked[:EACH]]
    return found


def worst_lines(found: Sequence[tuple[str, Judged]]) -> list[Line]:
    """The same as JSON values."""
    return [_line(name, one) for name, one in found]


def _line(name: str, one: Judged) -> Line:
    episode, seen = one.followed.episode, one.followed.seen[one.place]
    return {
        "measure": name,
        "value": round(MEASURES[name](one) or 0.0, 2),
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
