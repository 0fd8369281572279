"""Memory attention is the official one, for all objects at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from official_parts import an_official_model, assert_close, randn, the_bundled_model
from torch import Tensor

from referent.errors import ConfigError
from referent.tracking.network.memory_attention import BankReading, MemoryAttention

SIDE, DIM, CHANNELS = 8, 64, 32
TOKENS = SIDE * SIDE
PICTURE, POSITION = randn(1, TOKENS, DIM, seed=11), randn(1, TOKENS, DIM, seed=12)
SIZES = [(1, 0), (1, 2), (2, 4), (7, 32), (10, 38)]


def a_bank(objects: int, frames: int, pointers: int, *, seed: int = 20) -> BankReading:
    return BankReading(
        spatial=randn(objects, frames, TOKENS, CHANNELS, seed=seed),
        spatial_position=randn(objects, frames, TOKENS, CHANNELS, seed=seed + 1),
        pointers=randn(objects, pointers, CHANNELS, seed=seed + 2),
        pointer_position=randn(objects, pointers, CHANNELS, seed=seed + 3),
    )


def part(bank: BankReading, *, objects: slice, frames: int, pointers: int) -> BankReading:
    return BankReading(
        bank.spatial[objects, :frames],
        bank.spatial_position[objects, :frames],
        bank.pointers[objects, :pointers],
        bank.pointer_position[objects, :pointers],
    )


def officially(module: Any, bank: BankReading) -> Tensor:
    objects, pointers = bank.pointers.shape[:2]
    memory = torch.cat([bank.spatial.flatten(1, 2), bank.pointers], dim=1)
    position = torch.cat([bank.spatial_position.flatten(1, 2), bank.pointer_position], dim=1)
    conditioned = module(
        curr=[PICTURE.expand(objects, -1, -1).transpose(0, 1)],
        curr_pos=[POSITION.expand(objects, -1, -1).transpose(0, 1)],
        memory=memory.transpose(0, 1),
        memory_pos=position.transpose(0, 1),
        num_obj_ptr_tokens=pointers,
    )
    return conditioned.transpose(0, 1)


def ours(module: Any, *, dtype: torch.dtype = torch.float32) -> MemoryAttention:
    return MemoryAttention(module, side=SIDE, dtype=dtype, device=torch.device("cpu"))


@pytest.mark.parametrize(("frames", "pointers"), SIZES)
def test_one_object_sees_what_it_sees_officially(model: Any, frames: int, pointers: int) -> None:
    module, bank = model.memory_attention, a_bank(1, frames, pointers)
    assert_close(ours(module)(PICTURE, POSITION, bank), officially(module, bank))


def test_three_objects_in_one_batch_see_what_each_sees_alone(model: Any) -> None:
    module, bank = model.memory_attention, a_bank(3, 4, 6)
    together = ours(module)(PICTURE, POSITION, bank)
    assert_close(together, officially(module, bank))
    for row in range(3):
        alone = part(bank, objects=slice(row, row + 1), frames=4, pointers=6)
        assert_close(together[row : row + 1], ours(module)(PICTURE, POSITION, alone), relative=1e-6)


def test_a_memory_filled_up_to_the_length_of_another_is_read_as_if_it_were_not(model: Any) -> None:
    attention, bank = ours(model.memory_attention), a_bank(2, 5, 8)
    bias = torch.zeros(2, 1, 5 * TOKENS + 8)
    bias[0, :, 2 * TOKENS : 5 * TOKENS] = -torch.inf
    bias[0, :, 5 * TOKENS + 4 :] = -torch.inf
    filled_up = attention(PICTURE, POSITION, replace(bank, bias=bias))
    shorter = attention(PICTURE, POSITION, part(bank, objects=slice(0, 1), frames=2, pointers=4))
    full = attention(PICTURE, POSITION, part(bank, objects=slice(1, 2), frames=5, pointers=8))
    assert_close(filled_up, torch.cat([shorter, full]))


def test_what_is_remembered_where_and_when_all_counts(model: Any) -> None:
    """The comparisons above would see it if any of it were left out."""
    attention, bank = ours(model.memory_attention), a_bank(1, 3, 4)
    seen = attention(PICTURE, POSITION, bank)
    for changed in (
        replace(bank, spatial=bank.spatial.flip(1)),
        replace(bank, spatial_position=bank.spatial_position.flip(1)),
        replace(bank, pointers=bank.pointers.flip(1)),
        replace(bank, pointer_position=bank.pointer_position.flip(1)),
    ):
        other = attention(PICTURE, POSITION, changed)
        assert (other - seen).abs().max() > 1e-3 * seen.abs().max()
    moved = attention(PICTURE, POSITION.flip(1), bank)
    assert (moved - seen).abs().max() > 1e-3 * seen.abs().max()


def test_the_bundled_model_attends_as_officially() -> None:
    model = the_bundled_model()
    dim, channels, side = model.hidden_dim, model.mem_dim, model.image_size // model.backbone_stride
    tokens = side * side
    picture, position = randn(1, tokens, dim), randn(1, tokens, dim, seed=3)
    spatial, where = randn(1, 7, tokens, channels), randn(1, 7, tokens, channels, seed=5)
    pointers, when = randn(1, 16, channels), randn(1, 16, channels, seed=7)
    truth = model.memory_attention(
        curr=picture.transpose(0, 1),
        curr_pos=position.transpose(0, 1),
        memory=torch.cat([spatial.flatten(1, 2), pointers], dim=1).transpose(0, 1),
        memory_pos=torch.cat([where.flatten(1, 2), when], dim=1).transpose(0, 1),
        num_obj_ptr_tokens=16,
    )
    attention = MemoryAttention(model.memory_attention, side=side, dtype=torch.float32, device=torch.device("cpu"))
    bank = BankReading(spatial, where, pointers, when)
    assert_close(attention(picture, position, bank), truth.transpose(0, 1))


def test_in_bfloat16_what_is_seen_stays_close(model: Any) -> None:
    bank = a_bank(2, 3, 4)
    low = {name: getattr(bank, name).bfloat16() for name in ("spatial", "spatial_position", "pointers")}
    rounded = BankReading(**low, pointer_position=bank.pointer_position.bfloat16())
    attention = ours(model.memory_attention, dtype=torch.bfloat16)
    seen = attention(PICTURE.bfloat16(), POSITION.bfloat16(), rounded)
    truth = officially(model.memory_attention, bank)
    assert seen.dtype == torch.bfloat16
    assert (seen.float() - truth).square().mean() < 0.05**2 * truth.square().mean()


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: setattr(layer, "pos_enc_at_attn", True),
        lambda layer: setattr(layer, "pos_enc_at_cross_attn_queries", True),
        lambda layer: setattr(layer, "pos_enc_at_cross_attn_keys", False),
        lambda layer: setattr(layer.self_attn, "num_heads", 2),
        lambda layer: setattr(layer.cross_attn_image, "num_heads", 2),
    ],
    ids=["at attention", "at queries", "not at keys", "two own heads", "two heads"],
)
def test_an_unsupported_attention_is_refused(change: Callable[[Any], None]) -> None:
    module = an_official_model().memory_attention
    change(module.layers[1])
    with pytest.raises(ConfigError, match="memory_attention: only one head"):
        ours(module)


def test_a_configuration_without_position_at_the_input_is_followed() -> None:
    module = an_official_model().memory_attention
    module.pos_enc_at_input = False
    bank = a_bank(1, 2, 2)
    assert_close(ours(module)(PICTURE, POSITION, bank), officially(module, bank))
