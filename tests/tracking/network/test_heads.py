"""Masks, pointers and scores are those of `_forward_sam_heads`; the signals say what they promise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from official_parts import SAM_2, Frame, a_frame, an_official_model, assert_close, randn
from torch import Tensor

from referent.tracking.network.heads import NO_OBJECT_LOGIT, Decoded, Heads, PromptTokens, Signal
from referent.tracking.network.mask_decoder import Candidates, MaskDecoder

ONE_POINT = [(40.0, 70.0)], [1]
POINTS = [(40.0, 70.0), (20.0, 30.0), (100.0, 90.0)], [1, 0, 1]
BOX = [(20.0, 30.0), (90.0, 100.0)], [2, 3]
PROMPTS: dict[str, tuple[list[tuple[float, float]], list[int]] | None] = {
    "nothing": None,
    "one point": ONE_POINT,
    "points": POINTS,
    "box": BOX,
}
SOME_UNSTABLE = {"sam_mask_decoder_extra_args": {"dynamic_multimask_stability_thresh": 0.95}}
VARIANTS: dict[str, dict[str, Any]] = {
    "sam 2.1": {},
    "sam 2": SAM_2 | {"use_multimask_token_for_obj_ptr": False},
    "one mask": {"multimask_output_in_sam": False},
    "one mask, some unstable": {"multimask_output_in_sam": False} | SOME_UNSTABLE,
    "one mask, stable or not": {
        "multimask_output_in_sam": False,
        "sam_mask_decoder_extra_args": {"dynamic_multimask_via_stability": False},
    },
    "three masks for all": {"multimask_max_pt_num": 9},
    "three masks at first": {"multimask_max_pt_num": 9, "multimask_output_for_tracking": False},
    "soft pointers": {"soft_no_obj_ptr": True},
    "added pointers": {"fixed_no_obj_ptr": False},
    "always present": {"fixed_no_obj_ptr": False, "pred_obj_scores": False, "pred_obj_scores_mlp": False},
}
COUNT = 3


def a_model(name: str) -> Any:
    """With object scores on both sides of zero."""
    model = an_official_model(**VARIANTS[name])
    if model.pred_obj_scores:
        with torch.no_grad():
            last = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
            last.weight.mul_(3)
            last.bias.add_(5.8)
    return model


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Any:
    return a_model(request.param)


def features(model: Any) -> Tensor:
    side = model.image_size // model.backbone_stride
    return randn(COUNT, model.hidden_dim, side, side, seed=7)


def inputs(prompt: tuple[list[tuple[float, float]], list[int]] | None, count: int) -> dict[str, Tensor] | None:
    if prompt is None:
        return None
    points, labels = torch.tensor([prompt[0]]), torch.tensor([prompt[1]], dtype=torch.int32)
    return {"point_coords": points.repeat(count, 1, 1), "point_labels": labels.repeat(count, 1)}


def officially(
    model: Any,
    frame: Frame,
    coarse: Tensor,
    points: dict[str, Tensor] | None,
    *,
    multimask_output: bool,
    masks: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Low-res logits (N, 1, h, w), predicted IoU (N,) of them, pointers (N, D), object scores (N, 1)."""
    _, _, ious, low_res, _, pointers, scores = model._forward_sam_heads(
        backbone_features=coarse,
        point_inputs=points,
        mask_inputs=masks,
        high_res_features=[level.expand(len(coarse), -1, -1, -1) for level in frame.maps[:2]],
        multimask_output=multimask_output,
    )
    return low_res, ious.amax(dim=-1), pointers, scores


