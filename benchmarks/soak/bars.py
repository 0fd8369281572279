"""What a run must hold, as rows of a table: a name, what was measured, the bar, whether it holds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soak.runs import Line, Run, Sample

WARM_UP_SHARE, LONGEST_WARM_UP_S = 0.25, 300.0
PARTS = 5  # the first and the last fifth after the warm-up are compared
GROWTH = 0.02
WATCHED = ("node", "grounder", "camera")
STEPS = 2.0
SPREAD = 2.0
OVERLOAD = 3.0


@dataclass(frozen=True)
class Row:
    """One line of the table; `holds` is None for what only informs."""

    name: str
    value: str
    bar: str = ""
    holds: bool | None = None


def soak_rows(run: Run) -> list[Row]:
    """Nothing grows, and every picture is accounted for."""
    return [*_growth_rows(run), *accounted_rows(run), *_work_rows(run), *speed_rows(run)]


def accounted_rows(run: Run) -> list[Row]:
    """Every picture that was sent is accounted for, and only the mailbox drops any."""
    sent, counts = int(run.camera["sent"]), run.counters
    processed, dropped = counts.get("total_processed", 0), counts.get("total_dropped", 0)
    unpaired = {kind: counts.get(f"unmatched_{kind}", 0) for kind in ("color", "depth")}
    arrived, lost = (
        {kind: counts.get(f"/{kind}/image_rect {what}", 0) for kind in unpaired} for what in ("total", "lost")
    )
    faults, known = counts.get("total_faults", 0), processed + dropped + unpaired["color"] + lost["color"]
    told = f"{processed} + {dropped} + {unpaired['color']} + {lost['color']} = {known}"
    return [
        Row("pictures sent", str(sent)),
        Row("color: processed + dropped at the mailbox + without a partner + lost", told, "= sent", known == sent),
        *(
            Row(
                f"{kind}: arrived + lost",
                f"{arrived[kind]} + {lost[kind]}",
                "= sent",
                arrived[kind] + lost[kind] == sent,
            )
            for kind in arrived
        ),
        Row("lost on the way, color and depth", f"{lost['color']} and {lost['depth']}", "0", not any(lost.values())),
        Row("without a partner", f"{unpaired['color']} and {unpaired['depth']}", "0", not any(unpaired.values())),
        Row("faults", str(faults), "0", faults == 0),
    ]


def speed_rows(run: Run) -> list[Row]:
    """What was done in which time."""
    steps = run.each("steps_ms")
    rate = run.counters.get("total_processed", 0) / run.took_s
    rows = [Row("pictures processed a second", f"{rate:.1f}")]
    if steps:
        rows.append(Row("step, p50 / p95 / p99", _three(steps)))
    if run.plan.speed == 1 and run.each("latencies_ms"):
        rows.append(Row("picture to mask, p50 / p95 / p99", _three(run.each("latencies_ms"))))
    return rows


def latency_rows(run: Run) -> list[Row]:
    """Picture in to mask out, after the first seconds in which models warm up."""
    latencies = [value for line in _settled(run) for value in line["latencies_ms"]]
    p50, p99 = np.percentile(latencies, (50, 99))
    return [
        Row("pictures", str(len(latencies))),
        Row("picture to mask, p50 / p95 / p99", _three(latencies)),
        Row("worst", f"{max(latencies):.1f} ms"),
        Row("p99 / p50", f"{p99 / p50:.2f}", f"<= {SPREAD:g}", bool(p99 <= SPREAD * p50)),
    ]


def overload_rows(run: Run) -> list[Row]:
    """The newest picture wins: what comes out is never older than two steps, however many came in."""
    lines = _settled(run)
    steps = [value for line in lines for value in line["steps_ms"]]
    latencies = [value for line in lines for value in line["latencies_ms"]]
    sent, processed = int(run.camera["sent"]), run.counters.get("total_processed", 1)
    rows = [
        Row("sent / processed", f"{sent / processed:.1f}", f">= {OVERLOAD:g}", sent >= OVERLOAD * processed),
        Row("step, p50 / p95 / p99", _three(steps)),
        Row("picture to mask with transport, p50 / p95 / p99", _three(latencies)),
    ]
    for name, of, which in (("median", 50, "p50"), ("95th percentile", 95, "p95"), ("worst", 100, "p100")):
        age, step = _told_ages(lines, which), float(np.percentile(steps, of))
        value = f"{age:.1f} ms, {age / step:.2f} of that of a step"
        rows.append(Row(f"age from arrival to publication, {name}", value, f"<= {STEPS:g}", age <= STEPS * step))
    return rows


def in_columns(rows: Sequence[Row]) -> str:
    """The rows for people."""
    words = {None: "", True: "holds", False: "MISSED"}
    widths = [max(len(getattr(row, name)) for row in rows) for name in ("name", "value", "bar")]
    lines = [
        f"{row.name:{widths[0]}s}  {row.value:>{widths[1]}s}  {row.bar:{widths[2]}s}  {words[row.holds]}".rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def settled_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Those after the warm-up."""
    warm_s = min(LONGEST_WARM_UP_S, WARM_UP_SHARE * samples[-1].at_s)
    return [sample for sample in samples if sample.at_s >= warm_s]


