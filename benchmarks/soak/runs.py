"""One run: camera, node and listener as ROS 2 processes, sampled from outside while pictures flow."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soak.clip import prepared
from soak.processes import (
    Stage,
    Vital,
    dead_shared_memory,
    grounder_of,
    segments,
    shared_memory_of,
    stage,
    vital,
    zombies,
)

FPS, SIZE_WH = 30.0, (640, 480)
FRAMES = {"leave_and_return": 240, "tabletop": 150}
PHRASES = "the red mug|the blue mug|the green ball"
START_LIMIT_S, FIRST_PICTURE_LIMIT_S = 120.0, 60.0
SETTLE_S = 3.0  # until the node has told its last numbers
Line = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is to be played: `seconds` of stamped time at `rate_hz`, `speed` times as fast as that."""

    seconds: float
    rate_hz: float
    speed: float = 1.0
    scene: str = "leave_and_return"
    sample_s: float = 5.0
    say: str = PHRASES
    say_every_s: float = 60.0
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Pictures to send."""
        return round(self.seconds * self.rate_hz)


@dataclass(frozen=True)
class Sample:
    """One look at the processes."""

    at_s: float
    vitals: Mapping[str, Vital]
    shared_memory: frozenset[str]  # the names of what these processes have there
    zombies: int


@dataclass(frozen=True)
class Run:
    """What one run showed."""

    plan: Plan
    camera: Mapping[str, Any]
    lines: list[Line]  # what the listener wrote, one a second
    samples: list[Sample]
    took_s: float
    left_over: int  # of the segments these processes had in shared memory

    @property
    def counters(self) -> dict[str, int]:
        """Running totals of the node as its diagnostics told them last."""
        newest: dict[str, Any] = {}
        for line in self.lines:
            newest |= {name: values for name, values in line["diagnostics"].items() if name in ("input", "pipeline")}
        told = {**newest.get("input", {}), **newest.get("pipeline", {})}
        return {name: int(value) for name, value in told.items() if str(value).isdigit()}

    def each(self, name: str) -> list[float]:
        """Every value of a list in the lines, such as latencies_ms."""
        return [value for line in self.lines for value in line[name]]


def parameters(**values: object) -> list[str]:
    """ROS arguments; group__name is group.name, strings stay strings."""
    pairs = [(name.replace("__", "."), json.dumps(value)) for name, value in values.items()]
    return ["--ros-args", *(part for name, value in pairs for part in ("-p", f"{name}:={value}"))]


def node_parameters(folder: Path, **settings: object) -> list[str]:
    """The bundled models, gravity from /tf, and an object memory in a file."""
    usual = {"input__reliable": True, "output__world_frame": "world", "memory__frame": "world"}
    return parameters(**usual, memory__path=str(folder / "memory.db"), **settings)


def played(plan: Plan, folder: Path) -> Run:
    """Play the plan and watch. Raises ReferentError when a process ends or does not start."""
    clip = prepared(folder.parent, scene=plan.scene, frames=FRAMES[plan.scene], fps=FPS, size_wh=SIZE_WH)
    for old in ("camera.json", "lines.jsonl", "memory.db", "memory.db-wal", "memory.db-shm"):
        (folder / old).unlink(missing_ok=True)
    with stage(folder) as here:
        here.start("node", "referent_ros.node", *node_parameters(folder, **plan.settings))
        here.start("listener", "soak.listener", *listener_parameters(plan, folder))
        here.wait_for(lambda: _has_told(folder), "the node is not active", limit_s=START_LIMIT_S)
        here.start("camera", "soak.camera", *camera_parameters(plan, folder, clip))
        here.wait_for(lambda: camera_told(folder).get("sent"), "no picture was sent", limit_s=FIRST_PICTURE_LIMIT_S)
        begun_s = time.monotonic()
        samples = _watched(here, folder, plan, begun_s)
        took_s = time.monotonic() - begun_s
        time.sleep(SETTLE_S)
    ours = frozenset().union(*(sample.shared_memory for sample in samples))
    return Run(plan, camera_told(folder), lines_of(folder), samples, took_s, len(segments(dead_shared_memory() & ours)))


def listener_parameters(plan: Plan, folder: Path) -> list[str]:
    """What the listener is told."""
    return parameters(say=plan.say, say_every_s=plan.say_every_s, output=str(folder / "lines.jsonl"))


def camera_parameters(plan: Plan, folder: Path, clip: Path) -> list[str]:
    """What the camera is told."""
    told = str(folder / "camera.json")
    return parameters(clip=str(clip), rate_hz=plan.rate_hz, speed=plan.speed, count=plan.count, told=told)


def camera_told(folder: Path) -> dict[str, Any]:
    """What the camera says it has sent so far."""
    try:
        told: dict[str, Any] = json.loads((folder / "camera.json").read_text())
    except FileNotFoundError:
        return {}
    return told


def lines_of(folder: Path) -> list[Line]:
    """Every whole line of the listener."""
    try:
        text = (folder / "lines.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _has_told(folder: Path) -> bool:
    """Whether the node is active and the listener hears it."""
    states = [line["diagnostics"].get("lifecycle", {}).get("message") for line in lines_of(folder)]
    return "active" in states


def _watched(here: Stage, folder: Path, plan: Plan, begun_s: float) -> list[Sample]:
    samples: list[Sample] = []
    while not camera_told(folder).get("done"):
        here.require_all_alive()
        samples.append(_sample(here, time.monotonic() - begun_s))
        time.sleep(max(0.1, begun_s + len(samples) * plan.sample_s - time.monotonic()))
    return samples


def _sample(here: Stage, at_s: float) -> Sample:
    pids = {name: process.pid for name, process in here.running.items()}
    grounder = grounder_of(pids["node"])
    everyone = pids if grounder is None else pids | {"grounder": grounder}
    vitals = {name: found for name, pid in everyone.items() if (found := vital(pid)) is not None}
    return Sample(round(at_s, 1), vitals, shared_memory_of(list(pids.values())), len(zombies(list(pids.values()))))
