"""Keeps what models hold out of the search for garbage, and gives all of it back once they are gone."""

from __future__ import annotations

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
