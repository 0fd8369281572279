"""The image encoder of SAM 2 (Hiera and its feature pyramid) for one picture.

Source: hieradet.py, image_encoder.py and `forward_image` of sam2. Exact in real numbers, but cheaper: window padding is
added after the projections instead of before (a padded token projects to the bias), the two fine levels go straight to
the decoder's 32 and 64 channels without the 256 in between, and position encodings, which never change, are not made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from referent.errors import ConfigError
from referent.tracking.network.attention import attend_heads
from referent.tracking.network.linear import LayerNorm, Linear, weight_and_bias
from referent.tracking.network.windows import WindowGroup, pooled_order, window_groups, window_order


class ImageEncoder:
    """A normalized picture to the three feature maps that tracking reads, finest first."""

    def __init__(self, model: Any, *, dtype: torch.dtype) -> None:
        encoder = model.image_encoder
        _check_supported(model)
        trunk = encoder.trunk
        side = model.image_size // trunk.patch_embed.proj.stride[0]
        position = trunk._get_pos_embed((side, side)).detach()  # (1, side, side, C)
        self._patches = trunk.patch_embed.proj.to(dtype)
        self._position = position.flatten(0, 2).to(dtype)
        self._steps = _steps(trunk, side=side, dtype=dtype)
        self._pyramid = _Pyramid(model, dtype)

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, S, S) to (1, 32, S/4, S/4), (1, 64, S/8, S/8) and (1, D, S/16, S/16)."""
        patches = self._patches(image.to(self._position.dtype, memory_format=torch.channels_last))
        x = patches[0].flatten(1).T + self._position
        stages = []
        for step in self._steps:
            x = step.block(x if step.reorder is None else x[step.reorder])
            if step.raster is not None:
                stages.append((x, step.raster))
        return self._pyramid(stages)


@dataclass(frozen=True, eq=False)
class _Step:
    """One block and the order its tokens need."""

    block: _Block
    reorder: Tensor | None  # from the order the block before left them in; None = the same
    raster: Tensor | None  # where each token of the raster lies afterwards; only where a stage ends


def _steps(trunk: Any, *, side: int, dtype: torch.dtype) -> list[_Step]:
    device = trunk.pos_embed.device
    steps, order = [], np.arange(side * side)
    for index, block in enumerate(trunk.blocks):
        pools = block.q_stride is not None
        window = block.window_size or side
        if pools and (tuple(block.q_stride) != (2, 2) or window % 2 or side % 2):
            raise ConfigError(f"image_encoder: block {index} pools {block.q_stride} over windows of {window} of {side}")
        reorder = None
        if block.window_size or pools:
            wanted = window_order(side, window, by_fours=window % 2 == 0 and side % 2 == 0)
            if not np.array_equal(wanted, order):
                reorder = torch.from_numpy(np.argsort(order)[wanted]).to(device)
            order = wanted
        groups = window_groups(side, window)
        if pools:
            order, side = pooled_order(order, side), side // 2
        raster = torch.from_numpy(np.argsort(order)).to(device) if index in trunk.stage_ends else None
        steps.append(_Step(_Block(block, groups, dtype), reorder, raster))
    return steps


