"""The engine with the modules of sam2 as they are, object by object: bit-equal to `SAM2VideoPredictor`, and slower.

For `tracker.arithmetic: official`. Memories are kept in bfloat16, so differences in the last bit of a sum grow over the
frames: even the official predictor does not agree with itself to 1e-3 between one thread and two. Who needs the same
bits, for a comparison or because a checkpoint is built in an unusual way, takes this engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.profiler import record_function

from referent.errors import BadInstruction
from referent.tracking.engine import EncodedAhead, Sightings
from referent.tracking.features import FrameFeatures
from referent.tracking.masks import fill_small_holes
from referent.tracking.memory import MemoryEntry, MemoryReading
from referent.tracking.network.heads import PREVIOUS_LOGIT_LIMIT, signals_of
from referent.tracking.preprocess import image_from_rgb
from referent.tracking.prompts import PromptInputs
from referent.types import Array

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


class OfficialEngine:
    """The interface of `Sam2Engine` over an untouched `SAM2Base` in float32."""

    overlaps = False

    def __init__(self, model: SAM2Base, *, fill_hole_area: int = 0) -> None:
        self._model = model
        self._fill_hole_area = fill_hole_area
        self._image_positions: list[Tensor] = []  # one per feature level, the same in every frame
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
        """See `Sam2Engine`."""
        with record_function("sam2.preprocess"):
            image = image_from_rgb(rgb, size_px=self.image_size, device=self.device)
        with record_function("sam2.encoder"):
            output = self._model.forward_image(image)
        levels = self._model.num_feature_levels
        self._image_positions = output["vision_pos_enc"][-levels:]
        return tuple(output["backbone_fpn"][-levels:])

    def encode_ahead(self, rgb: Array) -> EncodedAhead:
        """See `Sam2Engine`; nothing overlaps here."""
        return EncodedAhead(self.encode(rgb), None)

    def start(self, frame: FrameFeatures, inputs: PromptInputs) -> Sightings:
        """See `Sam2Engine`. Raises BadInstruction on an embedding, which the official predictor does not take."""
        return self._prompted(frame, inputs, {}, previous_logits=None)

    def refine(
        self, frame: FrameFeatures, inputs: PromptInputs, reading: MemoryReading, previous_logits: Tensor
    ) -> Sightings:
        """See `Sam2Engine`."""
        previous_logits = previous_logits.clamp(-PREVIOUS_LOGIT_LIMIT, PREVIOUS_LOGIT_LIMIT)
        outputs = self._as_outputs(reading, frame.index) if reading else {}
        return self._prompted(frame, inputs, outputs, previous_logits=previous_logits)

    def follow(self, frame: FrameFeatures, readings: Sequence[MemoryReading]) -> Sightings:
        """See `Sam2Engine`."""
        return _together([self._follow(frame, reading) for reading in readings])

    def _follow(self, frame: FrameFeatures, reading: MemoryReading) -> Sightings:
        heads = self._heads(frame, self._as_outputs(reading, frame.index))
        _, _, _, low_res, high_res, pointer, object_score = heads
        memory = self._memorize(frame, high_res, object_score, prompted=False)
        return Sightings(self._filled(low_res), signals_of(*_candidates(heads)), (MemoryEntry(memory, pointer[0]),))

    def _prompted(
        self, frame: FrameFeatures, inputs: PromptInputs, outputs: dict[str, Any], *, previous_logits: Tensor | None
    ) -> Sightings:
        if inputs.embedding is not None:
            raise BadInstruction("tracker.arithmetic is official: embeddings are only taken with fast")
        points = None
        if inputs.points_xy is not None:
            points = {"point_coords": inputs.points_xy, "point_labels": inputs.point_labels}
        previous = None if points is None else previous_logits
        heads = self._heads(frame, outputs, points=points, mask=inputs.mask, previous_logits=previous)
        low_res = self._filled(heads[3])
        # Prompted frames are remembered as people see them: from the filled low-resolution mask, made hard.
        high_res = interpolate(low_res, size=(self.image_size,) * 2, mode="bilinear", align_corners=False)
        memory = self._memorize(frame, high_res, heads[6], prompted=True)
        return Sightings(low_res, signals_of(*_candidates(heads)), (MemoryEntry(memory, heads[5][0]),))

    def _heads(
        self,
        frame: FrameFeatures,
        outputs: dict[str, Any],
        *,
        points: dict[str, Tensor | None] | None = None,
        mask: Tensor | None = None,
        previous_logits: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        features, sizes = _flattened(frame)
        with record_function("sam2.decoder"):  # memory attention runs inside the same official function
            _, heads, _, _ = self._model._track_step(
                frame_idx=frame.index,
                is_init_cond_frame=not outputs,
                current_vision_feats=features,
                current_vision_pos_embeds=[position.flatten(2).permute(2, 0, 1) for position in self._image_positions],
                feat_sizes=sizes,
                point_inputs=points,
                mask_inputs=mask,
                output_dict=outputs,
                # SAM 2 scales pointer ages by min(frames in the video, 16): a stream is always a long video.
                num_frames=max(frame.index + 1, self._model.max_obj_ptrs_in_encoder),
                track_in_reverse=False,
                prev_sam_mask_logits=previous_logits,
            )
        return tuple(heads)

    def _memorize(
        self, frame: FrameFeatures, high_res_logits: Tensor, object_score: Tensor, *, prompted: bool
    ) -> Tensor:
        features, sizes = _flattened(frame)
        with record_function("sam2.memory_encoder"):
            memory, positions = self._model._encode_new_memory(
                current_vision_feats=features,
                feat_sizes=sizes,
                pred_masks_high_res=high_res_logits,
                object_score_logits=object_score,
                is_mask_from_pts=prompted,
            )
        self._memory_position = positions[-1]
        # The official predictor stores memories in bfloat16 on every device, so the same masks need the same here.
        return memory[0].flatten(1).T.to(torch.bfloat16)

    def _as_outputs(self, reading: MemoryReading, index: int) -> dict[str, Any]:
        """A reading in the words of `SAM2Base`."""
        assert self._memory_position is not None, "an object is followed only after it was started"
        conditioning = [entry for slot, entry in reading.spatial if slot == 0]
        features = {index - slot: entry.features for slot, entry in reading.spatial if slot > 0}
        prompted, tracked = reading.pointers[: len(conditioning)], reading.pointers[len(conditioning) :]
        return {
            "cond_frame_outputs": {
                index - age: self._as_output(entry.features, pointer)
                for (age, pointer), entry in zip(prompted, conditioning, strict=True)
            },
            "non_cond_frame_outputs": {
                index - age: self._as_output(features.get(index - age), pointer) for age, pointer in tracked
            },
        }

    def _as_output(self, features: Tensor | None, pointer: Tensor) -> dict[str, Any]:
        position = self._memory_position
        assert position is not None
        as_map = None if features is None else features.T.reshape(1, -1, *position.shape[-2:])
        return {"maskmem_features": as_map, "maskmem_pos_enc": [position], "obj_ptr": pointer[None]}

    def _filled(self, low_res_logits: Tensor) -> Tensor:
        return fill_small_holes(low_res_logits, self._fill_hole_area) if self._fill_hole_area else low_res_logits


def _flattened(frame: FrameFeatures) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """Feature maps as (h * w, 1, C) sequences and their (h, w)."""
    sizes = [(level.shape[-2], level.shape[-1]) for level in frame.maps]
    return [level.flatten(2).permute(2, 0, 1) for level in frame.maps], sizes


def _candidates(heads: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `signals_of` takes, of the candidates the official heads hand out: three, or the chosen one alone."""
    masks, _, ious, chosen, _, _, object_score = heads
    best = ious.argmax(dim=-1)
    rest = ious.scatter(1, best[:, None], -torch.inf) if ious.shape[1] > 1 else ious
    rows = torch.arange(len(masks), device=masks.device)
    return object_score, ious[rows, best], chosen[:, 0], masks[rows, rest.argmax(dim=-1)]


def _together(sightings: Sequence[Sightings]) -> Sightings:
    logits = torch.cat([one.low_res_logits for one in sightings])
    return Sightings(
        logits, torch.cat([one.signals for one in sightings]), sum((one.memories for one in sightings), ())
    )
