"""The report's figure: state, scores, position against truth and latency of a run over one axis of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from referent.evaluation.drawing import STATE_COLORS, color_of, darker, hex_color
from referent.evaluation.lines import Line
from referent.evaluation.matching import ObjectEvaluation, true_position_m

Figure = Any  # plotly.graph_objects.Figure; plotly is imported only when a report is made

INK, MUTED, GRID = "#1f2933", "#5b6875", "#e6eaee"
ROWS = ("state", "score", "x", "y", "z", "latency")
HEIGHTS = (0.10, 0.22, 0.16, 0.16, 0.16, 0.20)
TITLES = (
    "State",
    "Mask score, and overlap (IoU) with the truth",
    "Position x (m)",
    "Position y (m)",
    "Position z (m)",
    "Time per frame (ms)",
)


@dataclass(frozen=True)
class Run:
    """What the plots need of a run."""

    lines: Sequence[Line]
    truths: Mapping[int, Line]  # by stamp
    evaluations: Mapping[str, ObjectEvaluation]  # by object id; empty without truth
    groundings: Sequence[Line]

    def time_s(self, stamp_ns: int) -> float:
        """Seconds since the first frame."""
        return round((stamp_ns - self.lines[0]["stamp_ns"]) * 1e-9, 6)

    def times_s(self) -> list[float]:
        """Seconds since the first frame, of every frame."""
        return [self.time_s(line["stamp_ns"]) for line in self.lines]

    def object_ids(self) -> list[str]:
        """Every object of the run, in order of appearance."""
        return list(dict.fromkeys(item["id"] for line in self.lines for item in line["objects"]))

    def items(self, object_id: str) -> list[Line | None]:
        """One object in every frame; None where it is not listed."""
        return [next((i for i in line["objects"] if i["id"] == object_id), None) for line in self.lines]


def run_figure(run: Run) -> Figure:
    """All plots of a run as one plotly figure with a shared axis of time in seconds."""
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=len(ROWS), cols=1, shared_xaxes=True, vertical_spacing=0.035, row_heights=HEIGHTS, subplot_titles=TITLES
    )
    for object_id in run.object_ids():
        items = run.items(object_id)
        _add_states(figure, run, object_id, items)
        _add_scores(figure, run, object_id, items)
        _add_position(figure, run, object_id, items)
    _add_groundings(figure, run)
    _add_latency(figure, run)
    _style(figure, states=len(run.object_ids()), end_s=run.time_s(run.lines[-1]["stamp_ns"]))
    return figure


def _row(name: str) -> dict[str, int]:
    return {"row": ROWS.index(name) + 1, "col": 1}


def _name(object_id: str, items: Sequence[Line | None]) -> str:
    expression = next(item["expression"] for item in items if item is not None)
    return f"{object_id} · {expression}"


def _add_states(figure: Figure, run: Run, object_id: str, items: Sequence[Line | None]) -> None:
    """One horizontal band per object, in pieces colored by state."""
    times_s = run.times_s()
    end_s = times_s[-1] + (times_s[-1] / max(len(times_s) - 1, 1) or 0.05)
    starts = [*times_s, end_s]
    for state, pieces in _pieces(items).items():
        figure.add_bar(
            x=[round(starts[stop] - starts[start], 6) for start, stop in pieces],
            base=[starts[start] for start, _ in pieces],
            y=[object_id] * len(pieces),
            orientation="h",
            marker={"color": STATE_COLORS[state], "line": {"width": 0}},
            name=state,
            meta=object_id,
            hovertemplate=f"{_name(object_id, items)}<br>{state} from %{{base:.2f}} s for %{{x:.2f}} s<extra></extra>",
            **_row("state"),
        )


def _pieces(items: Sequence[Line | None]) -> dict[str, list[tuple[int, int]]]:
    """Runs of equal state as index ranges (start, stop), by state."""
    pieces: dict[str, list[tuple[int, int]]] = {}
    for state, run in groupby(range(len(items)), key=lambda index: (items[index] or {}).get("state")):
        indices = list(run)
        if state is not None:
            pieces.setdefault(state, []).append((indices[0], indices[-1] + 1))
    return pieces


def _add_scores(figure: Figure, run: Run, object_id: str, items: Sequence[Line | None]) -> None:
    color, name = hex_color(color_of(object_id)), _name(object_id, items)
    figure.add_scatter(
        x=run.times_s(),
        y=[item["score"] if item and item["mask_rle"] else None for item in items],
        mode="lines",
        line={"color": color, "width": 2},
        name=f"{name}: mask score",
        meta=object_id,
        hovertemplate="mask score %{y:.3f}<extra></extra>",
        **_row("score"),
    )
    if object_id in run.evaluations:
        frames = run.evaluations[object_id].frames
        figure.add_scatter(
            x=[run.time_s(frame.stamp_ns) for frame in frames],
            y=[round(frame.j, 4) if frame.visible or frame.answered else None for frame in frames],
            mode="lines",
            line={"color": hex_color(darker(color_of(object_id))), "width": 1.8, "dash": "dot"},
            name=f"{name}: overlap (IoU) with the truth",
            meta=object_id,
            hovertemplate="IoU with the truth %{y:.3f}<extra></extra>",
            **_row("score"),
        )


def _add_position(figure: Figure, run: Run, object_id: str, items: Sequence[Line | None]) -> None:
    """Estimated x, y, z with one sigma, and the truth in the same frame."""
    color, name, times_s = color_of(object_id), _name(object_id, items), run.times_s()
    truth_m = _true_positions(run, object_id, items)
    for axis, letter in enumerate("xyz"):
        value_m = [item["pose"]["position_m"][axis] if item and item["pose"] else None for item in items]
        sigma_m = [item["pose"]["covariance"][7 * axis] ** 0.5 if item and item["pose"] else 0.0 for item in items]
        band = _band(times_s, value_m, sigma_m)
        figure.add_scatter(
            **band,
            fillcolor="rgba({},{},{},0.22)".format(*color),
            name=f"{name}: ± sigma",
            meta=object_id,
            **_row(letter),
        )
        figure.add_scatter(
            x=times_s,
            y=value_m,
            customdata=[round(1000 * sigma, 2) for sigma in sigma_m],
            mode="lines",
            line={"color": hex_color(color), "width": 2},
            name=f"{name}: position",
            meta=object_id,
            hovertemplate=letter + " %{y:.4f} m ± %{customdata:.1f} mm<extra></extra>",
            **_row(letter),
        )
        if truth_m:
            figure.add_scatter(
                x=[run.time_s(stamp_ns) for stamp_ns in truth_m],
                y=[round(float(position[axis]), 5) for position in truth_m.values()],
                mode="lines",
                line={"color": hex_color(darker(color)), "width": 1.8, "dash": "dot"},
                name=f"{name}: true position",
                meta=object_id,
                hovertemplate="true " + letter + " %{y:.4f} m<extra></extra>",
                **_row(letter),
            )


def _band(times_s: Sequence[float], value_m: Sequence[float | None], sigma_m: Sequence[float]) -> dict[str, Any]:
    """A filled outline value ± sigma, with a gap wherever the value is not known."""
    x: list[float | None] = []
    y: list[float | None] = []
    for start, stop in _known_ranges(value_m):
        there, back = list(range(start, stop)), list(range(stop - 1, start - 1, -1))
        x += [times_s[i] for i in there + back] + [None]
        y += [round((value_m[i] or 0.0) + sigma_m[i], 6) for i in there]
        y += [round((value_m[i] or 0.0) - sigma_m[i], 6) for i in back] + [None]
    return {"x": x, "y": y, "mode": "lines", "line": {"width": 0}, "fill": "toself", "hoverinfo": "skip"}


def _known_ranges(values: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    for known, run in groupby(range(len(values)), key=lambda index: values[index] is not None):
        indices = list(run)
        if known:
            yield indices[0], indices[-1] + 1


def _true_positions(run: Run, object_id: str, items: Sequence[Line | None]) -> dict[int, Any]:
    """Stamp -> true (3,) position in the frame the object's poses are given in."""
    frame = next((item["pose"]["frame"] for item in items if item and item["pose"]), None)
    if object_id not in run.evaluations or frame is None:
        return {}
    instance_id = run.evaluations[object_id].match.instance_id
    positions: dict[int, Any] = {}
    for line in run.lines:
        truth = run.truths.get(line["stamp_ns"], {"objects": []})
        known = next((item for item in truth["objects"] if item["instance_id"] == instance_id), None)
        if known is not None:
            position = true_position_m(known, truth, frame=frame, camera_frame=line["camera_frame"])
            positions |= {} if position is None else {line["stamp_ns"]: position}
    return positions


