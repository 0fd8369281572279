"""Clips become training batches for SAM 2: a stretch of frames, some of its objects, augmentation and prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import torch

from referent.errors import ReferentError
from referent.training.clips import Clip, ClipFolder
from referent.types import Array

PromptKind = Literal["box", "mask", "click"]
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
SMALLEST_TARGET_PX = 24  # visible pixels, at the model's input size, of an object worth prompting
MOST_DRAWS = 500  # a folder that gives no batch after so many clips is the wrong one
SMALLEST_PRESENT_PX = 6  # from one to this many pixels nobody can say whether the object is there


@dataclass(frozen=True)
class Points:
    """Point prompts as SAM 2 takes them."""

    coords: torch.Tensor  # (N, P, 2) float32 pixels of the model's input, x y
    labels: torch.Tensor  # (N, P) int32: 1 on the object, 0 off it, 2 and 3 the corners of a box


@dataclass(frozen=True, eq=False)
class Batch:
    """B clips of T frames with N objects altogether, S the side of the square model input."""

    images: torch.Tensor  # (B, T, 3, S, S) float32, normalised
    masks: torch.Tensor  # (N, T, S, S) float32 0/1
    clip_of_object: torch.Tensor  # (N,) int64
    frame_indices: tuple[int, ...]  # (T,) times told to the model; not always consecutive

    @property
    def visible_px(self) -> torch.Tensor:
        """(N, T) visible pixels."""
        return self.masks.sum(dim=(2, 3))

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return replace(
            self,
            images=self.images.to(device),
            masks=self.masks.to(device),
            clip_of_object=self.clip_of_object.to(device),
        )


@dataclass(frozen=True)
class BatchShape:
    """How much of the clips a batch takes."""

    clips: int
    objects: int  # most per clip
    frames: int
    side_px: int


def draw_batch(folder: ClipFolder, shape: BatchShape, rng: np.random.Generator) -> Batch:
    """Clips drawn until `shape.clips` of them have an object to follow."""
    images: list[Array] = []
    masks: list[Array] = []
    owner: list[int] = []
    for _ in range(MOST_DRAWS):
        if len(images) == shape.clips:
            break
        stretch = _stretch(folder.draw(rng), shape.frames, rng)
        if stretch is None:
            continue
        view = _augmented(stretch, shape.side_px, rng)
        targets = choose_targets(view.ids, shape.objects, rng)
        if not targets:
            continue
        owner += [len(images)] * len(targets)
        images.append(view.rgb)
        masks += [view.ids == target for target in targets]
    if len(images) < shape.clips:
        raise ReferentError(f"{folder.folder}: {MOST_DRAWS} draws gave {len(images)} clips of {shape.frames} frames")
    return Batch(
        normalised(np.stack(images)),
        torch.from_numpy(np.stack(masks)).float(),
        torch.tensor(owner),
        frame_indices(shape.frames, rng),
    )


def normalised(rgb: Array) -> torch.Tensor:
    """uint8 (..., S, S, 3) as SAM 2 wants it: float (..., 3, S, S), ImageNet mean and deviation removed."""
    image = torch.from_numpy(rgb).float() / 255
    return ((image - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)).movedim(-1, -3).contiguous()


def frame_indices(count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """0, 1, 2, ... and in 40 % of the cases a gap after the prompted frame, so that an old prompt is a known sight."""
    gap = int(rng.integers(0, 24)) if rng.random() < 0.4 else 0
    return tuple(index + gap * (index > 0) for index in range(count))


def choose_targets(ids: Array, most: int, rng: np.random.Generator) -> list[int]:
    """Objects seen in the first frame of (T, H, W) ids; those that vanish or shrink later are preferred."""
    px = np.stack([np.bincount(frame.ravel(), minlength=256) for frame in ids])
    seen = [int(i) for i in np.flatnonzero(px[0] >= SMALLEST_TARGET_PX) if i != 0]
    if not seen:
        return []
    shrink = np.array([px[:, i].min() < 0.5 * px[0, i] for i in seen])
    weights = np.where(shrink, 2.5, 1.0)
    count = min(most, len(seen))
    return [int(i) for i in rng.choice(seen, size=count, replace=False, p=weights / weights.sum())]


def draw_points(masks: torch.Tensor, kind: PromptKind, clicks: int, rng: np.random.Generator) -> Points:
    """Box corners or clicks for (N, S, S) masks, none of them empty."""
    arrays = masks.bool().cpu().numpy()
    if kind == "box":
        coords = np.stack([_loose_box(mask, rng) for mask in arrays])
        labels = np.tile([2, 3], (len(arrays), 1))
    else:
        coords = np.stack([_clicks(mask, clicks, rng) for mask in arrays])
        labels = np.stack([_labels(mask, points) for mask, points in zip(arrays, coords, strict=True)])
    to = masks.device
    return Points(torch.from_numpy(coords).float().to(to), torch.from_numpy(labels).to(to, torch.int32))


def tight_box(mask: Array) -> Array:
    """(2, 2) float corners x y of the mask's pixels, the second one exclusive."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], dtype=np.float64)


