"""A memory for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sightings import CONFIG

from referent.memory import ObjectMemory


@pytest.fixture
def memory() -> Iterator[ObjectMemory]:
    memory = ObjectMemory(None, CONFIG)
    yield memory
    memory.close()
