"""Shared by the tests of the network's parts: the builders of the tracking tests, one torch thread, no gradients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(autouse=True)
def everywhere(one_thread_no_gradients: None) -> None:
    """Here every test asks for it."""


@pytest.fixture(scope="module")
def model() -> Any:
    """The small SAM 2.1 with enlarged random weights; tests must leave it as it is."""
    from official_parts import an_official_model

    return an_official_model()
