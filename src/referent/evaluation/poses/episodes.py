"""What the suite of poses plays: scenes, how fast and for how long, and what is true of each object in each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from referent.sources.simulation.scenes import SCENE_NAMES, named_scene, sample_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import FrameTruth, ObjectTruth, SimulatedFrame
from referent.sources.simulation.world import Scene
from referent.types import Array

WIDTH_PX, HEIGHT_PX = 640, 480
FAST_FPS, SLOW_FPS = 30.0, 15.0
DRIFT_FRAMES = 100  # from one frame to the one whose pose is compared with it
SETTLING_FRAMES = 10
CLIP = "clip_test"
LONG = (DRIFT_FRAMES + SETTLING_FRAMES + 1, FAST_FPS)
# Where the camera or an object moves all the time, drift is measured frame by frame.
NAMED: dict[str, tuple[int, float]] = {
    "moving_camera": LONG,
    "tabletop": LONG,
    "lookalikes": LONG,
    "handover": LONG,
    "leave_and_return": (110, SLOW_FPS),
    "occlusion": (70, SLOW_FPS),
    "clutter": (40, SLOW_FPS),
}
LONG_CLIPS = 2  # in which everything moves: drift is measured there as well
CLIP_FRAMES, CLIP_FPS = 40, SLOW_FPS


@dataclass(frozen=True)
class Episode:
    """A named scene or a random clip of the simulator, how many of its frames are played, and how fast."""

    scene: str
    seed: int
    frames: int
    fps: float = SLOW_FPS


@dataclass(frozen=True, eq=False)
class Seen:
    """What is true of one object in one frame."""

    index: int  # of the frame in its episode
    world_from_camera: Array  # (4, 4)
    camera_from_object: Array  # (4, 4)
    share: float  # of its whole silhouette that is seen; 0 = hidden or away
    visible_px: int

    @property
    def world_from_object(self) -> Array:
        """(4, 4)"""
        return self.world_from_camera @ self.camera_from_object


def episodes(first_seed: int, clips: int) -> list[Episode]:
    """Every named scene in the variant `first_seed`, and `clips` random clips; the longest first."""
    played = [Episode(name, first_seed, frames, fps) for name, (frames, fps) in NAMED.items()]
    for number in range(clips):
        frames, fps = LONG if number < LONG_CLIPS else (CLIP_FRAMES, CLIP_FPS)
        played.append(Episode(CLIP, first_seed + number, frames, fps))
    return sorted(played, key=lambda each: -each.frames)


def scene_of(episode: Episode) -> Scene:
    """The episode's scene. Raises ReferentError for an unknown name."""
    named = episode.scene in SCENE_NAMES
    return named_scene(episode.scene, episode.seed) if named else sample_scene(episode.seed, episode.scene)


def play(episode: Episode) -> Iterator[SimulatedFrame]:
    """The episode's frames, one after the other."""
    yield from simulate(scene_of(episode), frames=episode.frames, fps=episode.fps, width=WIDTH_PX, height=HEIGHT_PX)


def seen_in(index: int, truth: FrameTruth, thing: ObjectTruth) -> Seen:
    """What is true of `thing` in a frame."""
    share = thing.in_view_fraction * thing.visible_px / max(thing.amodal_px, 1)
    return Seen(index, truth.world_from_camera, thing.camera_from_object, share, thing.visible_px)
