"""Lights what the pixels see: Lambert and specular reflection, hard shadows, exposure."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from referent.sources.simulation import raycast, stage
from referent.sources.simulation.canvas import Frames, Surface, pairs_of, split_surfaces, tensor, vector
from referent.sources.simulation.raycast import NEVER
from referent.sources.simulation.stage import Stage
from referent.types import Array

SHADOW_OFFSET_M = 0.0006
MIRROR_GLOSS = 0.5  # above this a surface mirrors the room, not the lamp alone


def lamp_arrives(shots: Stage, surface: Surface, frames: Frames, device: str) -> Tensor:
    """1 where the lamp is seen, 0 in a shadow; (N,) float32."""
    light = np.array([scene.light.to_light for scene in shots.scenes])[shots.frame]
    points = stage.corners(shots)
    fall = np.maximum(points[..., 2:], 0.0) / light[:, None, 2:]
    boxes = stage.pixel_boxes(shots, np.concatenate([points, points - fall * light[:, None]], axis=1))
    lit = torch.ones_like(surface.depth)
    start = _shadow_starts(surface, frames)
    facing = surface.shaded & (_dot_light(surface, frames) > 0)
    for part, is_box in split_surfaces(shots):
        pairs = pairs_of(shots, part, boxes, device)
        pairs = raycast.keep_pairs(pairs, torch.nonzero(facing[pairs.pixel])[:, 0])
        table = raycast.take(tensor(_shadow_table(shots, light), device), pairs.row)
        place = start.index_select(1, pairs.pixel) - table[9:12]
        origin = vector(torch.stack([(table[3 * i : 3 * i + 3] * place).sum(0) for i in range(3)]))
        toward = vector(table[12:15])
        if is_box:
            distance = raycast.meet_box(origin, toward, table[15:18], nearest=SHADOW_OFFSET_M)
        else:
            distance, _ = raycast.meet_revolved(origin, toward, table[15:25], nearest=SHADOW_OFFSET_M)
        lit[pairs.pixel[distance < NEVER]] = 0.0
    return lit


def _shadow_table(shots: Stage, light: Array) -> Array:
    """Per surface (K, 25): turn from the world, position, light direction in its frame, geometry."""
    turn = shots.world_from_surface[:, :3, :3].transpose(0, 2, 1)
    toward = (turn @ light[..., None])[..., 0]
    return np.concatenate([turn.reshape(-1, 9), shots.world_from_surface[:, :3, 3], toward, shots.geometry], axis=1)


def _shadow_starts(surface: Surface, frames: Frames) -> Tensor:
    """World points (3, N) of all pixels, a hair above the surface."""
    count = frames.eye[0].shape[0]
    eye = torch.stack(frames.eye)
    seen = eye + (surface.depth * surface.toward).view(3, count, -1)
    return (seen + SHADOW_OFFSET_M * surface.normal.view(3, count, -1)).view(3, -1)


def _dot_light(surface: Surface, frames: Frames) -> Tensor:
    count = frames.eye[0].shape[0]
    return (torch.stack(frames.to_light) * surface.normal.view(3, count, -1)).sum(0).view(-1)


def reflect(surface: Surface, frames: Frames, lit: Tensor, count: int) -> Tensor:
    """Reflected light (3, N)."""
    facing = _dot_light(surface, frames).clamp(min=0.0) * lit
    around = surface.ambient * (0.72 + 0.28 * surface.normal[2])
    shine, mirror = torch.zeros_like(facing), torch.zeros_like(facing)
    toward_lamp = torch.nonzero((surface.gloss > 0) & (facing > 0))[:, 0]
    shine[toward_lamp] = _lamp_image(surface, frames, toward_lamp, count)
    mirrors = torch.nonzero(surface.gloss > MIRROR_GLOSS)[:, 0]
    mirror[mirrors] = _room_image(surface, mirrors)
    channels = []
    for albedo, lamp, ambient in zip(surface.albedo, frames.lamp, frames.ambient, strict=True):
        shape = (count, -1)
        light = albedo.view(shape) * (ambient * around.view(shape) + lamp * facing.view(shape))
        channels.append((light + lamp * shine.view(shape) + ambient * mirror.view(shape)).view(-1))
    return torch.stack(channels)


def _lamp_image(surface: Surface, frames: Frames, pixel: Tensor, count: int) -> Tensor:
    """How strongly the lamp is mirrored (M,) at the pixels: softly, by glossy things sharply in a wide halo."""
    aligned = _aligned(surface, frames, pixel, count)
    gloss = surface.gloss[pixel]
    glossy = 1.3 * aligned**120 + 0.22 * aligned**10
    return gloss * torch.where(gloss > MIRROR_GLOSS, glossy, aligned**32)


def _aligned(surface: Surface, frames: Frames, pixel: Tensor, count: int) -> Tensor:
    """Cosine (M,) of the normal with the direction midway between lamp and eye: 1 where the lamp is mirrored."""
    which = torch.div(pixel, surface.depth.numel() // count, rounding_mode="floor")
    light = torch.stack(frames.to_light)[:, :, 0].index_select(1, which)
    view = functional.normalize(surface.toward.index_select(1, pixel), dim=0)
    half = functional.normalize(light - view, dim=0)
    return (half * surface.normal.index_select(1, pixel)).sum(0).clamp(min=0.0)


def _room_image(surface: Surface, pixel: Tensor) -> Tensor:
    """Light of the room mirrored (M,) at the pixels: tall windows with panes, a ring of lamps, more at grazing angles.

    A flat face mirrors few degrees of the room: the slanting edges of the panes are what is seen in it.
    """
    view = functional.normalize(surface.toward.index_select(1, pixel), dim=0)
    normal = surface.normal.index_select(1, pixel)
    cosine = (view * normal).sum(0)
    x, y, z = view - 2.0 * cosine * normal
    around = torch.atan2(y, x)
    windows = torch.sigmoid(9.0 * (torch.cos(3.0 * around + z) - 0.45)) * torch.sigmoid(30.0 * (0.35 - z))
    panes = 0.35 + 0.65 * torch.sigmoid(12.0 * torch.sin(6.0 * around + 18.0 * z))
    at_height = torch.sigmoid(40.0 * (z - 0.42)) * torch.sigmoid(40.0 * (0.80 - z))
    lamps = at_height * torch.sigmoid(8.0 * torch.cos(5.0 * around))
    fresnel = 0.20 + 0.6 * (1.0 + cosine).clamp(0.0, 1.0) ** 4
    return surface.gloss[pixel] * fresnel * (0.10 + panes * (0.35 + 1.5 * torch.maximum(windows, lamps)))


def glare(surface: Surface, frames: Frames, lit: Tensor, count: int) -> Tensor:
    """How much (N,) in [0, 1] a depth camera is dazzled by glossy things that mirror the lamp or its own light."""
    dazzle = torch.zeros_like(surface.depth)
    mirrors = torch.nonzero(surface.gloss > MIRROR_GLOSS)[:, 0]
    view = functional.normalize(surface.toward.index_select(1, mirrors), dim=0)
    own_light = (-(view * surface.normal.index_select(1, mirrors)).sum(0)).clamp(min=0.0) ** 150
    lamp = _aligned(surface, frames, mirrors, count) ** 60 * lit[mirrors]
    dazzle[mirrors] = torch.maximum(own_light, lamp)
    return dazzle


def expose(rgb: Tensor, frames: Frames) -> Tensor:
    """The picture (B, 3, H, W) in [0, 1] that the lens makes of light (B, 3, H, W)."""
    gain, gamma, blur = (value[:, :, None, None] for value in frames.lens)
    soft = functional.avg_pool2d(rgb, 3, stride=1, padding=1, count_include_pad=False)
    mixed = torch.lerp(rgb, soft, blur.expand_as(rgb))
    return (mixed * gain).clamp(1e-4, 1.0) ** gamma
