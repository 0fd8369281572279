"""The demo: a simulated camera, the node and a client as three ROS 2 processes; imports no ROS itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from referent.errors import ConfigError, ReferentError
from referent.evaluation.summary import summary_table
from referent.grounding.instructions import clean_instruction
from referent.sources.simulation.scenes import SCENE_NAMES

WORKSPACE = Path(__file__).resolve().parents[2] / "ros2_ws" / "install"
PACKAGE_SHARE = Path("referent_ros", "share", "referent_ros", "config")
SHARED_MEMORY = Path("/dev/shm")
MARGIN_S = 2.0  # the camera plays a little longer than the client listens
SECONDS = (1.0, 120.0)
PREPARATION_LIMIT_S = 900.0  # rendering the clip and loading the models
STOP_LIMIT_S = 20.0
POLL_S = 0.2
LAST_LINES = 12
DONE, FAULT, WRONG_INPUT = 0, 1, 2


@dataclass(frozen=True)
class Process:
    """One running process of the demo, leader of its own process group."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[str]:
        """What it has said so far, newest last."""
        return self.log.read_text(errors="replace").splitlines()


def run_demo(output: Path | str, *, seconds: float, scene: str, instruction: str) -> int:
    """Run the main job over ROS 2, write the report to `output`, print the summary; returns the exit status.

    Raises ConfigError for a wrong length or scene, BadInstruction for an empty instruction, ReferentError when the
    ROS 2 workspace is not built.
    """
    output = Path(output).resolve()
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        raise ConfigError(f"--seconds {seconds:g}: from {SECONDS[0]:g} to {SECONDS[1]:g} are possible")
    if scene not in SCENE_NAMES:
        raise ConfigError(f"--scene {scene!r} is unknown; the scenes are {', '.join(SCENE_NAMES)}")
    clean_instruction(instruction)
    logs = output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = demo_environment(WORKSPACE, logs, os.environ)
    with (
        _terminate_as_interrupt(),
        _processes(_commands(output, seconds, scene, instruction), environment, logs) as all_,
    ):
        print("demo: simulated camera, Referent and a client are starting as ROS 2 processes", flush=True)
        failed = _wait_for_client(all_, limit_s=PREPARATION_LIMIT_S + 10 * seconds)
    if failed is not None:
        return _tell_failure(failed)
    print(summary_table(json.loads((output / "summary.json").read_text())))
    print(f"report: {output / 'report.html'}")
    return DONE


def _commands(output: Path, seconds: float, scene: str, instruction: str) -> dict[str, list[str]]:
    """What to start, in this order: parameters of each node."""
    settings = WORKSPACE / PACKAGE_SHARE / "demo.yaml"
    # JSON strings are YAML strings: an instruction with quotes or colons stays one string.
    said = json.dumps(instruction, ensure_ascii=False)
    return {
        "camera": _parameters(scene=json.dumps(scene), seconds=seconds + MARGIN_S, wait_for_listeners=2),
        "node": ["--params-file", str(settings)],
        "client": _parameters(instruction=said, seconds=seconds, output=json.dumps(str(output))),
    }


def _parameters(**values: object) -> list[str]:
    return [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]


