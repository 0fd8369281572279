"""Which region of an answer is which target: pure geometry on the frame asked about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from asking import BELOW, LEFT, MIDDLE, RIGHT, Box, a_box

from referent.grounding.association import Association, associate, item_box_xyxy, item_overlap, usable_items
from referent.types import GroundingItem, LiveTrack


def an_item(box: Sequence[float]) -> GroundingItem:
    return GroundingItem("block", box_xyxy=a_box(box))


def joined(boxes: Sequence[Box], *, asked: Sequence[str], siblings: Sequence[str] = (), **tracks: Box) -> Association:
    live = [LiveTrack(name.removeprefix("t"), "block", a_box(box)) for name, box in tracks.items()]
    items = [an_item(box) for box in boxes]
    return associate(items, asked=asked, siblings=siblings, tracks=live, confirm_iou=0.5, touch_iou=0.2)


def pairs(links: Sequence[object]) -> list[tuple[str, tuple[float, ...]]]:
    return [(link.object_id, tuple(link.item.box_xyxy)) for link in links]  # type: ignore[attr-defined]


def test_each_track_gets_the_region_that_agrees_with_it_best() -> None:
    nearly = (3, 2, 13, 12)
    found = joined([nearly, LEFT, RIGHT], asked=["1", "2"], t1=LEFT, t2=RIGHT)
    assert sorted(pairs(found.agreed)) == [("1", LEFT), ("2", RIGHT)]
    assert [tuple(item.box_xyxy) for item in found.unclaimed] == [nearly]  # type: ignore[arg-type]


def test_a_region_on_a_track_of_the_same_expression_agrees_though_that_was_not_asked_about() -> None:
    found = joined([LEFT, MIDDLE], asked=["2"], siblings=["1"], t1=LEFT)
    assert pairs(found.agreed) == [("1", LEFT)]
    assert pairs(found.elsewhere) == [("2", MIDDLE)]


def test_a_region_on_another_targets_track_is_a_conflict_unless_it_agrees_with_an_own_one_too() -> None:
    assert pairs(joined([RIGHT], asked=["1"], t9=RIGHT).conflicts) == [("9", RIGHT)]
    both = joined([RIGHT], asked=["1"], t1=RIGHT, t9=RIGHT)
    assert pairs(both.agreed) == [("1", RIGHT)]
    assert both.conflicts == ()


def test_what_is_left_goes_to_a_track_it_touches_then_to_the_unseen_then_to_the_others() -> None:
    touching = (2, 8, 12, 18)
    found = joined([BELOW, touching, MIDDLE], asked=["1", "2", "3"], t1=LEFT, t2=RIGHT)
    assert pairs(found.elsewhere) == [("1", touching), ("3", BELOW), ("2", MIDDLE)]
    assert found.elsewhere[0].iou == pytest.approx(4 / 16)


def test_every_region_is_used_once() -> None:
    found = joined([LEFT, RIGHT, MIDDLE, BELOW], asked=["1", "2"], t1=LEFT, t9=RIGHT)
    used = [*found.agreed, *found.elsewhere, *found.conflicts]
    assert len(used) + len(found.unclaimed) == 4


def test_an_agreement_of_one_is_never_reached() -> None:
    tracks = [LiveTrack("1", "block", a_box(LEFT))]
    found = associate([an_item(LEFT)], asked=["1"], siblings=(), tracks=tracks, confirm_iou=1.0, touch_iou=0.2)
    assert found.agreed == ()
    assert found.elsewhere[0].iou == 1.0


def test_points_overlap_by_the_share_inside_and_embeddings_not_at_all() -> None:
    points = GroundingItem("block", points_xy=np.array([[3, 3], [5, 5], [60, 40], [4, 9]], np.float32))
    assert item_overlap(points, a_box(LEFT)) == 0.75
    assert tuple(item_box_xyxy(points)) == (3, 3, 61, 41)  # type: ignore[arg-type]
    embedded = GroundingItem("block", embedding=np.zeros((1, 4), np.float32))
    assert item_overlap(embedded, a_box(LEFT)) == 0.0
    assert item_box_xyxy(embedded) is None


def test_masks_overlap_by_their_boxes() -> None:
    mask = np.zeros((48, 64), bool)
    mask[2:12, 2:12] = True
    assert item_overlap(GroundingItem("block", mask=mask), a_box(LEFT)) == 1.0


def test_regions_are_cut_to_the_picture_and_those_without_a_pixel_of_it_are_left_out() -> None:
    mask = np.ones((5, 5), bool)
    items = [
        an_item((-5, 5, 10, 90)),
        an_item((64, 0, 70, 10)),
        an_item((float("inf"), 0, 70, 10)),
        GroundingItem("block", points_xy=np.array([[3, 3], [70, 3]], np.float32)),
        GroundingItem("block", points_xy=np.array([[70, 3]], np.float32)),
        GroundingItem("block", mask=mask),
        GroundingItem("block", mask=np.zeros((48, 64), bool)),
        GroundingItem("block", embedding=np.zeros((1, 4), np.float32)),
    ]
    kept = usable_items(items, width=64, height=48, limit=10)
    assert len(kept) == 3
    assert kept[0].box_xyxy is not None
    assert kept[0].box_xyxy.tolist() == [0, 5, 10, 48]
    assert kept[1].points_xy is not None
    assert kept[1].points_xy.tolist() == [[3, 3]]
    assert len(usable_items(items, width=64, height=48, limit=2)) == 2
