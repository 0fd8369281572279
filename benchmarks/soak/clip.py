"""A simulated clip that is rendered once and kept in a file: rendering is slower than any camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.types import Array, Intrinsics

TOLD_EVERY = 30  # frames


@dataclass(frozen=True, eq=False)
class Clip:
    """Pictures of one camera: rgb (T, H, W, 3) uint8, depth (T, H, W) uint16 millimetres, 0 = unknown."""

    camera_frame: str
    camera: Intrinsics
    rgb: Array
    depth_mm: Array
    world_from_camera: Array  # (T, 4, 4)

    def __len__(self) -> int:
        return len(self.rgb)


def there_and_back(count: int) -> Iterator[int]:
    """Indices of `count` pictures forwards and backwards for ever: a loop in which nothing jumps."""
    while True:
        yield from range(count)
        yield from range(count - 2, 0, -1)


def prepared(folder: Path, *, scene: str, frames: int, fps: float, size_wh: tuple[int, int]) -> Path:
    """The file of a clip, rendered now if it is not there. Raises ReferentError for an unknown scene."""
    path = folder / f"clip-{scene}-{frames}-{fps:g}-{size_wh[0]}x{size_wh[1]}.npz"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    shots = []
    for shot in simulate(named_scene(scene), frames=frames, fps=fps, width=size_wh[0], height=size_wh[1]):
        shots.append(shot)
        if len(shots) % TOLD_EVERY == 0:
            print(f"rendered {len(shots)} of {frames} pictures of {scene!r}", flush=True)
    first = shots[0].frame
    camera = first.intrinsics
    half_done = path.with_suffix(".part.npz")
    np.savez(
        half_done,
        camera_frame=first.camera_frame,
        camera=[camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy],
        rgb=np.stack([shot.frame.rgb for shot in shots]),
        depth_mm=np.stack([_millimetres(shot.frame.depth_m) for shot in shots]),
        world_from_camera=np.stack([shot.truth.world_from_camera for shot in shots]),
    )
    half_done.rename(path)
    return path


def loaded(path: Path) -> Clip:
    """A clip from its file."""
    with np.load(path) as kept:
        width, height, *numbers = kept["camera"].tolist()
        return Clip(
            camera_frame=str(kept["camera_frame"]),
            camera=Intrinsics(int(width), int(height), *numbers),
            rgb=kept["rgb"],
            depth_mm=kept["depth_mm"],
            world_from_camera=kept["world_from_camera"],
        )


def _millimetres(depth_m: Array | None) -> Array:
    assert depth_m is not None
    return np.nan_to_num(np.round(depth_m * 1000)).clip(0, 65534).astype(np.uint16)
