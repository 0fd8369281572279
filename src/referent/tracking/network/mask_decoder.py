"""SAM 2's mask decoder: a few prompt and output tokens and the frame's features look at each other, twice.

Source: mask_decoder.py and TwoWayTransformer of sam2. Exact in real numbers, but cheaper: what the position encoding
adds to a projection is computed once, the transposed convolutions, which do not overlap, are
plain products, and the four little networks that make the masks run as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from referent.errors import ConfigError
from referent.tracking.network.attention import attend_heads
from referent.tracking.network.linear import LayerNorm, Linear, weight_and_bias

ALWAYS_PRESENT_LOGIT = 10.0  # of models that do not say whether the object is there


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every mask the decoder has to offer for N objects: 0 is the single answer, 1 to 3 those for ambiguous prompts."""

    logits: Tensor  # (N, 4, S / 4, S / 4)
    ious: Tensor  # (N, 4), predicted
    tokens: Tensor  # (N, 4, D)
    object_scores: Tensor  # (N, 1) logits


class MaskDecoder:
    """`sam2.modeling.sam.mask_decoder.MaskDecoder` for maps whose position encoding is `position` (1, D, h, w)."""

    def __init__(self, decoder: Any, position: Tensor, *, dtype: torch.dtype) -> None:
        if not decoder.use_high_res_features:
            raise ConfigError("mask_decoder: only use_high_res_features true is supported")
        tokens = position.flatten(2).transpose(1, 2)[0].double()
        transformer = decoder.transformer
        self._layers = [_Layer(layer, tokens, dtype) for layer in transformer.layers]
        self._last = _TokensToImage(transformer.final_attn_token_to_image, dtype)
        self._last_features = _Features([transformer.final_attn_token_to_image.k_proj], tokens, dtype)
        self._last_value = Linear.of(transformer.final_attn_token_to_image.v_proj, dtype)
        self._last_norm = LayerNorm(transformer.norm_final_attn, dtype)
        scores = [decoder.obj_score_token.weight] if decoder.pred_obj_scores else []
        output = torch.cat([*scores, decoder.iou_token.weight, decoder.mask_tokens.weight])
        self._output_tokens, self._first_mask = output.detach().to(dtype), len(scores) + 1
        self._upscale = _Upscaling(decoder.output_upscaling, dtype)
        self._kernels = _ParallelMlps(decoder.output_hypernetworks_mlps, dtype)
        self._iou_head = decoder.iou_prediction_head.to(dtype)
        self._object_head = decoder.pred_obj_score_head.to(dtype) if decoder.pred_obj_scores else None

    def __call__(self, features: Tensor, fine_maps: tuple[Tensor, Tensor], sparse: Tensor, dense: Tensor) -> Candidates:
        """(N, D, h, w), the frame's two fine maps, prompt tokens (N or 1, T, D) and (N or 1, D, h, w)."""
        count, _, height, width = features.shape
        given = torch.cat([self._output_tokens.expand(count, -1, -1), sparse.expand(count, -1, -1)], dim=1)
        queries, keys = given, (features + dense).flatten(2).transpose(1, 2)
        for layer in self._layers:
            queries, keys = layer(queries, keys, given)
        (positioned,) = self._last_features(keys)
        queries = queries + self._last(queries + given, positioned, self._last_value(keys))
        queries = self._last_norm(queries)
        masks = queries[:, self._first_mask : len(self._output_tokens)]
        upscaled = self._upscale(keys.unflatten(1, (height, width)), fine_maps)  # (N, 4 h, 4 w, C)
        logits = self._kernels(masks) @ upscaled.flatten(1, 2).transpose(1, 2)
        logits = logits.unflatten(2, upscaled.shape[1:3])
        ious = self._iou_head(queries[:, self._first_mask - 1])
        if self._object_head is None:
            return Candidates(logits, ious, masks, torch.full_like(ious[:, :1], ALWAYS_PRESENT_LOGIT))
        return Candidates(logits, ious, masks, self._object_head(queries[:, 0]))


