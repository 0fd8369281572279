"""ROS tests run in one process, in a domain of their own, on this machine only."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

from referent.demo import free_domain

if importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("referent_msgs") is None:
    collect_ignore_glob = ["test_*.py"]  # the workspace is not sourced: `make test` sources it


@pytest.fixture(autouse=True, scope="session")
def own_domain() -> Iterator[None]:
    """Nobody else hears these tests, and they hear nobody else."""
    own = {"ROS_DOMAIN_ID": str(free_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
