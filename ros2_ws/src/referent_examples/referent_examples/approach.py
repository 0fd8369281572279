"""Where a robot may stand before an object: places on the floor that face it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from referent.types import Array

TURNS_DEG = (0, 45, -45, 90, -90, 135, -135, 180)
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@dataclass(frozen=True)
class Stand:
    """A place on the floor and the direction the robot looks, counter-clockwise from the frame's x."""

    x_m: float
    y_m: float
    yaw_rad: float


def stands(fixed_from_object: Array, size_m: Array, robot_xy_m: Array, *, standoff_m: float) -> Iterator[Stand]:
    """Places that leave `standoff_m` between the robot's middle and the object's box (4, 4), (3,) seen from above.

    The one on the robot's side comes first, the others go ever farther round the object.
    """
    middle = fixed_from_object[:2, 3]
    corners = (CORNERS * size_m) @ fixed_from_object[:2, :3].T
    away = robot_xy_m - middle
    first = math.atan2(away[1], away[0])
    for turn_deg in TURNS_DEG:
        angle = first + math.radians(turn_deg)
        outward = np.array([math.cos(angle), math.sin(angle)])
        x, y = middle + outward * (float((corners @ outward).max()) + standoff_m)
        yaw = math.atan2(-outward[1], -outward[0])
        yield Stand(float(x), float(y), yaw)
