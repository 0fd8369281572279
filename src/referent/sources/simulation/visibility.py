"""How well the objects of a scene can be seen, found by looking at small pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from referent.sources.simulation import stage
from referent.sources.simulation.render import render
from referent.sources.simulation.world import Scene
from referent.types import Array

WIDTH, HEIGHT = 112, 80  # a little wider than 4:3, so that what fits here fits a common camera's picture


@dataclass(frozen=True, eq=False)
class Seen:
    """What can be seen of N objects at T times."""

    shares: Array  # (T, N) share in [0, 1] of an object's pixels in the picture that nothing hides
    inside: Array  # (T, N) bool, in the picture and not cut by its border as far as it is seen


def look_around(scene: Scene, times_s: Sequence[float] | Array) -> Seen:
    """Look at the scene at these times."""
    pictures = render(stage.set_stage([(scene, list(times_s))], width=WIDTH, height=HEIGHT), blurred=False)
    numbers = [item.instance_id for item in scene.objects]
    instances = pictures.amodal_px.shape[1]
    ids, amodal = pictures.ids.numpy(), pictures.amodal_px.numpy()
    seen = np.array([np.bincount(each.ravel(), minlength=instances) for each in ids])
    rim = np.concatenate([ids[:, 0], ids[:, -1], ids[:, :, 0], ids[:, :, -1]], axis=1)
    cut = np.array([np.isin(numbers, each) for each in rim])
    return Seen((seen / np.maximum(amodal, 1))[:, numbers], ~cut & (amodal[:, numbers] > 0))
