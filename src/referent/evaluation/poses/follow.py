"""Objects followed through an episode by several methods at once, with masks and gravity from the truth."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.evaluation.poses.compare import Placed, placed
from referent.evaluation.poses.episodes import Episode, Seen, seen_in
from referent.evaluation.poses.open3d_chain import minimal_box
from referent.geometry.estimate import estimate_pose
from referent.geometry.track import PoseTrack
from referent.sources.simulation.truth import FrameTruth, ObjectTruth, SimulatedFrame
from referent.types import Array, ObjectPose, RgbdFrame

TRACK, UNAWARE, SINGLE, OPEN3D = "track", "track, gravity unknown", "single frame", "Open3D"
METHODS = (TRACK, UNAWARE, SINGLE, OPEN3D)
EVERY = 15  # frames: how often slow methods and other masks are tried
WELL_SHARE, WELL_PX = 0.3, 300  # what must be seen of an object for its pose to count
MASK_PX = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)  # masks are dilated by so many pixels, or eroded
TRACKED_MASK_PX = (-5, -3, -1, 1, 3, 5)
TRACKED_MASK_FRAMES = 16


@dataclass(frozen=True, eq=False)
class MaskChange:
    """By how much a pose's centre moves when the mask is dilated (`grow_px` > 0) or eroded."""

    index: int
    grow_px: int
    center_m: float | None  # None: no pose is left
    through_track: bool


@dataclass(frozen=True, eq=False)
class Followed:
    """One object from when it was first seen well: its truth, and each method's pose in each frame."""

    episode: Episode
    instance_id: int
    category: str
    size_m: Array  # (3,)
    seen: list[Seen] = field(default_factory=list)
    poses: dict[str, list[Placed | None]] = field(default_factory=dict)
    masks: list[MaskChange] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)  # the track's steps

    def counts(self, place: int) -> bool:
        """Whether enough is seen of the object in the `place`-th of its frames."""
        return sees_well(self.seen[place])


@dataclass(frozen=True, eq=False)
class _View:
    """One object's mask in one frame."""

    frame: RgbdFrame
    mask: Array
    up_in_camera: Array
    world_from_camera: Array


def sees_well(seen: Seen) -> bool:
    """Whether a pose is asked for: enough of the object is seen."""
    return seen.share >= WELL_SHARE and seen.visible_px >= WELL_PX


def follow(
    shown: Iterable[SimulatedFrame], episode: Episode, config: GeometryConfig, *, tracked_masks: bool = False
) -> list[Followed]:
    """Every object of an episode that is once seen well, followed from then on.

    `tracked_masks`: in the first frames also by tracks that are given dilated and eroded masks.
    """
    followers: dict[int, _Follower] = {}
    for index, one in enumerate(shown):
        for thing in one.truth.objects:
            seen = seen_in(index, one.truth, thing)
            if thing.instance_id not in followers:
                if not sees_well(seen):
                    continue
                followers[thing.instance_id] = _Follower(episode, thing, config, tracked_masks)
            followers[thing.instance_id].step(one.frame, one.truth, seen)
    return [follower.followed for follower in followers.values()]


class _Follower:
    """All methods on one object."""

    def __init__(self, episode: Episode, thing: ObjectTruth, config: GeometryConfig, tracked_masks: bool) -> None:
        self.followed = Followed(episode, thing.instance_id, thing.category, thing.size_m)
        self.followed.poses.update({name: [] for name in METHODS})
        self._config = config
        self._track, self._unaware = PoseTrack(config), PoseTrack(config)
        self._grown = {px: PoseTrack(config) for px in TRACKED_MASK_PX} if tracked_masks else {}

    def step(self, frame: RgbdFrame, truth: FrameTruth, seen: Seen) -> None:
        """Run every method on the next frame."""
        mask = truth.instance_ids == self.followed.instance_id
        view = _View(frame, mask, truth.world_from_camera[2, :3], truth.world_from_camera)
        began = time.perf_counter()
        pose = _step(self._track, view, mask)
        self.followed.took_s.append(time.perf_counter() - began)
        self.followed.seen.append(seen)
        single = self._single(view, mask)
        rarely = seen.index % EVERY == 0 and sees_well(seen)
        poses = {
            TRACK: placed(pose),
            UNAWARE: placed(self._unaware.step(frame, mask)),
            SINGLE: placed(single),
            OPEN3D: _of_open3d(view) if rarely else None,
        }
        for name, given in poses.items():
            self.followed.poses[name].append(given)
        if rarely and single is not None:
            self._try_masks(view, single, seen.index)
        self._track_masks(view, pose, seen)

    def _single(self, view: _View, mask: Array) -> ObjectPose | None:
        return estimate_pose(view.frame, mask, self._config, up_in_camera=view.up_in_camera)

    def _try_masks(self, view: _View, exact: ObjectPose, index: int) -> None:
        for grow_px in MASK_PX:
            moved_m = _moved_m(exact, self._single(view, grown(view.mask, grow_px)))
            self.followed.masks.append(MaskChange(index, grow_px, moved_m, through_track=False))

    def _track_masks(self, view: _View, exact: ObjectPose | None, seen: Seen) -> None:
        if len(self.followed.seen) > TRACKED_MASK_FRAMES:
            return
        for grow_px, track in self._grown.items():
            pose = _step(track, view, grown(view.mask, grow_px))
            if exact is not None and sees_well(seen):
                change = MaskChange(seen.index, grow_px, _moved_m(exact, pose), through_track=True)
                self.followed.masks.append(change)


def _step(track: PoseTrack, view: _View, mask: Array) -> ObjectPose | None:
    return track.step(view.frame, mask, up_in_camera=view.up_in_camera, fixed_from_camera=view.world_from_camera)


def _of_open3d(view: _View) -> Placed | None:
    box = minimal_box(view.frame, view.mask)
    return None if box is None else Placed(box[0], box[1], None)


def _moved_m(exact: ObjectPose, other: ObjectPose | None) -> float | None:
    if other is None:
        return None
    return float(np.linalg.norm(other.box.camera_from_object[:3, 3] - exact.box.camera_from_object[:3, 3]))


def grown(mask: Array, grow_px: int) -> Array:
    """A mask dilated by so many pixels, or eroded where they are negative."""
    square = np.ones((2 * abs(grow_px) + 1,) * 2, np.uint8)
    change = cv2.dilate if grow_px > 0 else cv2.erode
    return np.asarray(change(mask.astype(np.uint8), square).astype(bool))
