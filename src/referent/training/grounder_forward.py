"""Qwen3-VL's forward pass for many dialogues about one picture at once, with the same weights as the released class.

A row holds system text and picture once, then several dialogues that do not see each other. The released code scatters
picture features by boolean index, which neither batches nor compiles; here the picture sits at one fixed place, and all
pictures of a batch have one size.
`tests/training` checks that both passes agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb

from referent.training.grounder_model import MERGE, PATCH

Grid = tuple[int, int]  # patches, rows and columns
POINTING_LAYERS = (2, 3)  # their head 0 is taught to look at the object spoken of


class Vision(NamedTuple):
    """What the picture becomes."""

    patches: Tensor  # (B, P, C) trunk output, patches in the order of `merged_order`
    tokens: Tensor  # (B, P/4, D)
    deep: list[Tensor]  # each (B, P/4, D)


class Language(NamedTuple):
    """What the dialogues become."""

    hidden: Tensor  # (B, T, D) after the last norm
    middle: Tensor  # (B, T, D) after the last pointing layer
    pointing: list[Tensor]  # per pointing layer (B, T, P/4), attention of head 0 over the picture's tokens


class Layout(NamedTuple):
    """Where the patches of one grid stand; made once per grid and device."""

    cos: Tensor  # rotary positions, (1, 1, P, head)
    sin: Tensor
    position_index: Tensor  # (P, 4) corners in the learned position grid
    position_weight: Tensor  # (P, 4)


def grid_of(width: int, height: int) -> Grid:
    """The patches of a picture."""
    return height // PATCH, width // PATCH


def cells_of(grid: Grid) -> tuple[int, int]:
    """Rows and columns of the picture's tokens in the language model."""
    return grid[0] // MERGE, grid[1] // MERGE


def merged_order(grid: Grid) -> Tensor:
    """(P,) row-major patch number at each position: 2x2 blocks that merge into one token stand together."""
    rows, columns = cells_of(grid)
    numbers = torch.arange(grid[0] * grid[1]).reshape(rows, MERGE, columns, MERGE)
    return numbers.permute(0, 2, 1, 3).reshape(-1)


