"""Curves over frames as a PNG: panels one above the other, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

WIDTH_PX, PANEL_PX = 900, 220
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 64, 32, 30, 26  # margins of a panel
COLORS = ("#2166ac", "#b2182b", "#1b7837", "#762a83")
Point = tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """Some curves with one y axis that begins at 0."""

    title: str  # with the unit
    curves: dict[str, Sequence[float]]


def picture(x: Sequence[float], panels: Sequence[Panel], *, x_title: str) -> Image.Image:
    """All panels over the same x, in ascending order."""
    canvas = Image.new("RGB", (WIDTH_PX, PANEL_PX * len(panels) + 18), "white")
    draw = ImageDraw.Draw(canvas)
    for number, panel in enumerate(panels):
        _draw(draw, PANEL_PX * number, x, panel)
    draw.text((WIDTH_PX // 2, PANEL_PX * len(panels)), x_title, fill="black")
    return canvas


def _draw(draw: ImageDraw.ImageDraw, offset: int, x: Sequence[float], panel: Panel) -> None:
    top, bottom, right = offset + TOP_PX, offset + PANEL_PX - BOTTOM_PX, WIDTH_PX - RIGHT_PX
    highest = _round_up(max((value for curve in panel.curves.values() for value in curve), default=1.0))
    last = max(x, default=1.0) or 1.0

    def place(value_x: float, value_y: float) -> Point:
        return LEFT_PX + (right - LEFT_PX) * value_x / last, bottom - (bottom - top) * value_y / highest

    for quarter in range(5):
        draw.line([place(0, highest * quarter / 4), place(last, highest * quarter / 4)], fill="#dddddd")
        draw.text((6, place(0, highest * quarter / 4)[1] - 6), f"{highest * quarter / 4:g}", fill="black")
        draw.text((place(last * quarter / 4, 0)[0] - 12, bottom + 6), f"{last * quarter / 4:.0f}", fill="black")
    draw.text((LEFT_PX, offset + 8), panel.title, fill="black")
    legend_x = LEFT_PX + 240.0
    for (name, curve), color in zip(panel.curves.items(), _colors(), strict=False):
        draw.line([place(*point) for point in zip(x, curve, strict=True)], fill=color, width=2)
        draw.text((legend_x, offset + 8), name, fill=color)
        legend_x += 24 + draw.textlength(name)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value > 0:
        power /= 10
    return next(power * digit for digit in (1, 2, 4, 8, 10) if power * digit >= value)


def _colors() -> Iterator[str]:
    while True:
        yield from COLORS
