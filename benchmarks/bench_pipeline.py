"""Where the time of a frame goes: the whole pipeline over a simulated scene with the bundled models.

`referent bench pipeline [--json FILE]`, or `python benchmarks/bench_pipeline.py`.
"""

from __future__ import annotations

import platform
import time
from typing import Any

import numpy as np
import torch

from referent.building import build_pipeline, replay_worker
from referent.config import Config
from referent.replay import models_of
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate

SCENE, INSTRUCTION, FRAMES, WARM_UP = "tabletop", "pick up the red mug", 60, 10


def measure(*, against: tuple[str, ...] = ()) -> dict[str, Any]:
    """Milliseconds per frame and stage, median and 95th percentile; no peer runs this whole chain."""
    frames = [simulated.frame for simulated in simulate(named_scene(SCENE), frames=FRAMES)]
    pipeline = build_pipeline(Config(), make_worker=replay_worker)
    pipeline.instruct(INSTRUCTION)
    laps: dict[str, list[float]] = {}
    started = time.perf_counter()
    for number, frame in enumerate(frames):
        result = pipeline.process(frame)
        if number == WARM_UP:
            started = time.perf_counter()
        if number >= WARM_UP and result.objects and result.objects[0].pose is not None:
            for stage, seconds in result.timings_s.items():
                laps.setdefault(stage, []).append(seconds)
    fps = (FRAMES - WARM_UP - 1) / (time.perf_counter() - started)
    pipeline.close()
    stages = {
        stage: {
            "p50_ms": 1e3 * float(np.median(times)),
            "p95_ms": 1e3 * float(np.percentile(times, 95)),
            "n": len(times),
        }
        for stage, times in laps.items()
    }
    return {
        "scene": SCENE,
        "size": "640x480",
        "fps": fps,
        "stages": stages,
        "models": models_of(Config()),
        **_machine(),
    }


def table(measured: dict[str, Any]) -> str:
    """The measurements for people."""
    rows = [f"{'stage':10s} {'p50 ms':>8s} {'p95 ms':>8s} {'frames':>7s}"]
    for stage, times in measured["stages"].items():
        rows.append(f"{stage:10s} {times['p50_ms']:8.1f} {times['p95_ms']:8.1f} {times['n']:7d}")
    rows.append(f"{measured['fps']:.1f} frames/s, {measured['scene']} {measured['size']}, {measured['machine']}")
    return "\n".join(rows)


def _machine() -> dict[str, Any]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {"machine": f"{device}, {torch.get_num_threads()} threads", "torch": torch.__version__}


if __name__ == "__main__":
    print(table(measure()))
