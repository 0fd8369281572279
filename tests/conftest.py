"""Shared by all tests: test helpers are importable by name, torch stays on one thread."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real RGB-D recordings beside the repository."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real recordings are not at {REAL_DATA}: they are not part of the repository")
    return REAL_DATA
