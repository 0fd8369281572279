"""How much a picture differs from another, place by place: what has not changed need not be asked about again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from referent.types import Array

PLACES_WH = (32, 24)


def thumbnail(rgb: Array) -> Array:
    """The mean color of each of 32 x 24 places of an (H, W, 3) uint8 picture, as (24, 32, 3) float32 in [0, 1]."""
    return np.asarray(cv2.resize(rgb, PLACES_WH, interpolation=cv2.INTER_AREA), np.float32) / 255.0


def change(one: Array, other: Array) -> float:
    """The largest change of any place between two thumbnails, averaged over the colors, in [0, 1]."""
    return float(np.abs(one - other).mean(axis=2).max())


class AskedPictures:
    """The newest picture that each target was asked about."""

    def __init__(self) -> None:
        self._thumbnails: dict[str, Array] = {}

    def note(self, object_ids: Sequence[str], rgb: Array, *, live: Collection[str]) -> None:
        """These were asked about this picture; whatever is not `live` any more is forgotten."""
        self._thumbnails = {i: seen for i, seen in self._thumbnails.items() if i in live}
        self._thumbnails |= dict.fromkeys(object_ids, thumbnail(rgb))

    def changed(self, object_ids: Sequence[str], rgb: Array, *, by: float) -> set[str]:
        """Those whose picture differs from this one by more than `by`."""
        asked = {i: self._thumbnails[i] for i in object_ids if i in self._thumbnails}
        if not asked:
            return set()
        picture = thumbnail(rgb)
        return {i for i, before in asked.items() if change(before, picture) > by}
