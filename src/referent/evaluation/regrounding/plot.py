"""Quality against the grounder's latency, a line for each policy."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from referent.evaluation.regrounding.measures import Judged, of_policy, overlap_of
from referent.evaluation.regrounding.policies import (
    EVERY_ANSWER,
    INTERVAL,
    NEVER,
    OURS,
    REINIT,
    WITHOUT_TIME_TRAVEL,
)

SIZE_PX = (760, 420)
LEFT, TOP, RIGHT, BOTTOM = 64, 40, 520, 360
COLORS = {
    OURS: "#1b7837",
    WITHOUT_TIME_TRAVEL: "#7fbf7b",
    INTERVAL: "#2166ac",
    REINIT: "#b2182b",
    EVERY_ANSWER: "#762a83",
    NEVER: "#5b6875",
}
INK, GRID = "#1f2933", "#dddddd"
Point = tuple[float, float]


def plot(judged: Sequence[Judged]) -> Image.Image:
    """Mean J over the trials by latency; a policy that never asks again is drawn as far as the others go."""
    trials = [one for one in judged if one.is_trial]
    lines = {policy: _points(trials, policy) for policy in COLORS}
    longest_s = max((x for points in lines.values() for x, _ in points), default=1.0) or 1.0
    if len(lines[NEVER]) == 1:
        lines[NEVER] = [(0.0, lines[NEVER][0][1]), (longest_s, lines[NEVER][0][1])]
    picture = Image.new("RGB", SIZE_PX, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    _axes(draw, font, longest_s)
    for number, (policy, color) in enumerate(COLORS.items()):
        pixels = [(_x(x, longest_s), _y(y)) for x, y in lines[policy]]
        draw.line(pixels, fill=color, width=3)
        for x, y in pixels:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=color)
        draw.line([(RIGHT + 24, 80 + 28 * number), (RIGHT + 54, 80 + 28 * number)], fill=color, width=3)
        draw.text((RIGHT + 62, 72 + 28 * number), policy, fill=INK, font=font)
    return picture


def _points(judged: Sequence[Judged], policy: str) -> list[Point]:
    latencies = sorted({one.latency_s for one in judged if one.policy == policy})
    known = [(latency_s, overlap_of(of_policy(judged, policy, latency_s))) for latency_s in latencies]
    return [(latency_s, overlap.value) for latency_s, overlap in known if overlap is not None]


def _axes(draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, longest_s: float) -> None:
    draw.text((LEFT, 12), "Mean J over the trials, by the grounder's latency", fill=INK, font=font)
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        draw.line([(LEFT, y), (RIGHT, y)], fill=GRID)
        draw.text((LEFT - 32, y - 8), f"{tenth / 10:.1f}", fill=INK, font=font)
    for quarter in range(5):
        x = _x(longest_s * quarter / 4, longest_s)
        draw.text((x - 10, BOTTOM + 10), f"{longest_s * quarter / 4:g}", fill=INK, font=font)
    draw.text((LEFT + 150, BOTTOM + 32), "seconds until the answer is in", fill=INK, font=font)


def _x(latency_s: float, longest_s: float) -> float:
    return LEFT + (RIGHT - LEFT) * latency_s / longest_s


def _y(overlap: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * overlap
