"""Builders: short synthetic clips, random SAM 2 checkpoints that give non-trivial masks, prompts."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from referent.tracking.model import build_sam2
from referent.types import Array, Intrinsics, Prompt, RgbdFrame
from referent.weights import ModelEntry, resolve

SMALL_YAML = Path(__file__).with_name("small.yaml")
WIDTH, HEIGHT = 160, 120
FIRST_NS, STEP_NS = 1_000_000_000, 33_000_000


def a_clip(count: int, *, seed: int = 0) -> list[RgbdFrame]:
    """Two colored blocks that cross each other over a textured, drifting background."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 255, (HEIGHT // 8 + 8, WIDTH // 8 + 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    return [a_frame(i, _picture(texture, i)) for i in range(count)]


def a_frame(index: int, rgb: Array) -> RgbdFrame:
    height, width = rgb.shape[:2]
    camera = Intrinsics(width, height, 150.0, 150.0, width / 2, height / 2)
    return RgbdFrame(stamp_of(index), "camera_optical", rgb, None, camera)


def stamp_of(index: int) -> int:
    return FIRST_NS + index * STEP_NS


def jpeg_bytes(rgb: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def a_box(object_id: str, index: int, xyxy: tuple[float, float, float, float]) -> Prompt:
    return Prompt(object_id, stamp_of(index), box_xyxy=np.array(xyxy, np.float32))


def points(object_id: str, index: int, xy: list[tuple[float, float]], labels: list[int] | None = None) -> Prompt:
    marks = np.array(labels or [1] * len(xy), np.int32)
    return Prompt(object_id, stamp_of(index), points_xy=np.array(xy, np.float32), point_labels=marks)


def a_mask(object_id: str, index: int, xyxy: tuple[int, int, int, int]) -> Prompt:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[xyxy[1] : xyxy[3], xyxy[0] : xyxy[2]] = True
    return Prompt(object_id, stamp_of(index), mask=mask)


def a_checkpoint(folder: Path, *, seed: int = 0, presence: float = 2.0) -> ModelEntry:
    """A small random SAM 2 saved as the official checkpoints are.

    Weights are enlarged so that memory matters; `presence` shifts the object score, about 1.6 puts it around zero.
    """
    torch.manual_seed(seed)
    model = build_sam2(SMALL_YAML)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                weight.mul_(1.5)
            if "cross_attn_image" in name and ("v_proj" in name or "out_proj" in name):
                weight.mul_(6)
            if "tpos_enc" in name or "no_mem" in name or "no_obj" in name:
                weight.mul_(10)
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].weight.mul_(3)
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(presence)
    torch.save({"model": model.state_dict()}, folder / "small.pt")
    shutil.copy(SMALL_YAML, folder / "small.yaml")
    return resolve(str(folder / "small.pt"))


def _picture(texture: Array, index: int) -> Array:
    picture = texture[index : index + HEIGHT, index // 2 : index // 2 + WIDTH].copy()
    left, right = 10 + 4 * index, 120 - 3 * index
    picture[40:80, left : left + 40] = (200, 30, 30)
    picture[60:100, right : right + 25] = (30, 200, 30)
    return picture
