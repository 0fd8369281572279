"""How much memory this process takes, here and on the GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

MEGABYTE = 1_000_000


def memory_in_use() -> Mapping[str, int]:
    """Resident memory, and what torch holds on the GPU where it uses one; models of other processes are not counted."""
    with open("/proc/self/statm") as file:
        in_use = {"memory_mb": int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") // MEGABYTE}
    torch = sys.modules.get("torch")  # not imported for this
    if torch is not None and torch.cuda.is_initialized():
        in_use["gpu_memory_mb"] = torch.cuda.memory_reserved() // MEGABYTE
    return in_use