def _loose_box(mask: Array, rng: np.random.Generator) -> Array:
    """A box as a multimodal LLM draws it: four boxes of five are off by up to 15 % of a side at every edge."""
    box = tight_box(mask)
    slack = rng.uniform(0, 0.15) if rng.random() < 0.8 else 0.0
    return np.clip(box + rng.uniform(-slack, slack, (2, 2)) * (box[1] - box[0]), 0, mask.shape[0])


def _clicks(mask: Array, count: int, rng: np.random.Generator) -> Array:
    """`count` pixels: the first inside, later ones inside or just outside (a correction)."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inside = np.argwhere(inner if inner.any() else mask)
    rim = (cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) & ~mask
    outside = np.argwhere(rim) if rim.any() else inside
    places = [inside if n == 0 or rng.random() < 0.6 else outside for n in range(count)]
    return np.stack([place[rng.integers(len(place))][::-1] for place in places]).astype(np.float64)


def _labels(mask: Array, points: Array) -> Array:
    columns, rows = points.astype(int).T
    return mask[rows, columns].astype(np.int64)


def _stretch(clip: Clip, frames: int, rng: np.random.Generator) -> Clip | None:
    """`frames` frames of the clip at stride 1 or 2, in either direction; None when the clip is too short."""
    length = len(clip.rgb)
    longest = (length - 1) // (frames - 1) if frames > 1 else 1
    if longest < 1:
        return None
    stride = int(rng.integers(1, min(longest, 2) + 1))
    start = int(rng.integers(0, length - stride * (frames - 1)))
    chosen = start + stride * np.arange(frames)
    if rng.random() < 0.5:
        chosen = chosen[::-1]
    return Clip(clip.rgb[chosen], clip.ids[chosen])


def _augmented(clip: Clip, side_px: int, rng: np.random.Generator) -> Clip:
    """The clip squeezed into a square: cropped, mirrored and recoloured the same way in all frames."""
    rgb, ids = clip.rgb, clip.ids
    if rng.random() < 0.5:
        rows, columns = _crop(ids, rng)
        rgb, ids = rgb[:, rows, columns], ids[:, rows, columns]
    if rng.random() < 0.5:
        rgb, ids = rgb[:, :, ::-1], ids[:, :, ::-1]
    if rng.random() < 0.2:
        rgb = rgb[..., ::-1]  # red and blue swapped: new colours at no cost
    size = (side_px, side_px)
    rgb = np.stack([cv2.resize(np.ascontiguousarray(x), size, interpolation=cv2.INTER_AREA) for x in rgb])
    ids = np.stack([cv2.resize(np.ascontiguousarray(x), size, interpolation=cv2.INTER_NEAREST) for x in ids])
    return Clip(_recoloured(rgb, rng), ids)


def _crop(ids: Array, rng: np.random.Generator) -> tuple[slice, slice]:
    """A window of half to all of the picture, kept only if a target of the first frame stays in it."""
    height, width = ids.shape[1:]
    scale = rng.uniform(0.5, 1.0)
    high, wide = int(height * scale), int(width * np.clip(scale * rng.uniform(0.85, 1.15), 0.45, 1.0))
    top, left = int(rng.integers(0, height - high + 1)), int(rng.integers(0, width - wide + 1))
    window = slice(top, top + high), slice(left, left + wide)
    kept = np.bincount(ids[0][window].ravel(), minlength=256)[1:]
    return window if kept.max() >= 2 * SMALLEST_TARGET_PX else (slice(None), slice(None))


def _recoloured(rgb: Array, rng: np.random.Generator) -> Array:
    """Gain per channel, offset and gamma, one draw for the whole clip."""
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3)
    table = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.8, 1.25) * gain + rng.uniform(-0.06, 0.06)
    table = (np.clip(table, 0, 1) * 255).astype(np.uint8)
    return np.stack([table[rgb[..., channel], channel] for channel in range(3)], axis=-1)