def _add_groundings(figure: Figure, run: Run) -> None:
    """When the grounder was asked and when its answers were taken, as marks under the scores."""
    for key, symbol, name in (
        ("stamp_ns", "triangle-up", "grounder asked"),
        ("answered_stamp_ns", "diamond", "answer taken"),
    ):
        figure.add_scatter(
            x=[run.time_s(grounding[key]) for grounding in run.groundings],
            y=[0.0] * len(run.groundings),
            text=[f"{g['expression']}: {g['reason']}, {g['outcome']}" for g in run.groundings],
            mode="markers",
            marker={"symbol": symbol, "size": 9, "color": INK, "line": {"color": "white", "width": 1}},
            name=name,
            cliponaxis=False,
            hovertemplate=name + "<br>%{text}<extra></extra>",
            **_row("score"),
        )


def _add_latency(figure: Figure, run: Run) -> None:
    total_ms = [line["timings_s"].get("total") for line in run.lines]
    total_ms = [None if value is None else round(1000 * value, 3) for value in total_ms]
    figure.add_scatter(
        x=run.times_s(),
        y=total_ms,
        mode="lines",
        line={"color": MUTED, "width": 1.2},
        name="time per frame",
        hovertemplate="%{y:.1f} ms<extra></extra>",
        **_row("latency"),
    )
    known_ms = [value for value in total_ms if value is not None]
    if known_ms:
        figure.add_hline(
            y=float(np.percentile(known_ms, 50)), line={"color": INK, "width": 1, "dash": "dot"}, **_row("latency")
        )


def _style(figure: Figure, *, states: int, end_s: float) -> None:
    """Calm looks. The legend is the page's, so that it wraps on a narrow screen."""
    family = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
    figure.update_layout(
        height=1060 + 24 * states,
        margin={"l": 48, "r": 12, "t": 34, "b": 46},
        font={"family": family, "size": 12, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        barmode="overlay",
        bargap=0.25,
        hovermode="closest",
        showlegend=False,
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, showline=True, linecolor=GRID, ticks="")
    figure.update_xaxes(range=[-0.015 * end_s, 1.015 * end_s + 1e-3])
    figure.update_yaxes(gridcolor=GRID, zeroline=False, fixedrange=True)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed", **_row("state"))
    figure.update_yaxes(range=[-0.03, 1.05], **_row("score"))
    figure.update_yaxes(rangemode="tozero", **_row("latency"))
    figure.update_xaxes(title={"text": "seconds since the first frame"}, **_row("latency"))
    for title in figure.layout.annotations[: len(ROWS)]:
        title.update(x=0, xanchor="left", font={"size": 13, "color": INK}, yshift=3)
