"""Memory for real: what a process of its own takes on a CPU, what the allocator counts on a GPU.

`python -m tracker_bench.memory '{"contestant": "official", ...}'` runs one contestant alone and prints JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from referent.errors import ReferentError

FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Probe:
    """One contestant over a clip, alone in a process."""

    contestant: str
    model: str
    image_size: int
    objects: int
    size_wh: tuple[int, int]
    frames: int
    report_at: tuple[int, ...]  # numbers of frames after which memory is noted


def measured_alone(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """Each probe's memory: `loaded_bytes` and `peak_bytes` of its process; `rss_bytes`, `held_bytes` per noted frame.

    All run at once, one thread each. Raises ReferentError with the last line of what a probe complained.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tracker_bench.memory", json.dumps(asdict(probe))],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for probe in probes
    ]  # fmt: skip
    return [_answer(probe, process) for probe, process in zip(probes, started, strict=True)]


def _answer(probe: Probe, process: subprocess.Popen[str]) -> dict[str, Any]:
    output, complaint = process.communicate()
    if process.returncode:
        last = (complaint.strip().splitlines() or ["no message"])[-1]
        raise ReferentError(f"the memory of {probe.contestant!r} could not be measured: {last}")
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def process_bytes(field: str = "VmRSS") -> int:
    """Resident bytes of this process now (`VmRSS`) or at most (`VmHWM`), from Linux's /proc/self/status.

    `getrusage` would not do: its maximum is inherited from the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ReferentError(f"/proc/self/status has no {field}: memory of a process is measured on Linux only")


class GpuMeter:
    """Attributes the memory of one GPU to contestants that run in turns in one process."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self.peak_bytes: dict[str, int] = {}

    @contextlib.contextmanager
    def of(self, name: str, *, anew: bool = False) -> Iterator[None]:
        """What is allocated inside belongs to `name`; `anew` forgets its peak so far."""
        if anew:
            self.peak_bytes.pop(name, None)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield
        held = self._held.get(name, 0)
        peak = held + torch.cuda.max_memory_allocated() - before
        self.peak_bytes[name] = max(self.peak_bytes.get(name, 0), peak)
        self._held[name] = held + torch.cuda.memory_allocated() - before


def _run(probe: Probe) -> dict[str, Any]:
    from tracker_bench.clip import Clip
    from tracker_bench.contestants import Setting, contestant

    torch.set_num_threads(1)
    clip = Clip(probe.size_wh)
    alone = contestant(probe.contestant, Setting(probe.model, probe.image_size, max_objects=probe.objects))
    loaded = process_bytes()
    alone.start([clip.prompt(n) for n in range(probe.objects)], size_wh=probe.size_wh, frames=probe.frames)
    noted = {}
    for index in range(probe.frames):
        alone.step(alone.prepare(clip.frame(index)))
        if index + 1 in probe.report_at:
            noted[str(index + 1)] = {"rss_bytes": process_bytes(), "held_bytes": alone.held_bytes}
    return {"loaded_bytes": loaded, "peak_bytes": process_bytes("VmHWM"), "after_frames": noted}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(_run(Probe(**given | {"size_wh": tuple(given["size_wh"])}))))
