"""What the grounder learns from: the answer's tokens, and beside them what it should see and look at."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from referent.training.grounder_forward import Language, Vision
from referent.training.grounder_model import NUMBERS
from referent.training.grounder_packing import IGNORED, LABEL_SIZES, Batch

BACKGROUND_WEIGHT = 0.25  # most patches show the table


class Helpers(nn.Module):
    """Small heads that exist only during training."""

    def __init__(self, vision_width: int, text_width: int) -> None:
        super().__init__()
        outputs = sum(LABEL_SIZES) + 4
        self.outputs = outputs
        self.patch = nn.Linear(vision_width, outputs)
        self.token = nn.Linear(text_width, 4 * outputs)
        self.box = nn.Linear(text_width, 4)


def vision_loss(helpers: Helpers, vision: Vision, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """How well patches, and the tokens four patches merge into, tell what they show."""
    from_patch = helpers.patch(vision.patches).float()
    count, tokens = vision.tokens.shape[:2]
    from_token = helpers.token(vision.tokens).float().reshape(count, tokens * 4, helpers.outputs)
    loss_patch, _ = _dense_loss(from_patch, batch)
    loss_token, seen = _dense_loss(from_token, batch)
    return loss_patch + loss_token, seen


def _dense_loss(scores: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    *labels, box = scores.split([*LABEL_SIZES, 4], dim=-1)
    shown = batch.dense[..., 0] > 0
    rarity = torch.ones(LABEL_SIZES[0], device=scores.device)
    rarity[0] = BACKGROUND_WEIGHT
    loss = F.cross_entropy(labels[0].flatten(0, 1), batch.dense[..., 0].flatten(), weight=rarity)
    for index, weight in ((1, 1.0), (2, 0.3), (3, 0.2)):
        loss = loss + weight * F.cross_entropy(labels[index][shown], batch.dense[..., index][shown])
    distance = (box[shown].sigmoid() - batch.boxes[shown]).abs().mean()
    with torch.no_grad():
        seen = {
            "category": float((labels[0].argmax(-1) == batch.dense[..., 0])[shown].float().mean()),
            "color": float((labels[1].argmax(-1) == batch.dense[..., 1])[shown].float().mean()),
            "box": float(distance),
        }
    return loss + 8 * distance, seen


def answer_loss(logits: Tensor, target: Tensor, sigma: float) -> Tensor:
    """Mean cross entropy over answer tokens; a number near the right one is nearly right (Gaussian, `sigma` units)."""
    log_p = logits.float().log_softmax(-1)
    plain = -log_p.gather(1, target[:, None])[:, 0]
    is_number = target < NUMBERS
    grid = torch.arange(NUMBERS, device=target.device)
    near = torch.softmax(-((grid[None] - target[is_number][:, None]) ** 2) / (2 * sigma**2), dim=1)
    soft = -(near * log_p[is_number, :NUMBERS]).sum(1)
    return torch.cat([plain[~is_number], soft]).mean()


def dialogue_loss(
    helpers: Helpers, language: Language, logits: Tensor, batch: Batch, sigma: float
) -> tuple[Tensor, dict[str, float]]:
    """Answers, where head 0 looks, and the box a middle layer already knows. `logits` are those of answering rows."""
    told = answer_loss(logits, batch.target[batch.target != IGNORED], sigma)
    watched = batch.looks_at.sum(-1) > 0.5
    goal = batch.looks_at[watched]
    looking = torch.stack([-(goal * (p[watched] + 1e-6).log()).sum(-1).mean() for p in language.pointing]).mean()
    box = helpers.box(language.middle[batch.has_box]).float().sigmoid()
    distance = (box - batch.box[batch.has_box]).abs().mean() if len(box) else told.new_zeros(())
    with torch.no_grad():
        best = language.pointing[-1][watched].argmax(-1, keepdim=True)
        hit = goal.gather(1, best).gt(0.1).float().mean()
    seen = {
        "told": float(told.detach()),
        "looking": float(looking.detach()),
        "hit": float(hit),
        "aux_box": float(distance.detach()),
    }
    return told + 0.4 * looking + 5 * distance, seen
