"""Short simulated videos with instance masks: rendered once into a folder, drawn from it while the tracker trains."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from referent.errors import ReferentError
from referent.types import Array

# Training and held-out scenes are different kinds of the simulator, which draws them from seeds of their own; the two
# held-out splits are different ranges of one kind.
SEEDS_PER_SPLIT = 1_000_000
SPLITS = {"train": ("clip", 0), "validation": ("clip_test", 0), "test": ("clip_test", SEEDS_PER_SPLIT)}
WIDTH_PX, HEIGHT_PX = 192, 144  # the shape of a 640x480 camera, above the trained input size so that crops stay sharp


@dataclass(frozen=True, eq=False)
class Clip:
    """Consecutive frames and the instance each pixel belongs to."""

    rgb: Array  # (T, H, W, 3) uint8
    ids: Array  # (T, H, W) uint8, 0 = no object


Renderer = Callable[[str, int], Clip]


def scene_key(split: str, number: int) -> tuple[int, str]:
    """Seed and kind of scene `number` of a split; distinct for every (split, number)."""
    if split not in SPLITS:
        raise ReferentError(f"unknown split {split!r}; the splits are {', '.join(SPLITS)}")
    if not 0 <= number < SEEDS_PER_SPLIT:
        raise ReferentError(f"clip number {number} is outside 0 to {SEEDS_PER_SPLIT - 1}")
    kind, first = SPLITS[split]
    return first + number, kind


def rhythm(number: int) -> tuple[int, float]:
    """Frames and frames per second of clip `number`: one of eight is long enough to leave and come back."""
    if number % 8 == 0:
        return 16, 6.0
    return 8, 4.0 if number % 2 else 8.0


def render(split: str, number: int) -> Clip:
    """Clip `number` of a split, from the simulator."""
    from referent.sources.simulation.scenes import sample_scene
    from referent.sources.simulation.simulate import render_clip

    frames, fps = rhythm(number)
    scene = sample_scene(*scene_key(split, number))
    return Clip(*render_clip(scene, frames=frames, fps=fps, width=WIDTH_PX, height=HEIGHT_PX))


def fill(folder: Path, split: str, count: int, *, renderer: Renderer = render) -> None:
    """Render the clips of `folder` that are still missing, up to `count`; an interrupted call can be repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:06d}.npz"
        if path.exists():
            continue
        clip = renderer(split, number)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        with unfinished.open("wb") as file:
            np.savez(file, rgb=clip.rgb, ids=clip.ids)
        unfinished.replace(path)


@dataclass(eq=False)
class ClipFolder:
    """The finished clips of a folder that another process may still be filling."""

    folder: Path
    _paths: tuple[Path, ...] = ()

    def refresh(self) -> int:
        """Look again and return how many clips there are now."""
        self._paths = tuple(sorted(self.folder.glob("*.npz")))
        return len(self._paths)

    def wait_for(self, count: int, *, timeout_s: float) -> None:
        """Return once `count` clips exist; ReferentError after `timeout_s` without them."""
        give_up = time.perf_counter() + timeout_s
        while (found := self.refresh()) < count:
            if time.perf_counter() > give_up:
                raise ReferentError(f"{self.folder}: {found} clips after {timeout_s:g} s, {count} are needed to start")
            time.sleep(0.5)

    def draw(self, rng: np.random.Generator) -> Clip:
        """One clip at random."""
        with np.load(self._paths[rng.integers(len(self._paths))], allow_pickle=False) as file:
            return Clip(file["rgb"], file["ids"])


def main() -> None:
    """Fill a folder with training clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--count", type=int, default=4000, help="how many clips the folder shall hold")
    parser.add_argument("--split", choices=sorted(SPLITS), default="train")
    arguments = parser.parse_args()
    fill(arguments.output, arguments.split, arguments.count)


if __name__ == "__main__":
    main()
