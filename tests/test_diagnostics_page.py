"""docs/diagnostics.md holds a capture of every fault that the script makes, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "diagnostics.md"


def test_every_fault_has_its_capture_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import diagnostics_of_faults as script

    captures = dict(re.findall(r"<!-- captured: (\w+) -->\n```\n(.*?)\n```\n", PAGE.read_text(), re.DOTALL))
    assert list(captures) == list(script.FAULTS)
    assert "[OK] referent: input: all inputs arrive" in captures.pop("healthy")
    for name, text in captures.items():
        assert re.search(r"^\[(WARN|ERROR)\] referent: ", text, re.MULTILINE), name
    assert script.replaced("<!-- captured: qos -->\n```\nold\n```\n", "qos", "new").endswith("```\nnew\n```\n")
