"""Rotated in real numbers, queries and keys meet in the same scores as rotated in complex ones."""

from __future__ import annotations

import pytest
import torch
from official_parts import assert_close, randn

from referent.tracking.network.rotary import halves_first, rotate, rotation_table


@pytest.mark.parametrize("theta", [10000.0, 100.0])
@pytest.mark.parametrize(("dim", "side"), [(64, 8), (256, 5), (32, 12)])
def test_scores_equal_those_of_the_official_rotation(dim: int, side: int, theta: float) -> None:
    from sam2.modeling.position_encoding import apply_rotary_enc, compute_axial_cis

    frames, tokens = 3, side * side
    x, memory = randn(2, tokens, dim, seed=1), randn(2, frames * tokens, dim, seed=2)
    q_weight, k_weight = randn(dim, dim, seed=3), randn(dim, dim, seed=4)
    cis = compute_axial_cis(dim, side, side, theta)
    q, k = apply_rotary_enc((x @ q_weight.T)[:, None], (memory @ k_weight.T)[:, None], cis, repeat_freqs_k=True)
    table = rotation_table(dim, side, theta)
    our_q = rotate(x @ halves_first(q_weight).T, table)
    our_k = rotate((memory @ halves_first(k_weight).T).unflatten(1, (frames, tokens)), table).flatten(1, 2)
    assert_close(our_q @ our_k.transpose(1, 2), (q @ k.transpose(2, 3))[:, 0])


def test_rotating_changes_no_length_and_leaves_its_input_alone() -> None:
    x = randn(2, 3, 16, 32)
    before = x.clone()
    rotated = rotate(x, rotation_table(32, 4, 10000.0))
    assert torch.equal(x, before)
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(rotated[:, :, 0], x[:, :, 0]), "the token at the origin is not turned"


def test_halves_first_puts_the_real_parts_before_the_imaginary_ones() -> None:
    assert halves_first(torch.arange(8)).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
