"""Draws staged scenes: color, exact depth, instance and part ids, by casting one ray through each pixel.

Runs on any torch device; one call draws many pictures, also of different scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from referent.sources.simulation.bodies import paint_bodies
from referent.sources.simulation.canvas import frames_of
from referent.sources.simulation.ground import ground
from referent.sources.simulation.lighting import expose, glare, lamp_arrives, reflect
from referent.sources.simulation.motion_blur import smear
from referent.sources.simulation.stage import Stage


@dataclass(frozen=True, eq=False)
class Pictures:
    """B pictures; `amodal_px[b, i]` are the pixels instance i would cover alone."""

    rgb: Tensor  # (B, 3, H, W) float32 in [0, 1]
    depth_m: Tensor  # (B, H, W) float32, along the optical axis
    ids: Tensor  # (B, H, W) uint8
    parts: Tensor  # (B, H, W) uint8, 0 = no named part, else 1 + index in vocabulary.PARTS
    glare: Tensor  # (B, H, W) float32 in [0, 1], how much a depth camera is dazzled by a mirroring surface
    amodal_px: Tensor  # (B, I) int64

    def cpu(self) -> Pictures:
        """The same pictures in the processor's memory."""
        return Pictures(**{name: value.cpu() for name, value in vars(self).items()})


def render(shots: Stage, *, device: str = "cpu", blurred: bool = True) -> Pictures:
    """Draw all pictures of a stage; `blurred` by what moves while the shutter is open."""
    with torch.no_grad():
        frames = frames_of(shots, device)
        surface = ground(shots, frames, device)
        amodal = paint_bodies(shots, surface, device)
        lit = lamp_arrives(shots, surface, frames, device)
        rgb = reflect(surface, frames, lit, len(shots.scenes))
        dazzle = glare(surface, frames, lit, len(shots.scenes))
        if blurred:
            rgb = smear(rgb, surface, shots, device)
        size = (len(shots.scenes), shots.height, shots.width)
        picture = expose(rgb.view(3, *size).transpose(0, 1), frames)
        ids, parts = surface.ids.view(size), surface.parts.view(size)
        return Pictures(picture, surface.depth.view(size), ids, parts, dazzle.view(size), amodal)
