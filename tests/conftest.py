"""Shared by all tests: test helpers are importable by name, and tests that belong together share a process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scripted_server import Behaviour, ScriptedServer

sys.path.insert(0, str(Path(__file__).parent))
ROS_TESTS = ("ros/", "test_demo.py")  # one after the other: they start nodes, and time what those do
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real RGB-D recordings beside the repository."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real recordings are not at {REAL_DATA}: they are not part of the repository")
    return REAL_DATA


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], ScriptedServer]]:
    """Starts servers that are stopped when the test ends."""
    from scripted_server import ScriptedServer

    servers: list[ScriptedServer] = []

    def start(behave: Behaviour) -> ScriptedServer:
        servers.append(ScriptedServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where tests run in several processes, those of one file share one."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    here = Path(__file__).parent
    for item in items:
        name = item.path.relative_to(here).as_posix()
        item.add_marker(pytest.mark.xdist_group("ros" if name.startswith(ROS_TESTS) else name))
