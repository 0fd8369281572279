"""report.html: one file that shows a recorded run to people, without network: pictures, plots, tables."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from referent.errors import BadMessage
from referent.evaluation.drawing import STATE_COLORS, color_of, hex_color
from referent.evaluation.lines import Line
from referent.evaluation.matching import evaluate_run
from referent.evaluation.metrics import percentiles
from referent.evaluation.plots import Run, run_figure
from referent.evaluation.summary import number, read_lines, summary_table

__all__ = ["summary_table", "write_report"]

MAX_EMBEDDED_VIDEO_BYTES = 12_000_000
TEMPLATE = "report.html.j2"


def write_report(directory: Path | str, *, title: str | None = None) -> Path:
    """Make report.html of the recording in `directory` and return its path.

    Raises BadMessage when the folder holds no whole recording.
    """
    folder = Path(directory)
    summary, run = _read_run(folder)
    expressions = list(dict.fromkeys(item["expression"] for item in summary["objects"]))
    html = _template().render(
        title=title or ", ".join(expressions) or "Referent run",
        summary=summary,
        tiles=list(_tiles(summary)),
        objects=[{**item, "color": hex_color(color_of(item["id"]))} for item in summary["objects"]],
        state_colors=STATE_COLORS,
        shown_states=[state for state in STATE_COLORS if any(state in item["states"] for item in summary["objects"])],
        steps=list(_steps(folder, run)),
        video=_video(folder),
        figure=json.loads(run_figure(run).to_json()) if run.lines else None,
        groundings=[_grounding_row(folder, run, grounding) for grounding in summary["groundings"]],
        timings=_timings(run.lines),
        plotly=_packed_plotly(),
    )
    unfinished, path = folder / "report.html.part", folder / "report.html"
    unfinished.write_text(html, encoding="utf-8")
    os.replace(unfinished, path)
    return path


def _read_run(folder: Path) -> tuple[Line, Run]:
    for name in ("summary.json", "results.jsonl"):
        if not (folder / name).is_file():
            raise BadMessage(
                f"{folder}: no {name}; a report needs a finished recording, as `referent replay` writes it"
            )
    summary: Line = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    lines = list(read_lines(folder / "results.jsonl"))
    truth_path = folder / "truth.jsonl"
    truths = list(read_lines(truth_path)) if truth_path.exists() else []
    by_stamp = {truth["stamp_ns"]: truth for truth in truths}
    return summary, Run(lines, by_stamp, evaluate_run(lines, truths), summary["groundings"])


def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["form"] = number
    environment.filters["nested"] = _nested_rows
    return environment.get_template(TEMPLATE)


def _tiles(summary: Line) -> Iterator[tuple[str, str, str]]:
    """(name, figure, explanation) of what a reader looks for first."""
    latency, truth = summary["latency_s"], summary["truth"]
    yield "Frames", str(summary["frames"]), f"{summary['duration_s']:.1f} s of input in {summary['wall_s']:.1f} s"
    yield "Rate", number(summary["fps"], "{:.1f} /s"), "frames handled per second"
    tail = " / ".join(number(latency[rank], "{:.0f}", scale=1000) for rank in ("p95", "p99"))
    yield "Latency", number(latency["p50"], "{:.0f} ms", scale=1000), f"median per frame; p95 / p99 {tail} ms"
    firsts = [item["first_mask_s"] for item in summary["objects"] if item["first_mask_s"] is not None]
    yield "First mask", number(min(firsts, default=None), "{:.2f} s"), "after the instruction"
    if truth:
        yield "J&F", number(truth["j_and_f"], "{:.3f}"), f"J {truth['j']:.3f}, F {truth['f']:.3f} against the truth"
        yield "Position error", number(truth["position_error_m"], "{:.1f} mm", scale=1000), "median against the truth"


def _steps(folder: Path, run: Run) -> Iterator[Line]:
    """The step pictures with what is known of their frames."""
    for path in sorted((folder / "pictures").glob("step_*.jpg")):
        index = int(path.stem.removeprefix("step_"))
        line = run.lines[index]
        yield {
            "source": _data_uri(path, "image/jpeg"),
            "frame": index + 1,
            "time_s": run.time_s(line["stamp_ns"]),
            "objects": [
                {"text": f"{item['id']} {item['expression']}", "state": item["state"], "score": item["score"]}
                for item in line["objects"]
            ],
        }


def _video(folder: Path) -> Line | None:
    """overlay.mp4, embedded when it is small, linked beside the report when not."""
    path = folder / "overlay.mp4"
    if not path.exists():
        return None
    size = path.stat().st_size
    embedded = size <= MAX_EMBEDDED_VIDEO_BYTES
    return {"megabytes": size / 1e6, "source": _data_uri(path, "video/mp4") if embedded else None}


def _grounding_row(folder: Path, run: Run, grounding: Line) -> Line:
    picture = folder / "pictures" / grounding["picture"] if grounding.get("picture") else None
    return {
        **grounding,
        "asked_s": run.time_s(grounding["stamp_ns"]),
        "answered_s": run.time_s(grounding["answered_stamp_ns"]),
        "source": _data_uri(picture, "image/jpeg") if picture and picture.exists() else None,
    }


def _timings(lines: Sequence[Line]) -> list[Line]:
    """Each stage's percentiles in seconds, the whole last."""
    stages = sorted({name for line in lines for name in line["timings_s"]}, key=lambda name: (name == "total", name))
    rows = []
    for stage in stages:
        values_s = [line["timings_s"][stage] for line in lines if stage in line["timings_s"]]
        rows.append({"stage": stage, "count": len(values_s), "sum_s": sum(values_s), **percentiles(values_s)})
    return rows


def _nested_rows(tree: Line, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A tree of settings as (dotted name, value)."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _nested_rows(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _packed_plotly() -> str:
    """plotly.js, gzipped and in base64: a third of its size, unpacked by the browser."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode("ascii")


def _data_uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
