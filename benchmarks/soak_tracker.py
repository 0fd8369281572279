"""Ten thousand frames through the tracker while objects come, go and are prompted again: does anything grow?

    python benchmarks/soak_tracker.py [--frames 10000] [--output out/soak] [--model NAME] [--image-size PX]

writes `soak.json` (one row per 50 frames: median step time, bytes the tracker remembers and keeps, resident bytes of
the process) and `soak.png`, and prints what changed between the first tenth and the end. One object is always tracked;
every 500 frames it is prompted again, every other time on a frame 20 frames back; two more come and go in turns.
The bundled model at 128 px takes about five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tracker_bench.cases import BUNDLED, weights_of
from tracker_bench.clip import Clip
from tracker_bench.memory import process_bytes
from tracker_bench.plot import Panel, picture

from referent.config import TrackerConfig
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Prompt
from referent.weights import resolve

SIZE_WH = (320, 240)
PROMPT_EVERY = 500
LATE_BY = 20  # frames between a frame and the late prompt about it
ADDED = {"second": (1, 250, 1000, 500), "third": (2, 600, 1500, 750)}  # block, first frame, period, frames it stays
MIB = 1 << 20
Row = dict[str, Any]


def soak(tracker: Sam2Tracker, *, frames: int, every: int = 50) -> Iterator[Row]:
    """Run the stream; one row per `every` frames."""
    clip = Clip(SIZE_WH)
    seconds: list[float] = []
    for index in range(frames):
        frame = clip.frame(index)
        started = time.perf_counter()
        masks = tracker.step(frame)
        seconds.append(time.perf_counter() - started)
        for prompt in prompts_at(clip, index):
            tracker.prompt(prompt)
        for name in forgotten_at(index):
            tracker.forget(name)
        if len(seconds) == every:
            yield {
                "frame": index + 1,
                "step_ms": 1e3 * statistics.median(seconds),
                "objects": len(masks),
                "memory_bytes": tracker.memory_bytes,
                "history_bytes": tracker.history_bytes,
                "rss_bytes": process_bytes(),
            }
            seconds.clear()


def prompts_at(clip: Clip, index: int) -> Iterator[Prompt]:
    """The prompts given after frame `index`, every other one of the first object's about an earlier frame."""
    if index % PROMPT_EVERY == 0:
        about = index - LATE_BY if index // PROMPT_EVERY % 2 else index
        yield _prompt(clip, "first", 0, about)
    for name, (block, first, period, _) in ADDED.items():
        if index % period == first:
            yield _prompt(clip, name, block, index)


def forgotten_at(index: int) -> Iterator[str]:
    """The objects dropped after frame `index`."""
    for name, (_, first, period, stay) in ADDED.items():
        if index >= first + stay and index % period == (first + stay) % period:
            yield name


def _prompt(clip: Clip, name: str, block: int, index: int) -> Prompt:
    found = clip.prompt(block, index=index)
    return Prompt(name, found.stamp_ns, box_xyxy=found.box_xyxy)


def verdict(rows: Sequence[Row]) -> str:
    """The first rows beside the last ones with as many objects: what grew."""
    usual = statistics.mode(row["objects"] for row in rows)
    alike = [row for row in rows if row["objects"] == usual]
    tenth = max(1, len(alike) // 10)
    first, last = alike[:tenth], alike[-tenth:]
    head = f"{usual} object(s)"
    lines = [f"{head:16s}{'first tenth':>14s}{'last tenth':>14s}"]
    for key, unit, scale in (
        ("step_ms", "ms", 1), ("memory_bytes", "MiB", MIB), ("history_bytes", "MiB", MIB), ("rss_bytes", "MiB", MIB),
    ):  # fmt: skip
        before, after = (statistics.median(row[key] for row in part) / scale for part in (first, last))
        lines.append(f"{key:16s}{before:14.2f}{after:14.2f} {unit} (medians)")
    most = max(row["memory_bytes"] / max(row["objects"], 1) for row in rows) / MIB
    return "\n".join([*lines, f"memory per object, at most {most:.2f} MiB, over {rows[-1]['frame']} frames"])


def write(rows: Sequence[Row], facts: dict[str, Any], folder: Path) -> None:
    """`soak.json` and `soak.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps({**facts, "rows": list(rows)}, indent=1) + "\n")

    def mib(key: str) -> list[float]:
        return [row[key] / MIB for row in rows]

    panels = (
        Panel("process, MiB", {"resident": mib("rss_bytes")}),
        Panel("tracker, MiB", {"objects' memory": mib("memory_bytes"), "kept image features": mib("history_bytes")}),
        Panel("median step, ms", {"step": [row["step_ms"] for row in rows]}),
        Panel("objects", {"objects": [row["objects"] for row in rows]}),
    )
    picture([row["frame"] for row in rows], panels, x_title="frame").save(folder / "soak.png", optimize=True)


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000, metavar="N")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME", help="a model, a weights file, or a YAML file")
    parser.add_argument("--image-size", type=int, default=128, metavar="PX", help="0 = as configured")
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--output", type=Path, default=Path("out/soak"), metavar="DIR")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    model, random = weights_of(args.model, args.output)
    config = TrackerConfig(image_size=args.image_size, threads=args.threads)
    rows = []
    for row in soak(Sam2Tracker(config, resolve(model)), frames=args.frames):
        rows.append(row)
        if row["frame"] % 1000 == 0:
            print(f"frame {row['frame']}: {row['step_ms']:.1f} ms, {row['rss_bytes'] / MIB:.0f} MiB", flush=True)
    facts = {"model": args.model, "random_weights": random, "image_size": args.image_size, "threads": args.threads}
    write(rows, facts, args.output)
    print(verdict(rows))


if __name__ == "__main__":
    main()
