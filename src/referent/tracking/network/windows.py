"""In which order Hiera's tokens lie so that every attention window is one contiguous run of them.

Norms, projections and MLPs look at one token at a time and global attention at all of them, so the order is free: a
whole stage runs without cutting maps into windows and back. Windows at the right and lower border are smaller; SAM 2
fills them up with padding tokens, which are all alike, so here one key stands for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.types import Array


@dataclass(frozen=True)
class WindowGroup:
    """Windows of one shape, lying one after the other."""

    count: int
    tokens: int  # in each window
    padding: int  # padding tokens SAM 2 would add to each


def window_groups(side: int, window: int) -> list[WindowGroup]:
    """The windows of a square map: whole ones, those cut by the right border, by the lower border, by both."""
    whole, rest = divmod(side, window)
    full = window * window
    groups = [
        WindowGroup(whole * whole, full, 0),
        WindowGroup(whole, window * rest, full - window * rest),
        WindowGroup(whole, window * rest, full - window * rest),
        WindowGroup(1, rest * rest, full - rest * rest),
    ]
    return [group for group in groups if group.count and group.tokens]


def window_order(side: int, window: int, *, by_fours: bool) -> Array:
    """Raster indices (side * side,) of the tokens in the order of `window_groups`, row by row inside a window.

    `by_fours` puts the four tokens of each 2 x 2 cell together, for pooling; it needs an even side and window.
    """
    row, column = np.divmod(np.arange(side * side), side)
    whole = side // window * window
    keys = [row >= whole, column >= whole, row // window, column // window]
    row_inside, column_inside = row % window, column % window
    if by_fours:
        keys += [row_inside // 2, column_inside // 2]
    keys += [row_inside, column_inside]
    return np.lexsort(keys[::-1])


def pooled_order(order: Array, side: int) -> Array:
    """The order of the tokens of the halved map after every four of `order` became one."""
    first = order[::4]
    return first // side // 2 * (side // 2) + first % side // 2
