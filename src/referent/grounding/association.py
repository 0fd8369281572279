"""Which region of an answer is which target, judged where the tracks were in the frame asked about: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from referent.grounding.boxes import box_area_px, box_iou, mask_box_xyxy
from referent.types import Array, GroundingItem, LiveTrack

MIN_SIDE_PX = 1.0


@dataclass(frozen=True, eq=False)
class Link:
    """A region and a target it may be; `iou` is its overlap with that target's track, 0 where that saw nothing."""

    item: GroundingItem
    object_id: str
    iou: float


@dataclass(frozen=True, eq=False)
class Association:
    """Every region of an answer, once."""

    agreed: tuple[Link, ...]  # with the tracks of what was asked about
    elsewhere: tuple[Link, ...]  # for targets asked about whose track, if any, was not there
    conflicts: tuple[Link, ...]  # on the tracks of other targets
    unclaimed: tuple[GroundingItem, ...]


def usable_items(items: Sequence[GroundingItem], *, width: int, height: int, limit: int) -> tuple[GroundingItem, ...]:
    """The first `limit` regions that hold part of the picture, cut to it."""
    inside = (_inside(item, width=width, height=height) for item in items)
    return tuple(item for item in inside if item is not None)[:limit]


def associate(
    items: Sequence[GroundingItem],
    *,
    asked: Sequence[str],
    siblings: Collection[str],
    tracks: Sequence[LiveTrack],
    confirm_iou: float,
    touch_iou: float,
) -> Association:
    """Give each item to what it agrees with, best first; else to a target asked about; one item each.

    `siblings` are the other targets of the same instruction and expression. A `confirm_iou` of 1 agrees with nothing;
    from `touch_iou` on a region is about a track though it does not agree with it.
    """
    own = [track for track in tracks if track.id in asked or track.id in siblings]
    others = [track for track in tracks if track not in own]
    agreed = _best_pairs(items, own, least=confirm_iou) if confirm_iou < 1 else []
    left = _without(items, agreed)
    conflicts = [link for item in left if (link := _best(item, others, least=confirm_iou)) is not None]
    left = _without(left, conflicts)
    taken = {link.object_id for link in agreed}
    missing = [object_id for object_id in asked if object_id not in taken]
    elsewhere = _for_those_left(left, missing, own, touch_iou=touch_iou)
    return Association(tuple(agreed), tuple(elsewhere), tuple(conflicts), tuple(_without(left, elsewhere)))


def item_overlap(item: GroundingItem, box_xyxy: Array) -> float:
    """How much a region overlaps a box: IoU, for points the share inside; 0 for what has no place of its own."""
    if item.points_xy is not None:
        inside = (item.points_xy >= box_xyxy[:2]) & (item.points_xy < box_xyxy[2:])
        return float(inside.all(axis=1).mean())
    box = item_box_xyxy(item)
    return 0.0 if box is None else box_iou(box, box_xyxy)


def item_box_xyxy(item: GroundingItem) -> Array | None:
    """The (4,) box of a region; of points the one around them; None for an embedding."""
    if item.points_xy is not None:
        return np.concatenate([item.points_xy.min(axis=0), item.points_xy.max(axis=0) + 1]).astype(np.float32)
    return mask_box_xyxy(item.mask) if item.mask is not None else item.box_xyxy


def item_area_px(item: GroundingItem) -> float | None:
    """The area of the box around a region; None for points and embeddings, which do not say how far it reaches."""
    box = None if item.points_xy is not None else item_box_xyxy(item)
    return None if box is None else box_area_px(box)


def _inside(item: GroundingItem, *, width: int, height: int) -> GroundingItem | None:
    if item.box_xyxy is not None:
        if not np.isfinite(item.box_xyxy).all():
            return None
        box = np.clip(item.box_xyxy, 0, np.array([width, height, width, height], np.float32))
        return replace(item, box_xyxy=box) if (box[2:] - box[:2] >= MIN_SIDE_PX).all() else None
    if item.points_xy is not None:
        inside = ((item.points_xy >= 0) & (item.points_xy < (width, height))).all(axis=1)
        return replace(item, points_xy=item.points_xy[inside]) if inside.any() else None
    if item.mask is not None:
        return item if item.mask.shape == (height, width) and item.mask.any() else None
    return item


def _best_pairs(items: Sequence[GroundingItem], tracks: Sequence[LiveTrack], *, least: float) -> list[Link]:
    """Pairs that overlap at least so much, best first, each item and track once."""
    pairs = [Link(item, track.id, item_overlap(item, track.box_xyxy)) for item in items for track in tracks]
    found: list[Link] = []
    for link in sorted(pairs, key=lambda pair: -pair.iou):
        taken = any(link.item is other.item or link.object_id == other.object_id for other in found)
        if link.iou >= least and not taken:
            found.append(link)
    return found


def _best(item: GroundingItem, tracks: Sequence[LiveTrack], *, least: float) -> Link | None:
    links = [Link(item, track.id, item_overlap(item, track.box_xyxy)) for track in tracks]
    best = max(links, key=lambda link: link.iou, default=None)
    return best if best is not None and best.iou >= least else None


def _for_those_left(
    items: Sequence[GroundingItem], asked: Sequence[str], tracks: Sequence[LiveTrack], *, touch_iou: float
) -> list[Link]:
    """First what a track touches a little, then the targets that were not seen, then the others, in order."""
    seen = {track.id for track in tracks}
    touching = _best_pairs(items, [track for track in tracks if track.id in asked], least=touch_iou)
    taken = {link.object_id for link in touching}
    free = [object_id for object_id in asked if object_id not in taken]
    in_order = [object_id for object_id in free if object_id not in seen] + [i for i in free if i in seen]
    return touching + [
        Link(item, object_id, 0.0) for item, object_id in zip(_without(items, touching), in_order, strict=False)
    ]


def _without(items: Sequence[GroundingItem], links: Sequence[Link]) -> list[GroundingItem]:
    return [item for item in items if not any(item is link.item for link in links)]
