"""Frees the shared memory of processes that were killed: Fast DDS leaves it to whoever notices.

Each participant owns one segment, of 32 MiB where large images are sent, under a name that is never used again, and
holds a lock on the file of that name with `_el` for as long as it lives, also across containers that share /dev/shm.
Ports are left alone: they are small, their names are used again, and Fast DDS mends them itself.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_SEGMENT = re.compile(r"(fastrtps|fastdds)_[0-9a-f]{16}")
_YOUNG_S = 1.0  # its owner may be about to lock it


def remove_dead_segments(folder: Path = SHARED_MEMORY) -> list[str]:
    """Remove this user's segments in `folder` that no living process has; returns their names."""
    if not folder.is_dir():  # not Linux
        return []
    removed = []
    for segment in sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name)):
        with suppress(OSError):  # another process removes it at the same moment
            if _is_ours(segment) and _remove_if_dead(segment):
                removed.append(segment.name)
    return removed


def _is_ours(segment: Path) -> bool:
    about = segment.stat()
    return about.st_uid == os.getuid() and time.time() - about.st_ctime > _YOUNG_S


def _remove_if_dead(segment: Path) -> bool:
    lock = segment.with_name(segment.name + "_el")
    with _taken(lock) as dead:
        if dead:
            segment.unlink()
            lock.unlink()
        return dead


@contextmanager
def _taken(lock: Path) -> Iterator[bool]:
    """Whether nobody else holds the lock. Raises OSError when there is none."""
    handle = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
