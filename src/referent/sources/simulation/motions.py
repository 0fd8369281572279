"""Draws how things move: the camera's path, what is carried away, what passes before the camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from referent.sources.simulation import looks
from referent.sources.simulation.shapes import turn
from referent.sources.simulation.world import Body, CameraPath, Path, SceneObject, Swing

Rng = np.random.Generator
LIFT_CLEAR_M = 0.30  # over everything that stands on the table
HAND_REACH_M = 0.11  # from the finger tips to the middle of the hand


def draw_camera(
    rng: Rng, *, distance_m: tuple[float, float] = (0.55, 0.85), degrees_down: tuple[float, float] = (27, 50)
) -> CameraPath:
    """A camera at rest that looks at the middle of the table from any side."""
    return CameraPath(
        look_at_m=np.array([*rng.uniform(-0.08, 0.08, 2), rng.uniform(0.02, 0.06)]),
        distance_m=rng.uniform(*distance_m),
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=np.radians(rng.uniform(*degrees_down)),
        focal_ratio=rng.uniform(0.98, 1.12),
    )


def _swing(rng: Rng, most: float, periods_s: tuple[float, float]) -> Swing:
    return Swing(rng.uniform(0.3, 1.0) * most, rng.uniform(*periods_s), rng.uniform(0, 2 * np.pi))


def swaying(rng: Rng, camera: CameraPath, *, strength: float) -> CameraPath:
    """Let a camera orbit, nod, come closer, roll and shake; strength 1 is a lively hand."""
    return replace(
        camera,
        azimuth_swing=_swing(rng, 0.35 * strength, (4, 9)),
        elevation_swing=_swing(rng, 0.10 * strength, (4, 9)),
        distance_swing=_swing(rng, 0.10 * strength, (4, 9)),
        roll_swing=_swing(rng, 0.06 * strength, (3, 7)),
        pan_swing=_swing(rng, 0.05 * strength, (3, 7)),
        shakes=(_swing(rng, 0.006 * strength, (0.25, 0.7)), _swing(rng, 0.006 * strength, (0.25, 0.7))),
    )


def leaving(rng: Rng, camera: CameraPath, item: SceneObject, *, wait_s: float, move_s: float) -> Path:
    """Lift an object, carry it out of the picture on its own side, hold it there a while and bring it back."""
    start, yaw = item.body.path.at(0.0)
    right = camera.world_from_camera(0.0)[:3, 0]
    across = float((start - camera.look_at_m) @ right)
    side = np.sign(across) if across else 1.0
    up = np.array([0.0, 0.0, LIFT_CLEAR_M])
    outside = start + up + right * (0.8 * camera.distance_m * side - across)
    times = np.cumsum([0.0, wait_s, 0.4 * move_s, 0.6 * move_s, rng.uniform(0.5, 1.0) * move_s, 0.6 * move_s])
    ways = np.array([start, start, start + up, outside, outside, start + up])
    return Path(times, ways, np.full(len(ways), yaw), float(times[-1] + 0.4 * move_s))


def crossing(rng: Rng, camera: CameraPath, *, period_s: float | None = None, kind: str | None = None) -> Body:
    """An arm, hand or board that passes between camera and table from one side to the other and back."""
    kind = kind or looks.choose(rng, ("arm", "hand", "board"))
    occluder = looks.make_occluder(rng, kind)
    pose = camera.world_from_camera(0.0)
    right, forward = pose[:3, 0], pose[:3, 2]
    middle = pose[:3, 3] + forward * camera.distance_m * rng.uniform(0.40, 0.52)
    reach = right * camera.distance_m * 0.42
    start = float(rng.choice([-1.0, 1.0]))
    period = period_s or rng.uniform(3.0, 7.0)
    rest = np.eye(4)
    rest[:3, :3] = pose[:3, :3] @ turn("z", rng.uniform(-0.5, 0.5))[:3, :3] @ turn("x", np.pi / 2)[:3, :3]
    if kind == "hand":  # the hand passes through the middle, not its forearm
        middle = middle - rest[:3, 2] * (occluder.shape.size_m[2] / 2 - HAND_REACH_M)
    path = Path(
        np.array([0.0, 0.1, 0.5]) * period,
        np.array([middle + start * reach, middle + start * reach, middle - start * reach]),
        np.zeros(3),
        period,
    )
    return replace(occluder, rest=rest, path=path)


def holding(rng: Rng, camera: CameraPath, item: SceneObject, path: Path) -> Body:
    """An arm from above and beyond whose fist stays over the object it carries."""
    arm = looks.make_occluder(rng, "arm")
    rest = turn("z", camera.azimuth) @ turn("y", np.radians(145))
    fist = rest[:3, 2] * (arm.shape.size_m[2] / 2)
    above = np.array([0.0, 0.0, item.body.shape.size_m[2] / 2]) - fist
    positions = path.positions_m + above
    return replace(arm, rest=rest, path=replace(path, positions_m=positions, yaws=np.zeros(len(path.yaws))))
