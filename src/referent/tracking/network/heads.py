"""From conditioned features to a mask, its scores and its pointer: SAM 2's prompt encoder and mask decoder, batched.

Source: `_forward_sam_heads` of sam2_base.py and mask_decoder.py. All candidate masks are looked at, so that the track's
health comes out beside the mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from referent.errors import BadInstruction
from referent.tracking.masks import boxes_of
from referent.tracking.network.mask_decoder import MaskDecoder

NO_OBJECT_LOGIT = -1024.0  # NO_OBJ_SCORE of sam2_base.py
PREVIOUS_LOGIT_LIMIT = 32.0  # sam2_video_predictor.py clamps the mask it corrects


class Signal(IntEnum):
    """Columns of `Decoded.signals`."""

    OBJECT_SCORE = 0  # logit; <= 0 means "not in view"
    PREDICTED_IOU = 1  # of the chosen mask, in [0, 1]
    STABILITY = 2  # area with the threshold raised / lowered a little
    ALTERNATIVE_IOU = 3  # IoU of the mask's box with and without the best other candidate
    AREA = 4  # share of the picture


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """A prompt as the decoder takes it."""

    sparse: Tensor  # (N or 1, T, D)
    dense: Tensor  # (N or 1, D, h, w) or (1, D, 1, 1)
    several_masks: bool  # choose among three masks, as SAM 2 does for ambiguous prompts


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the heads say of N objects."""

    low_res_logits: Tensor  # (N, 1, S / 4, S / 4) float32
    pointers: Tensor  # (N, D)
    signals: Tensor  # (N, len(Signal)) float32


class Heads:
    """Prompt encoder (always float32) and mask decoder of a `SAM2Base`."""

    def __init__(self, model: Any, *, dtype: torch.dtype) -> None:
        self._model, self._dtype = model, dtype
        self._prompt_encoder = model.sam_prompt_encoder.float()
        self._mask_downsample = model.mask_downsample
        self._choosing = model.sam_mask_decoder  # says how to choose among the candidates
        self._pointer_projection = model.obj_ptr_proj.to(dtype)
        self._no_object_pointer = model.no_obj_ptr.detach().to(dtype) if hasattr(model, "no_obj_ptr") else None
        position = self._prompt_encoder.get_dense_pe().detach()
        self._decoder = MaskDecoder(model.sam_mask_decoder, position, dtype=dtype)
        self._device = position.device
        self.nothing_given = self._tokens(None, None, is_first=False)

    def points(
        self, points_xy: Tensor, labels: Tensor, *, is_first: bool, previous_logits: Tensor | None = None
    ) -> PromptTokens:
        """(1, N, 2) float32 pixels of the square, a box being two points; `is_first` = without memory."""
        if previous_logits is not None:
            previous_logits = previous_logits.clamp(-PREVIOUS_LOGIT_LIMIT, PREVIOUS_LOGIT_LIMIT)
        return self._tokens((points_xy, labels), previous_logits, is_first=is_first)

    def embedding(self, tokens: Tensor) -> PromptTokens:
        """(1, N, D) tokens in place of points, as LISA and Sa2VA feed their [SEG] token; one mask is decoded.

        Raises BadInstruction when they are not of this decoder's width.
        """
        wanted = self.nothing_given.sparse.shape[-1]
        if tokens.shape[-1] != wanted:
            raise BadInstruction(
                f"an embedding of {tokens.shape[-1]} channels was prompted; this SAM 2's mask decoder takes {wanted}, "
                "so project it first"
            )
        return PromptTokens(tokens.to(self._dtype), self.nothing_given.dense, several_masks=False)

    def mask(self, mask: Tensor) -> PromptTokens:
        """(1, 1, S, S) float32 of 0 and 1; one mask is decoded."""
        return replace(self._tokens(None, self._mask_downsample(mask), is_first=False), several_masks=False)

    def decode(self, features: Tensor, fine_maps: tuple[Tensor, Tensor], prompt: PromptTokens) -> Decoded:
        """(N, D, h, w) conditioned features and the frame's two fine maps to masks, pointers and signals."""
        count = len(features)
        candidates = self._decoder(features, fine_maps, prompt.sparse, prompt.dense)
        masks, ious, object_scores = (
            part.float() for part in (candidates.logits, candidates.ious, candidates.object_scores)
        )
        rows = torch.arange(count, device=features.device)
        best_of_three = 1 + ious[:, 1:].argmax(dim=-1)
        chosen = self._choice(masks, best_of_three, prompt.several_masks)
        pointer_of = chosen if prompt.several_masks and self._choosing.use_multimask_token_for_obj_ptr else chosen * 0
        present = self._present(object_scores)
        logits = torch.where(present[:, None], masks[rows, chosen], NO_OBJECT_LOGIT)
        other = masks[rows, _second_best(ious, chosen)]
        signals = signals_of(object_scores, ious[rows, chosen], logits, other)
        pointers = self._pointers(candidates.tokens[rows, pointer_of], object_scores)
        return Decoded(logits[:, None], pointers, signals)

    def _tokens(
        self, points: tuple[Tensor, Tensor] | None, dense_mask: Tensor | None, *, is_first: bool
    ) -> PromptTokens:
        device = self._device
        several = self._model._use_multimask(is_first, None if points is None else {"point_labels": points[1]})
        if points is None:  # SAM 2 gives a point that says "no point"
            points = torch.zeros(1, 1, 2, device=device), -torch.ones(1, 1, dtype=torch.int32, device=device)
        sparse, dense = self._prompt_encoder(points=points, boxes=None, masks=dense_mask)
        return PromptTokens(sparse.detach().to(self._dtype), dense.detach().to(self._dtype), several)

    def _choice(self, masks: Tensor, best_of_three: Tensor, several_masks: bool) -> Tensor:
        decoder = self._choosing
        if several_masks:
            return best_of_three
        if not decoder.dynamic_multimask_via_stability:
            return torch.zeros_like(best_of_three)
        is_stable = stability(masks[:, 0], decoder.dynamic_multimask_stability_delta)
        return torch.where(is_stable >= decoder.dynamic_multimask_stability_thresh, 0, best_of_three)

    def _present(self, object_scores: Tensor) -> Tensor:
        return object_scores > 0 if self._model.pred_obj_scores else torch.ones_like(object_scores, dtype=torch.bool)

    def _pointers(self, tokens: Tensor, object_scores: Tensor) -> Tensor:
        """`obj_ptr` of `_forward_sam_heads`: replaced by a learned vector where there is no object."""
        model = self._model
        pointers = self._pointer_projection(tokens)
        if self._no_object_pointer is None or not model.pred_obj_scores:
            return pointers
        presence = object_scores.sigmoid() if model.soft_no_obj_ptr else (object_scores > 0).float()
        presence = presence.to(pointers.dtype)
        if model.fixed_no_obj_ptr:
            pointers = presence * pointers
        return pointers + (1 - presence) * self._no_object_pointer


