"""The learning curve of the grounder as a picture.

python -m referent.training.grounder_curve RUN/learning_curve.jsonl OUT.png
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

SIZE_PX = (640, 340)
LEFT, TOP, RIGHT, BOTTOM = 44, 28, 620, 304
SMOOTHED = 5  # measurements, on one training batch each, averaged for one point
SHOWN = {
    "category": ("#1b7837", "patch: category"),
    "color": ("#2166ac", "patch: color"),
    "hit": ("#b2182b", "looks at the object"),
    "aux_box": ("#762a83", "box error x 4"),
}


def lines_of_run(path: Path) -> list[dict[str, float]]:
    """The measurements of a run. After a resume, those that were repeated count once, as the later run had them."""
    by_step = {line["step"]: line for line in map(json.loads, path.read_text().splitlines())}
    return [by_step[step] for step in sorted(by_step)]


def plot(lines: Sequence[Mapping[str, float]]) -> Image.Image:
    """Shares of patches named rightly, of answers that look at their object, and the box error, over minutes."""
    picture = Image.new("RGB", SIZE_PX, "white")
    draw = ImageDraw.Draw(picture)
    end_min = max(line["spent_s"] for line in lines) / 60
    for fifth in range(6):
        y = BOTTOM - (BOTTOM - TOP) * fifth / 5
        draw.line([(LEFT, y), (RIGHT, y)], fill="#dddddd")
        draw.text((14, y - 6), f"{fifth / 5:.1f}", fill="black")
    for quarter in range(5):
        x = LEFT + (RIGHT - LEFT) * quarter / 4
        draw.text((x - 24, BOTTOM + 8), f"{end_min * quarter / 4:.0f} min", fill="black")
    for number, (name, (color, title)) in enumerate(SHOWN.items()):
        draw.text((LEFT + 140 * number, 8), title, fill=color)
        draw.line(_points(lines, name, end_min), fill=color, width=2)
    return picture


def _points(lines: Sequence[Mapping[str, float]], name: str, end_min: float) -> list[tuple[float, float]]:
    measured = [line for line in lines if name in line]
    points = []
    for first in range(0, len(measured) - SMOOTHED + 1, SMOOTHED):
        group = measured[first : first + SMOOTHED]
        value = sum(line[name] for line in group) / SMOOTHED * (4 if name == "aux_box" else 1)
        minutes = sum(line["spent_s"] for line in group) / SMOOTHED / 60
        points.append((LEFT + (RIGHT - LEFT) * minutes / end_min, BOTTOM - (BOTTOM - TOP) * min(value, 1.0)))
    return points


if __name__ == "__main__":
    plot(lines_of_run(Path(sys.argv[1]))).save(sys.argv[2], optimize=True)
