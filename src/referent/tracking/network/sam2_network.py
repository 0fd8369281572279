"""SAM 2 as three functions of tensors: encode a picture, condition it on memories, remember the result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import record_function

from referent.errors import ConfigError
from referent.tracking.network.heads import Decoded, Heads, PromptTokens
from referent.tracking.network.image_encoder import ImageEncoder
from referent.tracking.network.memory_attention import BankReading, MemoryAttention
from referent.tracking.network.memory_encoder import MemoryEncoder

GIVEN_MASK_SCALE, GIVEN_MASK_SHIFT = 20.0, -10.0  # a given mask counts as logits of 10 and -10 (sam2_base.py)


@dataclass(frozen=True, eq=False)
class Bank:
    """What N objects remember, as the network takes it. Objects that remember less are filled up and `bias`ed away."""

    spatial: Tensor  # (N, S, hw, C) bfloat16
    slots: Tensor  # (N, S) int64: 0 = conditioning frame, else the age in frames
    pointers: Tensor  # (N, P, D)
    ages: Tensor  # (N, P) float32 frames
    bias: Tensor | None  # (N, 1, S * hw + P * D / C): 0 or -inf; None = all are full


class Sam2Network:
    """The official weights in `dtype`. Takes over the model's modules; the model is not usable by itself afterwards."""

    def __init__(self, model: Any, *, dtype: torch.dtype) -> None:
        _check_supported(model)
        device = next(model.parameters()).device
        side = model.image_size // model.backbone_stride
        self.dtype, self.device, self.image_size = dtype, device, int(model.image_size)
        self.memory_channels = int(model.mem_dim)
        self.tokens = side * side
        self.heads = Heads(model, dtype=dtype)
        self._encoder = ImageEncoder(model, dtype=dtype)
        self._attention = MemoryAttention(model.memory_attention, side=side, dtype=dtype, device=device)
        self._memory_encoder = MemoryEncoder(model, dtype=dtype)
        self._positions = _positions(model, side=side, device=device, dtype=dtype)
        self._no_memory = model.no_mem_embed.detach().to(dtype)
        self._pointer_age = _PointerAge(model, dtype=dtype)
        del model.image_encoder, model.memory_attention  # their packed copies are used; this frees the originals

    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, S, S) normalized to three feature maps, finest first."""
        with record_function("sam2.encoder"):
            return self._encoder(image)

    def without_memory(self, maps: tuple[Tensor, ...]) -> Tensor:
        """The coarse map (1, D, h, w) as the decoder expects it on an object's first frame."""
        return _as_map(_as_tokens(maps[-1]) + self._no_memory)

    def with_memory(self, maps: tuple[Tensor, ...], bank: Bank) -> Tensor:
        """The coarse map (N, D, h, w) conditioned on what each object remembers."""
        with record_function("sam2.attention"):
            positions = self._positions
            count, pointers = bank.ages.shape
            parts = bank.pointers.shape[-1] // self.memory_channels
            reading = BankReading(
                spatial=bank.spatial.to(self.dtype),
                spatial_position=positions.memory[bank.slots],
                pointers=bank.pointers.reshape(count, pointers * parts, self.memory_channels),
                pointer_position=self._pointer_age(bank.ages).repeat_interleave(parts, dim=1),
                bias=bank.bias,
            )
            return _as_map(self._attention(_as_tokens(maps[-1]), positions.picture, reading))

    def decode(self, features: Tensor, maps: tuple[Tensor, ...], prompt: PromptTokens) -> Decoded:
        """Masks, pointers and signals of N objects."""
        with record_function("sam2.decoder"):
            return self.heads.decode(features, (maps[0], maps[1]), prompt)

    def accept_mask(self, maps: tuple[Tensor, ...], mask: Tensor) -> tuple[Tensor, Tensor]:
        """A (1, 1, S, S) mask as low-res logits (1, 1, S / 4, S / 4) and pointer (1, D), `_use_mask_as_output`."""
        logits = mask * GIVEN_MASK_SCALE + GIVEN_MASK_SHIFT
        size = (self.image_size // 4,) * 2
        low_res = functional.interpolate(logits, size=size, mode="bilinear", align_corners=False, antialias=True)
        return low_res, self.decode(maps[-1], maps, self.heads.mask(mask)).pointers

    def memorize(
        self, maps: tuple[Tensor, ...], low_res_logits: Tensor, object_scores: Tensor, *, prompted: bool
    ) -> Tensor:
        """Memory tokens (N, hw, C) bfloat16 of the frame."""
        with record_function("sam2.memory_encoder"):
            return self._memory_encoder(maps[-1], low_res_logits, object_scores, prompted=prompted)

    def follow(self, maps: tuple[Tensor, ...], bank: Bank) -> tuple[Decoded, Tensor]:
        """One whole step for N remembered objects: what is seen, and what to remember of it."""
        decoded = self.decode(self.with_memory(maps, bank), maps, self.heads.nothing_given)
        object_scores = decoded.signals[:, :1]
        return decoded, self.memorize(maps, decoded.low_res_logits, object_scores, prompted=False)


@dataclass(frozen=True, eq=False)
class _Positions:
    picture: Tensor  # (1, hw, D)
    memory: Tensor  # (slots, hw, C): slot 0 is that of conditioning frames


def _positions(model: Any, *, side: int, device: torch.device, dtype: torch.dtype) -> _Positions:
    def tokens(encoding: Any, channels: int) -> Tensor:
        like = torch.zeros(1, channels, side, side, device=device)
        return encoding(like).flatten(2).transpose(1, 2).detach().float()

    picture = tokens(model.image_encoder.neck.position_encoding, model.hidden_dim)
    memory = tokens(model.memory_encoder.position_encoding, model.mem_dim)
    times = model.maskmem_tpos_enc.detach()[:, 0].float()  # by age - 1; the last is for conditioning frames
    by_slot = torch.cat([times[-1:], times[:-1]])
    return _Positions(picture.to(dtype), (memory + by_slot).to(dtype))


class _PointerAge:
    """The temporal position of object pointers, signed sine of age / 15 (`get_1d_sine_pe`), or zeros."""

    def __init__(self, model: Any, *, dtype: torch.dtype) -> None:
        self._projection = model.obj_ptr_tpos_proj.float() if model.add_tpos_enc_to_obj_ptrs else None
        self._dim = model.hidden_dim if model.proj_tpos_enc_in_obj_ptrs else model.mem_dim
        self._out, self._dtype = model.mem_dim, dtype
        self._longest = model.max_obj_ptrs_in_encoder - 1

    def __call__(self, ages: Tensor) -> Tensor:
        """(N, P) frames to (N, P, C)."""
        if self._projection is None:
            return torch.zeros(*ages.shape, self._out, device=ages.device, dtype=self._dtype)
        half = self._dim // 2
        exponents = torch.arange(half, dtype=torch.float32, device=ages.device) // 2 * 2 / half
        angles = (ages / self._longest)[..., None] / 10000**exponents
        return self._projection(torch.cat([angles.sin(), angles.cos()], dim=-1)).to(self._dtype)


def _as_tokens(level: Tensor) -> Tensor:
    return level.flatten(2).transpose(1, 2)


def _as_map(tokens: Tensor) -> Tensor:
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).unflatten(2, (side, side))


def _check_supported(model: Any) -> None:
    needed = {
        "directly_add_no_mem_embed": True,
        "use_obj_ptrs_in_encoder": True,
        "only_obj_ptrs_in_the_past_for_eval": True,
        "use_mask_input_as_output_without_sam": True,
        "non_overlap_masks_for_mem_enc": False,
    }
    for name, value in needed.items():
        if bool(getattr(model, name)) is not value:
            raise ConfigError(
                f"SAM 2 with {name}: {getattr(model, name)} is not supported; all published ones: {value}"
            )
    if model.memory_temporal_stride_for_eval != 1 or model.num_maskmem < 2 or model.mem_dim >= model.hidden_dim:
        raise ConfigError(
            f"SAM 2 with memory_temporal_stride_for_eval {model.memory_temporal_stride_for_eval}, num_maskmem "
            f"{model.num_maskmem}, mem_dim {model.mem_dim} is not supported; all published ones have 1, 7, 64"
        )
