"""The command `referent compare`: a replay beside a kept one."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any

from referent.errors import ConfigError

SAME, DIFFERS = 0, 1
SHOWN = 10


def add_compare(commands: Any) -> None:
    """Add the command to those of `referent`."""
    meaning = "a replay beside a kept one; status 1 when it differs"
    parser = commands.add_parser("compare", help=meaning, description=meaning)
    parser.set_defaults(run=_compare)
    parser.add_argument("golden", type=Path, metavar="GOLDEN", help="results.jsonl that was kept, or its folder")
    parser.add_argument("replayed", type=Path, metavar="RUN", help="the new one")
    parser.add_argument("--min-overlap", type=float, metavar="J", help="of masks, 0 to 1, instead of the same bits")
    parser.add_argument("--max-shift", type=float, metavar="M", help="of positions, with --min-overlap; 0.005")


def _compare(options: argparse.Namespace) -> int:
    from referent.evaluation.golden import Bounds, differences, results_in

    if options.max_shift is not None and options.min_overlap is None:
        raise ConfigError("compare: --max-shift goes with --min-overlap")
    bounds = None
    if options.min_overlap is not None:
        bounds = Bounds(options.min_overlap, 0.005 if options.max_shift is None else options.max_shift)
        if not 0 <= bounds.min_j <= 1:
            raise ConfigError(f"compare: --min-overlap {bounds.min_j:g} is no share; 0 to 1 is asked for")
        if not bounds.max_shift_m >= 0:
            raise ConfigError(f"compare: --max-shift {bounds.max_shift_m:g}: metres, 0 or more")
    golden, replayed = results_in(options.golden), results_in(options.replayed)
    found = differences(golden, replayed, bounds)
    shown = list(islice(found, SHOWN))
    rest = sum(1 for _ in found)
    print("\n".join([*shown, *([f"and {rest} more"] if rest else [])] or [f"{len(golden)} frames agree"]))
    return DIFFERS if shown else SAME
