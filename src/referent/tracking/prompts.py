"""Prompts in pixels of the original picture to what SAM 2's heads take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from referent.errors import BadInstruction
from referent.types import Array, Prompt

BOX_CORNER_LABELS = (2, 3)  # a box is two points to SAM 2: upper left, lower right


@dataclass(frozen=True, eq=False)
class PromptInputs:
    """One prompt on the model's square input; exactly one kind is set."""

    points_xy: Tensor | None = None  # (1, N, 2) float32 pixels of the square
    point_labels: Tensor | None = None  # (1, N) int32
    mask: Tensor | None = None  # (1, 1, S, S) float32, 0 or 1
    embedding: Tensor | None = None  # (1, N, D) float32 tokens for the mask decoder


def inputs_from_prompt(
    prompt: Prompt, *, size_hw: tuple[int, int], image_size: int, device: torch.device
) -> PromptInputs:
    """Scale a prompt on an (H, W) picture to the square input of side `image_size`.

    Raises BadInstruction when there is nothing of it in the picture.
    """
    if prompt.box_xyxy is not None:
        corners = _checked_box(prompt, prompt.box_xyxy, size_hw).reshape(2, 2)
        labels = np.array(BOX_CORNER_LABELS)
        return PromptInputs(_on_square(corners, size_hw, image_size, device), _labels(labels, device))
    if prompt.points_xy is not None and prompt.point_labels is not None:
        points = _checked_points(prompt, prompt.points_xy, prompt.point_labels, size_hw)
        return PromptInputs(_on_square(points, size_hw, image_size, device), _labels(prompt.point_labels, device))
    if prompt.mask is not None:
        square = _square_mask(_checked_mask(prompt, prompt.mask, size_hw), image_size, device)
        if not square.any():
            raise BadInstruction(
                f"prompt for {prompt.object_id!r}: nothing of its mask of {np.count_nonzero(prompt.mask)} pixels is "
                f"left on the model's {image_size}x{image_size} input; give a box or a point"
            )
        return PromptInputs(mask=square)
    if prompt.embedding is not None:
        return PromptInputs(embedding=torch.from_numpy(_checked_embedding(prompt, prompt.embedding)).to(device)[None])
    raise BadInstruction(f"prompt for {prompt.object_id!r}: give a box, points, a mask or an embedding")


def _on_square(points_xy: Array, size_hw: tuple[int, int], image_size: int, device: torch.device) -> Tensor:
    # Divided by (W, H) first, then multiplied: the official order, so that the last bit agrees.
    points = torch.tensor(points_xy, dtype=torch.float32)[None] / torch.tensor([size_hw[1], size_hw[0]])
    return (points * image_size).to(device)


def _labels(labels: Array, device: torch.device) -> Tensor:
    return torch.tensor(labels, dtype=torch.int32, device=device)[None]


def _square_mask(mask: Array, image_size: int, device: torch.device) -> Tensor:
    square = torch.tensor(mask, dtype=torch.float32, device=device)[None, None]
    if mask.shape == (image_size, image_size):
        return square
    square = interpolate(square, size=(image_size, image_size), mode="bilinear", align_corners=False, antialias=True)
    return (square >= 0.5).float()


def _checked_box(prompt: Prompt, box_xyxy: Array, size_hw: tuple[int, int]) -> Array:
    height, width = size_hw
    if box_xyxy.shape != (4,) or not np.isfinite(box_xyxy).all():
        raise BadInstruction(f"prompt for {prompt.object_id!r}: {box_xyxy.tolist()} is no box x1, y1, x2, y2")
    x1, y1, x2, y2 = box_xyxy.tolist()
    if not (x1 < x2 and y1 < y2 and x1 < width and y1 < height and x2 > 0 and y2 > 0):
        raise BadInstruction(
            f"prompt for {prompt.object_id!r}: the box {box_xyxy.tolist()} (x1, y1, x2, y2) "
            f"encloses nothing of the {width}x{height} picture"
        )
    return box_xyxy


def _checked_points(prompt: Prompt, points_xy: Array, labels: Array, size_hw: tuple[int, int]) -> Array:
    fits = points_xy.ndim == 2 and points_xy.shape[1] == 2 and labels.shape == points_xy.shape[:1]
    if not fits or not np.isfinite(points_xy).all() or not np.isin(labels, (0, 1)).all() or not (labels == 1).any():
        raise BadInstruction(
            f"prompt for {prompt.object_id!r}: points {points_xy.tolist()} with labels {labels.tolist()}; "
            "needed are N finite (x, y), a label 1 (inside) or 0 (outside) for each, and at least one inside"
        )
    inside_xy, (height, width) = points_xy[labels == 1], size_hw
    if not ((inside_xy >= 0) & (inside_xy <= (width, height))).all(axis=1).any():  # (width, height): the last corner
        raise BadInstruction(
            f"prompt for {prompt.object_id!r}: the points {inside_xy.tolist()} (x, y) "
            f"lie outside the {width}x{height} picture"
        )
    return points_xy


def _checked_embedding(prompt: Prompt, embedding: Array) -> Array:
    if embedding.ndim != 2 or not embedding.size or not np.isfinite(embedding).all():
        raise BadInstruction(
            f"prompt for {prompt.object_id!r}: an embedding of shape {embedding.shape}; "
            "needed are N finite tokens (N, D)"
        )
    return np.array(embedding, np.float32)


def _checked_mask(prompt: Prompt, mask: Array, size_hw: tuple[int, int]) -> Array:
    if mask.shape != size_hw or not mask.any():
        raise BadInstruction(
            f"prompt for {prompt.object_id!r}: a mask of shape {mask.shape} with {np.count_nonzero(mask)} pixels; "
            f"needed is shape {size_hw} with at least one pixel"
        )
    return mask
