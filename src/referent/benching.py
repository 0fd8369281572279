"""`referent bench`: finds the measurements in the repository's benchmarks/ and runs one."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from referent.errors import ConfigError, ReferentError

COMPARED = ("tracker", "pipeline", "geometry")
DONE = 0


def add_bench(commands: Any) -> None:
    """Add the sub-command with one sub-command for each measurement."""
    meaning = "measurements, side by side in one run; a shift in a test"
    parser = commands.add_parser("bench", help=meaning, description=meaning)
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    for what in COMPARED:
        _add_compared(kinds, what)
    _add_soak(kinds)


def load_benchmark(name: str) -> Any:
    """The module benchmarks/bench_<name>.py. Raises ReferentError where there is no repository around the package."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / f"bench_{name}.py"
    if not path.is_file():
        raise ReferentError(f"{path} is missing; benchmarks come with the repository, not with the installed package")
    spec = importlib.util.spec_from_file_location(f"bench_{name}", path)
    if spec is None or spec.loader is None:
        raise ReferentError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # where a benchmark finds its own parts
    spec.loader.exec_module(module)
    return module


def _add_compared(kinds: Any, what: str) -> None:
    parser = kinds.add_parser(what, help=f"the {what} beside its peers")
    parser.set_defaults(run=_compare, what=what)
    parser.add_argument("--against", default="official,transformers", metavar="NAMES", help="comma-separated peers")
    parser.add_argument("--quick", action="store_true", help="tracker: few frames, to try the bench and not to measure")
    parser.add_argument("--json", type=Path, metavar="FILE")


def _compare(options: argparse.Namespace) -> int:
    bench = load_benchmark(options.what)
    against = tuple(name for name in options.against.split(",") if name)
    if options.quick and not hasattr(bench, "quick"):
        raise ConfigError(f"bench {options.what}: --quick is for the tracker's bench")
    measured = bench.quick(against=against) if options.quick else bench.measure(against=against)
    print(bench.table(measured))
    write_json(options.json, measured)
    return DONE


def _add_soak(kinds: Any) -> None:
    parser = kinds.add_parser("soak", help="ROS 2 processes over a shift: memory, losses, overload, latency")
    parser.set_defaults(run=_soak)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--overload", action="store_true", help="three times the pictures that can be processed")
    which.add_argument("--latency", action="store_true", help="picture in to mask out")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="stamped minutes of the soak")
    parser.add_argument("--rate", type=float, default=30.0, metavar="HZ", help="pictures a second of the soak")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="how much faster the soak is played")
    parser.add_argument("--output", type=Path, default=Path("out/soak"), metavar="DIR", help="clip, logs and plot")
    parser.add_argument("--json", type=Path, metavar="FILE")


def _soak(options: argparse.Namespace) -> int:
    if not (0 < options.minutes <= 24 * 60 and 0 < options.rate <= 1000 and 0 < options.speed <= 100):
        raise ConfigError("bench soak: --minutes up to 1440, --rate up to 1000, --speed up to 100, all above 0")
    bench = load_benchmark("soak")
    output = options.output.resolve()
    if options.overload:
        measured = bench.overload(output)
    elif options.latency:
        measured = bench.latency(output)
    else:
        measured = bench.soak(output, minutes=options.minutes, rate_hz=options.rate, speed=options.speed)
    print(bench.table(measured))
    write_json(options.json, measured)
    return int(bench.status(measured))


def write_json(path: Path | None, measured: object) -> None:
    """What was measured, into a file if one was named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measured, indent=2) + "\n")
