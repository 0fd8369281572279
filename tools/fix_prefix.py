"""Repair the CMake exports of the ROS message wheels: they carry the include paths of the machine that built them.

Run with the Python of the virtual environment, after every installation that changes a message package or numpy.
Running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

NUMPY_INCLUDE = re.compile(r'[^;"\s]+/numpy/(?:_core|core)/include')
PYTHON_INCLUDE = re.compile(r'/opt/python/[^;"\s]+/include/python3\.\d+')


def repaired(exports: str, *, numpy_include: str, python_include: str) -> str:
    """The text of one CMake export file with this machine's include paths."""
    exports = NUMPY_INCLUDE.sub(lambda _: numpy_include, exports)
    return PYTHON_INCLUDE.sub(lambda _: python_include, exports)


def fix(prefix: Path, *, numpy_include: str, python_include: str) -> int:
    """Repair every CMake export below `prefix`; returns how many files changed."""
    changed = 0
    for path in sorted((prefix / "share").glob("*/cmake/*Export*.cmake")):
        before = path.read_text()
        after = repaired(before, numpy_include=numpy_include, python_include=python_include)
        if after != before:
            path.write_text(after)
            changed += 1
    return changed


if __name__ == "__main__":
    import numpy

    count = fix(Path(sys.prefix), numpy_include=numpy.get_include(), python_include=str(sysconfig.get_path("include")))
    print(f"{count} CMake exports repaired")
