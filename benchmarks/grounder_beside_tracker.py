"""What the local grounder costs the tracker: the time of a step while it generates, beside the time while it rests.

    python benchmarks/grounder_beside_tracker.py [--config FILE] [--segments 10] [--frames 60] [--json FILE]

One object of a simulated scene is followed without a pause. The configured grounder runs as on a robot: in a process of
its own, kept to `grounder.threads` cores. In every other segment it is asked again as soon as it has answered, in the
others it is asked nothing; so both kinds of segment meet the same machine. Of the steps beside it only those count
during which it generated from beginning to end. What else computes on the machine spoils the numbers.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tracker_bench.race import device_wait

from referent.benching import write_json
from referent.building import live_worker
from referent.config import Config, load_config
from referent.errors import ConfigError, GrounderUnavailable, ReferentError
from referent.grounding.backends import THREADED
from referent.grounding.workers import health_of
from referent.ports import GroundingFailure, Tracker, Worker
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, GroundingRequest, Prompt, RegroundReason, RgbdFrame, Target
from referent.weights import resolve

SCENE, FPS = "tabletop", 10
TARGET = Target("1", "the red mug")
CLIP_FRAMES = 40  # shown forwards and backwards in turns
WARM_UP = 20  # frames until SAM 2's memory is in full use
SETTLE = 3  # steps at the beginning of a segment that are not counted
PATIENCE_S = 120.0  # for loading the grounder and an answer
POLL_S = 0.01
IDLE, BESIDE = "idle", "beside"


@dataclass
class Laps:
    """Seconds of the counted steps by kind of segment, and of the answers that came."""

    steps_s: dict[str, list[float]] = field(default_factory=lambda: {IDLE: [], BESIDE: []})
    answers_s: list[float] = field(default_factory=list)


class Asker:
    """Puts one question after the other to a worker. Raises GrounderUnavailable when one is not answered."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.latencies_s: list[float] = []

    def ask(self, frame: RgbdFrame) -> None:
        """Ask about this frame unless a question is in flight."""
        if not self._worker.busy:
            self._worker.submit(GroundingRequest((TARGET,), frame, RegroundReason.NEW))

    def is_at_work(self, now_ns: int) -> bool:
        """Whether a question is in flight; takes the answer that has come, if one has."""
        answer = self._worker.poll(now_ns)
        if isinstance(answer, GroundingFailure):
            raise GrounderUnavailable(f"the grounder failed: {answer.message}")
        if answer is not None:
            self.latencies_s.append(answer.latency_s)
        return self._worker.busy

    def rest(self) -> None:
        """Wait for the answer in flight, if any."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self.is_at_work(now_ns=0):
            if time.monotonic() > deadline_s:
                raise GrounderUnavailable(f"no answer within {PATIENCE_S:g} s: {health_of(self._worker)}")
            time.sleep(POLL_S)


def footage(width: int) -> tuple[list[RgbdFrame], Array]:
    """A clip of the scene, and the target's box in its first frame."""
    shots = list(simulate(named_scene(SCENE), frames=CLIP_FRAMES, fps=FPS, width=width, height=width * 3 // 4))
    known = (o for o in shots[0].truth.objects if f"the {o.color} {o.category}" == TARGET.expression)
    box = next((o.box_xyxy for o in known if o.box_xyxy is not None), None)
    if box is None:
        raise ReferentError(f"the scene {SCENE!r} shows no {TARGET.expression!r}")
    return [shot.frame for shot in shots], box


def endless(clip: Sequence[RgbdFrame]) -> Iterator[RgbdFrame]:
    """The clip to and fro, with stamps that go on."""
    period_ns = 1_000_000_000 // FPS
    for number, frame in enumerate(cycle([*clip, *clip[-2:0:-1]])):
        yield replace(frame, stamp_ns=number * period_ns)


def timed(
    tracker: Tracker, asker: Asker, frames: Iterator[RgbdFrame], *, kind: str, count: int, wait: Callable[[], None]
) -> list[float]:
    """One segment: seconds of its steps that count."""
    steps_s = []
    for number, frame in enumerate(islice(frames, SETTLE + count)):
        if kind == BESIDE:
            asker.ask(frame)
        wait()
        started = time.perf_counter()
        tracker.step(frame)
        wait()
        seconds = time.perf_counter() - started
        if asker.is_at_work(frame.stamp_ns) == (kind == BESIDE) and number >= SETTLE:
            steps_s.append(seconds)
    asker.rest()
    return steps_s


def race(tracker: Tracker, worker: Worker, *, segments: int, frames: int, width: int, on_gpu: bool) -> Laps:
    """All segments, idle and beside in turns."""
    clip, box = footage(width)
    laps, asker, stream = Laps(), Asker(worker), endless(clip)
    first = next(stream)
    tracker.step(first)
    tracker.prompt(Prompt(TARGET.id, first.stamp_ns, box_xyxy=box))
    for frame in islice(stream, WARM_UP):
        tracker.step(frame)
    asker.ask(first)
    asker.rest()
    asker.latencies_s.clear()  # loading was part of it
    wait = device_wait("cuda" if on_gpu else "cpu")
    for kind in (IDLE, BESIDE) * (segments // 2):
        laps.steps_s[kind] += timed(tracker, asker, stream, kind=kind, count=frames, wait=wait)
    laps.answers_s = asker.latencies_s
    return laps


def summary(laps: Laps) -> dict[str, Any]:
    """What the laps say, for the JSON. Raises ReferentError when no step counts."""
    if not all(laps.steps_s.values()):
        raise ReferentError("no step lay within the time of an answer: raise --frames, or the answers are too short")
    steps = {
        kind: {
            "steps": len(seconds),
            "median_ms": 1e3 * float(np.median(seconds)),
            "p99_ms": 1e3 * float(np.percentile(seconds, 99)),
        }
        for kind, seconds in laps.steps_s.items()
    }
    ratios = {name: steps[BESIDE][f"{name}_ms"] / steps[IDLE][f"{name}_ms"] for name in ("median", "p99")}
    answers = {"answers": len(laps.answers_s), "answer_s": float(np.median(laps.answers_s)) if laps.answers_s else None}
    return {"steps": steps, "beside_to_idle": ratios, **answers}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The race and its conditions, as plain JSON. Raises ReferentError."""
    config = configured(options)
    on_gpu = torch.cuda.is_available() and config.tracker.device != "cpu"
    load = os.getloadavg()[0]
    tracker, worker = Sam2Tracker(config.tracker, resolve(config.tracker.model)), live_worker(config)
    try:
        laps = race(
            tracker, worker, segments=options.segments, frames=options.frames, width=options.width, on_gpu=on_gpu
        )
    finally:
        worker.close()
    return {
        "tracker": config.tracker.model,
        "tracker_threads": torch.get_num_threads(),
        "grounder": config.grounder.model,
        "grounder_cores": config.grounder.threads,
        "size_wh": [options.width, options.width * 3 // 4],
        "segments": options.segments,
        "machine": torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": load,
        **summary(laps),
    }


def configured(options: argparse.Namespace) -> Config:
    """The configuration to measure. Raises ConfigError for a grounder that does not run beside the tracker."""
    config = load_config(options.config)
    if config.grounder.backend in THREADED:
        raise ConfigError(f"grounder.backend {config.grounder.backend!r} asks a server: no local model generates")
    if options.segments < 2 or options.frames < 1:
        raise ConfigError(f"--segments {options.segments} --frames {options.frames}: at least 2 segments of 1 frame")
    return config


def table(measured: dict[str, Any]) -> str:
    """The measurements for people."""
    rows = [f"{'grounder':10s} {'median ms':>10s} {'p99 ms':>10s} {'steps':>7s}"]
    for kind, name in ((IDLE, "resting"), (BESIDE, "generating")):
        step = measured["steps"][kind]
        rows.append(f"{name:10s} {step['median_ms']:10.1f} {step['p99_ms']:10.1f} {step['steps']:7d}")
    ratio = measured["beside_to_idle"]
    rows.append(f"{'ratio':10s} {ratio['median']:10.2f} {ratio['p99']:10.2f}")
    answer = "none finished" if measured["answer_s"] is None else f"{measured['answer_s']:.2f} s each (median)"
    rows.append(f"{measured['answers']} answers, {answer}; {measured['tracker']} with {measured['tracker_threads']}")
    rows[-1] += f" thread(s), {measured['grounder']} on {measured['grounder_cores'] or 'all'} core(s)"
    rows.append(f"{measured['machine']}, {measured['cores']} cores, load before {measured['load_before']:.1f}")
    return "\n".join(rows)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings; default: the bundled models")
    parser.add_argument("--segments", type=int, default=10, metavar="N", help="half of them idle")
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="counted in each, at most")
    parser.add_argument("--width", type=int, default=640, metavar="PX", help="of the camera's picture, 4:3")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """As the module says."""
    options = parsed(arguments)
    measured = measure(options)
    print(table(measured))
    write_json(options.json, measured)


if __name__ == "__main__":
    main()
