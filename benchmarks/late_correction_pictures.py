"""The strip, the plot and the video of `late_correction.py`, drawn with OpenCV and Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from referent.evaluation.drawing import DARK, PALETTE, TINT, draw_boxes
from referent.evaluation.video import VideoWriter
from referent.types import Array

WIDTH_PX, MARGIN_PX, GAP_PX, CAPTION_PX = 1200, 16, 8, 48
PANEL_HEIGHT_PX, PLOT_PX, VIDEO_SIDE_PX = 212, 300, 600
TEXT_PX, SMALL_PX = 16, 14
COLORS = {"with": PALETTE[0], "without": PALETTE[1]}
NAMES = {"with": "with the correction", "without": "without it"}
TRUTH = PALETTE[3]
ANSWER = (255, 214, 10)  # as `draw_boxes` draws it
MUTED, GRID, SHADE, BUSY = (91, 104, 117), (226, 230, 234), (236, 238, 241), (214, 238, 241)
Iou = Sequence[float | None]


@dataclass(frozen=True)
class Marks:
    """The frames that matter."""

    asked: int
    answered: int
    commit: int


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame with the masks of truth and both runs, (H, W) bool."""

    rgb: Array
    truth: Array
    without: Array
    corrected: Array


def draw_strip(shots: Sequence[Shot], marks: Marks, box_xyxy: Array, ious: Mapping[str, Iou], *, fps: float) -> Any:
    """The whole story on one Pillow image: a row of frames, cut to where the object goes, above both runs' IoU."""
    moments = _moments(shots, marks)
    panel_wh = ((WIDTH_PX - 2 * MARGIN_PX + GAP_PX) // len(moments) - GAP_PX, PANEL_HEIGHT_PX)
    rows, columns = _cut([shots[index].truth for index, _ in moments], aspect=panel_wh[0] / panel_wh[1])
    sheet = Image.new("RGB", (WIDTH_PX, MARGIN_PX + PANEL_HEIGHT_PX + CAPTION_PX + 30 + PLOT_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (index, title) in enumerate(moments):
        left = MARGIN_PX + number * (panel_wh[0] + GAP_PX)
        picture = overlay(shots[index], shots[index].corrected, "with")
        if index == marks.asked:
            draw_boxes(picture, [box_xyxy.tolist()])
        small = cv2.resize(picture[rows, columns], panel_wh, interpolation=cv2.INTER_AREA)
        sheet.paste(Image.fromarray(small), (left, MARGIN_PX))
        draw.text((left, MARGIN_PX + PANEL_HEIGHT_PX + 4), title, fill=DARK, font=_font(TEXT_PX))
        when = f"frame {index}, {index / fps:.2f} s"
        draw.text((left, MARGIN_PX + PANEL_HEIGHT_PX + 25), when, fill=MUTED, font=_font(SMALL_PX))
    _legend(draw, MARGIN_PX, MARGIN_PX + PANEL_HEIGHT_PX + CAPTION_PX + 6)
    sheet.paste(draw_plot(ious, marks, width_px=WIDTH_PX, fps=fps), (0, sheet.height - PLOT_PX))
    return sheet


def _moments(shots: Sequence[Shot], marks: Marks) -> list[tuple[int, str]]:
    """The frames of the strip, each with its caption."""
    hidden = [index for index in range(marks.asked) if not shots[index].truth.any()]
    later = min(len(shots) - 1, marks.commit + max(1, marks.answered - marks.asked) // 2)
    return [
        (0, "first prompt"),
        (hidden[len(hidden) // 2], "hidden"),
        (marks.asked, "lost, asked here (s)"),
        (marks.answered, "answer arrives"),
        (marks.commit - 1, "catching up"),
        (marks.commit, "committed"),
        (later, "later"),
    ]


def _cut(truths: Sequence[Array], *, aspect: float) -> tuple[slice, slice]:
    """Rows and columns of the smallest window of that width / height around all masks, with a margin."""
    together = np.any(truths, axis=0)
    height, width = together.shape
    rows, columns = np.flatnonzero(together.any(axis=1)), np.flatnonzero(together.any(axis=0))
    margin = height // 12
    tall = min(height, max(np.ptp(rows) + 2 * margin, (np.ptp(columns) + 2 * margin) / aspect), width / aspect)
    size = round(tall), round(tall * aspect)
    top, left = (
        int(np.clip((each[0] + each[-1] - side) // 2, 0, whole - side))
        for each, side, whole in ((rows, size[0], height), (columns, size[1], width))
    )
    return slice(top, top + size[0]), slice(left, left + size[1])


def overlay(shot: Shot, mask: Array, run: str) -> Array:
    """A copy of the picture with a run's mask tinted and the truth as an outline."""
    picture = shot.rgb.copy()
    color = np.asarray(COLORS[run], np.float32)
    picture[mask] = (TINT * picture[mask] + (1 - TINT) * color).astype(np.uint8)
    contours, _ = cv2.findContours(shot.truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, (255, 255, 255), 5, cv2.LINE_AA)
    cv2.drawContours(picture, contours, -1, TRUTH, 3, cv2.LINE_AA)
    return picture


def _legend(draw: Any, x: float, y: int) -> None:
    entries = (
        ("published mask", COLORS["with"]),
        ("outline of the truth", TRUTH),
        ("the answer, about frame s", ANSWER),
    )
    for text, color in entries:
        draw.rectangle((x, y, x + 16, y + 14), fill=color)
        draw.text((x + 22, y - 2), text, fill=DARK, font=_font(SMALL_PX))
        x += 50 + draw.textlength(text, font=_font(SMALL_PX))


@dataclass(frozen=True)
class _Axes:
    """Where frames and IoU lie on the plot, in pixels."""

    left: int
    right: int
    top: int
    bottom: int
    last: int  # frame at the right end

    def x(self, index: float) -> float:
        return self.left + (self.right - self.left) * index / self.last

    def y(self, iou: float) -> float:
        return self.bottom - (self.bottom - self.top) * iou


def draw_plot(ious: Mapping[str, Iou], marks: Marks, *, width_px: int, fps: float, now: int | None = None) -> Any:
    """Both runs' IoU over the frames as a Pillow image; with `now`, only so far."""
    frames = len(ious["with"])
    axes = _Axes(64, width_px - 24, 56, PLOT_PX - 52, max(1, frames - 1))
    plot = Image.new("RGB", (width_px, PLOT_PX), "white")
    draw = ImageDraw.Draw(plot)
    _grounds(draw, axes, ious["with"], marks)
    _ticks(draw, axes, fps)
    _mark_lines(draw, axes, marks)
    for name, stroke_px in (("without", 6), ("with", 3)):
        _curve(draw, axes, ious[name][: frames if now is None else now + 1], COLORS[name], stroke_px)
    if now is not None:
        draw.line([(axes.x(now), axes.top), (axes.x(now), axes.bottom)], fill=DARK, width=1)
    x = float(MARGIN_PX)
    for name, color in COLORS.items():
        draw.line([(x, 14), (x + 24, 14)], fill=color, width=5)
        draw.text((x + 30, 5), NAMES[name], fill=DARK, font=_font(SMALL_PX))
        x += 62 + draw.textlength(NAMES[name], font=_font(SMALL_PX))
    for text, color in (("object not visible", SHADE), ("catching up", BUSY)):
        draw.rectangle((x, 7, x + 24, 21), fill=color, outline=MUTED)
        draw.text((x + 30, 5), text, fill=DARK, font=_font(SMALL_PX))
        x += 62 + draw.textlength(text, font=_font(SMALL_PX))
    return plot


def _grounds(draw: Any, axes: _Axes, iou: Iou, marks: Marks) -> None:
    """Grey where there is nothing to see, and the time that catching up takes."""
    half = 0.5 * (axes.x(1) - axes.x(0))
    for index, value in enumerate(iou):
        if value is None:
            edges = max(axes.left, axes.x(index) - half), min(axes.right, axes.x(index) + half)
            draw.rectangle((edges[0], axes.top, edges[1], axes.bottom), fill=SHADE)
    draw.rectangle((axes.x(marks.answered), axes.top, axes.x(marks.commit), axes.bottom), fill=BUSY)


def _ticks(draw: Any, axes: _Axes, fps: float) -> None:
    small = _font(SMALL_PX)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        draw.line([(axes.left, axes.y(tick)), (axes.right, axes.y(tick))], fill=GRID)
        draw.text((axes.left - 8, axes.y(tick)), f"{tick:g}", fill=MUTED, font=small, anchor="rm")
    for index in range(0, axes.last + 1, 10):
        draw.line([(axes.x(index), axes.bottom), (axes.x(index), axes.bottom + 5)], fill=MUTED)
        draw.text((axes.x(index), axes.bottom + 7), f"{index}", fill=MUTED, font=small, anchor="ma")
    middle = (axes.left + axes.right) / 2
    draw.text((middle, PLOT_PX - 24), f"frame ({fps:g} per second)", fill=DARK, font=small, anchor="ma")
    side = Image.new("L", (axes.bottom - axes.top, 20))
    ImageDraw.Draw(side).text((side.width / 2, 1), "IoU with the truth", fill=255, font=small, anchor="ma")
    turned = side.rotate(90, expand=True)
    draw.bitmap((6, axes.top), turned, fill=DARK)


def _mark_lines(draw: Any, axes: _Axes, marks: Marks) -> None:
    """Vertical lines with their names above, the last to the right of its line so that neighbours do not meet."""
    named = ((marks.asked, "s: asked", "ms"), (marks.answered, "answer", "rs"), (marks.commit, "committed", "ls"))
    for index, text, anchor in named:
        x = axes.x(index)
        for top in range(axes.top, axes.bottom, 8):
            draw.line([(x, top), (x, top + 4)], fill=MUTED, width=2)
        draw.text((x, axes.top - 6), text, fill=DARK, font=_font(SMALL_PX), anchor=anchor)


def _curve(draw: Any, axes: _Axes, iou: Iou, color: tuple[int, int, int], stroke_px: int) -> None:
    """A line that breaks where there is no value."""
    for index, (one, two) in enumerate(pairwise(iou)):
        if one is not None and two is not None:
            ends = [(axes.x(index), axes.y(one)), (axes.x(index + 1), axes.y(two))]
            draw.line(ends, fill=color, width=stroke_px, joint="curve")


def write_video(path: Path, shots: Sequence[Shot], marks: Marks, ious: Mapping[str, Iou], *, fps: float) -> None:
    """Both runs side by side over the plot as it grows, H.264."""
    writer = VideoWriter(path, fps=fps)
    for index, shot in enumerate(shots):
        sides = [_side(shot, shot.without, "without"), _side(shot, shot.corrected, "with")]
        plot = draw_plot(ious, marks, width_px=2 * VIDEO_SIDE_PX, fps=fps, now=index)
        caption = Image.new("RGB", (2 * VIDEO_SIDE_PX, 36), DARK)
        text = f"frame {index}, {index / fps:.2f} s   {_happening(index, shot, marks)}"
        ImageDraw.Draw(caption).text((MARGIN_PX, 8), text, fill="white", font=_font(18))
        writer.write(np.vstack([np.asarray(caption), np.hstack(sides), np.asarray(plot)]))
    writer.close()


def _side(shot: Shot, mask: Array, run: str) -> Array:
    """One run's half of the video with its name."""
    height = VIDEO_SIDE_PX * shot.rgb.shape[0] // shot.rgb.shape[1] // 2 * 2
    picture = cv2.resize(overlay(shot, mask, run), (VIDEO_SIDE_PX, height), interpolation=cv2.INTER_LINEAR)
    plate = Image.fromarray(picture)
    draw = ImageDraw.Draw(plate)
    draw.rectangle((0, 0, draw.textlength(NAMES[run], font=_font(TEXT_PX)) + 24, 28), fill=COLORS[run])
    draw.text((12, 5), NAMES[run], fill="white", font=_font(TEXT_PX))
    return np.asarray(plate)


def _happening(index: int, shot: Shot, marks: Marks) -> str:
    """What the run with the correction is at."""
    if index == marks.asked:
        return "asked about this frame"
    if marks.asked < index < marks.answered:
        return f"waiting for the answer about frame {marks.asked}"
    if marks.answered <= index < marks.commit:
        return f"the answer about frame {marks.asked} is here: catching up"
    if index == marks.commit:
        return "caught up: committed"
    return "" if shot.truth.any() else "the object is hidden"


def _font(size_px: int) -> Any:
    return ImageFont.load_default(size_px)
