"""Packed layers are those of torch.nn."""

from __future__ import annotations

import pytest
import torch
from official_parts import assert_close, randn
from torch import nn

from referent.tracking.network.linear import ACTIVATIONS, LayerNorm, Linear

RELATIVE = {torch.float32: 1e-6, torch.bfloat16: 0.01}


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24), (1, 0, 24)], ids=str)
def test_a_layer_and_its_activation(shape: tuple[int, ...], activation: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 40), randn(*shape)
    ours = Linear.of(layer, dtype, activation=activation)(x.to(dtype))
    assert ours.shape == (*shape[:-1], 40)
    assert ours.dtype == dtype
    if x.numel():
        assert_close(ours, ACTIVATIONS[activation](layer(x)), relative=RELATIVE[dtype])


@pytest.mark.parametrize("dtype", RELATIVE)
def test_a_layer_added_to_what_came_before_it_leaves_that_alone(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x, before = nn.Linear(24, 40), randn(3, 6, 24), randn(3, 6, 40, seed=5)
    kept = before.to(dtype)
    ours = Linear.of(layer, dtype).add_to(kept, x.to(dtype))
    assert_close(ours, before + layer(x), relative=RELATIVE[dtype])
    assert torch.equal(kept, before.to(dtype))


def test_a_convolution_of_one_pixel_is_a_layer() -> None:
    torch.manual_seed(0)
    convolution, x = nn.Conv2d(24, 40, 1), randn(1, 24, 4, 4)
    ours = Linear.of(convolution, torch.float32)(x.flatten(2).transpose(1, 2))
    assert_close(ours, convolution(x).flatten(2).transpose(1, 2), relative=1e-6)


def test_zeros_become_the_bias() -> None:
    torch.manual_seed(0)
    layer = Linear.of(nn.Linear(24, 40), torch.float32)
    assert torch.equal(layer(torch.zeros(1, 24))[0], layer.bias)


def test_a_layer_norm_keeps_its_own_epsilon() -> None:
    norm = nn.LayerNorm(24, eps=0.5)
    nn.init.normal_(norm.weight)
    assert_close(LayerNorm(norm, torch.float32)(randn(5, 24)), norm(randn(5, 24)), relative=1e-6)
