"""What an object's memory says about every place of the frame: SAM 2's memory attention for all objects at once.

Source: memory_attention.py and RoPEAttention of sam2. Exact in real numbers, but cheaper: values are mixed before they
are projected (64 channels instead of 256), constants are folded, and the part of the first layer that has not seen any
memory yet runs once for all objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from referent.errors import ConfigError
from referent.tracking.network.linear import LayerNorm, Linear, weight_and_bias
from referent.tracking.network.rotary import halves_first, rotate, rotation_table

QUERIES_AT_ONCE = 256  # on CPUs: scores of so many queries stay in the cache


@dataclass(frozen=True, eq=False)
class BankReading:
    """What N objects remember, as tokens."""

    spatial: Tensor  # (N, S, hw, C): S remembered frames
    spatial_position: Tensor  # (N or 1, S, hw, C): where and how long ago
    pointers: Tensor  # (N, P, C): object pointers, cut into tokens of C channels
    pointer_position: Tensor  # (N or 1, P, C)
    bias: Tensor | None = None  # (N, 1, S * hw + P): 0, or -inf where an object remembers less than others


class MemoryAttention:
    """`sam2.modeling.memory_attention.MemoryAttention` with one head, on square maps of `side` tokens."""

    def __init__(self, module: nn.Module, *, side: int, dtype: torch.dtype, device: torch.device) -> None:
        _check_supported(module)
        self._layers = [_Layer(layer, side=side, dtype=dtype, device=device) for layer in module.layers]
        self._norm = LayerNorm(module.norm, dtype)
        self._position_share = 0.1 if module.pos_enc_at_input else 0.0

    def __call__(self, tokens: Tensor, position: Tensor, bank: BankReading) -> Tensor:
        """(1, hw, D) of the frame and its position encoding to (N, hw, D), conditioned on each object's memory."""
        x = tokens + self._position_share * position
        values = torch.cat([bank.spatial.flatten(1, 2), bank.pointers], dim=1)
        spatial_keys = bank.spatial + bank.spatial_position
        pointer_keys = bank.pointers + bank.pointer_position
        for layer in self._layers:
            x = layer(x, spatial_keys, pointer_keys, values, bank.bias)
        return self._norm(x)


class _Layer:
    def __init__(self, layer: nn.Module, *, side: int, dtype: torch.dtype, device: torch.device) -> None:
        dim = layer.d_model
        own, cross = layer.self_attn, layer.cross_attn_image
        self._own_rotation = rotation_table(dim, side, own.compute_cis.keywords["theta"]).to(device, dtype)
        self._rotation = rotation_table(dim, side, cross.compute_cis.keywords["theta"]).to(device, dtype)
        self._norms = [LayerNorm(norm, dtype) for norm in (layer.norm1, layer.norm2, layer.norm3)]
        self._own_q = _rotated_projection(own.q_proj, dtype, scale=dim**-0.5)
        self._own_k = _rotated_projection(own.k_proj, dtype)
        self._own_v = Linear.of(own.v_proj, dtype)
        self._own_out = Linear.of(own.out_proj, dtype)
        self._q = _rotated_projection(cross.q_proj, dtype, scale=dim**-0.5)
        self._k = _rotated_projection(cross.k_proj, dtype)
        self._out = _projection_after_mixing(cross, dtype)
        self._widen = Linear.of(layer.linear1, dtype, activation=layer.activation_str)
        self._narrow = Linear.of(layer.linear2, dtype)

    def __call__(
        self, x: Tensor, spatial_keys: Tensor, pointer_keys: Tensor, values: Tensor, bias: Tensor | None
    ) -> Tensor:
        x = self._attend_to_frame(x)
        queries = rotate(self._q(self._norms[1](x)), self._rotation)
        rotated = rotate(self._k(spatial_keys), self._rotation).flatten(1, 2)
        keys = torch.cat([rotated, self._k(pointer_keys)], dim=1)
        mixed = attend(queries.expand(len(keys), -1, -1), keys, values, bias)
        x = self._out.add_to(x.expand(len(keys), -1, -1).contiguous(), mixed)
        return self._narrow.add_to(x, self._widen(self._norms[2](x)))

    def _attend_to_frame(self, x: Tensor) -> Tensor:
        normed = self._norms[0](x)
        queries = rotate(self._own_q(normed), self._own_rotation)
        keys = rotate(self._own_k(normed), self._own_rotation)
        return self._own_out.add_to(x, attend(queries, keys, self._own_v(normed), None))


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """softmax(queries @ keys.T + bias) @ values of (N, T, D), (N, L, D) and (N, L, E) -> (N, T, E)."""
    if queries.device.type == "cpu":
        return _attend_in_chunks(queries, keys, values, bias)
    mask = None if bias is None else bias[:, None]
    return functional.scaled_dot_product_attention(
        queries[:, None], keys[:, None], values[:, None], attn_mask=mask, scale=1.0
    )[:, 0]


def _attend_in_chunks(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """Big products and a softmax in place: on CPUs faster than the fused kernel, which wants D = E."""
    mixed = queries.new_empty(*queries.shape[:2], values.shape[-1])
    scratch = queries.new_empty(min(QUERIES_AT_ONCE, queries.shape[1]), keys.shape[1])
    for n, own_keys in enumerate(keys):
        for start in range(0, queries.shape[1], QUERIES_AT_ONCE):
            chunk = queries[n, start : start + QUERIES_AT_ONCE]
            scores = torch.mm(chunk, own_keys.T, out=scratch[: len(chunk)])
            if bias is not None:
                scores += bias[n]
            torch.softmax(scores, dim=-1, out=scores)
            torch.mm(scores, values[n], out=mixed[n, start : start + len(chunk)])
    return mixed


def _rotated_projection(module: nn.Module, dtype: torch.dtype, *, scale: float = 1.0) -> Linear:
    weight, bias = weight_and_bias(module)
    return Linear((halves_first(weight) * scale).to(dtype), (halves_first(bias) * scale).to(dtype))


def _projection_after_mixing(attention: nn.Module, dtype: torch.dtype) -> Linear:
    """out_proj(v_proj(mix)): rows of an attention matrix sum to one, so projecting may wait until after the mixing."""
    value_weight, value_bias = weight_and_bias(attention.v_proj)
    out_weight, out_bias = weight_and_bias(attention.out_proj)
    return Linear((out_weight @ value_weight).to(dtype), (out_weight @ value_bias + out_bias).to(dtype))


def _check_supported(module: nn.Module) -> None:
    for layer in module.layers:
        attentions = (layer.self_attn, layer.cross_attn_image)
        plain = not layer.pos_enc_at_attn and not layer.pos_enc_at_cross_attn_queries
        if not plain or not layer.pos_enc_at_cross_attn_keys or any(part.num_heads != 1 for part in attentions):
            raise ConfigError(
                "memory_attention: only one head, pos_enc_at_attn false, pos_enc_at_cross_attn_queries false and "
                "pos_enc_at_cross_attn_keys true, as in all published SAM 2 configurations, are supported"
            )
