"""The suite's tables as text: the bars by method, and the track's by category, scene and share seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from referent.evaluation.lines import Line
from referent.evaluation.poses.estimates import Statistic, mean, median, p90
from referent.evaluation.poses.follow import METHODS, TRACK, Followed
from referent.evaluation.poses.motion import jitters_m, jumps
from referent.evaluation.poses.rows import (
    Judged,
    Value,
    axis_deg,
    center_mm,
    inside,
    judged_poses,
    near,
    nees_share,
    of_values,
    side_mm,
)

HEAD = ("", "measure", *METHODS, "n", "must reach", "reached")
SHARES = ((0.9, "90 % or more seen"), (0.6, "60 to 90 % seen"), (0.0, "less seen"))
COLUMNS: Mapping[str, tuple[Value, Statistic, bool]] = {  # by name: value, statistic, up to 1 m only
    "centre mm": (center_mm, median, True),
    "p90": (center_mm, p90, True),
    "side mm": (side_mm, median, True),
    "axis deg": (axis_deg, median, True),
    "axis p90": (axis_deg, p90, True),
    "NEES": (nees_share, mean, False),
    "NEES median": (nees_share, median, False),
    "inside 95 %": (inside, mean, False),
}


def breakdown(followed: Sequence[Followed]) -> list[Line]:
    """The track's measures by category, scene and share seen, as JSON values."""
    judged = judged_poses(followed, TRACK)
    lines = [_line(name, "category", judged, followed, _category) for name in sorted({_category(f) for f in followed})]
    scenes = dict.fromkeys(one.episode.scene for one in followed)
    lines += [_line(name, "scene", judged, followed, _scene) for name in scenes]
    for place, (_, name) in enumerate(SHARES):
        of_share = [one for one in judged if _share_place(one) == place]
        lines.append({"by": "seen", "name": name, **_numbers(of_share)})
    return lines


def _category(followed: Followed) -> str:
    return followed.category


def _scene(followed: Followed) -> str:
    return followed.episode.scene


def _share_place(one: Judged) -> int:
    share = one.followed.seen[one.place].share
    return next(place for place, (least, _) in enumerate(SHARES) if share >= least)


def _line(
    name: str, by: str, judged: Sequence[Judged], followed: Sequence[Followed], of: Callable[[Followed], str]
) -> Line:
    mine = [one for one in followed if of(one) == name]
    jitter_mm = [1e3 * value for one in mine for value in jitters_m(one, TRACK)]
    return {
        "by": by,
        "name": name,
        "objects": len(mine),
        **_numbers([one for one in judged if of(one.followed) == name]),
        "jumps": sum(jumps(one, TRACK)[0] for one in mine),
        "jitter mm": round(sorted(jitter_mm)[len(jitter_mm) // 2], 3) if jitter_mm else None,
    }


def _numbers(judged: Sequence[Judged]) -> Line:
    numbers: Line = {"poses": len(judged)}
    for name, (value, statistic, near_only) in COLUMNS.items():
        known = of_values(near(judged) if near_only else judged, value, statistic)
        numbers[name] = None if known is None else round(known.value, 3)
    return numbers


def table_of_rows(lines: Sequence[Line]) -> str:
    """Rows, as `Row.line` gives them, for a terminal."""
    return _aligned([HEAD, *(_cells(line) for line in lines)])


def table_of_breakdown(lines: Sequence[Line]) -> str:
    """What `breakdown` gives, for a terminal."""
    names = ("objects", "poses", *COLUMNS, "jumps", "jitter mm")
    return _aligned(
        [("", "", *names), *((line["by"], line["name"], *(_number(line.get(n)) for n in names)) for line in lines)]
    )


def markdown(cells: str) -> str:
    """An aligned table as a block of a Markdown document."""
    return f"```\n{cells}\n```\n"


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _cells(line: Line) -> tuple[str, ...]:
    track = line["methods"].get(TRACK) or next(filter(None, line["methods"].values()), None)
    low, high = line["bar"]
    bar = "" if high is None else f"≤ {high:g}" if low is None else f"{low:g} to {high:g}"
    return (
        line["group"],
        line["measure"] + (f" [{line['unit']}]" if line["unit"] else ""),
        *(_measured(line["methods"].get(name)) for name in METHODS),
        str(track["count"]) if track else "0",
        bar,
        {None: "", True: "yes", False: "NO"}[line["reached"]],
    )


def _measured(known: Line | None) -> str:
    if known is None:
        return ""
    error = "" if known["error"] is None else f" ±{_number(known['error'])}"
    return _number(known["value"]) + error


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
