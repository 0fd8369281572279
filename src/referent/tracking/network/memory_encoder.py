"""What is remembered of a frame: SAM 2's memory encoder for all objects at once.

Source: memory_encoder.py and `_encode_new_memory` of sam2. The part that depends on the picture alone runs once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from referent.tracking.network.linear import Linear, weight_and_bias


class MemoryEncoder:
    """Masks and the frame's coarse map to memory tokens."""

    def __init__(self, model: Any, *, dtype: torch.dtype) -> None:
        encoder = model.memory_encoder
        self._downsample = encoder.mask_downsampler.to(dtype)
        self._picture = Linear.of(encoder.pix_feat_proj, dtype)
        self._blocks = [_Block(block, dtype) for block in encoder.fuser.layers]
        self._out = Linear.of(encoder.out_proj, dtype)
        self._size = (model.image_size, model.image_size)
        self._scale, self._shift = model.sigmoid_scale_for_mem_enc, model.sigmoid_bias_for_mem_enc
        self._hardens_prompted = model.binarize_mask_from_pts_for_mem_enc
        spatial = model.no_obj_embed_spatial
        self._absent = None if spatial is None else spatial.detach().to(dtype)  # (1, C)
        self._dtype = dtype

    def __call__(self, coarse: Tensor, low_res_logits: Tensor, object_scores: Tensor, *, prompted: bool) -> Tensor:
        """(1, D, h, w), (N, 1, S / 4, S / 4) and (N, 1) to (N, h * w, C) bfloat16 tokens.

        The official predictor stores memories in bfloat16 on every device, so the same masks need the same here.
        """
        logits = functional.interpolate(low_res_logits, size=self._size, mode="bilinear", align_corners=False)
        hard = prompted and self._hardens_prompted
        mask = (logits > 0).float() if hard else torch.sigmoid(logits)
        mask = self._downsample((mask * self._scale + self._shift).to(self._dtype))
        x = self._picture(coarse.permute(0, 2, 3, 1)) + mask.permute(0, 2, 3, 1)
        for block in self._blocks:
            x = block(x)
        x = self._out(x).flatten(1, 2)
        if self._absent is not None:
            x = x + (object_scores <= 0).to(self._dtype)[..., None] * self._absent
        return x.to(torch.bfloat16)


class _Block:
    """One ConvNeXt block (`CXBlock`) on (N, h, w, C)."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self._around = block.dwconv.to(dtype)
        self._norm_weight, self._norm_bias = block.norm.weight.detach().to(dtype), block.norm.bias.detach().to(dtype)
        self._eps = block.norm.eps
        self._widen = Linear.of(block.pwconv1, dtype, activation="gelu")
        weight, bias = weight_and_bias(block.pwconv2)
        gamma = torch.ones_like(bias) if block.gamma is None else block.gamma.detach().double()
        self._narrow = Linear((gamma[:, None] * weight).to(dtype), (gamma * bias).to(dtype))

    def __call__(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        around = self._around(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        normed = functional.layer_norm(around, self._norm_weight.shape, self._norm_weight, self._norm_bias, self._eps)
        return self._narrow.add_to(x.contiguous(), self._widen(normed.contiguous()))
