"""Kills the node, its grounder, a grounder's server and the camera with SIGKILL, at random, and looks what stays.

    python benchmarks/kills.py [--times 20] [--victims node,grounder,server,camera] [--json FILE]

Run inside the sourced workspace. A killed process is started again at once, as `respawn` in a launch file does; the
grounder process is the node's to start again. The bars: the others carry on, what was killed is back within 5 s plus
the time its loading takes alone, what was remembered is remembered, and no shared memory or zombie is left. Exit status
1 when one is missed. About 4 minutes for each victim.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_soak import machine
from soak.bars import Row, in_columns
from soak.clip import prepared
from soak.processes import Stage, dead_shared_memory, grounder_of, segments, shared_memory_of, stage, zombies
from soak.runs import FPS, SIZE_WH, node_parameters, parameters
from soak.witness import Witness, witness

from referent.benching import write_json
from referent.errors import ReferentError

VICTIMS = ("node", "grounder", "server", "camera")
BACK_S = 5.0
RATE_HZ, FRAMES = 5.0, 45  # the red mug rests for the clip's first two seconds, there and back
LIMIT_S = 120.0
SILENCE_S = 2.0  # the others are heard at least so often
PAUSE_S = (0.2, 2.5)  # between being whole again and the next kill
PHRASES = ("the red mug", "the blue mug")
STARTS, ASKED_AGAIN_S = 3, 20.0
LOADING = {
    "node": "from referent_ros.node import default_pipeline as make; from referent.config import Config;"
    " from referent.frames.transforms import TransformBuffer; make(Config(), TransformBuffer()).close()",
    # As the node has it: on one core, behind everything else.
    "grounder": "import time; from functools import partial; from referent.config import GrounderConfig as C;"
    " from referent.grounding import backends; from referent.grounding.process_worker import ProcessWorker;"
    " worker = ProcessWorker(partial(backends.create, C()), timeout_s=C().timeout_s, threads=C().threads)\n"
    "while worker.health.state == 'starting': worker.poll(0); time.sleep(0.02)\n"
    "worker.close()",
    "server": "from soak.grounder_server import Server; Server(0)",
    "camera": "import sys; from pathlib import Path; import soak.camera as c; clip = c.loaded(Path(sys.argv[1]));"
    " [c._shot(clip, i) for i in range(len(clip))]",
}


@dataclass(frozen=True)
class Kill:
    """What one kill did."""

    back_s: float  # until what was killed does its work again
    others_gap_s: float  # the longest silence of what was not killed
    dead_segments: int  # shared memory of nobody, once it was back
    dead_ports: int
    remembered: int  # objects that the node knew before
    forgotten: int  # those of them that it did not know any more
    sound: bool  # SQLite's own check of the memory file, before the node opened it again
    zombies: int


class Shift:
    """The running processes, and how each is started."""

    def __init__(self, here: Stage, clip: Path, *, with_server: bool) -> None:
        self.here = here
        self.folder = here.folder
        self._clip = clip
        self._port = 18_000 + os.getpid() % 1000
        self._with_server = with_server

    def start(self, name: str) -> None:
        """Start one of them, as for the first time."""
        if name == "server":
            self.here.start(name, "soak.grounder_server", "--port", str(self._port))
        elif name == "camera":
            told = str(self.folder / "camera.json")
            given = parameters(clip=str(self._clip), rate_hz=RATE_HZ, count=0, told=told)
            self.here.start(name, "soak.camera", *given)
        else:
            url = f"http://127.0.0.1:{self._port}/v1"
            server = {"grounder__backend": "openai_server", "grounder__url": url, "grounder__calibrate": "off"}
            settings = server if self._with_server else {}
            self.here.start("node", "referent_ros.node", *node_parameters(self.folder, **settings))

    def pids(self) -> list[int]:
        """Of everything that runs."""
        return [process.pid for process in self.here.running.values()]

    def kill(self, victim: str) -> None:
        """Kill it; start it again, unless the node does that."""
        if victim != "grounder":
            self.here.kill(victim)
            return
        pid = grounder_of(self.here.running["node"].pid)
        if pid is None:
            raise ReferentError("the node has no grounder process to kill")
        os.kill(pid, 9)


def main() -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, metavar="N")
    parser.add_argument("--victims", default=",".join(VICTIMS), metavar="NAMES")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--output", type=Path, default=Path("out/soak"), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    output, told, rows = given.output.resolve(), {}, []
    clip = prepared(output, scene="leave_and_return", frames=FRAMES, fps=FPS, size_wh=SIZE_WH)
    for victim in given.victims.split(","):
        load_s = start_time_s(victim, clip)
        kills, left = killed(victim, given.times, output / "kills", clip, random.Random(given.seed))
        rows += rows_of(victim, kills, load_s, left)
        told[victim] = {"load_s": load_s, "left": sorted(left), "kills": [asdict(kill) for kill in kills]}
        print(in_columns(rows_of(victim, kills, load_s, left)), flush=True)
    write_json(given.json, {"machine": machine(), "rows": [asdict(row) for row in rows], **told})
    return int(any(row.holds is False for row in rows))


def killed(victim: str, times: int, folder: Path, clip: Path, rng: random.Random) -> tuple[list[Kill], set[str]]:
    """Kill one kind of process again and again; also what of our shared memory is left at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    ours: set[str] = set()
    with stage(folder) as here:
        os.environ.update({name: here.environment[name] for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")})
        shift = Shift(here, clip, with_server=victim == "server")
        with witness() as seen:
            for name in (["server"] if victim == "server" else []) + ["node", "camera"]:
                shift.start(name)
            whole_again(shift, seen, time.monotonic())
            here.wait_for(seen.remembered, "nothing is remembered", limit_s=LIMIT_S)
            kills = []
            for number in range(times):
                time.sleep(rng.uniform(*PAUSE_S))
                if rng.random() < 0.5:
                    seen.say(PHRASES[number % 2])  # so that it dies over a question, too
                    time.sleep(rng.uniform(0.0, 0.4))
                ours |= shared_memory_of(shift.pids())
                kills.append(one_kill(victim, shift, seen))
                print(f"{victim} {number + 1} of {times}: {kills[-1]}", flush=True)
    return kills, dead_shared_memory() & ours


def one_kill(victim: str, shift: Shift, seen: Witness) -> Kill:
    """Kill, start again, wait until it works, look around."""
    known = seen.remembered()
    ours = shared_memory_of(shift.pids())
    begun_s = time.monotonic()
    shift.kill(victim)
    sound = True
    if victim == "node":
        sound = is_sound(shift.folder / "memory.db")
        begun_s = time.monotonic()
    if victim != "grounder":
        shift.start(victim)
    back_s = BACK[victim](shift, seen, begun_s) - begun_s
    others = {"node": "camera", "camera": "diagnostics"}.get(victim, "tracks")
    gap_s = seen.widest_gap_s(others, begun_s, time.monotonic())
    whole_again(shift, seen, time.monotonic())
    dead = dead_shared_memory() & ours
    return Kill(
        back_s=round(back_s, 2),
        others_gap_s=round(gap_s, 2),
        dead_segments=len(segments(dead)),
        dead_ports=len(dead - segments(dead)),
        remembered=len(known),
        forgotten=len(known - seen.remembered()),
        sound=sound,
        zombies=len(zombies(shift.pids())),
    )


def node_is_back(shift: Shift, seen: Witness, begun_s: float) -> float:
    """When the first mask came."""
    shift.here.wait_for(lambda: seen.since("masks", begun_s), "no mask came", limit_s=LIMIT_S)
    return seen.since("masks", begun_s)[0]


def camera_is_back(shift: Shift, seen: Witness, begun_s: float) -> float:
    """When a mask came of a picture that the new camera sent: the node takes no longer over one than a second."""
    return node_is_back(shift, seen, begun_s + 1.0)


def grounder_is_back(shift: Shift, seen: Witness, begun_s: float) -> float:
    """When it answered a question again. New words are a new question, and end the one before."""

    def answered() -> bool:
        if time.monotonic() - asked[-1] > ASKED_AGAIN_S:
            asked.append(time.monotonic())
            seen.say(PHRASES[len(asked) % 2])
        return seen.answered_since(begun_s)

    asked = [time.monotonic()]
    seen.say(PHRASES[round(begun_s) % 2])
    shift.here.wait_for(answered, "the grounder did not answer", limit_s=LIMIT_S)
    return next(when for when, outcome in seen.groundings if when > begun_s and outcome != "failed")


BACK: dict[str, Callable[[Shift, Witness, float], float]] = {
    "node": node_is_back,
    "camera": camera_is_back,
    "grounder": grounder_is_back,
    "server": grounder_is_back,
}


def whole_again(shift: Shift, seen: Witness, begun_s: float) -> None:
    """Wait until pictures are processed and the grounder answers."""
    node_is_back(shift, seen, begun_s)
    shift.here.wait_for(seen.is_heard, "nobody listens to instructions", limit_s=LIMIT_S)
    grounder_is_back(shift, seen, time.monotonic())


def is_sound(memory: Path) -> bool:
    """Whether SQLite finds the file whole, looked at in a copy: the node is to find it as it was left."""
    with tempfile.TemporaryDirectory() as folder:
        for part in memory.parent.glob(f"{memory.name}*"):
            shutil.copy(part, folder)
        database = sqlite3.connect(Path(folder, memory.name))
        try:
            return bool(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
        finally:
            database.close()


def start_time_s(victim: str, clip: Path) -> float:
    """What a process of its kind takes for nothing but importing and loading, the median of a few."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    }
    times = []
    for _ in range(STARTS):
        begun_s = time.monotonic()
        subprocess.run([sys.executable, "-c", LOADING[victim], str(clip)], env=environment, check=True)
        times.append(time.monotonic() - begun_s)
    return round(float(np.median(times)), 2)


def rows_of(victim: str, kills: Sequence[Kill], load_s: float, left: set[str]) -> list[Row]:
    """The table of one victim."""
    backs = [kill.back_s for kill in kills]
    bar_s = BACK_S + load_s
    gap = max(kill.others_gap_s for kill in kills)
    dead = max(kill.dead_segments for kill in kills)
    ports = [kill.dead_ports for kill in kills]
    at_end = len(segments(left))
    known, forgotten = min(kill.remembered for kill in kills), sum(kill.forgotten for kill in kills)
    facts: list[tuple[str, Any, str, object]] = [
        ("back after, p50 / worst", f"{np.median(backs):.1f} / {max(backs):.1f} s", f"<= {bar_s:.1f} s",
         max(backs) <= bar_s),
        ("longest silence of the others", f"{gap:.2f} s", f"<= {SILENCE_S:g} s", gap <= SILENCE_S),
        ("remembered at each kill, forgotten in all", f"{known}, {forgotten}", ">= 1, 0", known and not forgotten),
        ("memory files not sound", sum(not kill.sound for kill in kills), "0", all(kill.sound for kill in kills)),
        ("segments of shared memory left while others run, at the end", f"{dead}, {at_end}", "0", dead + at_end == 0),
        ("ports left after the first, the last kill", f"{ports[0]}, {ports[-1]}", "no growth", ports[-1] <= ports[0]),
        ("zombies", max(kill.zombies for kill in kills), "0", not any(kill.zombies for kill in kills)),
    ]  # fmt: skip
    head = Row(f"{victim}, killed {len(kills)} times; loading alone", f"{load_s:.1f} s")
    return [head, *(Row(f"  {name}", str(value), bar, bool(holds)) for name, value, bar, holds in facts)]


if __name__ == "__main__":
    sys.exit(main())
