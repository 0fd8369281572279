"""Shared by the tests of the network's parts: the builders of the tracking tests, one torch thread, no gradients."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(autouse=True)
def one_thread_no_gradients() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Any:
    """The small SAM 2.1 with enlarged random weights; tests must leave it as it is."""
    from official_parts import an_official_model

    return an_official_model()