def _growth_rows(run: Run) -> list[Row]:
    samples = settled_samples(run.samples)
    names = [name for name in WATCHED if all(name in sample.vitals for sample in samples)]
    rows = []
    for name in names:
        first, last = _ends([sample.vitals[name].rss_mb for sample in samples])
        own_first, own_last = _ends([sample.vitals[name].anon_mb for sample in samples])
        grown = last / first - 1
        value = f"{first:.0f} -> {last:.0f} MB, {100 * grown:+.2f} %; {own_first:.0f} -> {own_last:.0f} MB"
        rows.append(Row(f"memory of {name}, RSS; anonymous", value, f"< {100 * GROWTH:g} %", grown < GROWTH))
    for kind in ("threads", "files"):
        ends = {name: _ends([getattr(sample.vitals[name], kind) for sample in samples]) for name in names}
        value = ", ".join(f"{name} {first:g} -> {last:g}" for name, (first, last) in ends.items())
        rows.append(Row(kind, value, "no growth", all(last <= first for first, last in ends.values())))
    first, last = _ends([len(sample.shared_memory) for sample in samples])
    rows.append(Row("files in shared memory", f"{first:g} -> {last:g}", "no growth", last <= first))
    rows.append(Row("segments of it left afterwards", str(run.left_over), "0", run.left_over == 0))
    most = max(sample.zombies for sample in run.samples)
    rows.append(Row("zombies at most", str(most), "0", most == 0))
    return rows


def _work_rows(run: Run) -> list[Row]:
    reasons: dict[str, int] = {}
    for line in run.lines:
        for reason, _ in line["groundings"]:
            reasons[reason] = reasons.get(reason, 0) + 1
    evidence = sum(count for reason, count in reasons.items() if reason != "new")
    told = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda each: -each[1]))
    return [Row("questions to the grounder", told, ">= 1 on evidence", evidence > 0)]


def _settled(run: Run) -> list[Line]:
    """The listener's lines after the warm-up, while pictures came."""
    lines = [line for line in run.lines if line["heard"]]
    return lines[max(1, len(lines) // 5) : -1]


def _told_ages(lines: Sequence[Line], which: str) -> float:
    """The age that the node's diagnostics tell, in ms: the median of its windows, of the worst the worst."""
    told = [line["diagnostics"]["pipeline"] for line in lines if "pipeline" in line["diagnostics"]]
    values = [1e3 * float(each[f"age_{which}_s"]) for each in told if f"age_{which}_s" in each]
    return max(values) if which == "p100" else statistics.median(values)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Medians of the first and of the last part."""
    part = max(1, len(values) // PARTS)
    return statistics.median(values[:part]), statistics.median(values[-part:])


def _three(values_ms: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in np.percentile(values_ms, (50, 95, 99))) + " ms"