def patches_from_pictures(rgb: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 pictures of one of the model's sizes as (B, P, 3 * 16 * 16) patches, as the processor."""
    count, height, width, _ = rgb.shape
    grid = grid_of(width, height)
    rows, columns = cells_of(grid)
    x = rgb.to(torch.float32).div_(127.5).sub_(1)
    x = x.reshape(count, rows, MERGE, PATCH, columns, MERGE, PATCH, 3)
    return x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(count, grid[0] * grid[1], 3 * PATCH * PATCH)


class PackedForward(nn.Module):
    """The forward pass of `model` (a Qwen3VLForConditionalGeneration) over packed rows."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.visual = model.model.visual
        self.text = model.model.language_model
        self._layouts: dict[Grid, Layout] = {}

    def look(self, patches: Tensor, grid: Grid) -> Vision:
        """Vision tower over (B, P, 768) patches of pictures of one grid."""
        v, layout = self.visual, self._layout(grid, patches.device)
        x = F.linear(patches, v.patch_embed.proj.weight.flatten(1), v.patch_embed.proj.bias)
        x = x + (v.pos_embed(layout.position_index) * layout.position_weight[..., None]).sum(1)
        deep = []
        for index, block in enumerate(v.blocks):
            x = x + _vision_attention(block.attn, block.norm1(x), layout)
            x = x + block.mlp(block.norm2(x))
            if index in v.deepstack_visual_indexes:
                deep.append(_merge(v.deepstack_merger_list[v.deepstack_visual_indexes.index(index)], x))
        return Vision(x, _merge(v.merger, x), deep)

    def _layout(self, grid: Grid, device: torch.device) -> Layout:
        if grid not in self._layouts:
            order = merged_order(grid)
            places = torch.stack([order // grid[1], order % grid[1]], dim=-1).to(device)
            cos, sin = self.visual.rotary_pos_emb(torch.zeros(1, device=device), places)
            index, weight = _position_weights(self.visual, torch.tensor([[1, *grid]], device=device))
            self._layouts[grid] = Layout(cos[None, None], sin[None, None], index, weight)
        return self._layouts[grid]

    def read(self, ids: Tensor, positions: Tensor, allowed: Tensor, vision: Vision, start: int) -> Language:
        """Language model over (B, T) ids; the picture's tokens stand at `start`.

        positions: (3, B, T) M-RoPE positions. allowed: (B, T, T) bool, row may look at column.
        """
        end = start + vision.tokens.shape[1]
        x = self.text.embed_tokens(ids)
        x = torch.cat([x[:, :start], vision.tokens.to(x.dtype), x[:, end:]], dim=1)
        cos, sin = self.text.rotary_emb(x, positions)
        pointing, middle = [], x
        for index, layer in enumerate(self.text.layers):
            mixed, looks = _text_attention(
                layer.self_attn, _rms(layer.input_layernorm, x), cos, sin, allowed, (start, end)
            )
            x = x + mixed
            x = x + layer.mlp(_rms(layer.post_attention_layernorm, x))
            if index < len(vision.deep):
                x = torch.cat([x[:, :start], x[:, start:end] + vision.deep[index], x[:, end:]], dim=1)
            if index in POINTING_LAYERS:
                pointing.append(looks.float())
                middle = x
        return Language(_rms(self.text.norm, x), middle, pointing)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary (tied to the input embeddings)."""
        return F.linear(hidden, self.text.embed_tokens.weight)


def _vision_attention(attention: Any, x: Tensor, layout: Layout) -> Tensor:
    count, length, width = x.shape
    q, k, v = attention.qkv(x).reshape(count, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    q, k = _rotated(q, layout.cos, layout.sin), _rotated(k, layout.cos, layout.sin)
    mixed, _ = _attended(q, k, v, None)
    projected: Tensor = attention.proj(mixed.transpose(1, 2).reshape(count, length, width))
    return projected


def _text_attention(
    attention: Any, x: Tensor, cos: Tensor, sin: Tensor, allowed: Tensor, picture: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Attention output, and head 0's attention over the picture's tokens (B, T, cells)."""
    shape = (*x.shape[:2], -1, attention.head_dim)
    q = _rms(attention.q_norm, attention.q_proj(x).view(shape)).transpose(1, 2)
    k = _rms(attention.k_norm, attention.k_proj(x).view(shape)).transpose(1, 2)
    v = attention.v_proj(x).view(shape).transpose(1, 2)
    q, k = apply_rotary_pos_emb(q, k, cos, sin)
    q, k = q.to(v.dtype), k.to(v.dtype)
    groups = attention.num_key_value_groups
    mixed, looks = _attended(q, k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1), allowed)
    return attention.o_proj(mixed.transpose(1, 2).reshape(*x.shape[:2], -1)), looks[:, 0, :, picture[0] : picture[1]]


def _attended(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention written out: on a CPU in bfloat16 twice as fast as the fused one with its mask, at these lengths."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if allowed is not None:
        scores = scores.masked_fill(~allowed[:, None], -1e9)
    weights = scores.softmax(-1, dtype=v.dtype)
    return weights @ v, weights


def _position_weights(visual: Any, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Corner numbers and bilinear weights, both (P, 4), of the learned position grid at our patches."""
    from transformers.models.qwen3_vl import modeling_qwen3_vl as released

    index, weight = released.get_vision_interpolation_indices_and_weights(
        grid,
        num_grid_per_side=visual.num_grid_per_side,
        mode=visual.interpolation_mode,
        align_corners=visual.interpolation_align_corners,
        spatial_merge_size=visual.spatial_merge_size,
        kwargs={},
    )
    return index, weight.float()


def _merge(merger: Any, x: Tensor) -> Tensor:
    """A patch merger over (B, P, C): four patches become one token."""
    count = x.shape[0]
    return merger(x.reshape(-1, x.shape[-1])).reshape(count, -1, merger.linear_fc2.out_features)


def _rms(norm: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x.float(), (x.shape[-1],), norm.weight, norm.variance_epsilon)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, as in apply_rotary_pos_emb_vision."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return (x * cos + turned * sin).to(x.dtype)
