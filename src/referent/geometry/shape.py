"""What an object's box is like, learned over all frames: its axes, its faces, and whether it is round."""

from __future__ import annotations

import numpy as np

from referent.geometry.box import BoxFit
from referent.geometry.estimate import Look
from referent.geometry.faces import Faces, faces_of
from referent.geometry.poses import rigid
from referent.geometry.symmetry import continue_axes, proper, smallest_rotation
from referent.types import Array, OrientedBox

_MEMORY = 30  # frames
_SURE_FRAMES = 5  # that showed a handle: it has one, though other views do not show it
_WHOLE = 0.15  # of its longest side may be missing of what is seen whole
_LEANING_COS = np.cos(np.deg2rad(20.0))  # an axis that leans more was tipped over, not measured wrongly
_TIPPED_COS = np.cos(np.deg2rad(7.0))  # the same once it is known how the object stands
_SURE_TILTS = 5  # frames that say so
_LIFTED_M = 0.008  # a foot this much above the support does not stand on it
_LARGEST_TURN_RAD = np.deg2rad(10.0)  # of one frame's yaw from what is known, in what it may change


class Shape:
    """An object's box in the object's own frame, which is where its box was at first."""

    def __init__(self, first: Look, camera_from_object: Array) -> None:
        self.axes = np.eye(3)  # columns: the box's axes in the object's frame
        self._tilts = self._turns = self._whole_frames = 1
        leans = self.is_tipped(first, camera_from_object)
        self.faces = self._faces(first, camera_from_object, stands=first.floor_m is not None and not leans)
        self._round = float(first.fit.is_round)
        self._known = float(first.fit.box.orientation_known)
        self._handles_seen = int(_shows_handle(first.fit))  # frames

    @property
    def is_round(self) -> bool:
        """Whether its yaw cannot be observed."""
        return self._round > 0.5 and not self.has_handle

    @property
    def has_handle(self) -> bool:
        """Whether something stands out of its round body, though perhaps not in this view."""
        return self._handles_seen >= _SURE_FRAMES

    @property
    def orientation_known(self) -> bool:
        """Whether the axes are the object's own rather than a convention."""
        return self.has_handle or (self._known > 0.5 and not self.is_round)

    def is_tipped(self, seen: Look, camera_from_object: Array) -> bool:
        """Whether an object at `camera_from_object` (4, 4) leans: then what this frame's upright box says is not so."""
        least = _LEANING_COS if self._tilts < _SURE_TILTS else _TIPPED_COS
        return seen.up is not None and bool(seen.up @ camera_from_object[:3, :3] @ self.axes[:, 2] < least)

    def stands(self, seen: Look, camera_from_object: Array, *, moved: bool) -> bool:
        """Whether it stands on the support that this frame shows; one that `moved` may be held over it."""
        if seen.up is None or seen.floor_m is None or self.is_tipped(seen, camera_from_object):
            return False
        foot_m = camera_from_object[:3, 3] @ seen.up + self.faces.ends_m[0, 2]
        return not moved or bool(foot_m - seen.floor_m < _LIFTED_M + 2 * self.faces.sigma_m[0, 2])

    def learn(self, seen: Look, camera_from_object: Array, *, moved: bool = False) -> None:
        """Take in one more frame in which the object is at `camera_from_object` (4, 4), which may have `moved`."""
        if self.is_tipped(seen, camera_from_object):
            return
        before = self.axes
        if stands := self.stands(seen, camera_from_object, moved=moved):
            self._straighten(seen, camera_from_object)
        if is_seen_whole(seen):
            self._learn_axes(seen.fit, camera_from_object)
        self.axes = proper(self.axes)
        new = self._faces(seen, camera_from_object, stands=stands)
        self.faces = self.faces.turned(before.T @ self.axes).merged(new)

    def faces_apart(self, seen: Look, camera_from_object: Array, *, stands: bool) -> tuple[Array, Array]:
        """(3,) m from the known faces to this frame's, in the camera's axes, and (3, 3) how much the seen ones say."""
        axes = camera_from_object[:3, :3] @ self.axes
        fresh = self._faces(seen, camera_from_object, stands=stands)
        weights = 1 / (fresh.sigma_m**2 + self.faces.sigma_m**2)
        apart_m = (weights * (fresh.ends_m - self.faces.ends_m)).sum(axis=0) / weights.sum(axis=0)
        return axes @ apart_m, (axes * weights.sum(axis=0)) @ axes.T

    def box(self, camera_from_object: Array, point_count: int) -> OrientedBox:
        """The box of an object that is at `camera_from_object` (4, 4)."""
        axes = camera_from_object[:3, :3] @ self.axes
        center = axes @ self.faces.center_m + camera_from_object[:3, 3]
        return OrientedBox(rigid(axes, center), self.faces.size_m, point_count, self.orientation_known)

    def _learn_axes(self, fit: BoxFit, camera_from_object: Array) -> None:
        """Whether it is round, and its yaw if not, by one frame that shows it whole."""
        self._whole_frames = min(self._whole_frames + 1, _MEMORY)
        self._round += (float(fit.is_round) - self._round) / self._whole_frames
        self._known += (float(fit.box.orientation_known) - self._known) / self._whole_frames
        self._handles_seen += int(_shows_handle(fit))
        if fit.upright and fit.box.orientation_known and not fit.is_round:
            self._turn(fit, camera_from_object)

    def _straighten(self, seen: Look, camera_from_object: Array) -> None:
        """Bring the third axis of what stands nearer to what this frame says is up."""
        assert seen.up is not None
        up = camera_from_object[:3, :3].T @ seen.up
        self._tilts = min(self._tilts + 1, _MEMORY)
        between = self.axes[:, 2] + (up - self.axes[:, 2]) / self._tilts
        self.axes = smallest_rotation(self.axes[:, 2], between / np.linalg.norm(between)) @ self.axes

    def _turn(self, fit: BoxFit, camera_from_object: Array) -> None:
        """Bring the yaw nearer to that of this frame's box, described by the axes nearest to the known ones."""
        known = self.box(camera_from_object, fit.box.point_count)
        fresh = continue_axes(fit.box, known).camera_from_object[:3, :3]
        between = known.camera_from_object[:3, :3].T @ fresh
        yaw = float(np.arctan2(between[1, 0] - between[0, 1], between[0, 0] + between[1, 1]))
        self._turns = min(self._turns + 1, _MEMORY)
        step = float(np.clip(yaw, -_LARGEST_TURN_RAD, _LARGEST_TURN_RAD)) / self._turns
        cos, sin = np.cos(step), np.sin(step)
        self.axes = self.axes @ np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])

    def _faces(self, seen: Look, camera_from_object: Array, *, stands: bool) -> Faces:
        """This frame's faces along the known axes, from the object's origin."""
        axes = camera_from_object[:3, :3] @ self.axes
        faces = faces_of(
            seen.points_m,
            seen.fit,
            axes,
            floor_m=seen.floor_m if stands else None,
            missing_m=seen.missing_m,
            noise_m=seen.noise_m,
            shown_m=seen.shown_m,
            border_m=seen.border_m,
        )
        return Faces(faces.ends_m - camera_from_object[:3, 3] @ axes, faces.sigma_m, faces.weight)


def is_seen_whole(seen: Look) -> bool:
    """Whether next to nothing of it is hidden: what is cut off makes corners where none are."""
    return bool(seen.missing_m.max() < _WHOLE * seen.fit.box.size_m.max())


def _shows_handle(fit: BoxFit) -> bool:
    """Whether something stands out of a round body, which gives it axes."""
    return fit.body_center_m is not None and not fit.is_round
