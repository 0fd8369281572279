"""The whole of it: reading a memory is `_prepare_memory_conditioned_features`, a given mask `_use_mask_as_output`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from official_parts import SAM_2, UNPROJECTED_AGES, a_frame, an_official_model, assert_close, randn
from torch import Tensor

from referent.errors import ConfigError
from referent.tracking.network.sam2_network import Bank, Sam2Network

INDEX, NUM_FRAMES = 20, 100
VARIANTS: dict[str, dict[str, Any]] = {
    "sam 2.1": {},
    "sam 2": SAM_2,
    "unprojected ages": UNPROJECTED_AGES,
    "unsigned ages": {"use_signed_tpos_enc_to_obj_ptrs": False},
    "five memories": {"num_maskmem": 5},
    "nine pointers": {"max_obj_ptrs_in_encoder": 9},
}


def ours(model: Any) -> Sam2Network:
    return Sam2Network(copy.deepcopy(model), dtype=torch.float32)


def remembered(model: Any, index: int, *, objects: int = 1) -> dict[str, Any]:
    """What the official predictor keeps of frame `index`."""
    side = model.image_size // model.backbone_stride
    features = randn(objects, model.mem_dim, side, side, seed=100 + index).bfloat16()
    position = model.memory_encoder.position_encoding(torch.zeros(objects, model.mem_dim, side, side))
    pointer = randn(objects, model.hidden_dim, seed=200 + index)
    return {"maskmem_features": features, "maskmem_pos_enc": [position], "obj_ptr": pointer}


def history(model: Any, conditioning: list[int], *, objects: int = 1) -> dict[str, dict[int, Any]]:
    """Everything before frame `INDEX`: conditioning frames, and all others as tracked."""
    tracked = [index for index in range(INDEX) if index not in conditioning]
    return {
        "cond_frame_outputs": {index: remembered(model, index, objects=objects) for index in conditioning},
        "non_cond_frame_outputs": {index: remembered(model, index, objects=objects) for index in tracked},
    }


def the_bank(model: Any, outputs: dict[str, dict[int, Any]]) -> Bank:
    """What frame `INDEX` reads of it, by the rules of memory.py."""
    conditioning, tracked = outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]
    ages = range(1, model.max_obj_ptrs_in_encoder)
    slots = [slot for slot in range(model.num_maskmem - 1, 0, -1) if INDEX - slot in tracked]
    spatial = [*conditioning.values(), *(tracked[INDEX - slot] for slot in slots)]
    pointers = [(INDEX - index, entry) for index, entry in conditioning.items() if index <= INDEX]
    pointers += [(age, tracked[INDEX - age]) for age in ages if INDEX - age in tracked]
    objects = len(spatial[0]["obj_ptr"])
    return Bank(
        spatial=torch.stack([entry["maskmem_features"].flatten(2).transpose(1, 2) for entry in spatial], dim=1),
        slots=torch.tensor([[0] * len(conditioning) + slots] * objects),
        pointers=torch.stack([entry["obj_ptr"] for _, entry in pointers], dim=1),
        ages=torch.tensor([[age for age, _ in pointers]] * objects, dtype=torch.float32),
        bias=None,
    )


def officially(model: Any, outputs: dict[str, dict[int, Any]], *, is_first: bool = False, objects: int = 1) -> Tensor:
    frame = a_frame(model)
    return model._prepare_memory_conditioned_features(
        frame_idx=INDEX,
        is_init_cond_frame=is_first,
        current_vision_feats=frame.features(objects)[-1:],
        current_vision_pos_embeds=[frame.position(objects)],
        feat_sizes=frame.sizes[-1:],
        output_dict=outputs,
        num_frames=NUM_FRAMES,
    )


@pytest.mark.parametrize("conditioning", [[0], [0, 3], [0, 7, 17], [0, 2, 4, 25]], ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_full_memory_is_read_as_officially(name: str, conditioning: list[int]) -> None:
    model = an_official_model(**VARIANTS[name])
    outputs = history(model, conditioning)
    found = ours(model).with_memory(a_frame(model).maps, the_bank(model, outputs))
    assert_close(found, officially(model, outputs))


def test_three_objects_read_their_memories_in_one_batch(model: Any) -> None:
    outputs = history(model, [0, 3], objects=3)
    found = ours(model).with_memory(a_frame(model).maps, the_bank(model, outputs))
    assert_close(found, officially(model, outputs, objects=3))


def test_when_something_was_seen_changes_what_is_read(model: Any) -> None:
    """The comparisons above would see it if slots or ages did not count."""
    network, frame, bank = ours(model), a_frame(model), the_bank(model, history(model, [0, 3]))
    seen = network.with_memory(frame.maps, bank)
    for changed in (replace(bank, slots=bank.slots.flip(1)), replace(bank, ages=bank.ages.flip(1))):
        assert (network.with_memory(frame.maps, changed) - seen).abs().max() > 1e-3 * seen.abs().max()


def test_without_memory_the_frame_is_prepared_as_officially(model: Any) -> None:
    truth = officially(model, {}, is_first=True)
    assert_close(ours(model).without_memory(a_frame(model).maps), truth, relative=1e-6)


def test_a_given_mask_is_taken_as_officially(model: Any) -> None:
    frame, side = a_frame(model), model.image_size
    mask = torch.zeros(1, 1, side, side)
    mask[..., 20:75, 33:90] = 1
    mask[..., 40:42, 50:52] = 0
    low_res, _, _, _, _, pointer, _ = model._use_mask_as_output(frame.maps[-1], list(frame.maps[:2]), mask)
    our_low_res, our_pointer = ours(model).accept_mask(frame.maps, mask)
    assert torch.equal(our_low_res, low_res)
    assert_close(our_pointer, pointer)


def test_a_picture_is_encoded_as_by_the_image_encoder(model: Any) -> None:
    picture = randn(1, 3, model.image_size, model.image_size)
    truth = model.forward_image(picture)["backbone_fpn"]
    for level, true_level in zip(ours(model).encode(picture), truth, strict=True):
        assert_close(level, true_level)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("directly_add_no_mem_embed", False),
        ("use_obj_ptrs_in_encoder", False),
        ("only_obj_ptrs_in_the_past_for_eval", False),
        ("use_mask_input_as_output_without_sam", False),
        ("non_overlap_masks_for_mem_enc", True),
        ("memory_temporal_stride_for_eval", 2),
        ("num_maskmem", 1),
        ("mem_dim", 64),
    ],
)
def test_an_unsupported_model_is_refused_by_the_name_of_the_setting(name: str, value: object) -> None:
    model = an_official_model()
    setattr(model, name, value)
    with pytest.raises(ConfigError, match=f"{name}:? {value}"):
        Sam2Network(model, dtype=torch.float32)
