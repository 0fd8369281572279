"""The losses of SAM 2 (paper, appendix D.2.1) on ungated decoder outputs, and a balanced term for the first steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from referent.training.tracker_batches import SMALLEST_PRESENT_PX
from referent.training.tracker_unroll import Decoded

FOCAL_WEIGHT, DICE_WEIGHT, IOU_WEIGHT, PRESENCE_WEIGHT = 20.0, 1.0, 1.0, 1.0
ABSENT_WEIGHT = 2.0  # absent frames are rare and matter: a lost object must be seen to be lost


@dataclass(frozen=True)
class FrameLoss:
    """One frame's loss and what it says about the model."""

    total: torch.Tensor  # scalar, with gradient
    iou: torch.Tensor  # (N,) IoU of the answer, NaN where the object is absent
    absent_right: torch.Tensor  # (N,) 1/0 for absent objects, NaN for the others


def frame_loss(output: Decoded, mask: torch.Tensor, balanced_weight: float) -> FrameLoss:
    """Loss of one frame against (N, S, S) true masks."""
    visible_px = mask.sum(dim=(1, 2))
    present = visible_px >= SMALLEST_PRESENT_PX
    truth = F.interpolate(mask[:, None], scale_factor=0.5, mode="area")
    logits = F.interpolate(output.logits, size=truth.shape[-2:], mode="bilinear", align_corners=False)
    per_token = _mask_losses(logits, truth, balanced_weight)
    iou = _iou(logits, truth)
    iou_losses = (output.ious - iou).abs()
    best = _best_token(output, per_token)
    mask_loss = per_token.gather(1, best)[:, 0]
    # the candidates' quality is learned for all of them, as only their ranking chooses
    quality = iou_losses[:, 1:].mean(1) if output.candidates else iou_losses[:, 0]
    of_present = ((mask_loss + IOU_WEIGHT * quality) * present).sum() / present.sum().clamp(min=1)
    total = of_present * present.float().mean() + PRESENCE_WEIGHT * _presence_loss(output.presence[:, 0], visible_px)
    return FrameLoss(total, *_report(output, iou, present, visible_px))


def _best_token(output: Decoded, per_token: torch.Tensor) -> torch.Tensor:
    """(N, 1) the token that is taught: the single mask, or the best of the three candidates."""
    if not output.candidates:
        return torch.zeros(len(per_token), 1, dtype=torch.int64, device=per_token.device)
    return 1 + per_token[:, 1:].detach().argmin(1, keepdim=True)


def _mask_losses(logits: torch.Tensor, truth: torch.Tensor, balanced_weight: float) -> torch.Tensor:
    """(N, 4) focal + dice + balanced cross entropy of every token."""
    truth = truth.expand_as(logits)
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    miss = probability * (1 - truth) + (1 - probability) * truth
    focal = (0.5 * miss.square() * entropy).mean((2, 3))
    overlap = (probability * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + truth.sum((2, 3)) + 1)
    share = truth.mean((2, 3), keepdim=True).clamp(1e-3, 1 - 1e-3)
    balance = truth / (2 * share) + (1 - truth) / (2 * (1 - share))
    return FOCAL_WEIGHT * focal + DICE_WEIGHT * dice + balanced_weight * (balance * entropy).mean((2, 3))


@torch.no_grad()
def _iou(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N, 4) IoU of the thresholded masks."""
    found, true = logits > 0, (truth >= 0.5).expand_as(logits)
    union = (found | true).sum((2, 3))
    return (found & true).sum((2, 3)) / union.clamp(min=1)


def _presence_loss(presence: torch.Tensor, visible_px: torch.Tensor) -> torch.Tensor:
    """Cross entropy of "the object is in this frame"; barely visible objects are left out."""
    present = (visible_px >= SMALLEST_PRESENT_PX).float()
    weight = torch.where(visible_px == 0, ABSENT_WEIGHT, present)
    return F.binary_cross_entropy_with_logits(presence, present, weight=weight)


def _report(
    output: Decoded, iou: torch.Tensor, present: torch.Tensor, visible_px: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    answered = iou[:, 1:].gather(1, output.ious[:, 1:].argmax(1, keepdim=True)) if output.candidates else iou[:, :1]
    nan = torch.full_like(answered[:, 0], torch.nan)
    denied = (output.presence[:, 0].detach() <= 0).float()
    return torch.where(present, answered[:, 0], nan), torch.where(visible_px == 0, denied, nan)