class _Block:
    """One `MultiScaleBlock` on (T, C) tokens in window order."""

    def __init__(self, block: Any, groups: list[WindowGroup], dtype: torch.dtype) -> None:
        attention = block.attn
        self._norm1, self._norm2 = LayerNorm(block.norm1, dtype), LayerNorm(block.norm2, dtype)
        self._qkv, self._out = Linear.of(attention.qkv, dtype), Linear.of(attention.proj, dtype)
        self._widen = Linear.of(block.mlp.layers[0], dtype, activation="gelu")
        self._narrow = Linear.of(block.mlp.layers[1], dtype)
        self._shortcut = Linear.of(block.proj, dtype) if block.dim != block.dim_out else None
        self._pools = block.q_stride is not None
        self._groups = groups
        # What SAM 2's padding tokens become: zeros projected.
        self._padding = self._qkv.bias.view(3, 1, attention.num_heads, -1)

    def __call__(self, x: Tensor) -> Tensor:
        normed = self._norm1(x)
        shortcut = x if self._shortcut is None else self._shortcut(normed)
        if self._pools:
            shortcut = largest_of_four(shortcut)
        x = self._out.add_to(shortcut, self._attend(self._qkv(normed)))
        return self._narrow.add_to(x, self._widen(self._norm2(x)))

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention inside each window, (T, 3 C) to (T or T / 4, C)."""
        parts = qkv.split([group.count * group.tokens for group in self._groups])
        mixed = [self._attend_group(part, group) for part, group in zip(parts, self._groups, strict=True)]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _attend_group(self, qkv: Tensor, group: WindowGroup) -> Tensor:
        heads = self._padding.shape[2]
        queries, keys, values = qkv.view(group.count, group.tokens, 3, heads, -1).unbind(2)
        if self._pools:
            queries = largest_of_four(queries.flatten(0, 1)).unflatten(0, (group.count, group.tokens // 4))
        bias = None
        if group.padding:
            keys = torch.cat([keys, self._padding[1].expand(group.count, -1, -1, -1)], dim=1)
            values = torch.cat([values, self._padding[2].expand(group.count, -1, -1, -1)], dim=1)
            bias = queries.new_zeros(group.tokens + 1)
            bias[-1] = math.log(group.padding)
        return attend_heads(queries, keys, values, bias).flatten(0, 1)


class _Pyramid:
    """The feature pyramid's lateral and top-down paths, ending in what the mask decoder wants of each level."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        neck, decoder = model.image_encoder.neck, model.sam_mask_decoder
        lateral = [level.conv for level in neck.convs]  # coarsest first
        self._fine = [_chained(lateral[3], decoder.conv_s0, dtype), _chained(lateral[2], decoder.conv_s1, dtype)]
        self._middle, self._coarse = Linear.of(lateral[1], dtype), Linear.of(lateral[0], dtype)

    def __call__(self, stages: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        """Tokens of each stage and where those of the raster lie among them, to (1, C, h, w) maps."""
        (finest, _), (fine, _), (middle, _), (coarse, _) = stages
        tokens = [self._fine[0](finest), self._fine[1](fine), self._middle(middle), self._coarse(coarse)]
        levels = [_as_map(x[raster]) for x, (_, raster) in zip(tokens, stages, strict=True)]
        levels[2] = levels[2] + functional.interpolate(levels[3], scale_factor=2.0, mode="nearest")
        return tuple(levels[:3])


def _as_map(tokens: Tensor) -> Tensor:
    side = math.isqrt(len(tokens))
    return tokens.T.reshape(1, -1, side, side)


def largest_of_four(x: Tensor) -> Tensor:
    """(4 T, ...) to (T, ...): the largest of every four that follow each other."""
    a, b, c, d = x.unflatten(0, (-1, 4)).unbind(1)
    return torch.maximum(torch.maximum(a, b), torch.maximum(c, d))


def _chained(first: Any, second: Any, dtype: torch.dtype) -> Linear:
    """second(first(x)) of two 1x1 convolutions as one."""
    (a, a_bias), (b, b_bias) = weight_and_bias(first), weight_and_bias(second)
    return Linear((b @ a).to(dtype), (b @ a_bias + b_bias).to(dtype))


def _check_supported(model: Any) -> None:
    encoder = model.image_encoder
    usual = {
        "neck.fpn_top_down_levels [2, 3]": sorted(encoder.neck.fpn_top_down_levels) == [2, 3],
        "neck.fuse_type sum": encoder.neck.fuse_type == "sum",
        "neck.fpn_interp_model nearest": encoder.neck.fpn_interp_model == "nearest",
        "scalp 1": encoder.scalp == 1,
        "four stages": len(encoder.neck.convs) == 4,
        "use_high_res_features_in_sam": bool(model.use_high_res_features_in_sam),
    }
    for setting, as_usual in usual.items():
        if not as_usual:
            raise ConfigError(f"image_encoder: only {setting} is supported, as in all published SAM 2 configurations")
