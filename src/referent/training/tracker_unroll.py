"""SAM 2 run over the frames of a batch with gradients, its early mistakes replaced by the truth.

Same data flow as SAM2Base.track_step (sam2_base.py), with two differences that training needs: the losses see the raw
mask logits (the official gate writes -1024 without gradient), and memory and gate may be told the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from referent.training.tracker_batches import Batch, Points

CLOSED_GATE_LOGIT = -1024.0  # NO_OBJ_SCORE of sam2_base.py
NUM_FRAMES = 64  # constant and above 16, because it scales the time code of object pointers


@dataclass(frozen=True, eq=False)
class Prompting:
    """What the objects are prompted with: points or the true mask at the start, perhaps a box again later."""

    points: Points | None  # None: the true mask of the first frame
    again_at: int | None = None  # a frame of the batch that gets `again`
    again: Points | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the mask decoder says about one frame, ungated."""

    logits: torch.Tensor  # (N, 4, S/4, S/4): token 0 the single mask, 1-3 the candidates of one click
    ious: torch.Tensor  # (N, 4)
    tokens: torch.Tensor  # (N, 4, C)
    presence: torch.Tensor  # (N, 1) logits
    candidates: bool  # tokens 1-3 are the answer


@dataclass(frozen=True, eq=False)
class _View:
    """The features of one frame, once per object."""

    feats: list[torch.Tensor]  # per level (h*w, N, C)
    positions: list[torch.Tensor]
    sizes: list[tuple[int, int]]

    def maps(self) -> list[torch.Tensor]:
        """Per level (N, C, h, w)."""
        return [x.permute(1, 2, 0).unflatten(2, size) for x, size in zip(self.feats, self.sizes, strict=True)]


def unroll(
    model: Any, batch: Batch, prompting: Prompting, truth: float, generator: torch.Generator | None = None
) -> list[Decoded]:
    """Decoder outputs of every frame; `truth` is the probability that an object's memory is the true one."""
    views = _encode(model, batch)
    bank: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    decoded = []
    for place, (view, index) in enumerate(zip(views, batch.frame_indices, strict=True)):
        points = prompting.points if place == 0 else prompting.again if place == prompting.again_at else None
        mask = batch.masks[:, place, None]
        prompt_mask = mask if place == 0 and points is None else None
        # a mask prompt meets the bare features, as in SAM2Base._use_mask_as_output
        bare = prompt_mask is not None
        picture = view.maps()[-1] if bare else _conditioned(model, view, bank, index, first=place == 0)
        output = decode(model, picture, view.maps()[:-1], points, prompt_mask)
        decoded.append(output)
        if place + 1 < len(views):
            forced = torch.rand(len(mask), generator=generator).to(mask.device) < truth
            forced = torch.ones_like(forced) if bare else forced
            kind = "cond_frame_outputs" if points is not None or place == 0 else "non_cond_frame_outputs"
            bank[kind][index] = _remember(model, view, output, mask, forced)
    return decoded


def first_frames(model: Any, batch: Batch, prompts: list[Points]) -> list[Decoded]:
    """Decoder outputs of the first frame for several prompts on one encoding; no memory takes part."""
    view = _encode(model, batch)[0]
    picture = _conditioned(model, view, {}, 0, first=True)
    return [decode(model, picture, view.maps()[:-1], points, None) for points in prompts]


def decode(
    model: Any,
    picture: torch.Tensor,
    fine: list[torch.Tensor],
    points: Points | None,
    mask: torch.Tensor | None,
) -> Decoded:
    """All four mask tokens for a (N, C, h, w) conditioned picture, with points, a (N, 1, S, S) mask or neither."""
    count, device = len(picture), picture.device
    if points is None:
        points = Points(
            torch.zeros(count, 1, 2, device=device), -torch.ones(count, 1, dtype=torch.int32, device=device)
        )
    sparse, dense = model.sam_prompt_encoder(
        points=(points.coords, points.labels),
        boxes=None,
        masks=None if mask is None else model.mask_downsample(mask),
    )
    logits, ious, tokens, presence = model.sam_mask_decoder.predict_masks(
        image_embeddings=picture,
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=fine,
    )
    one_click = mask is None and points.labels.shape[1] == 1 and bool((points.labels >= 0).all())
    return Decoded(logits.float(), ious.float(), tokens, presence.float(), one_click)


def chosen(output: Decoded) -> tuple[torch.Tensor, torch.Tensor]:
    """The (N, 1, h, w) logits and (N, C) token the tracker would go on with."""
    if not output.candidates:
        return output.logits[:, :1], output.tokens[:, 0]
    rows = torch.arange(len(output.logits), device=output.logits.device)
    best = 1 + output.ious[:, 1:].argmax(1)
    return output.logits[rows, best][:, None], output.tokens[rows, best]


def _encode(model: Any, batch: Batch) -> list[_View]:
    frames = batch.images.shape[1]
    backbone = model.forward_image(batch.images.flatten(0, 1))
    _, feats, positions, sizes = model._prepare_backbone_features(backbone)
    rows = [batch.clip_of_object * frames + frame for frame in range(frames)]
    return [_View([x[:, row] for x in feats], [x[:, row] for x in positions], sizes) for row in rows]


def _conditioned(model: Any, view: _View, bank: dict[str, dict[int, Any]], index: int, *, first: bool) -> torch.Tensor:
    picture: torch.Tensor = model._prepare_memory_conditioned_features(
        frame_idx=index,
        is_init_cond_frame=first,
        current_vision_feats=view.feats[-1:],
        current_vision_pos_embeds=view.positions[-1:],
        feat_sizes=view.sizes[-1:],
        output_dict=bank,
        num_frames=NUM_FRAMES,
    )
    return picture


def _remember(
    model: Any, view: _View, output: Decoded, mask: torch.Tensor, forced: torch.Tensor
) -> dict[str, torch.Tensor | list[torch.Tensor]]:
    """The memory of one frame: from the model's own output, or from the truth where `forced` (N,) says so."""
    logits, token = chosen(output)
    truly_seen = mask.flatten(1).any(1)
    seen = torch.where(forced, truly_seen, output.presence[:, 0] > 0)[:, None]
    own = torch.where(seen[..., None, None], logits, CLOSED_GATE_LOGIT)
    own = F.interpolate(own, size=mask.shape[-2:], mode="bilinear", align_corners=False)
    remembered = torch.where(forced[:, None, None, None], mask * 20 - 10, own)
    features, positions = model._encode_new_memory(
        current_vision_feats=view.feats,
        feat_sizes=view.sizes,
        pred_masks_high_res=remembered,
        object_score_logits=seen.float() * 2 - 1,
        is_mask_from_pts=False,
    )
    pointer = torch.where(seen, model.obj_ptr_proj(token), model.no_obj_ptr)
    return {"maskmem_features": features, "maskmem_pos_enc": positions, "obj_ptr": pointer}
