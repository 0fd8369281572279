"""Tokens lie so that every window of the official `window_partition` is one run of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import max_pool2d

from referent.tracking.network.windows import pooled_order, window_groups, window_order
from referent.types import Array

CASES = [(side, window) for side in (12, 32, 48, 10, 14) for window in (4, 7, 8, 14)] + [(5, 8), (16, 64), (1, 7)]
EVEN_CASES = [(side, window) for side, window in CASES if side % 2 == 0 and window % 2 == 0]


def official_windows(side: int, window: int) -> list[tuple[tuple[int, ...], int]]:
    """Of each window the raster indices of its tokens, row by row, and how many padding tokens it has."""
    from sam2.modeling.backbones.utils import window_partition

    numbers = torch.arange(1, side * side + 1).view(1, side, side, 1)
    windows, _ = window_partition(numbers, window)
    return [
        (tuple(x - 1 for x in one if x), one.count(0)) for one in (w.flatten().tolist() for w in windows) if any(one)
    ]


def our_windows(order: Array, side: int, window: int) -> list[tuple[tuple[int, ...], int]]:
    """Of each run of `order` the indices in it and its padding."""
    groups = window_groups(side, window)
    assert sum(group.count * group.tokens for group in groups) == len(order)
    tokens = iter(order.tolist())
    return [
        (tuple(next(tokens) for _ in range(group.tokens)), group.padding)
        for group in groups
        for _ in range(group.count)
    ]


@pytest.mark.parametrize(("side", "window"), CASES)
def test_every_official_window_is_one_run_with_its_padding(side: int, window: int) -> None:
    order = window_order(side, window, by_fours=False)
    assert sorted(order.tolist()) == list(range(side * side))
    assert sorted(our_windows(order, side, window)) == sorted(official_windows(side, window))


@pytest.mark.parametrize(("side", "window"), EVEN_CASES)
def test_by_fours_the_windows_stay_and_every_four_tokens_are_one_cell(side: int, window: int) -> None:
    order = window_order(side, window, by_fours=True)
    ours = [(tuple(sorted(tokens)), padding) for tokens, padding in our_windows(order, side, window)]
    assert sorted(ours) == sorted(official_windows(side, window))
    for first, *others in order.reshape(-1, 4).tolist():
        assert first // side % 2 == first % side % 2 == 0
        assert others == [first + 1, first + side, first + side + 1]


@pytest.mark.parametrize(("side", "window"), EVEN_CASES)
def test_the_largest_of_every_four_is_the_pooled_map_in_the_pooled_order(side: int, window: int) -> None:
    values = np.random.default_rng(0).permutation(side * side).astype(np.float32)
    order = window_order(side, window, by_fours=True)
    ours = values[order].reshape(-1, 4).max(axis=1)
    pooled = max_pool2d(torch.from_numpy(values).view(1, 1, side, side), 2).flatten().numpy()
    assert (ours == pooled[pooled_order(order, side)]).all()


@pytest.mark.parametrize(("side", "window"), EVEN_CASES)
def test_after_pooling_every_run_is_a_window_of_half_the_width(side: int, window: int) -> None:
    order = pooled_order(window_order(side, window, by_fours=True), side)
    ours = our_windows(order, side // 2, window // 2)
    assert sorted(ours) == sorted(official_windows(side // 2, window // 2))
