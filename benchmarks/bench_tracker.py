"""Our streaming tracker beside the official video predictor and transformers: same weights, same frames, turn by turn.

`referent bench tracker --against official,transformers [--json FILE]`, or this file as a script with the same options;
`--quick` runs all of it on a small model and a handful of frames, to try the bench itself. The cases are listed in
`tracker_bench/cases.py`. Takes about six minutes on two cores; what else computes on the machine spoils the numbers.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tracker_bench import cases
from tracker_bench.report import lines_of

from referent.benching import write_json


def measure(*, against: Sequence[str] = cases.RIVALS, plan: cases.Plan = cases.FULL, only: str = "") -> dict[str, Any]:
    """Run the plan's cases (or the one called `only`) against these rivals; everything of the result is plain JSON.

    Raises ConfigError when a rival or a case is unknown.
    """
    plan = cases.against(cases.only(plan, only), tuple(against))
    measured: dict[str, Any] = {"machine": _machine(), "against": list(against)}
    with tempfile.TemporaryDirectory() as folder:
        measured["cases"] = [cases.run_case(case, Path(folder)) for case in plan.cases]
        measured["long_run"] = cases.run_long(plan.long_run, Path(folder)) if plan.long_run else None
    return measured


def table(measured: dict[str, Any]) -> str:
    """All cases for people."""
    return "\n".join(lines_of(measured))


def quick(*, against: Sequence[str] = cases.RIVALS) -> dict[str, Any]:
    """Everything once on a small model and a few frames: for trying the bench, not for numbers."""
    return measure(against=against, plan=cases.quick(cases.FULL))


def _machine() -> dict[str, Any]:
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def main() -> None:
    """As `referent bench tracker`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default=",".join(cases.RIVALS), help="comma-separated; empty = ours alone")
    parser.add_argument("--only", default="", metavar="CASE", help="one case, by name")
    parser.add_argument("--frames", type=int, metavar="N", help="timed frames of every case")
    parser.add_argument("--threads", type=int, metavar="N", help="of every case; 1 where others compute as well")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    plan = cases.quick(cases.FULL) if args.quick else cases.FULL
    changes = {name: value for name in ("frames", "threads") if (value := getattr(args, name))}
    plan = replace(plan, cases=tuple(replace(case, **changes) for case in plan.cases))
    measured = measure(against=[name for name in args.against.split(",") if name], plan=plan, only=args.only)
    print(table(measured))
    write_json(args.json, measured)


if __name__ == "__main__":
    main()