def demo_environment(workspace: Path, logs: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the demo's processes: the built workspace, a ROS domain of their own, this machine only.

    Raises ReferentError when the workspace is not built.
    """
    profile = workspace / PACKAGE_SHARE / "fastdds_large_images.xml"
    if not profile.is_file():
        raise ReferentError(f"the ROS 2 workspace is not built ({profile} is missing): run `make setup`")
    own = {
        "ROS_DOMAIN_ID": str(free_domain()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(logs / "ros"),
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(profile),
        "PYTHONUNBUFFERED": "1",
        # Threads that spin while they wait slow each other down fifty-fold when three processes share two cores.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return {**workspace_environment(workspace, inherited), **own}


def workspace_environment(workspace: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """`inherited` with the packages of a colcon workspace in front, as sourcing its setup file would do."""
    packages = sorted(path for path in workspace.iterdir() if (path / "share").is_dir())
    site = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    # The wheels' own prefix comes last: a sourced ROS installation stays before it.
    environment = dict(inherited)
    _put(environment, "AMENT_PREFIX_PATH", [Path(sys.prefix)], last=True)
    _put(environment, "AMENT_PREFIX_PATH", packages)
    _put(environment, "PYTHONPATH", [package / site for package in packages])
    _put(environment, "LD_LIBRARY_PATH", [package / "lib" for package in packages])
    return environment


def _put(environment: dict[str, str], name: str, paths: Sequence[Path], *, last: bool = False) -> None:
    """Add the existing ones of `paths` to a search path, each once."""
    new = [str(path) for path in paths if path.is_dir()]
    old = [part for part in environment.get(name, "").split(os.pathsep) if part and part not in new]
    environment[name] = os.pathsep.join([*old, *new] if last else [*new, *old])


def free_domain() -> int:
    """A ROS domain that nobody on this machine uses, 1 to 100 (above, its ports may be taken by anything)."""
    for offset in range(100):
        domain = 1 + (os.getpid() + offset) % 100
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))  # the first participant's port (DDSI-RTPS 9.6.1.1)
            except OSError:
                continue
        return domain
    raise ReferentError("all ROS domains from 1 to 100 are in use on this machine; end some ROS processes")


@contextmanager
def _processes(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], logs: Path
) -> Iterator[list[Process]]:
    """The demo's processes; leaving ends them, the client first so that it can write what it heard."""
    running: list[Process] = []
    others = _shared_memory()
    try:
        for name, parameters in commands.items():
            running.append(_started(name, parameters, environment, logs / f"{name}.log"))
        yield running
    finally:
        for process in reversed(running):
            _stop(process)
        _remove_left_over(_shared_memory() - others)
        shutil.rmtree(logs / "ros", ignore_errors=True)  # the same lines again


def _started(name: str, parameters: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    command = [sys.executable, "-m", f"referent_ros.{name}", "--ros-args", *parameters]
    with log.open("wb") as file:
        popen = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True
        )
    return Process(name, popen, log)


def _wait_for_client(processes: Sequence[Process], *, limit_s: float) -> Process | None:
    """Wait until the client is done; the process that failed instead, if one did."""
    *others, client = processes
    deadline_s = time.monotonic() + limit_s
    progress = _Progress(processes)
    while client.popen.poll() is None:
        # The camera may finish early, the node never.
        failed = [each for each in others if each.popen.poll() not in ((None, 0) if each.name == "camera" else (None,))]
        if failed:
            progress.clear()
            return failed[0]
        if time.monotonic() > deadline_s:
            progress.clear()
            raise ReferentError(f"the demo is not done after {limit_s:.0f} s; its logs are in {client.log.parent}")
        progress.show()
        time.sleep(POLL_S)
    progress.clear()
    return client if client.popen.returncode else None


class _Progress:
    """One line on a terminal: the newest line of any log."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes
        self._sizes = dict.fromkeys((each.name for each in processes), 0)
        self._shows = sys.stderr.isatty()

    def show(self) -> None:
        for process in self._processes:
            size = process.log.stat().st_size
            if self._shows and size > self._sizes[process.name]:
                self._sizes[process.name] = size
                self._write(f"{process.name}: {process.lines()[-1].split(']: ')[-1]}")

    def clear(self) -> None:
        if self._shows:
            self._write("")

    def _write(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)


def _tell_failure(failed: Process) -> int:
    """Say what went wrong on stderr; returns the exit status."""
    status, lines = failed.popen.returncode, failed.lines()
    complaint = next((line for line in reversed(lines) if line.startswith("referent: ")), None)
    if status == WRONG_INPUT and complaint is not None:
        print(complaint, file=sys.stderr)
        return WRONG_INPUT
    print(f"referent: the {failed.name} ended with status {status}; the end of {failed.log}:", file=sys.stderr)
    print("\n".join(f"  {line}" for line in lines[-LAST_LINES:]), file=sys.stderr)
    return FAULT


def _stop(process: Process) -> None:
    """End a process: asked first, then with everything it started."""
    try:
        if process.popen.poll() is None:
            process.popen.terminate()
            process.popen.wait(STOP_LIMIT_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass  # it had its chance
    finally:
        _kill_group(process)


def _kill_group(process: Process) -> None:
    try:
        os.killpg(process.popen.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # everything has ended by itself
    process.popen.wait()


def _shared_memory() -> set[Path]:
    """The files Fast DDS keeps in shared memory, of any process."""
    return set(SHARED_MEMORY.glob("fastrtps_*")) | set(SHARED_MEMORY.glob("sem.fastrtps_*"))


def _remove_left_over(files: set[Path]) -> None:
    """Remove shared memory that a killed process left behind: ours, and mapped by nobody."""
    mapped = {_segment(name) for name in _mapped_names()}
    for path in files:
        if _segment(path.name) not in mapped and path.exists() and path.stat().st_uid == os.getuid():
            path.unlink(missing_ok=True)


def _segment(name: str) -> str:
    """What a file belongs to: a segment or port comes with a lock file `_el` and a semaphore `sem.…_mutex`."""
    return name.removeprefix("sem.").removesuffix("_el").removesuffix("_mutex")


def _mapped_names() -> Iterator[str]:
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text().splitlines()
        except OSError:
            continue  # ended meanwhile, or another user's, whose files are not ours to remove
        yield from (Path(line.split(maxsplit=5)[5]).name for line in lines if f" {SHARED_MEMORY}/" in line)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, with everything cleaned up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