class _Layer:
    """One `TwoWayAttentionBlock`."""

    def __init__(self, layer: Any, position: Tensor, dtype: torch.dtype) -> None:
        to_image, to_tokens = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        self._skips_position = layer.skip_first_layer_pe
        self._own = _OwnAttention(layer.self_attn, dtype)
        self._features = _Features([to_image.k_proj, to_tokens.q_proj], position, dtype)
        self._to_image, self._image_value = _TokensToImage(to_image, dtype), Linear.of(to_image.v_proj, dtype)
        self._token_key, self._token_value = Linear.of(to_tokens.k_proj, dtype), Linear.of(to_tokens.v_proj, dtype)
        self._heads, self._to_tokens_out = to_tokens.num_heads, Linear.of(to_tokens.out_proj, dtype)
        self._norms = [LayerNorm(norm, dtype) for norm in (layer.norm1, layer.norm2, layer.norm3, layer.norm4)]
        self._widen = Linear.of(layer.mlp.layers[0], dtype, activation="relu")
        self._narrow = Linear.of(layer.mlp.layers[1], dtype)

    def __call__(self, queries: Tensor, keys: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, D) tokens and (N, hw, D) features, each having looked at the other."""
        if self._skips_position:
            queries = self._own(queries, queries)
        else:
            queries = queries + self._own(queries + position, queries)
        queries = self._norms[0](queries)
        image_keys, image_queries = self._features(keys)
        queries = self._norms[1](queries + self._to_image(queries + position, image_keys, self._image_value(keys)))
        queries = self._norms[2](self._narrow.add_to(queries, self._widen(queries)))
        token_keys, token_values = self._token_key(queries + position), self._token_value(queries)
        seen = attend_heads(*(_in_heads(x, self._heads) for x in (image_queries, token_keys, token_values)))
        return queries, self._norms[3](self._to_tokens_out.add_to(keys, seen))


class _OwnAttention:
    def __init__(self, attention: Any, dtype: torch.dtype) -> None:
        self._q, self._k = Linear.of(attention.q_proj, dtype), Linear.of(attention.k_proj, dtype)
        self._v, self._out = Linear.of(attention.v_proj, dtype), Linear.of(attention.out_proj, dtype)
        self._heads = attention.num_heads

    def __call__(self, positioned: Tensor, queries: Tensor) -> Tensor:
        parts = (self._q(positioned), self._k(positioned), self._v(queries))
        return self._out(attend_heads(*(_in_heads(part, self._heads) for part in parts)))


class _TokensToImage:
    def __init__(self, attention: Any, dtype: torch.dtype) -> None:
        self._q, self._out = Linear.of(attention.q_proj, dtype), Linear.of(attention.out_proj, dtype)
        self._heads = attention.num_heads

    def __call__(self, positioned: Tensor, image_keys: Tensor, image_values: Tensor) -> Tensor:
        parts = (self._q(positioned), image_keys, image_values)
        return self._out(attend_heads(*(_in_heads(part, self._heads) for part in parts)))


class _Features:
    """Projections of features plus their position: the position's share is a constant."""

    def __init__(self, projections: list[Any], position: Tensor, dtype: torch.dtype) -> None:
        self._shares = []
        self._projections = []
        for projection in projections:
            weight, _ = weight_and_bias(projection)
            self._shares.append((position @ weight.T).to(dtype))  # (hw, C)
            self._projections.append(Linear.of(projection, dtype))

    def __call__(self, keys: Tensor) -> list[Tensor]:
        """(N, hw, D) to (N, hw, C) each."""
        return [project(keys) + share for project, share in zip(self._projections, self._shares, strict=True)]


class _Upscaling:
    """Two 2 x 2 transposed convolutions with stride 2, the fine maps added after each."""

    def __init__(self, upscaling: Any, dtype: torch.dtype) -> None:
        first, norm, _, second, _ = upscaling
        self._first, self._second = _as_product(first, dtype), _as_product(second, dtype)
        self._norm_weight, self._norm_bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
        self._eps = norm.eps

    def __call__(self, features: Tensor, fine_maps: tuple[Tensor, Tensor]) -> Tensor:
        """(N, h, w, D) to (N, 4 h, 4 w, C)."""
        finest, fine = (level.permute(0, 2, 3, 1) for level in fine_maps)
        x = _spread(self._first(features)) + fine
        x = functional.gelu(
            functional.layer_norm(x, self._norm_weight.shape, self._norm_weight, self._norm_bias, self._eps)
        )
        return functional.gelu(_spread(self._second(x)) + finest)


class _ParallelMlps:
    """The small networks, one per mask token, that turn tokens into 1x1 kernels."""

    def __init__(self, mlps: Any, dtype: torch.dtype) -> None:
        depths = range(len(mlps[0].layers))
        self._weights = [torch.stack([m.layers[i].weight.detach().T for m in mlps]).to(dtype) for i in depths]
        self._biases = [torch.stack([m.layers[i].bias.detach() for m in mlps]).to(dtype)[:, None] for i in depths]

    def __call__(self, tokens: Tensor) -> Tensor:
        """(N, M, D) to (N, M, C)."""
        x = tokens.transpose(0, 1)
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            x = functional.relu(torch.baddbmm(bias, x, weight))
        return torch.baddbmm(self._biases[-1], x, self._weights[-1]).transpose(0, 1)


def _in_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1))


def _as_product(convolution: nn.ConvTranspose2d, dtype: torch.dtype) -> Linear:
    """A 2 x 2 transposed convolution with stride 2 as a product: (..., in) to (..., 2 * 2 * out)."""
    weight = convolution.weight.detach().permute(2, 3, 1, 0).flatten(0, 2)
    assert convolution.bias is not None
    return Linear(weight.to(dtype), convolution.bias.detach().repeat(4).to(dtype))


def _spread(x: Tensor) -> Tensor:
    """(N, h, w, 2 * 2 * C) to (N, 2 h, 2 w, C)."""
    count, height, width, _ = x.shape
    return x.view(count, height, width, 2, 2, -1).permute(0, 1, 3, 2, 4, 5).reshape(count, 2 * height, 2 * width, -1)
