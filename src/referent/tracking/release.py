"""Keeps what models hold out of the search for garbage, and gives all of it back once they are gone."""

from __future__ import annotations

import ctypes
import gc

import torch


def exempt_from_search() -> None:
    """Leave everything that is alive now out of Python's search for garbage, until `free_unused_memory`.

    A search through all that torch and the models consist of holds up every thread of the process for 0.1 s, in which
    a camera sends three pictures.
    """
    gc.collect()
    gc.freeze()


def free_unused_memory() -> None:
    """Free what nothing refers to any more, on a GPU too; what its driver needs itself stays until the process ends."""
    gc.unfreeze()
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def return_free_memory() -> None:
    """Give the system what the allocator keeps for later; with pictures and features of all sizes that adds up.

    Takes some milliseconds, and lets other Python threads run. Without effect where there is no glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
