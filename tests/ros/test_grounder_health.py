"""How whatever runs the grounder is doing, as diagnostics tell it."""

from __future__ import annotations

import pytest

from referent.types import FrameResult, GrounderHealth
from referent_ros.diagnostics import OutputHealth


@pytest.mark.parametrize(
    ("health", "level", "message"),
    [
        (GrounderHealth("ready", "boxes are where they should be"), b"\x00", "not asked yet"),
        (GrounderHealth("restarting", "in 4 s: exit code -9", 3), b"\x02", "restarting: in 4 s: exit code -9"),
        (GrounderHealth("refused", "boxes are upside down"), b"\x02", "refused: boxes are upside down"),
        (None, b"\x00", "not asked yet"),
    ],
)
def test_a_grounder_that_is_restarted_or_refused_is_an_error(
    health: GrounderHealth | None, level: bytes, message: str
) -> None:
    output = OutputHealth()
    output.note_result(FrameResult(1, "camera", (), grounder=health), 0.1, 0.05)
    status = next(status for status in output.statuses(1.0, {}) if "grounder" in status.name)
    assert (status.level, status.message) == (level, message)
    values = {pair.key: pair.value for pair in status.values}
    assert values.get("note") == (health.note if health else None)
