"""What set-up needs of the machine: a Python, compilers, headers, a system library, room on the disk.

Standard library only; runs on any Python 3.9 or newer, so that it can say what is wrong with an older one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
NEEDED_GB = 6
NEEDED_WITH_CUDA_GB = 12
PROBE = """\
import importlib.util, os, sys, sysconfig
print("%d.%d" % sys.version_info[:2])
print(os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")))
print(importlib.util.find_spec("ensurepip") is not None)
"""
OPEN3D_LIBRARIES = {
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libudev.so.1": "libudev1",
    "libidn2.so.0": "libidn2-0",
}


class NotReady(Exception):
    """The machine lacks something; the message says what and how to get it."""


@dataclass(frozen=True)
class Python:
    """An interpreter to build the virtual environment with."""

    path: str
    version: str  # "3.12"
    has_headers: bool
    has_ensurepip: bool  # Debian keeps it apart


@dataclass(frozen=True)
class Need:
    """Something of the system, and the Debian package that brings it."""

    name: str
    present: bool
    package: str


def find_python() -> Python:
    """This interpreter if it fits, else the newest on PATH that does. Raises NotReady."""
    names = [sys.executable, *(f"python{version}" for version in reversed(PYTHONS)), "python3"]
    for path in filter(None, map(shutil.which, names)):
        probe = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, env=clean_environment())
        if probe.returncode == 0 and probe.stdout.split()[0] in PYTHONS:
            version, headers, ensurepip = probe.stdout.split()
            return Python(path, version, headers == "True", ensurepip == "True")
    have = f"{sys.version_info[0]}.{sys.version_info[1]}"
    raise NotReady(f"Python {', '.join(PYTHONS)} is needed, this is {have}: install one and run this again")


def needs(python: Python) -> list[Need]:
    """What must be there beside Python."""
    return [
        Need("a C compiler", bool(shutil.which("cc") or shutil.which("gcc")), "gcc"),
        Need("a C++ compiler", bool(shutil.which("c++") or shutil.which("g++")), "g++"),
        Need("make", bool(shutil.which("make")), "make"),
        Need(f"the headers of Python {python.version}", python.has_headers, f"python{python.version}-dev"),
        Need(f"ensurepip of Python {python.version}", python.has_ensurepip, f"python{python.version}-venv"),
        *(Need(f"{name} for Open3D", has_library(name), package) for name, package in OPEN3D_LIBRARIES.items()),
    ]


def has_library(name: str) -> bool:
    """Whether the dynamic linker finds a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def provide(missing: list[Need]) -> None:
    """Install what is missing where that is allowed. Raises NotReady with the one line to paste elsewhere."""
    if not missing:
        return
    packages = [need.package for need in missing]
    names = ", ".join(need.name for need in missing)
    prefix = privilege()
    if prefix is None:
        raise NotReady(
            f"{names} missing; paste this: sudo apt-get update && sudo apt-get install -y {' '.join(packages)}"
        )
    print(f"set-up: installing {names} ({' '.join(packages)})", flush=True)
    environment = {**clean_environment(), "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run([*prefix, "apt-get", "-q", *command], capture_output=True, text=True, env=environment)
        if done.returncode:
            raise NotReady(f"apt-get {' '.join(command)} failed: {last_line(done.stderr or done.stdout)}")


def privilege() -> list[str] | None:
    """What to put before apt-get; None when this user may not install, or there is no apt-get."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def check_disk(folder: Path) -> None:
    """Raise NotReady when there is no room for the virtual environment."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < NEEDED_GB:
        needed = f"about {NEEDED_GB} GB are needed, {NEEDED_WITH_CUDA_GB} with the CUDA build of torch"
        raise NotReady(f"{folder} has {free_gb:.1f} GB free, {needed}: make room and run this again")


def clean_environment() -> dict[str, str]:
    """The environment without the marks of another ROS virtual environment, whose libraries would be taken for ours."""
    strange = {"PYTHONPATH", "PYTHONHOME"}
    if "_ROS_WHEELS_BOOTSTRAP_COMPLETE" in os.environ:
        strange |= {"_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH"}
    return {name: value for name, value in os.environ.items() if name not in strange}


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
