"""What an object's memory says about every place of the frame: SAM 2's memory attention for all objects at once.

Source: memory_attention.py and RoPEAttention of sam2. Exact in real numbers, but cheaper: values are mixed before they
are projected (64 channels instead of 256), constants are folded, and the part of the first layer that has not seen any
memory yet runs once for all objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from referent.errors import ConfigError
from referent.tracking.network.attention import attend
from referent.tracking.network.linear import LayerNorm, Linear, weight_and_bias
from referent.tracking.network.rotary import halves_first, rotate, rotation_table

SCORES_TOGETHER = 1_000_000  # on CPUs objects with more go one by one: each then fits into the cache


@dataclass(frozen=True, eq=False)
class BankReading:
    """What N objects remember, as tokens."""

    spatial: Tensor  # (N, S, hw, C): S remembered frames
    spatial_position: Tensor  # (N or 1, S, hw, C): where and how long ago
    pointers: Tensor  # (N, P, C): object pointers, cut into tokens of C channels
    pointer_position: Tensor  # (N or 1, P, C)
    bias: Tensor | None = None  # (N, 1, S * hw + P): 0, or -inf where an object remembers less than others

    def scores(self, queries: Tensor) -> int:
        """How many attention scores (.., T, D) queries make with one object's memory."""
        return queries.shape[-2] * (self.spatial.shape[1] * self.spatial.shape[2] + self.pointers.shape[1])

    def of(self, number: int) -> BankReading:
        """One object alone."""
        own = slice(number, number + 1)
        return BankReading(
            self.spatial[own],
            self.spatial_position[own] if len(self.spatial_position) > 1 else self.spatial_position,
            self.pointers[own],
            self.pointer_position[own] if len(self.pointer_position) > 1 else self.pointer_position,
            None if self.bias is None else self.bias[own],
        )


class MemoryAttention:
    """`sam2.modeling.memory_attention.MemoryAttention` with one head, on square maps of `side` tokens."""

    def __init__(self, module: Any, *, side: int, dtype: torch.dtype, device: torch.device) -> None:
        _check_supported(module)
        self._layers = [_Layer(layer, side=side, dtype=dtype, device=device) for layer in module.layers]
        self._norm = LayerNorm(module.norm, dtype)
        self._position_share = 0.1 if module.pos_enc_at_input else 0.0

    def __call__(self, tokens: Tensor, position: Tensor, bank: BankReading) -> Tensor:
        """(1, hw, D) of the frame and its position encoding to (N, hw, D), conditioned on each object's memory."""
        x = self._layers[0].attend_to_frame(tokens + self._position_share * position)
        if len(bank.spatial) > 1 and tokens.device.type == "cpu" and bank.scores(x) > SCORES_TOGETHER:
            return torch.cat([self._conditioned(x, bank.of(n)) for n in range(len(bank.spatial))])
        return self._conditioned(x, bank)

    def _conditioned(self, x: Tensor, bank: BankReading) -> Tensor:
        values = torch.cat([bank.spatial.flatten(1, 2), bank.pointers], dim=1)
        spatial_keys = bank.spatial + bank.spatial_position
        pointer_keys = bank.pointers + bank.pointer_position
        for number, layer in enumerate(self._layers):
            x = layer.attend_to_frame(x) if number else x
            x = layer.attend_to_memory(x, spatial_keys, pointer_keys, values, bank.bias)
        return self._norm(x)


class _Layer:
    def __init__(self, layer: Any, *, side: int, dtype: torch.dtype, device: torch.device) -> None:
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
        self._value, self._out = _value_and_out(cross, dtype)
        self._widen = Linear.of(layer.linear1, dtype, activation=layer.activation_str)
        self._narrow = Linear.of(layer.linear2, dtype)

    def attend_to_memory(
        self, x: Tensor, spatial_keys: Tensor, pointer_keys: Tensor, values: Tensor, bias: Tensor | None
    ) -> Tensor:
        """(N or 1, hw, D) to (N, hw, D): cross-attention and MLP."""
        queries = rotate(self._q(self._norms[1](x)), self._rotation)
        rotated = rotate(self._k(spatial_keys), self._rotation).flatten(1, 2)
        keys = torch.cat([rotated, self._k(pointer_keys)], dim=1)
        if self._value is not None:
            values = self._value(values)
        mixed = attend(queries.expand(len(keys), -1, -1), keys, values, bias)
        x = self._out.add_to(x.expand(len(keys), -1, -1).contiguous(), mixed)
        return self._narrow.add_to(x, self._widen(self._norms[2](x)))

    def attend_to_frame(self, x: Tensor) -> Tensor:
        """(N, hw, D): self-attention."""
        normed = self._norms[0](x)
        queries = rotate(self._own_q(normed), self._own_rotation)
        keys = rotate(self._own_k(normed), self._own_rotation)
        return self._own_out.add_to(x, attend(queries, keys, self._own_v(normed), None))


def _rotated_projection(module: Any, dtype: torch.dtype, *, scale: float = 1.0) -> Linear:
    weight, bias = weight_and_bias(module)
    return Linear((halves_first(weight) * scale).to(dtype), (halves_first(bias) * scale).to(dtype))


def _value_and_out(attention: Any, dtype: torch.dtype) -> tuple[Linear | None, Linear]:
    """The projections of values before and after the mixing; on CPUs both in one, afterwards.

    Rows of an attention matrix sum to one, so out_proj(v_proj(mix)) is the same and mixes 64 channels instead of 256.
    The fused kernels of GPUs want queries and values of one width.
    """
    if attention.v_proj.weight.device.type != "cpu":
        return Linear.of(attention.v_proj, dtype), Linear.of(attention.out_proj, dtype)
    value_weight, value_bias = weight_and_bias(attention.v_proj)
    out_weight, out_bias = weight_and_bias(attention.out_proj)
    return None, Linear((out_weight @ value_weight).to(dtype), (out_weight @ value_bias + out_bias).to(dtype))


def _check_supported(module: Any) -> None:
    for layer in module.layers:
        attentions = (layer.self_attn, layer.cross_attn_image)
        plain = not layer.pos_enc_at_attn and not layer.pos_enc_at_cross_attn_queries
        if not plain or not layer.pos_enc_at_cross_attn_keys or any(part.num_heads != 1 for part in attentions):
            raise ConfigError(
                "memory_attention: only one head, pos_enc_at_attn false, pos_enc_at_cross_attn_queries false and "
                "pos_enc_at_cross_attn_keys true, as in all published SAM 2 configurations, are supported"
            )
