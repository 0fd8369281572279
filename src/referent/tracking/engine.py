"""One frame, one object: the parts of SAM 2 called as the official video predictor calls them.

Source: `_run_single_frame_inference` and `propagate_in_video_preflight` of sam2_video_predictor.py. The engine holds
no object: memories go in, sightings come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from referent.tracking.features import FrameFeatures
from referent.tracking.masks import fill_small_holes
from referent.tracking.memory import MemoryEntry, ObjectMemory
from referent.tracking.preprocess import image_from_rgb
from referent.tracking.prompts import PromptInputs
from referent.types import Array

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


@dataclass(frozen=True, eq=False)
class Sighting:
    """What SAM 2 says of one object in one frame."""

    low_res_logits: Tensor  # (1, 1, S / 4, S / 4) float32
    predicted_iou: float  # in [0, 1]
    object_score: float  # logit; <= 0 means "not in view"
    memory: MemoryEntry


@dataclass(frozen=True, eq=False)
class _Decoded:
    """The heads' answer before it is remembered; all tensors have batch 1."""

    low_res_logits: Tensor
    high_res_logits: Tensor
    predicted_iou: Tensor
    pointer: Tensor
    object_score: Tensor


class Sam2Engine:
    """SAM 2 without state of its own, but for the two position encodings that are the same in every frame."""

    def __init__(self, model: SAM2Base, *, fill_hole_area: int = 0) -> None:
        self._model = model
        self._fill_hole_area = fill_hole_area
        self._image_positions: list[Tensor] = []  # one per feature level
        self._memory_position: Tensor | None = None

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return int(self._model.image_size)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self._model.parameters()).device

    def encode(self, rgb: Array) -> tuple[Tensor, ...]:
        """Run the image encoder on an (H, W, 3) uint8 picture: feature maps, finest first."""
        image = image_from_rgb(rgb, size_px=self.image_size, device=self.device)
        output = self._model.forward_image(image)
        levels = self._model.num_feature_levels
        self._image_positions = output["vision_pos_enc"][-levels:]
        return tuple(output["backbone_fpn"][-levels:])

    def start(self, frame: FrameFeatures, inputs: PromptInputs) -> Sighting:
        """Find the prompted object in `frame` without any memory."""
        points = None
        if inputs.points_xy is not None:
            points = {"point_coords": inputs.points_xy, "point_labels": inputs.point_labels}
        decoded = self._decode(frame, {}, points=points, mask=inputs.mask)
        low_res = self._filled(decoded.low_res_logits)
        # Prompted frames are remembered as people see them: from the filled low-resolution mask, made hard.
        high_res = interpolate(low_res, size=(self.image_size,) * 2, mode="bilinear", align_corners=False)
        memory = self._memorize(frame, high_res, decoded, from_prompt=True)
        return _sighting(decoded, low_res, memory)

    def follow(self, frame: FrameFeatures, memory: ObjectMemory) -> Sighting:
        """Find the remembered object in `frame`."""
        assert self._memory_position is not None, "an object is followed only after it was started"
        decoded = self._decode(frame, memory.read(self._memory_position))
        entry = self._memorize(frame, decoded.high_res_logits, decoded, from_prompt=False)
        return _sighting(decoded, self._filled(decoded.low_res_logits), entry)

    def _decode(
        self,
        frame: FrameFeatures,
        remembered: dict[str, Any],
        *,
        points: dict[str, Tensor | None] | None = None,
        mask: Tensor | None = None,
    ) -> _Decoded:
        features, sizes = _flattened(frame)
        _, heads, _, _ = self._model._track_step(
            frame_idx=frame.index,
            is_init_cond_frame=not remembered,
            current_vision_feats=features,
            current_vision_pos_embeds=[position.flatten(2).permute(2, 0, 1) for position in self._image_positions],
            feat_sizes=sizes,
            point_inputs=points,
            mask_inputs=mask,
            output_dict=remembered,
            # SAM 2 scales pointer ages by min(frames in the video, 16): a stream is always a long video.
            num_frames=max(frame.index + 1, self._model.max_obj_ptrs_in_encoder),
            track_in_reverse=False,
            prev_sam_mask_logits=None,
        )
        _, _, ious, low_res, high_res, pointer, object_score = heads
        return _Decoded(low_res, high_res, ious.amax(dim=-1), pointer, object_score)

    def _memorize(
        self, frame: FrameFeatures, high_res_logits: Tensor, decoded: _Decoded, *, from_prompt: bool
    ) -> MemoryEntry:
        features, sizes = _flattened(frame)
        memory, positions = self._model._encode_new_memory(
            current_vision_feats=features,
            feat_sizes=sizes,
            pred_masks_high_res=high_res_logits,
            object_score_logits=decoded.object_score,
            is_mask_from_pts=from_prompt,
        )
        self._memory_position = positions[-1]
        # The official predictor stores memories in bfloat16 on every device, so the same masks need the same here.
        return MemoryEntry(memory.to(torch.bfloat16), decoded.pointer)

    def _filled(self, low_res_logits: Tensor) -> Tensor:
        return fill_small_holes(low_res_logits, self._fill_hole_area) if self._fill_hole_area else low_res_logits


def _flattened(frame: FrameFeatures) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """Feature maps as (h * w, 1, C) sequences and their (h, w)."""
    sizes = [(level.shape[-2], level.shape[-1]) for level in frame.maps]
    return [level.flatten(2).permute(2, 0, 1) for level in frame.maps], sizes


def _sighting(decoded: _Decoded, low_res_logits: Tensor, memory: MemoryEntry) -> Sighting:
    return Sighting(low_res_logits, decoded.predicted_iou.item(), decoded.object_score.item(), memory)
