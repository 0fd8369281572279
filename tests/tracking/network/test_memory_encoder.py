"""What is remembered of a frame is what `_encode_new_memory` makes of it, in bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from official_parts import SAM_2, Frame, a_frame, an_official_model, randn
from torch import Tensor
from torch.nn.functional import interpolate

from referent.tracking.network.memory_encoder import MemoryEncoder

SCORES = torch.tensor([[3.0], [-2.0], [0.0]])  # seen, not seen, and not quite seen
VARIANTS: dict[str, dict[str, Any]] = {
    "sam 2.1": {},
    "sam 2": SAM_2,
    "soft prompts": {"binarize_mask_from_pts_for_mem_enc": False},
    "unscaled": {"sigmoid_scale_for_mem_enc": 1.0, "sigmoid_bias_for_mem_enc": 0.0},
}


def officially(model: Any, frame: Frame, low_res: Tensor, scores: Tensor, *, prompted: bool) -> Tensor:
    """(N, hw, C) float32."""
    size = (model.image_size, model.image_size)
    memory, _ = model._encode_new_memory(
        current_vision_feats=frame.features(len(low_res)),
        feat_sizes=frame.sizes,
        pred_masks_high_res=interpolate(low_res, size=size, mode="bilinear", align_corners=False),
        object_score_logits=scores,
        is_mask_from_pts=prompted,
    )
    return memory.flatten(2).transpose(1, 2)


def assert_same_memory(ours: Tensor, truth: Tensor) -> None:
    """Rounded to bfloat16 the same, but for numbers that lie between two of them."""
    assert ours.dtype == torch.bfloat16
    assert ours.shape == truth.shape
    assert (ours == truth.bfloat16()).float().mean() > 0.99
    torch.testing.assert_close(ours.float(), truth, rtol=2**-7, atol=1e-5 * truth.abs().max().item())


def logits_of(model: Any, count: int) -> Tensor:
    return 3 * randn(count, 1, model.image_size // 4, model.image_size // 4)


@pytest.mark.parametrize("prompted", [True, False], ids=["prompted", "tracked"])
@pytest.mark.parametrize("name", VARIANTS)
def test_memories_of_three_objects_are_the_official_ones(name: str, prompted: bool) -> None:
    model = an_official_model(**VARIANTS[name])
    frame, low_res = a_frame(model), logits_of(model, 3)
    ours = MemoryEncoder(model, dtype=torch.float32)(frame.maps[-1], low_res, SCORES, prompted=prompted)
    assert_same_memory(ours, officially(model, frame, low_res, SCORES, prompted=prompted))
    assert ours.is_contiguous()


def test_together_objects_are_remembered_as_alone(model: Any) -> None:
    frame, low_res, encoder = a_frame(model), logits_of(model, 3), MemoryEncoder(model, dtype=torch.float32)
    together = encoder(frame.maps[-1], low_res, SCORES, prompted=False)
    for row in range(3):
        mine = slice(row, row + 1)
        assert_same_memory(encoder(frame.maps[-1], low_res[mine], SCORES[mine], prompted=False), together[mine].float())


def test_hard_and_soft_masks_and_absence_are_told_apart(model: Any) -> None:
    """The comparisons above would see it if they were not."""
    frame, low_res, encoder = a_frame(model), logits_of(model, 1), MemoryEncoder(model, dtype=torch.float32)
    tracked = encoder(frame.maps[-1], low_res, SCORES[:1], prompted=False).float()
    prompted = encoder(frame.maps[-1], low_res, SCORES[:1], prompted=True).float()
    absent = encoder(frame.maps[-1], low_res, SCORES[1:2], prompted=False).float()
    for other in (prompted, absent):
        assert (other - tracked).abs().max() > 0.02 * tracked.abs().max()


def test_in_bfloat16_memories_stay_close(model: Any) -> None:
    frame, low_res = a_frame(model), logits_of(model, 2)
    encoder = MemoryEncoder(an_official_model(), dtype=torch.bfloat16)
    ours = encoder(frame.maps[-1].bfloat16(), low_res, SCORES[:2], prompted=False).float()
    truth = officially(model, frame, low_res, SCORES[:2], prompted=False)
    assert (ours - truth).square().mean() < 0.03**2 * truth.square().mean()
