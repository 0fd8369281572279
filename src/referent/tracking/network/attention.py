"""softmax(queries @ keys.T) @ values, the fastest way each device knows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from referent.tracking.network.linear import Linear

QUERIES_AT_ONCE = 512  # on CPUs: more would only take memory


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """One head over long memories: (N, T, D), (N, L, D), (N, L, E), bias (N, 1, L) to (N, T, E); no scaling."""
    is_plain = queries.dtype == torch.float32 and keys.shape == values.shape and bias is None
    if queries.device.type == "cpu" and not is_plain and not torch.compiler.is_compiling():
        return _attend_in_chunks(queries, keys, values, bias)
    mask = None if bias is None else bias[:, None]
    return functional.scaled_dot_product_attention(
        queries[:, None], keys[:, None], values[:, None], attn_mask=mask, scale=1.0
    )[:, 0]


def attend_heads(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """Many heads over short windows: (B, T, heads, d), (B, L, heads, d) twice, bias (L,) to (B, T, heads * d)."""
    q, k, v = (part.transpose(1, 2) for part in (queries, keys, values))
    if (
        q.device.type == "cpu" and not torch.compiler.is_compiling() and q.dtype == torch.bfloat16
    ):  # the fused CPU kernel computes in float32
        scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2))
        if bias is not None:
            scores += bias
        torch.softmax(scores, dim=-1, out=scores)
        mixed = torch.matmul(scores, v)
    else:
        mask = None if bias is None else bias.expand(1, 1, 1, -1)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


def _attend_in_chunks(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """Big products and a softmax in place: on CPUs faster than the fused kernel, which wants D = E."""
    mixed = queries.new_empty(*queries.shape[:2], values.shape[-1])
    for n, own_keys in enumerate(keys):
        score = Linear(own_keys, None)  # the keys are what every query is multiplied with
        for start in range(0, queries.shape[1], QUERIES_AT_ONCE):
            chunk = queries[n, start : start + QUERIES_AT_ONCE]
            scores = score(chunk)
            if bias is not None:
                scores += bias[n]
            torch.softmax(scores, dim=-1, out=scores)
            torch.mm(scores, values[n], out=mixed[n, start : start + len(chunk)])
    return mixed
