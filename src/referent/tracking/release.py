"""Gives back the memory that torch keeps for later, once models are gone."""

from __future__ import annotations

import gc

import torch


def free_unused_memory() -> None:
    """Free what nothing refers to any more, on a GPU too; what its driver needs itself stays until the process ends."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