def assert_decoded(ours: Decoded, truth: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    low_res, ious, pointers, scores = truth
    is_absent = low_res == NO_OBJECT_LOGIT
    assert torch.equal(ours.low_res_logits == NO_OBJECT_LOGIT, is_absent)
    if not is_absent.all():
        assert_close(ours.low_res_logits[~is_absent], low_res[~is_absent])
    assert_close(ours.pointers, pointers)
    assert_close(ours.signals[:, Signal.PREDICTED_IOU], ious)
    assert_close(ours.signals[:, Signal.OBJECT_SCORE], scores[:, 0])


@pytest.mark.parametrize(
    ("kind", "is_first"), [("nothing", False), *((kind, at) for kind in list(PROMPTS)[1:] for at in (True, False))]
)
def test_three_objects_decode_as_officially(kind: str, is_first: bool, variant: Any) -> None:
    frame, coarse, heads = a_frame(variant), features(variant), Heads(variant, dtype=torch.float32)
    points = inputs(PROMPTS[kind], COUNT)
    truth = officially(variant, frame, coarse, points, multimask_output=variant._use_multimask(is_first, points))
    prompt = heads.nothing_given
    if points is not None:
        prompt = heads.points(points["point_coords"][:1], points["point_labels"][:1], is_first=is_first)
    ours = heads.decode(coarse, frame.maps[:2], prompt)
    assert_decoded(ours, truth)
    scores = variant.sam_mask_decoder._get_stability_scores(truth[0])
    assert torch.equal(ours.signals[:, Signal.STABILITY], scores[:, 0])
    assert torch.equal(ours.signals[:, Signal.AREA], (truth[0] > 0).float().mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("kind", ["one point", "points", "box"])
def test_a_correction_starts_from_the_clamped_mask_before_it(kind: str, variant: Any) -> None:
    frame, coarse, heads = a_frame(variant), features(variant)[:1], Heads(variant, dtype=torch.float32)
    previous = 40 * randn(1, 1, variant.image_size // 4, variant.image_size // 4, seed=9)
    points = inputs(PROMPTS[kind], 1)
    assert points is not None
    truth = officially(
        variant,
        frame,
        coarse,
        points,
        masks=previous.clamp(-32, 32),  # as the video predictor does before it passes it on
        multimask_output=variant._use_multimask(False, points),
    )
    prompt = heads.points(points["point_coords"], points["point_labels"], is_first=False, previous_logits=previous)
    assert_decoded(heads.decode(coarse, frame.maps[:2], prompt), truth)
    without = heads.points(points["point_coords"], points["point_labels"], is_first=False)
    assert not torch.equal(prompt.dense, without.dense.expand_as(prompt.dense))


def test_among_the_compared_masks_are_seen_and_unseen_stable_and_unstable_ones() -> None:
    """The comparisons above would see it if a branch were wrong."""
    model = a_model("one mask, some unstable")
    decoder, frame, coarse = model.sam_mask_decoder, a_frame(model), features(model)
    scores, falls_back = [], []
    for prompt in PROMPTS.values():
        decoder.dynamic_multimask_via_stability = True
        mask, *_, score = officially(model, frame, coarse, inputs(prompt, COUNT), multimask_output=False)
        decoder.dynamic_multimask_via_stability = False
        first, *_ = officially(model, frame, coarse, inputs(prompt, COUNT), multimask_output=False)
        scores += score.flatten().tolist()
        falls_back += [different for different, s in zip((mask != first).any(-1).any(-1), score, strict=True) if s > 0]
    assert min(scores) < -0.1
    assert max(scores) > 0.1
    assert 0 < sum(falls_back) < len(falls_back)


def test_an_absent_object_has_no_pixel_and_an_undisturbed_look(model: Any) -> None:
    decoded = decode_candidates(model, a_blob(4, 4), a_blob(40, 40), object_score=-0.5)
    assert (decoded.low_res_logits == NO_OBJECT_LOGIT).all()
    assert decoded.signals[0].tolist() == pytest.approx([-0.5, 0.9, 1.0, 1.0, 0.0])


def test_tokens_of_a_point_given_as_an_embedding_decode_as_officially_to_one_mask(variant: Any) -> None:
    frame, coarse, heads = a_frame(variant), features(variant), Heads(variant, dtype=torch.float32)
    points = inputs(ONE_POINT, COUNT)
    assert points is not None
    sparse, dense = variant.sam_prompt_encoder(
        points=(points["point_coords"], points["point_labels"]), boxes=None, masks=None
    )
    masks, ious, tokens, scores = variant.sam_mask_decoder(
        image_embeddings=coarse,
        image_pe=variant.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
        repeat_image=False,
        high_res_features=[level.expand(COUNT, -1, -1, -1) for level in frame.maps[:2]],
    )
    ours = heads.decode(coarse, frame.maps[:2], heads.embedding(sparse[:1]))
    present = scores[:, 0] > 0
    if present.any():
        assert_close(ours.low_res_logits[present], masks[present])
        if not variant.soft_no_obj_ptr:
            assert_close(ours.pointers[present], variant.obj_ptr_proj(tokens[:, 0])[present])
    assert (ours.low_res_logits[~present] == NO_OBJECT_LOGIT).all()
    assert_close(ours.signals[:, Signal.PREDICTED_IOU], ious[:, 0])
    assert_close(ours.signals[:, Signal.OBJECT_SCORE], scores[:, 0])


def test_in_bfloat16_masks_and_scores_stay_close_and_come_in_float32() -> None:
    truth_model, low_model = a_model("sam 2.1"), a_model("sam 2.1")
    frame, coarse = a_frame(truth_model), features(truth_model)
    truth, low = Heads(truth_model, dtype=torch.float32), Heads(low_model, dtype=torch.bfloat16)
    fine = (frame.maps[0].bfloat16(), frame.maps[1].bfloat16())
    ours = low.decode(coarse.bfloat16(), fine, low.nothing_given)
    precise = truth.decode(coarse, frame.maps[:2], truth.nothing_given)
    assert ours.low_res_logits.dtype == ours.signals.dtype == torch.float32
    is_seen = precise.signals[:, Signal.OBJECT_SCORE] > 0
    assert is_seen.any()
    scale = precise.low_res_logits[is_seen].std()
    assert (ours.low_res_logits - precise.low_res_logits)[is_seen].std() < 0.1 * scale


# The signals, on masks that are drawn instead of decoded


def a_blob(x: int, y: int, side: int = 10) -> Tensor:
    """Logits (64, 64) of a square whose upper left pixel is (x, y)."""
    logits = torch.full((64, 64), -8.0)
    logits[y : y + side, x : x + side] = 8.0
    return logits


def decode_candidates(
    model: Any, *candidates: Tensor, object_score: float = 5.0, ious: tuple[float, ...] = (0.9, 0.8, 0.7)
) -> Decoded:
    """What comes of up to three candidate masks, of which the first is chosen; the single-mask token's is not asked."""
    missing = [torch.full((64, 64), -8.0)] * (4 - len(candidates))
    masks = torch.stack([missing[0], *candidates, *missing[1:]])[None]
    heads = Heads(model, dtype=torch.float32)
    tokens = torch.zeros(1, 4, model.hidden_dim)
    drawn = Candidates(masks, torch.tensor([[0.99, *ious]]), tokens, torch.tensor([[object_score]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MaskDecoder, "__call__", lambda *_: drawn)
        nothing = heads.nothing_given
        choose = PromptTokens(nothing.sparse, nothing.dense, several_masks=True)
        frame = a_frame(model)
        return heads.decode(frame.maps[-1], frame.maps[:2], choose)


def alternative_iou(model: Any, *candidates: Tensor, ious: tuple[float, ...] = (0.9, 0.8, 0.7)) -> float:
    return decode_candidates(model, *candidates, ious=ious).signals[0, Signal.ALTERNATIVE_IOU].item()


def test_two_candidates_of_one_blob_agree(model: Any) -> None:
    assert alternative_iou(model, a_blob(4, 4), a_blob(4, 4)) == 1.0


def test_a_candidate_elsewhere_disagrees_by_the_box_around_both(model: Any) -> None:
    assert alternative_iou(model, a_blob(4, 4), a_blob(40, 40)) == pytest.approx(100 / 46**2)
    assert alternative_iou(model, a_blob(4, 4), a_blob(24, 4)) == pytest.approx(10 / 30)
    assert alternative_iou(model, a_blob(54, 0), a_blob(54, 54)) == pytest.approx(10 / 64)


def test_a_candidate_inside_the_chosen_mask_agrees(model: Any) -> None:
    assert alternative_iou(model, a_blob(4, 4), a_blob(6, 6, side=4)) == 1.0


def test_a_speck_elsewhere_is_no_candidate(model: Any) -> None:
    spotted = torch.maximum(a_blob(4, 4), a_blob(60, 60, side=1))
    assert alternative_iou(model, a_blob(4, 4), spotted) == 1.0
    assert alternative_iou(model, a_blob(4, 4), torch.maximum(a_blob(4, 4), a_blob(50, 50, side=3))) < 1.0


def test_nothing_chosen_disagrees_with_nothing(model: Any) -> None:
    assert alternative_iou(model, torch.full((64, 64), -8.0), a_blob(4, 4)) == 1.0


def test_only_the_best_other_candidate_is_asked(model: Any) -> None:
    here, there = a_blob(4, 4), a_blob(40, 40)
    assert alternative_iou(model, here, here, there, ious=(0.9, 0.8, 0.7)) == 1.0
    assert alternative_iou(model, here, here, there, ious=(0.9, 0.7, 0.8)) < 0.1


def test_area_is_the_share_of_the_picture_and_stability_that_of_the_sure_pixels(model: Any) -> None:
    unsure = a_blob(4, 4)
    unsure[4:14, 4:6] = 0.01  # inside, but not by the margin
    signals = decode_candidates(model, unsure).signals[0]
    assert signals[Signal.AREA].item() == pytest.approx(100 / 64**2)
    assert signals[Signal.STABILITY].item() == pytest.approx(80 / 100)
