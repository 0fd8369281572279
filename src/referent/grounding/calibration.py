"""Whether a grounder's coordinates mean what they are taken for: squares at known places are shown to it.

Boxes in the wrong order or scale are the most reported fault of served vision-language models, and look like any other
box. Where answers are off, the model's own numbers are held against every order, scale and mirroring: numbers that fit
one of those well are refused by name; numbers that fit none, and answers that cannot be read, prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from referent.errors import ConfigError, UnreadableReply
from referent.grounding.coordinates import Quad
from referent.grounding.replies import read_reply
from referent.ports import Grounder
from referent.types import Array, Grounding, GroundingRequest, Intrinsics, RegroundReason, RgbdFrame, Target

# Landscape, so that swapped axes show; multiples of 224, so that no Qwen processor resizes it (`openai_server`).
SIZE = (896, 448)
GREY = 200
# Squares (x1, y1, x2, y2): no two share a line, none is where another one's mirror image would be.
SQUARES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int, int]]] = {
    "red": ((220, 30, 30), (96, 48, 192, 144)),
    "green": ((30, 160, 50), (560, 288, 656, 384)),
    "blue": ((40, 60, 220), (704, 80, 800, 176)),
    "yellow": ((240, 210, 30), (288, 232, 384, 328)),
}
TOLERANCE = 0.03  # of the picture's sides, by which a corner may be off
NEEDED = 3  # squares that must agree
SCALE_TOLERANCE = 0.015  # models' grids of 1000 and 1024 are told apart
ORDERS: dict[str, Callable[[Quad], Quad]] = {
    "x1, y1, x2, y2": lambda b: b,
    "y1, x1, y2, x2": lambda b: (b[1], b[0], b[3], b[2]),
    "x1, y1, width, height": lambda b: (b[0], b[1], b[2] - b[0], b[3] - b[1]),
    "center x, center y, width, height": lambda b: ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]),
}
MIRRORS = {"": (False, False), "mirrored left to right": (True, False), "mirrored top to bottom": (False, True)}
SETTING_OF_ORDER = dict(zip(ORDERS, ("xyxy", "yxyx", "xywh", ""), strict=True))
# Width and height of the whole picture in the model's numbers, the words for it, and grounder.coordinate_space.
SCALES: tuple[tuple[tuple[float, float], str, str], ...] = (
    ((1000, 1000), "thousandths of the picture", "rel1000"),
    (SIZE, "pixels of the picture", "px_model"),
    ((1, 1), "fractions from 0 to 1", "norm1"),
    ((100, 100), "hundredths of the picture", "pct100"),
    ((1024, 1024), "steps of 1/1024 of the picture", ""),
)


@dataclass(frozen=True)
class Convention:
    """How numbers are written: order, mirroring, and the (width, height) the whole picture has in them."""

    order: str
    mirror: str
    extent: tuple[float, float]

    @property
    def scale(self) -> str:
        """The extent in words."""
        return _scale(self.extent)[0]

    def __str__(self) -> str:
        mirrored = f", {self.mirror}" if self.mirror else ""
        return f"{self.order} in {self.scale}{mirrored}"


IN_PIXELS = Convention(next(iter(ORDERS)), "", SIZE)


@dataclass(frozen=True)
class Calibration:
    """What was learnt: `fits` is None when nothing was."""

    fits: bool | None
    text: str


def calibrate(grounder: Grounder, *, expected: Convention | None = None) -> Calibration:
    """Show the squares and judge the answers.

    expected: how the model's own numbers are taken to be written, as far as that is a setting. Raises
    GrounderUnavailable when the grounder cannot be asked.
    """
    frame = _frame()
    answers = {color: _answer(grounder, color, frame) for color in SQUARES}
    located = {color: answer.box for color, answer in answers.items() if answer.box is not None}
    if _agreeing(located, _true_boxes(located), SIZE) >= NEEDED:
        return Calibration(True, f"boxes are where they should be ({len(located)} of {len(SQUARES)} squares found)")
    said = "; ".join(f"{color}: {answer.text}" for color, answer in answers.items())
    written = {color: answer.numbers for color, answer in answers.items() if answer.numbers is not None}
    known = expected is not None and len(written) >= NEEDED
    found = convention_of(written if known else located)
    taken = expected if known and expected else IN_PIXELS
    if found is None:
        return Calibration(
            None, f"the coordinates could not be calibrated, the answers fit no known convention ({said})"
        )
    if _is_only_inexact(found, taken):
        return Calibration(None, f"the boxes are off, by less than another convention would explain ({said})")
    return Calibration(False, _complaint(found, taken, mendable=known))


def calibration_note(grounder: Grounder, *, expected: Convention | None, refuse: bool) -> str:
    """What `calibrate` finds, in words. Raises ConfigError for wrong coordinates if they are to be refused."""
    found = calibrate(grounder, expected=expected)
    if found.fits is False and refuse:
        raise ConfigError(found.text)
    return found.text


def convention_of(written: dict[str, Quad]) -> Convention | None:
    """The plainest convention that the numbers of at least `NEEDED` squares fit; None when there is none."""
    for (mirror, flips), (order, arranged) in product(MIRRORS.items(), ORDERS.items()):
        true = {color: arranged(_mirrored(box, *flips)) for color, box in _true_boxes(written).items()}
        extent = _extent(written, true, order)
        if extent is None:
            continue
        fitting = {color: _in_extent(box, extent, order) for color, box in true.items()}
        if _agreeing(written, fitting, extent, order) >= NEEDED:
            return Convention(order, mirror, _known_extent(extent))
    return None


@dataclass(frozen=True)
class _Answer:
    """What was said of one square: a box in pixels, the model's own numbers, words for people."""

    box: Quad | None
    numbers: Quad | None
    text: str


