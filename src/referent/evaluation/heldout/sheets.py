"""Contact sheets: what succeeded and what failed, as pictures people can read."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from referent.evaluation.heldout.follows import Follow
from referent.evaluation.heldout.grounder import GrounderJudgement
from referent.evaluation.heldout.outcomes import Outcome
from referent.evaluation.heldout.questions import PLAIN
from referent.evaluation.heldout.tracker import TrackerJudgement
from referent.grounding.answers import THOUSANDTHS
from referent.grounding.replies import locate
from referent.types import Array

EACH = 4  # successes, and as many failures
TILE_PX = (400, 300)
TEXT_LINES, TEXT_PX, TEXT_WIDTH = 5, 15, 50  # characters a line
TRUTH, ANSWER, INK, PAPER = (0, 158, 115), (230, 97, 0), (30, 34, 40), (255, 255, 255)
TRUTH_INK, ANSWER_INK, EARLIER = (0, 110, 80), (190, 70, 0), (110, 116, 124)
GAP_PX, HEAD_PX = 8, 34
JPEG_QUALITY = 85


def write_grounder_sheets(judgement: GrounderJudgement, folder: Path) -> list[Path]:
    """A sheet `grounder_<kind>.jpg` for every kind of question: the first successes above the first failures."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [each for each in judgement.outcomes if each.case == PLAIN or each.kind == "follow-up"]
    pictured = [each for each in shown if each.case == PLAIN or each.case.startswith("follow-up, after")]
    written = []
    for kind in sorted({each.kind for each in pictured}):
        outcomes = [each for each in pictured if each.kind == kind]
        rows = [_first_of_each_scene([o for o in outcomes if o.right is right]) for right in (True, False)]
        right = sum(outcome.right for outcome in outcomes)
        title = f"{kind}: {right} of {len(outcomes)} right"
        tiles = [[_tile(each, judgement.pictures[each.seed]) for each in row] for row in rows]
        written.append(_write(_sheet(title, tiles), folder / f"grounder_{kind.replace(' ', '_')}.jpg"))
    return written


