"""What the small SAM 2 begins with and what is kept of it: good first values, and fp16 weights in a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


def save_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as fp16 safetensors, official key names, whole file or none."""
    unfinished = path.with_suffix(".tmp")
    save_file({key: value.detach().half().cpu().contiguous() for key, value in state.items()}, unfinished)
    unfinished.replace(path)


def set_input_size(model: Any, side_px: int) -> None:
    """Take square inputs of another size from now on; RoPE tables and position codes follow the features themselves."""
    tokens = side_px // model.backbone_stride
    model.image_size, model.sam_image_embedding_size = side_px, tokens
    encoder = model.sam_prompt_encoder
    encoder.input_image_size, encoder.image_embedding_size = (side_px, side_px), (tokens, tokens)
    encoder.mask_input_size = (4 * tokens, 4 * tokens)


@torch.no_grad()
def set_first_values(model: Any, generator: torch.Generator) -> None:
    """First values that shorten the slow start of box prompts and of the memory path; no key changes.

    All of them make "look at the same place" the default of an attention that would otherwise begin blind.
    """
    pe = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    pe.copy_(_fourier_matrix(pe.shape[1]))
    for attention in _prompt_attentions(model.sam_mask_decoder.transformer):
        attention.q_proj.weight.mul_(1.5)
        attention.k_proj.load_state_dict(attention.q_proj.state_dict())
    for embedding in _token_embeddings(model):
        embedding.weight.mul_(0.4)
    for layer in model.memory_attention.layers:
        bias = torch.randn(layer.cross_attn_image.q_proj.bias.shape, generator=generator)
        layer.cross_attn_image.q_proj.bias.copy_(bias)
        layer.cross_attn_image.k_proj.bias.copy_(bias)


def _fourier_matrix(columns: int) -> torch.Tensor:
    """(2, columns) frequencies in cycles per half image: a third along x, a third along y, the rest oblique."""
    third = columns // 3
    straight = torch.logspace(math.log10(0.1), math.log10(1.3), third)
    oblique = torch.logspace(math.log10(0.1), math.log10(1.3), columns - 2 * third)
    angle = torch.arange(len(oblique)) * 2.399963  # the golden angle spreads the directions
    x = torch.cat([straight, torch.zeros(third), oblique * torch.cos(angle)])
    y = torch.cat([torch.zeros(third), straight, oblique * torch.sin(angle)])
    return torch.stack([x, y])


def _prompt_attentions(transformer: Any) -> list[Any]:
    """The attentions between prompt tokens and picture."""
    found = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        found += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    return found


def _token_embeddings(model: Any) -> list[Any]:
    decoder, encoder = model.sam_mask_decoder, model.sam_prompt_encoder
    return [
        decoder.iou_token,
        decoder.mask_tokens,
        decoder.obj_score_token,
        encoder.not_a_point_embed,
        encoder.no_mask_embed,
        *encoder.point_embeddings,
    ]
