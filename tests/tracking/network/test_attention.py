"""Both attentions are softmax(q k^T) v, whatever way each takes to it."""

from __future__ import annotations

import pytest
import torch
from official_parts import assert_close, randn
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from referent.tracking.network.attention import QUERIES_AT_ONCE, attend, attend_heads


def in_double(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    scores = queries.double() @ keys.double().transpose(-1, -2)
    if bias is not None:
        scores = scores + bias.double()
    return (scores.softmax(dim=-1) @ values.double()).float()


@pytest.mark.parametrize("length", [1, QUERIES_AT_ONCE - 1, QUERIES_AT_ONCE, QUERIES_AT_ONCE + 1, 700])
def test_chunks_of_queries_meet_without_a_seam(length: int) -> None:
    queries, keys, values = randn(2, length, 16, seed=1), randn(2, 37, 16, seed=2), randn(2, 37, 8, seed=3)
    assert_close(attend(queries, keys, values), in_double(queries, keys, values))


def test_a_bias_hides_what_each_object_does_not_remember() -> None:
    queries, keys, values = randn(2, 300, 16, seed=1), randn(2, 40, 16, seed=2), randn(2, 40, 8, seed=3)
    bias = torch.zeros(2, 1, 40)
    bias[0, :, 25:] = -torch.inf
    mixed = attend(queries, keys, values, bias)
    assert_close(mixed, in_double(queries, keys, values, bias))
    assert_close(mixed[:1], attend(queries[:1], keys[:1, :25], values[:1, :25]))


def test_queries_shared_by_all_objects_need_no_copy() -> None:
    queries, keys, values = randn(1, 300, 16, seed=1), randn(3, 40, 16, seed=2), randn(3, 40, 8, seed=3)
    assert_close(attend(queries.expand(3, -1, -1), keys, values), in_double(queries, keys, values))


def test_in_bfloat16_attention_over_a_memory_stays_close() -> None:
    queries, keys, values = randn(2, 300, 16, seed=1), randn(2, 40, 16, seed=2), randn(2, 40, 8, seed=3)
    truth = in_double(queries, keys, values)
    mixed = attend(queries.bfloat16(), keys.bfloat16(), values.bfloat16())
    assert mixed.dtype == torch.bfloat16
    assert_close(mixed, truth, relative=0.03)


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("is_biased", [False, True])
@pytest.mark.parametrize("queries_per_window", [9, 36])
def test_many_heads_agree_with_the_fused_kernel(
    queries_per_window: int, is_biased: bool, dtype: torch.dtype, relative: float
) -> None:
    queries, keys, values = (randn(5, n, 3, 8, seed=n + i) for i, n in enumerate((queries_per_window, 36, 36)))
    bias = randn(36) if is_biased else None
    truth = scaled_dot_product_attention(
        *(part.transpose(1, 2) for part in (queries, keys, values)),
        attn_mask=None if bias is None else bias.expand(1, 1, 1, -1),
    )
    rounded = (part.to(dtype) for part in (queries, keys, values))
    mixed = attend_heads(*rounded, None if bias is None else bias.to(dtype))
    assert mixed.dtype == dtype
    assert_close(mixed, truth.transpose(1, 2).flatten(2), relative=relative)