def _answer(grounder: Grounder, color: str, frame: RgbdFrame) -> _Answer:
    request = GroundingRequest((Target("1", f"the {color} square"),), frame, RegroundReason.NEW)
    try:
        answer = grounder.ground(request)
    except UnreadableReply as error:
        return _Answer(None, _numbers(error.raw), str(error)[:120])
    text = repr(answer.raw[:80]) if answer.raw else answer.nothing_reason or "a box"
    return _Answer(_box(answer), _numbers(answer.raw), text)


def _box(answer: Grounding) -> Quad | None:
    for item in answer.items:
        if item.box_xyxy is not None:
            return _quad(item.box_xyxy)
        if item.mask is not None and item.mask.any():
            rows, columns = (np.flatnonzero(item.mask.any(axis=axis)) for axis in (1, 0))
            return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    return None


def _numbers(raw: str) -> Quad | None:
    """The first box of a reply in the model's own numbers."""
    try:
        regions = read_reply(raw).regions
    except UnreadableReply:
        return None
    return next((region.box for region in regions if region.box is not None), None)


def _frame() -> RgbdFrame:
    width, height = SIZE
    rgb = np.full((height, width, 3), GREY, np.uint8)
    for color, (x1, y1, x2, y2) in SQUARES.values():
        rgb[y1:y2, x1:x2] = color
    return RgbdFrame(0, "calibration", rgb, None, Intrinsics(width, height, width, width, width / 2, height / 2))


def _true_boxes(colors: Sequence[str] | dict[str, Quad]) -> dict[str, Quad]:
    return {color: _quad(SQUARES[color][1]) for color in colors}


def _mirrored(box: Quad, across: bool, down: bool) -> Quad:
    x1, y1, x2, y2 = box
    (x1, x2) = (SIZE[0] - x2, SIZE[0] - x1) if across else (x1, x2)
    (y1, y2) = (SIZE[1] - y2, SIZE[1] - y1) if down else (y1, y2)
    return x1, y1, x2, y2


def _extent(written: dict[str, Quad], true: dict[str, Quad], order: str) -> tuple[float, float] | None:
    """The whole picture in the model's numbers: the median of what each number says; None when that is nothing."""
    ratios: tuple[list[float], list[float]] = ([], [])
    for color, box in true.items():
        for number, pixels, axis in zip(written[color], box, _axes(order), strict=True):
            ratios[axis].append(number / pixels)
    extent = (
        tuple(float(np.median(each)) * side for each, side in zip(ratios, SIZE, strict=True)) if written else (0, 0)
    )
    return (extent[0], extent[1]) if min(extent) > 0 else None


def _in_extent(box: Quad, extent: tuple[float, float], order: str) -> Quad:
    return _quad([pixels * extent[axis] / SIZE[axis] for pixels, axis in zip(box, _axes(order), strict=True)])


def _axes(order: str) -> tuple[int, int, int, int]:
    """Which of the numbers are across (0) and which down (1)."""
    return (1, 0, 1, 0) if order.startswith("y1") else (0, 1, 0, 1)


def _agreeing(
    written: dict[str, Quad], fitting: dict[str, Quad], extent: tuple[float, float], order: str = "x1, y1, x2, y2"
) -> int:
    """How many boxes are as they should be, within the tolerance."""
    allowed = np.array([TOLERANCE * extent[axis] for axis in _axes(order)])
    return sum(bool((np.abs(np.subtract(written[c], fitting[c])) <= allowed).all()) for c in written)


def _known_extent(extent: tuple[float, float]) -> tuple[float, float]:
    """The named scale an extent stands for, else the extent itself."""
    for known, _, _ in SCALES:
        if np.allclose(extent, known, rtol=SCALE_TOLERANCE):
            return known
    return extent


def _scale(extent: tuple[float, float]) -> tuple[str, str]:
    """Words and setting of an extent; without a setting where none stands for it."""
    for known, words, space in SCALES:
        if known == extent:
            return words, space
    return f"pixels of a picture of {extent[0]:.4g} x {extent[1]:.4g}", ""


def _is_only_inexact(found: Convention, taken: Convention) -> bool:
    same = (found.order, found.mirror) == (taken.order, taken.mirror)
    return same and bool(np.allclose(found.extent, taken.extent, rtol=2 * TOLERANCE))


def _complaint(found: Convention, taken: Convention, *, mendable: bool) -> str:
    expected = f"grounder: boxes are written as {found}, but taken as {taken}. "
    changes = _changes(found, taken) if mendable else ()
    if changes:
        return f"{expected}Set {' and '.join(changes)}"
    if mendable and not found.mirror and found.extent not in [known for known, _, _ in SCALES]:
        return (
            f"{expected}The server seems to resize pictures: raise its limits on pixels (such as max_pixels), or use a "
            "model that writes thousandths of the picture and set grounder.coordinate_space to rel1000"
        )
    return f"{expected}No setting mends that: this grounder cannot be used as it is"


def _changes(found: Convention, taken: Convention) -> tuple[str, ...]:
    """What to set so that the boxes come right; nothing when there is no such setting."""
    order, space = SETTING_OF_ORDER[found.order], _scale(found.extent)[1]
    if found.mirror or not order or not space:
        return ()
    order_change = () if found.order == taken.order else (f"grounder.coordinate_order to {order}",)
    return order_change + (() if found.extent == taken.extent else (f"grounder.coordinate_space to {space}",))


def _quad(values: Sequence[float] | Array) -> Quad:
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2


def expected_of(space: str, order: str) -> Convention:
    """The convention that the settings `coordinate_space` and `coordinate_order` stand for."""
    words = next(name for name, setting in SETTING_OF_ORDER.items() if setting == order)
    return Convention(words, "", next(extent for extent, _, setting in SCALES if setting == space))
