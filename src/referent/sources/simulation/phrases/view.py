"""What one may speak of in a picture, and how its objects compare: clearly more, clearly less, or too close to tell.

Left and right are the viewer's; near and far are distances from the camera. Wherever numbers in space and in the
picture could disagree, both must say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from referent.sources.simulation.truth import FrameTruth, ObjectTruth

CLEAR_SHARE_OF_PICTURE = 30 / (224 * 160)  # fewer visible pixels than this are not spoken of
CLEAR_VISIBLE_FRACTION = 0.4
CLEAR_PART = 5 / math.sqrt(320 * 240)  # least width and height of a part, in sides of a square of the picture's area


@dataclass(frozen=True, eq=False, slots=True)
class Figure:
    """An object with what is compared; `across` and `low` are shares of the picture's width and height."""

    thing: ObjectTruth
    across: float  # middle of its box
    down: float
    low: float  # lower edge of its box
    position_m: tuple[float, float, float]  # in the camera's frame: right, down, forward
    range_m: float
    bulk: float  # logarithm of its volume
    length_m: float  # longest side
    height_m: float | None  # None when it does not stand or lie straight

    @property
    def left_px(self) -> float:
        """Left edge of its box."""
        return float(self.thing.box_xyxy[0])  # type: ignore[index]


Figures = tuple[Figure, ...]
Lead = Callable[[Figure, Figure], float]  # >= 1: the first has clearly more, <= -1: clearly less


@dataclass(frozen=True, eq=False)
class View:
    """The objects of one picture: those one may speak of, and those that only make phrases uncertain."""

    clear: Figures
    faint: tuple[ObjectTruth, ...]
    size: tuple[int, int]  # width, height in pixels

    def meant(self, fits: Callable[[ObjectTruth], bool]) -> Figures | None:
        """The clear objects that fit; None when a faint one fits too."""
        if any(fits(thing) for thing in self.faint):
            return None
        return tuple(figure for figure in self.clear if fits(figure.thing))

    @property
    def things(self) -> list[ObjectTruth]:
        """All that is seen, clear or faint."""
        return [figure.thing for figure in self.clear] + list(self.faint)

    def shows_part(self, thing: ObjectTruth, part: str) -> bool:
        """Whether enough of a part is seen to speak of it."""
        box = thing.parts_xyxy.get(part)
        if box is None:
            return False
        least = CLEAR_PART * math.sqrt(self.size[0] * self.size[1])
        return bool(min(box[2] - box[0], box[3] - box[1]) >= least)


def view_of(truth: FrameTruth) -> View:
    """What is seen in a picture."""
    height, width = truth.instance_ids.shape
    seen = [thing for thing in truth.objects if thing.visible_px > 0]
    clear = [thing for thing in seen if is_clear(thing, width * height)]
    faint = tuple(thing for thing in seen if not is_clear(thing, width * height))
    return View(tuple(_figure(thing, width, height) for thing in clear), faint, (width, height))


def is_clear(thing: ObjectTruth, picture_px: int) -> bool:
    """Whether enough of `thing` is seen to speak of it."""
    enough = thing.visible_px >= CLEAR_SHARE_OF_PICTURE * picture_px
    whole = thing.visible_px >= CLEAR_VISIBLE_FRACTION * thing.amodal_px
    return thing.box_xyxy is not None and enough and whole and thing.in_view_fraction >= CLEAR_VISIBLE_FRACTION


def _figure(thing: ObjectTruth, width: int, height: int) -> Figure:
    x1, y1, x2, y2 = thing.box_xyxy.tolist()  # type: ignore[union-attr]
    pose = thing.camera_from_object.tolist()
    size = thing.size_m.tolist()
    position = (pose[0][3], pose[1][3], pose[2][3])
    return Figure(
        thing=thing,
        across=(x1 + x2) / (2 * width),
        down=(y1 + y2) / (2 * height),
        low=y2 / height,
        position_m=position,
        range_m=math.hypot(*position),
        bulk=math.log(size[0] * size[1] * size[2]),
        length_m=max(size),
        height_m=_height(pose, size),
    )


def _height(pose: Sequence[Sequence[float]], size: Sequence[float]) -> float | None:
    """The extent along the object's axis that is upright.

    The camera is level and looks down, so what is upright goes against its y and z alike; what lies never does.
    """
    for axis in range(3):
        x, y, z = (pose[row][axis] for row in range(3))
        if abs(x) < 0.2 and y * z > 0.25:
            return size[axis]
    return None


def _agreed(*leads: float) -> float:
    """The weakest of several leads, 0 when they disagree."""
    if min(leads) > 0:
        return min(leads)
    return max(leads) if max(leads) < 0 else 0.0


def more_left(a: Figure, b: Figure) -> float:
    """Farther left."""
    return _agreed((b.across - a.across) / 0.035, (b.position_m[0] - a.position_m[0]) / 0.03)


def nearer(a: Figure, b: Figure) -> float:
    """Closer to the camera."""
    return _agreed((b.position_m[2] - a.position_m[2]) / 0.05, (b.range_m - a.range_m) / 0.04, (a.low - b.low) / 0.01)


def bigger(a: Figure, b: Figure) -> float:
    """Larger in volume, and not shorter."""
    return _agreed((a.bulk - b.bulk) / 0.4, math.log(a.length_m / b.length_m) / 0.02)


def taller(a: Figure, b: Figure) -> float:
    """Reaching higher from its foot to its top."""
    if a.height_m is None or b.height_m is None:
        return 0.0
    return math.log(a.height_m / b.height_m) / 0.2


def reversed_lead(lead: Lead) -> Lead:
    """The opposite comparison."""
    return lambda a, b: lead(b, a)


def leader(figures: Sequence[Figure], lead: Lead) -> Figure | None:
    """The one that clearly leads all others; None when there is none."""
    if not figures:
        return None
    best = figures[0]
    for other in figures[1:]:
        if lead(other, best) > 0:
            best = other
    return best if all(other is best or lead(best, other) >= 1 for other in figures) else None


def ranked(figures: Sequence[Figure], lead: Lead, count: int) -> list[Figure] | None:
    """The first `count` in the order of a comparison; None when any of them does not clearly lead all after it."""
    rest = list(figures)
    order: list[Figure] = []
    while len(order) < count:
        first = leader(rest, lead)
        if first is None:
            return None
        order.append(first)
        rest.remove(first)
    return order


def parted(figures: Sequence[Figure], anchor: Figure, lead: Lead) -> Figures | None:
    """Those that clearly have more than `anchor`; None when it is too close to tell for one."""
    leads = [lead(figure, anchor) for figure in figures]
    if any(-1 < each < 1 for each in leads):
        return None
    return tuple(figure for figure, each in zip(figures, leads, strict=True) if each >= 1)


def distances(figure: Figure, anchor: Figure, view: View) -> tuple[float, float]:
    """How far apart two objects are: in metres between their centres, and in pixels."""
    width, height = view.size
    picture = math.hypot((figure.across - anchor.across) * width, (figure.down - anchor.down) * height)
    return math.dist(figure.position_m, anchor.position_m), picture


def left_to_right(figures: Sequence[Figure]) -> Figures:
    """In the order in which answers list them."""
    return tuple(sorted(figures, key=lambda figure: figure.left_px))