def signals_of(object_scores: Tensor, predicted_ious: Tensor, logits: Tensor, other: Tensor) -> Tensor:
    """(N, len(Signal)) of (N, 1) scores, (N,) IoUs, the chosen mask's logits (N, h, w) and the best other mask's."""
    columns = {
        Signal.OBJECT_SCORE: object_scores[:, 0],
        Signal.PREDICTED_IOU: predicted_ious,
        Signal.STABILITY: stability(logits),
        Signal.ALTERNATIVE_IOU: _alternative_iou(logits, other),
        Signal.AREA: (logits > 0).flatten(1).float().mean(-1),
    }
    return torch.stack([columns[signal].float() for signal in Signal], dim=-1)


def stability(logits: Tensor, delta: float = 0.05) -> Tensor:
    """(N, h, w) to (N,): area above `delta` / area above `-delta`; 1 for an empty mask (mask_decoder.py)."""
    flat = logits.flatten(1)
    inner, outer = (flat > delta).sum(-1).float(), (flat > -delta).sum(-1).float()
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)


def _second_best(ious: Tensor, chosen: Tensor) -> Tensor:
    """The best of the candidates 1 to 3 that was not chosen."""
    rest = ious.scatter(1, chosen[:, None], -torch.inf)
    return 1 + rest[:, 1:].argmax(dim=-1)


def _alternative_iou(logits: Tensor, other: Tensor) -> Tensor:
    """DAM4SAM's sign of a look-alike: how much of the box that holds both masks the chosen mask's box fills.

    Specks of the other candidate thinner than 3 pixels are left out (DAM4SAM takes its largest component).
    """
    mask, other_mask = logits > 0, _opened(other > 0)
    own, both = _box_area(mask), _box_area(mask | other_mask)
    return torch.where(own > 0, own / both.clamp(min=1), 1.0)


def _opened(mask: Tensor) -> Tensor:
    eroded = -functional.max_pool2d(-mask.float()[:, None], 3, stride=1, padding=1)
    return functional.max_pool2d(eroded, 3, stride=1, padding=1)[:, 0] > 0


def _box_area(mask: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes_of(mask).unbind(1)
    return (x2 - x1) * (y2 - y1)
