"""summary.json: a whole run in a few numbers, made from its lines; and the same as a table for a terminal."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from referent.errors import BadMessage
from referent.evaluation.lines import DECIMALS, Line
from referent.evaluation.matching import ObjectEvaluation, evaluate_run
from referent.evaluation.metrics import mean_or_none, percentiles

PACKAGES = ("referent", "torch", "transformers", "sam2", "numpy", "opencv-python-headless", "open3d", "rosbags", "av")


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a JSON Lines file; BadMessage names the line that is not JSON."""
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            try:
                yield json.loads(text)
            except json.JSONDecodeError as error:
                raise BadMessage(f"{path}: line {number} is not JSON ({error.msg}); record the run again") from error


def versions() -> dict[str, str]:
    """Python and the packages that decide the results; packages that are not installed are left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass
class _ObjectTotals:
    """Running totals of one object."""

    expression: str
    first_stamp_ns: int
    label: str = ""
    states: Counter[str] = field(default_factory=Counter)
    score_sum: float = 0.0
    seen: int = 0
    posed: int = 0
    first_mask_ns: int | None = None

    def add(self, stamp_ns: int, item: Line) -> None:
        self.label = item["label"] or self.label
        self.states[item["state"]] += 1
        self.posed += item["pose"] is not None
        if item["mask_rle"]:
            self.seen += 1
            self.score_sum += item["score"] or 0.0
            self.first_mask_ns = stamp_ns if self.first_mask_ns is None else self.first_mask_ns

    def line(self, object_id: str) -> Line:
        frames = self.states.total()
        first_s = None if self.first_mask_ns is None else (self.first_mask_ns - self.first_stamp_ns) * 1e-9
        return {
            "id": object_id,
            "expression": self.expression,
            "label": self.label,
            "frames": frames,
            "states": dict(self.states),
            "seen_frames": self.seen,
            "pose_frames": self.posed,
            "first_mask_s": None if first_s is None else round(first_s, DECIMALS),
            "mean_score": round(self.score_sum / self.seen, DECIMALS) if self.seen else None,
        }


def summarize(lines: Iterable[Line], groundings: Sequence[Line], *, wall_s: float) -> Line:
    """The fields of summary.json that follow from the lines, in one pass over them."""
    objects: dict[str, _ObjectTotals] = {}
    latencies_s: list[float] = []
    frames, first_ns, last_ns, drops = 0, 0, 0, {}
    for line in lines:
        first_ns = line["stamp_ns"] if frames == 0 else first_ns
        frames, last_ns, drops = frames + 1, line["stamp_ns"], line["drops"]
        if "total" in line["timings_s"]:
            latencies_s.append(line["timings_s"]["total"])
        for item in line["objects"]:
            totals = objects.setdefault(item["id"], _ObjectTotals(item["expression"], line["stamp_ns"]))
            totals.add(line["stamp_ns"], item)
    return {
        "frames": frames,
        "duration_s": round((last_ns - first_ns) * 1e-9, DECIMALS),
        "wall_s": round(wall_s, DECIMALS),
        "fps": round(frames / wall_s, 3) if wall_s > 0 else None,
        "latency_s": percentiles(latencies_s),
        "groundings": list(groundings),
        "objects": [totals.line(object_id) for object_id, totals in objects.items()],
        "drops": drops,
        "truth": None,
    }


def add_truth(summary: Line, lines: Sequence[Line], truths: Sequence[Line]) -> Line:
    """`summary` with each object's score against the truth, and their mean over the objects."""
    evaluations = evaluate_run(lines, truths)
    scored = [{**item, "truth": _truth_of(evaluations.get(item["id"]))} for item in summary["objects"]]
    return {**summary, "objects": scored, "truth": mean_over_objects([item["truth"] for item in scored])}


def _truth_of(evaluation: ObjectEvaluation | None) -> Line | None:
    if evaluation is None:
        return None
    score = evaluation.score
    return {
        "instance_id": evaluation.match.instance_id,
        "matched_by": evaluation.match.by,
        "j": score.j,
        "f": score.f,
        "j_and_f": score.j_and_f,
        "found_rate": score.found_rate,
        "position_error_m": score.position_error_m,
    }


def mean_over_objects(scores: Sequence[Line | None]) -> Line | None:
    """The mean of each metric over objects; an object never found counts 0 in J, F and J&F. None without objects."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    means: Line = {name: mean_or_none([score[name] or 0.0 for score in known]) for name in ("j", "f", "j_and_f")}
    for name in ("found_rate", "position_error_m"):
        means[name] = mean_or_none([score[name] for score in known if score[name] is not None])
    return {"objects": len(known), **means}


def summary_table(summary: Mapping[str, object]) -> str:
    """A run's summary as an aligned table for a terminal."""
    rows = list(summary_rows(summary))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def summary_rows(summary: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """(name, value) of everything a person looks for first."""
    facts: Line = dict(summary)
    yield "frames", f"{facts['frames']} over {facts['duration_s']:.1f} s, in {facts['wall_s']:.1f} s"
    yield "rate", number(facts["fps"], "{:.1f} frames/s")
    latency = [number(facts["latency_s"][rank], "{:.1f}", scale=1000) for rank in ("p50", "p95", "p99")]
    yield "latency p50 / p95 / p99", " / ".join(latency) + " ms"
    outcomes = Counter(grounding["outcome"] for grounding in facts["groundings"])
    yield "groundings", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "none"
    for item in facts["objects"]:
        yield f"object {item['id']}", object_text(item)
    if facts.get("truth"):
        yield from _truth_rows(facts["truth"])
    dropped = {name: count for name, count in facts["drops"].items() if count}
    yield "drops", ", ".join(f"{name} {count}" for name, count in dropped.items()) or "none"
    yield from (("warning", text) for text in facts.get("warnings", ()))


def object_text(item: Line) -> str:
    """One object in a line: what it is, since when, how long in which state."""
    states = ", ".join(f"{state} {count / item['frames']:.0%}" for state, count in item["states"].items())
    first = number(item["first_mask_s"], "first mask after {:.2f} s", none="never found")
    return f"{item['expression']}: {first}; {states}"


def _truth_rows(truth: Line) -> Iterator[tuple[str, str]]:
    yield "J / F / J&F", " / ".join(number(truth[name], "{:.3f}") for name in ("j", "f", "j_and_f"))
    yield "found", number(truth["found_rate"], "{:.1%} of the frames in which it is visible")
    yield "position error", number(truth["position_error_m"], "{:.1f} mm (median)", scale=1000)


def number(value: float | None, form: str, *, scale: float = 1.0, none: str = "–") -> str:
    """`value` in a format, or a dash where there is none."""
    return none if value is None else form.format(value * scale)
