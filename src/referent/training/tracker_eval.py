"""How well the small SAM 2 follows objects it never saw, while it trains: one tight box in the first frame.

The official `track_step` does the work, frame by frame, as in use; masks are compared at the resolution of the clip.
The finished model is judged by `referent evaluate --suite heldout`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from referent.evaluation.heldout.clips import SMALLEST_TARGET_PX
from referent.training.clips import Clip
from referent.training.tracker_batches import SMALLEST_PRESENT_PX, Points, normalised, tight_box
from referent.training.tracker_unroll import NUM_FRAMES
from referent.types import Array


@dataclass(frozen=True, eq=False)
class TrackScore:
    """One object followed through one clip."""

    iou: Array  # (T,) NaN where the object cannot be seen
    absent: Array  # (T,) bool, truth
    denied: Array  # (T,) bool, the model says it is not there


@torch.inference_mode()
def track(model: Any, clip: Clip, targets: list[int]) -> tuple[Array, Array]:
    """Masks (N, T, H, W) and object score logits (N, T) of the targets, boxed in the first frame."""
    bank: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    masks, scores = [], []
    for index, rgb in enumerate(clip.rgb):
        backbone = model.forward_image(_image(rgb, model.image_size)[None])
        _, feats, positions, sizes = model._prepare_backbone_features(backbone)
        points = _boxes(clip.ids[0], targets, model.image_size) if index == 0 else None
        output = model.track_step(
            frame_idx=index,
            is_init_cond_frame=index == 0,
            current_vision_feats=[x.expand(-1, len(targets), -1) for x in feats],
            current_vision_pos_embeds=[x.expand(-1, len(targets), -1) for x in positions],
            feat_sizes=sizes,
            point_inputs=None if points is None else {"point_coords": points.coords, "point_labels": points.labels},
            mask_inputs=None,
            output_dict=bank,
            num_frames=NUM_FRAMES,
        )
        bank["cond_frame_outputs" if index == 0 else "non_cond_frame_outputs"][index] = output
        masks.append(F.interpolate(output["pred_masks"], clip.ids.shape[1:], mode="bilinear")[:, 0] > 0)
        scores.append(output["object_score_logits"][:, 0])
    return torch.stack(masks, 1).numpy(), torch.stack(scores, 1).numpy()


def _image(rgb: Array, side_px: int) -> torch.Tensor:
    return normalised(cv2.resize(rgb, (side_px, side_px), interpolation=cv2.INTER_AREA))


def _boxes(ids: Array, targets: list[int], side_px: int) -> Points:
    """Tight box prompts in pixels of the model's input."""
    scale = side_px / np.array([ids.shape[1], ids.shape[0]])
    tight = np.stack([tight_box(ids == target) * scale for target in targets])
    labels = torch.tensor([[2, 3]], dtype=torch.int32).expand(len(targets), -1)
    return Points(torch.from_numpy(tight).float(), labels)


def scores_of(model: Any, clip: Clip) -> Iterator[TrackScore]:
    """A score for every object that can be seen well in the first frame."""
    px = np.bincount(clip.ids[0].ravel(), minlength=256)
    targets = [int(i) for i in np.flatnonzero(px >= SMALLEST_TARGET_PX) if i != 0]
    if not targets:
        return
    masks, logits = track(model, clip, targets)
    for row, target in enumerate(targets):
        truth = clip.ids == target
        visible = truth.sum((1, 2)) >= SMALLEST_PRESENT_PX
        iou = np.where(visible, _iou(masks[row], truth), np.nan)
        yield TrackScore(iou, absent=~truth.any((1, 2)), denied=logits[row] <= 0)


def _iou(found: Array, truth: Array) -> Array:
    union = (found | truth).sum((1, 2))
    return np.asarray((found & truth).sum((1, 2)) / np.maximum(union, 1))
