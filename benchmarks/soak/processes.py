"""Starts, watches and ends the processes of one run: a ROS domain of their own, logs, /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from referent.demo import WORKSPACE, demo_environment
from referent.errors import ReferentError

BENCHMARKS = Path(__file__).resolve().parents[1]
SHARED_MEMORY = Path("/dev/shm")
OURS = ("fastrtps_", "fastdds_", "psm_")
STOP_LIMIT_S = 30.0
POLL_S = 0.05
LAST_LINES = 15


@dataclass(frozen=True)
class Vital:
    """What one process takes of the machine at one moment."""

    rss_mb: float
    pss_mb: float  # changes when others that share its libraries come or go
    anon_mb: float  # what it shares with nobody and no file backs: where leaks are
    threads: int
    files: int


@dataclass
class Stage:
    """The processes of one run by name; all talk to each other and to nobody else."""

    folder: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `python -m module`; what it prints is added to `<name>.log`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self.running[name]

    def stop(self, name: str) -> None:
        """End a process: asked first, then by force."""
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ReferentError(f"{name} did not end within {STOP_LIMIT_S:.0f} s of SIGTERM") from None

    def kill(self, name: str) -> None:
        """End one process at once, as the kernel's out-of-memory killer does; what it started is left to itself."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def wait_for(self, condition: Callable[[], object], what: str, *, limit_s: float) -> None:
        """Poll until it holds. Raises ReferentError when it does not in time, or a process has ended."""
        deadline_s = time.monotonic() + limit_s
        while not condition():
            self.require_all_alive()
            if time.monotonic() > deadline_s:
                raise ReferentError(f"{what}: not within {limit_s:.0f} s; logs are in {self.folder}")
            time.sleep(POLL_S)

    def require_all_alive(self) -> None:
        """Raise ReferentError with the last lines of a process that has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-LAST_LINES:]
                raise ReferentError(f"{name} ended with status {process.returncode}:\n" + "\n".join(lines))


@contextmanager
def stage(folder: Path, **environment: str) -> Iterator[Stage]:
    """A place for processes; leaving ends them and everything they started, the newest first."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.unlink()
    own = demo_environment(WORKSPACE, folder, os.environ) | environment
    own["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), own.get("PYTHONPATH", "")])
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        own.setdefault(name, "1")
    built = Stage(folder, own)
    try:
        yield built
    finally:
        groups = [process.pid for process in built.running.values()]
        for name in reversed(list(built.running)):
            _end_quietly(built, name)
        for group in groups:
            _kill_group(group)


def _end_quietly(built: Stage, name: str) -> None:
    try:
        built.stop(name)
    except ReferentError as error:
        print(error, file=sys.stderr)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def vital(pid: int) -> Vital | None:
    """What a process takes now; None when it has ended."""
    own = Path("/proc") / str(pid)
    try:
        status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
        pss = next(line for line in (own / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        files = len(list((own / "fd").iterdir()))
        return Vital(
            _mb(status["VmRSS"]), _mb(pss.split(":")[1]), _mb(status["RssAnon"]), int(status["Threads"]), files
        )
    except (OSError, KeyError, StopIteration):
        return None


def children(pid: int) -> list[int]:
    """Processes that a process started and that have not ended."""
    try:
        tasks = [path / "children" for path in (Path("/proc") / str(pid) / "task").iterdir()]
        return [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        return []


def grounder_of(pid: int) -> int | None:
    """The grounder process of a node."""
    return next((child for child in children(pid) if "spawn_main" in _command(child)), None)


def zombies(pids: Sequence[int]) -> list[int]:
    """Those of `pids`, and of what they started, that have ended and nobody asked how."""
    everyone = [*pids, *(child for pid in pids for child in children(pid))]
    return [pid for pid in everyone if _state(pid) == "Z"]


def shared_memory() -> set[str]:
    """Names of Fast DDS's files and of Python's shared pictures, of any process."""
    patterns = ("fastrtps_*", "sem.fastrtps_*", "fastdds_*", "sem.fastdds_*", "psm_*")
    return {path.name for pattern in patterns for path in SHARED_MEMORY.glob(pattern)}


def shared_memory_of(pids: Sequence[int]) -> frozenset[str]:
    """Names of what these processes, and what they started, have in shared memory."""
    everyone = [*pids, *(child for pid in pids for child in children(pid))]
    names = {name for pid in everyone for name in _mapped(pid)}
    return frozenset(name for name in names if name.startswith(OURS))


def dead_shared_memory() -> set[str]:
    """Names of what is in shared memory and no process has."""
    alive = {name for own in Path("/proc").glob("[0-9]*") for name in _mapped(int(own.name))}
    return shared_memory() - alive - {f"{name}_el" for name in alive}


def segments(names: Collection[str]) -> frozenset[str]:
    """Those that hold messages and pictures: not ports, which are small and are taken over by their number."""
    return frozenset(name for name in names if "_port" not in name)


def _mapped(pid: int) -> Iterator[str]:
    try:
        lines = (Path("/proc") / str(pid) / "maps").read_text().splitlines()
    except OSError:
        return
    paths = (line.split(maxsplit=5)[5] for line in lines if f" {SHARED_MEMORY}/" in line)
    yield from (Path(path).name for path in paths if not path.endswith("(deleted)"))


def _command(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _state(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def _mb(text: str) -> float:
    return round(int(text.split()[0]) * 1024 / 1e6, 2)
