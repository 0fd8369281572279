"""A shift in a test: camera, node with the bundled models and a listener as ROS 2 processes, watched from outside.

`referent bench soak [--minutes 30] [--rate 30]` plays a simulated scene there and back and holds against the bars that
nothing grows and every picture is accounted for; `--overload` sends three times what this machine can do; `--latency`
measures picture in to mask out at a rate the machine keeps up with. Exit status 1 when a bar is missed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image
from soak.bars import Row, accounted_rows, in_columns, latency_rows, overload_rows, soak_rows
from soak.runs import Plan, Run, played
from tracker_bench.plot import Panel, picture

PLOTTED = ("node", "grounder", "camera")

OUTPUT = Path("out/soak")
TRIAL_S, TRIAL_RATE_HZ, OVERLOAD_S = 15.0, 60.0, 45.0
LATENCY_S, LATENCY_RATE_HZ = 60.0, 10.0
FACTOR, ENOUGH, TRIES = 3.3, 3.0, 3  # what comes in takes time from what is done, so it is aimed higher
LONG_MINUTES = 10.0
DONE, MISSED = 0, 1


def table(measured: dict[str, Any]) -> str:
    """The rows for people."""
    return in_columns([Row(**row) for row in measured["rows"]])


def status(measured: dict[str, Any]) -> int:
    """MISSED when a bar is."""
    return MISSED if any(row["holds"] is False for row in measured["rows"]) else DONE


def soak(output: Path, *, minutes: float, rate_hz: float, speed: float) -> dict[str, Any]:
    """Nothing grows, nothing is lost; writes `soak_node.png` too."""
    sample_s = 5.0 if minutes >= LONG_MINUTES else 1.0
    shown = played(Plan(seconds=60 * minutes, rate_hz=rate_hz, speed=speed, sample_s=sample_s), output / "run")
    plot(shown).save(output / "soak_node.png", optimize=True)
    return facts_of(shown, soak_rows(shown))


def overload(output: Path) -> dict[str, Any]:
    """Pictures come three times as fast as they can be processed."""
    trial = played(Plan(seconds=TRIAL_S, rate_hz=TRIAL_RATE_HZ, sample_s=1.0), output / "run")
    rate_hz = FACTOR * trial.counters["total_processed"] / trial.took_s
    for _ in range(TRIES):
        shown = played(Plan(seconds=OVERLOAD_S, rate_hz=rate_hz, sample_s=1.0), output / "run")
        given = shown.camera["sent"] / shown.counters["total_processed"]
        if given >= ENOUGH:
            break
        rate_hz *= FACTOR / given
    rows = [Row("pictures sent a second", f"{shown.camera['sent'] / shown.took_s:.0f}"), *overload_rows(shown)]
    return facts_of(shown, [*rows, *accounted_rows(shown)])


def latency(output: Path) -> dict[str, Any]:
    """Picture in to mask out, as a client sees it, at a rate that leaves the machine time."""
    plan = Plan(seconds=LATENCY_S, rate_hz=LATENCY_RATE_HZ, scene="tabletop", say="the red mug", say_every_s=1e6)
    shown = played(plan, output / "run")
    rows = [Row("pictures sent a second", f"{LATENCY_RATE_HZ:g}"), *latency_rows(shown), *accounted_rows(shown)]
    return facts_of(shown, rows)


def facts_of(shown: Run, rows: Sequence[Row]) -> dict[str, Any]:
    """What was measured, for a file: the samples, and the listener's lines without the diagnostics of each second."""
    lines = [{name: value for name, value in line.items() if name != "diagnostics"} for line in shown.lines]
    return {
        "rows": [asdict(row) for row in rows],
        "machine": machine(),
        "plan": asdict(shown.plan),
        "camera": dict(shown.camera),
        "took_s": round(shown.took_s, 1),
        "counters": shown.counters,
        "samples": [asdict(sample) | {"shared_memory": len(sample.shared_memory)} for sample in shown.samples],
        "seconds": lines,
    }


def machine() -> dict[str, Any]:
    """Where it was measured, and how busy that was: with our own processes the load is about 2."""
    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()}


def plot(shown: Run) -> Image.Image:
    """Memory, threads and files over the minutes."""
    samples = [sample for sample in shown.samples if all(name in sample.vitals for name in PLOTTED)]

    def of(kind: str) -> dict[str, Sequence[float]]:
        return {name: [getattr(sample.vitals[name], kind) for sample in samples] for name in PLOTTED}

    panels = (
        Panel("memory, RSS, MB", of("rss_mb")),
        Panel("anonymous memory, MB", of("anon_mb")),
        Panel("threads", of("threads")),
        Panel("open files", of("files")),
        Panel("files in shared memory", {"all": [len(sample.shared_memory) for sample in samples]}),
    )
    minutes = [sample.at_s * shown.plan.speed / 60 for sample in samples]
    return picture(minutes, panels, x_title="minutes of stamped time")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
