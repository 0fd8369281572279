"""The learning curve of the tracker: averaged weights on held-out clips while the training runs, and its plot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from referent.tracking.model import build_sam2
from referent.training import clips
from referent.training.clips import Clip
from referent.training.tracker_eval import scores_of

FIRST_NUMBER = 500_000  # far from the validation clips on which the input size is chosen
FRAMES = (1, 2, 4, 8)
PLOT_PX = (560, 320)
COLORS = {"f1": "#1b7837", "f2": "#2166ac", "f4": "#b2182b", "f8": "#762a83"}


@dataclass(eq=False)
class HeldOut:
    """Clips no training sees and a model to try the averaged weights in."""

    model: Any
    tests: list[Clip]

    def point(self, average: dict[str, torch.Tensor]) -> dict[str, float | None]:
        """Mean IoU at some frames after one tight box, and the share of absent frames recognised."""
        self.model.load_state_dict(average)
        scores = [score for test in self.tests for score in scores_of(self.model, test)]
        iou = np.stack([score.iou for score in scores])
        absent, denied = np.stack([s.absent for s in scores]), np.stack([s.denied for s in scores])
        point: dict[str, float | None] = {f"f{n}": round(float(np.nanmean(iou[:, n - 1])), 4) for n in FRAMES}
        return point | {"absent": round(float(denied[absent].mean()), 3) if absent.any() else None}


def held_out(config: Path, image_size: int, *, count: int, renderer: clips.Renderer = clips.render) -> HeldOut:
    """`count` held-out clips of eight frames."""
    rendered = [renderer("validation", FIRST_NUMBER + number) for number in range(count)]
    tests = [Clip(clip.rgb[:8], clip.ids[:8]) for clip in rendered]
    return HeldOut(build_sam2(config, image_size=image_size), tests)


def write_curve(lines: list[dict[str, Any]], folder: Path) -> None:
    """`learning_curve.json` and `learning_curve.png`: held-out IoU over minutes."""
    rows = ",\n".join(json.dumps(line) for line in lines)
    (folder / "learning_curve.json").write_text(f"[\n{rows}\n]\n")
    plot(lines).save(folder / "learning_curve.png", optimize=True)


def plot(lines: list[dict[str, Any]]) -> Image.Image:
    """One line per reported frame, IoU 0 to 1 over minutes."""
    picture = Image.new("RGB", PLOT_PX, "white")
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = 44, 24, PLOT_PX[0] - 16, PLOT_PX[1] - 32
    end = max((line["minutes"] for line in lines), default=1.0) or 1.0

    def place(minutes: float, iou: float) -> tuple[float, float]:
        return left + (right - left) * minutes / end, bottom - (bottom - top) * iou

    for tenth in range(0, 11, 2):
        draw.line([place(0, tenth / 10), place(end, tenth / 10)], fill="#dddddd")
        draw.text((8, place(0, tenth / 10)[1] - 6), f"{tenth / 10:.1f}", fill="black")
    for quarter in range(5):
        draw.text((place(end * quarter / 4, 0)[0] - 8, bottom + 6), f"{end * quarter / 4:.0f}", fill="black")
    for number, (name, color) in enumerate(COLORS.items()):
        points = [place(line["minutes"], line[name]) for line in lines]
        draw.line(points, fill=color, width=2)
        draw.text((left + 8 + 70 * number, 6), f"frame {name[1:]}", fill=color)
    draw.text((left + 300, 6), "held-out mean IoU over minutes", fill="black")
    return picture