def _first_of_each_scene(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The first outcomes, of different scenes."""
    by_seed = {outcome.seed: outcome for outcome in reversed(outcomes)}
    return [by_seed[seed] for seed in sorted(by_seed)][:EACH]


def _tile(outcome: Outcome, jpeg: bytes) -> Image.Image:
    """The picture with true and answered boxes, and beneath it what was said."""
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    scale = min(TILE_PX[0] / picture.width, TILE_PX[1] / picture.height)
    shown = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    tile = Image.new("RGB", (TILE_PX[0], TILE_PX[1] + TEXT_LINES * (TEXT_PX + 4) + 6), PAPER)
    tile.paste(shown, (0, 0))
    draw = ImageDraw.Draw(tile)
    earlier = _earlier_boxes(outcome, picture.size)
    for boxes, color, width in ((earlier, EARLIER, 3), (outcome.wanted, TRUTH, 5), (outcome.answered, ANSWER, 2)):
        for box in boxes:
            draw.rectangle([float(edge) * scale for edge in box], outline=color, width=width)
    _write_lines(draw, list(_texts(outcome)), TILE_PX[1] + 4)
    return tile


def _earlier_boxes(outcome: Outcome, size: tuple[int, int]) -> list[Array]:
    """What was answered to the turn before, in pixels of a picture of `size` (width, height)."""
    scale = (size[0] / THOUSANDTHS, size[1] / THOUSANDTHS)
    answers = [locate(turn.answer, scale=scale, size=size) for turn in outcome.history]
    return [item.box_xyxy for answer in answers for item in answer.items if item.box_xyxy is not None]


def _texts(outcome: Outcome) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """What was said before, what is said, and what was answered."""
    for turn in outcome.history:
        yield f"before: “{turn.question}” (answer in grey)", EARLIER
    yield f"“{outcome.text}”", INK
    if not outcome.parsed:
        yield "the answer cannot be read", ANSWER_INK
    elif outcome.nothing:
        yield "answer: nothing matches", ANSWER_INK
    else:
        yield _answer_text(outcome), ANSWER_INK
    if not outcome.wanted:
        yield "truth: nothing matches", TRUTH_INK


def _answer_text(outcome: Outcome) -> str:
    answered, wanted = len(outcome.answered), len(outcome.wanted)
    if answered == wanted == 1:
        return f"answer: IoU {outcome.iou:.2f}"
    boxes = "1 box" if answered == 1 else f"{answered} boxes"
    return f"answer: {boxes}, {wanted} wanted, {outcome.found} found"


def _write_lines(draw: Any, texts: Sequence[tuple[str, tuple[int, int, int]]], top: int) -> None:
    font = ImageFont.load_default(TEXT_PX)
    lines = [(line, color) for text, color in texts for line in textwrap.wrap(text, TEXT_WIDTH)]
    for number, (line, color) in enumerate(lines[:TEXT_LINES]):
        draw.text((4, top + number * (TEXT_PX + 4)), line, fill=color, font=font)


def write_tracker_sheets(judgement: TrackerJudgement, folder: Path) -> list[Path]:
    """`tracker_good.jpg` and `tracker_bad.jpg`: objects followed well though they were hidden, and the worst."""
    folder.mkdir(parents=True, exist_ok=True)
    hidden = [follow for follow in judgement.ours if not follow.never_occluded]
    ranked = sorted(hidden or judgement.ours, key=lambda follow: follow.j_and_f)
    chosen = {"good": _one_of_each_clip(ranked[::-1]), "bad": _one_of_each_clip(ranked)}
    titles = {"good": "hidden or cut for a time, and followed best", "bad": "followed worst"}
    written = []
    for name, follows in chosen.items():
        strips = [[_strip(follow, judgement)] for follow in follows]
        written.append(_write(_sheet(titles[name], strips), folder / f"tracker_{name}.jpg"))
    return written


def _one_of_each_clip(follows: Sequence[Follow]) -> list[Follow]:
    first: dict[int, Follow] = {}
    for follow in follows:
        first.setdefault(follow.seed, follow)
    return list(first.values())[:EACH]


def _strip(follow: Follow, judgement: TrackerJudgement) -> Image.Image:
    """Frames of the clip side by side, the true outline and the tracker's drawn in, with J beneath."""
    frames = judgement.shown[follow.seed]
    height, width = frames[0][2].shape
    strip = Image.new("RGB", (len(frames) * (width + 2), height + 24), PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(TEXT_PX)
    for place, (number, jpeg, ids) in enumerate(frames):
        mask = np.unpackbits(follow.masks[number], axis=-1, count=width).astype(bool)
        picture = _outlined(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")), ids == follow.instance_id, mask)
        left = place * (width + 2)
        strip.paste(Image.fromarray(picture), (left, 0))
        said = "box given" if number == 0 else _frame_text(follow, number - 1)
        draw.text((left + 4, height + 3), f"frame {number}: {said}", fill=INK, font=font)
    return strip


def _frame_text(follow: Follow, index: int) -> str:
    if not follow.absent[index]:
        return f"J {follow.j[index]:.2f}"
    return "gone, and said so" if follow.denied[index] else "gone, a mask is given"


def _outlined(rgb: Array, truth: Array, mask: Array) -> Array:
    picture = np.ascontiguousarray(rgb).copy()
    for region, color, width in ((truth, TRUTH, 2), (mask, ANSWER, 1)):
        contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, color, width)
    return picture


def _sheet(title: str, rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Rows of tiles under a title that says what the colors mean."""
    rows = [row for row in rows if row]
    widths = [sum(tile.width + GAP_PX for tile in row) for row in rows]
    heights = [max(tile.height for tile in row) + GAP_PX for row in rows]
    sheet = Image.new("RGB", (max([720, *widths]) + GAP_PX, sum(heights) + HEAD_PX + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(18)
    left = GAP_PX
    for text, color in ((title, INK), ("truth", TRUTH_INK), ("answer", ANSWER_INK)):
        draw.text((left, 8), text, fill=color, font=font)
        left += int(font.getbbox(text)[2]) + 24
    top = HEAD_PX
    for row, height in zip(rows, heights, strict=True):
        for place, tile in enumerate(row):
            sheet.paste(tile, (GAP_PX + place * (tile.width + GAP_PX), top))
        top += height
    return sheet


def _write(sheet: Image.Image, path: Path) -> Path:
    sheet.save(path, quality=JPEG_QUALITY, optimize=True)
    return path
