"""What is remembered of a frame: SAM 2's memory encoder for all objects at once.

Source: memory_encoder.py and `_encode_new_memory` of sam2. The part that depends on the picture alone runs once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class MemoryEncoder:
    """Masks and the frame's coarse map to memory tokens."""

    def __init__(self, model: Any, *, dtype: torch.dtype) -> None:
        self._encoder = model.memory_encoder.to(dtype)
        self._size = (model.image_size, model.image_size)
        self._scale, self._shift = model.sigmoid_scale_for_mem_enc, model.sigmoid_bias_for_mem_enc
        self._hardens_prompted = model.binarize_mask_from_pts_for_mem_enc
        spatial = model.no_obj_embed_spatial
        self._absent = None if spatial is None else spatial.detach().to(dtype)[..., None, None]
        self._dtype = dtype

    def __call__(self, coarse: Tensor, low_res_logits: Tensor, object_scores: Tensor, *, prompted: bool) -> Tensor:
        """(1, D, h, w), (N, 1, S / 4, S / 4) and (N, 1) to (N, h * w, C) bfloat16 tokens.

        The official predictor stores memories in bfloat16 on every device, so the same masks need the same here.
        """
        logits = functional.interpolate(low_res_logits, size=self._size, mode="bilinear", align_corners=False)
        hard = prompted and self._hardens_prompted
        mask = (logits > 0).float() if hard else torch.sigmoid(logits)
        encoder = self._encoder
        x = encoder.mask_downsampler((mask * self._scale + self._shift).to(self._dtype))
        x = encoder.out_proj(encoder.fuser(encoder.pix_feat_proj(coarse) + x))
        if self._absent is not None:
            x = x + (object_scores <= 0).to(self._dtype)[..., None, None] * self._absent
        return x.flatten(2).transpose(1, 2).to(torch.bfloat16).contiguous()
