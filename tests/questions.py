"""Questions to a grounder in one line."""

from __future__ import annotations

from typing import Any

from painted import painted

from referent.types import Array, GroundingRequest, Intrinsics, RegroundReason, RgbdFrame, Target

RED_BOX = (10, 10, 20, 20)


def a_request(expression: str = "the red block", rgb: Array | None = None, **fields: Any) -> GroundingRequest:
    """Where that is in a picture (H, W, 3) uint8 without depth, or in a painted one with a red block at RED_BOX."""
    frame = painted(0, {"red": RED_BOX}) if rgb is None else a_picture(rgb)
    return GroundingRequest((Target("1", expression),), frame, RegroundReason.NEW, **fields)


def a_picture(rgb: Array) -> RgbdFrame:
    height, width = rgb.shape[:2]
    return RgbdFrame(1, "camera", rgb, None, Intrinsics(width, height, 500.0, 500.0, width / 2, height / 2))
