"""Regions as prompts for the tracker: those a grounder names and those a person gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from referent.errors import BadInstruction
from referent.types import Array, GroundingItem, Prompt

MAX_POINTS = 64


@dataclass(frozen=True, eq=False)
class GivenRegion:
    """Where a person says an object is: points, a box or a mask, exactly one; checked at construction.

    Raises BadInstruction.
    """

    points_xy: Array | None = None  # (N, 2) float32 pixels
    inside: Array | None = None  # (N,) bool: whether each point lies on the object
    box_xyxy: Array | None = None  # (4,) float32 pixels
    mask: Array | None = None  # (H, W) bool

    def __post_init__(self) -> None:
        kinds = [given for given in (self.points_xy, self.box_xyxy, self.mask) if given is not None]
        if len(kinds) != 1:
            raise BadInstruction(f"{len(kinds)} of points, box and mask are given, exactly one is needed")
        if self.points_xy is not None:
            _check_points(self.points_xy, self.inside)
        if self.box_xyxy is not None and (self.box_xyxy.shape != (4,) or not np.isfinite(self.box_xyxy).all()):
            raise BadInstruction(f"{self.box_xyxy.tolist()} is no box x1, y1, x2, y2")
        if self.mask is not None and not (self.mask.ndim == 2 and self.mask.any()):
            raise BadInstruction(f"a mask {self.mask.shape} with no pixel set says nothing")

    def refines(self, mask: Array) -> bool:
        """Whether it corrects the outline of what is followed as `mask` (H, W): a point inside lies on it.

        Else another thing is meant; a box or mask says all by itself.
        """
        if self.points_xy is None or self.inside is None:
            return False
        columns, rows = np.floor(self.points_xy[self.inside]).astype(int).T
        within = (columns >= 0) & (rows >= 0) & (columns < mask.shape[1]) & (rows < mask.shape[0])
        return bool(mask[rows[within], columns[within]].any())

    def prompt(self, object_id: str, stamp_ns: int, *, refine: bool) -> Prompt:
        """This region of that frame, for the tracker; a person is always sure."""
        return Prompt(
            object_id=object_id,
            stamp_ns=stamp_ns,
            box_xyxy=self.box_xyxy,
            points_xy=self.points_xy,
            point_labels=None if self.inside is None else self.inside.astype(np.int32),
            mask=self.mask,
            refine=refine,
            overrules=True,
        )


def given_points(numbers: Sequence[float], inside: Sequence[bool]) -> GivenRegion:
    """Points as x y x y ... . Raises BadInstruction."""
    if len(numbers) % 2 or len(numbers) > 2 * MAX_POINTS:
        raise BadInstruction(f"{len(numbers)} coordinates are not x y of 1 to {MAX_POINTS} points")
    points = np.array(numbers, np.float32).reshape(-1, 2)
    return GivenRegion(points_xy=points, inside=np.array(inside, bool))


def prompt_from_item(
    item: GroundingItem, *, object_id: str, stamp_ns: int, refine: bool = False, overrules: bool = False
) -> Prompt:
    """A grounder's region as a prompt for the tracker; all its points lie inside the object."""
    labels = None if item.points_xy is None else np.ones(len(item.points_xy), np.int32)
    return Prompt(
        object_id=object_id,
        stamp_ns=stamp_ns,
        box_xyxy=item.box_xyxy,
        points_xy=item.points_xy,
        point_labels=labels,
        mask=item.mask,
        embedding=item.embedding,
        refine=refine,
        overrules=overrules,
    )


def _check_points(points_xy: Array, inside: Array | None) -> None:
    fits = (
        points_xy.ndim == 2 and points_xy.shape[1] == 2 and inside is not None and inside.shape == points_xy.shape[:1]
    )
    if not fits or len(points_xy) > MAX_POINTS or not np.isfinite(points_xy).all():
        raise BadInstruction(
            f"points {points_xy.shape} and whether they lie on the object "
            f"({None if inside is None else inside.shape}): 1 to {MAX_POINTS} finite points are taken, each with one"
        )
    if inside is None or not inside.any():
        raise BadInstruction("no point lies on the object; give at least one that does")
