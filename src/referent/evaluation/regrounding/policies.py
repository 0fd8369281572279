"""Ways of asking the grounder again, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OURS = "evidence"
WITHOUT_TIME_TRAVEL = "evidence, present frame"
INTERVAL = "interval"
REINIT = "interval, re-init"
EVERY_ANSWER = "every answer"
NEVER = "never"

POLICIES: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        OURS: {"grounding.reground_policy": "evidence"},
        # an answer is applied to the newest frame, as where nothing is kept of the one asked about
        WITHOUT_TIME_TRAVEL: {"grounding.reground_policy": "evidence", "grounding.time_travel": False},
        INTERVAL: {"grounding.reground_policy": "interval"},
        # what Grounded-SAM-2's continuous mode does: every answer starts the track anew, in the present frame
        REINIT: {
            "grounding.reground_policy": "interval",
            "grounding.time_travel": False,
            "grounding.confirm_iou": 1.0,
            "tracker.agreement_iou": 1.0,
        },
        EVERY_ANSWER: {"grounding.reground_policy": "every_answer"},
        NEVER: {"grounding.reground_policy": "never"},
    }
)
AS_OFTEN_AS_OURS = (INTERVAL, REINIT)  # their interval is set so that they ask as often as ours did
