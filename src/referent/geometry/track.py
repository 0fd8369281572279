"""One object's pose over time: every frame laid on earlier ones, its box learned, its motion filtered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.covariance import UNKNOWN_ANGLE_RAD, fused_covariance
from referent.geometry.estimate import Look, look, look_covariance
from referent.geometry.keyframes import Keyframes
from referent.geometry.measuring import (
    LAID_SIGMA,
    Measured,
    View,
    box_information,
    continued,
    information_of,
    moved_over,
    shifted_only,
    standing,
    stood_up,
    turned_anyhow,
    turned_rad,
)
from referent.geometry.model_track import ModelTrack
from referent.geometry.models.model import ObjectModel
from referent.geometry.motion import GATE, Motion
from referent.geometry.poses import rigid, rigid_inverse
from referent.geometry.registration import Registration, rotation_of, rotation_vector
from referent.geometry.shape import Shape, is_seen_whole
from referent.geometry.symmetry import continue_axes, proper, smallest_rotation
from referent.types import Array, ObjectCloud, ObjectPose, OrientedBox, PoseQuality, RgbdFrame

_GOOD_OVERLAP = 0.5  # of a frame's points must lie on the known surface
_SURE_OVERLAP = 0.8  # it is there
_FULL_OVERLAP = 0.97  # no other start is tried
_CLEARLY_BETTER = 0.1
_BETTER_MISFIT = 0.8  # of another start's
_APART_M = 0.006  # faces farther from where they were laid, or a box that is turned more, are tried as well
_APART_RAD = np.deg2rad(6.0)
_FAR_RAD = np.deg2rad(15.0)  # nothing turns by more beside what was predicted, from one frame to the next
_SLIVER_SHARE, _MOST_SHARE = 0.6, 0.85  # of the box's diagonal
_ALIKE_SHARE = 0.08
_REJECTS = 5  # frames in a row that fit nowhere: the object is learned anew
_LONG_REJECTS = 30  # frames: so long a sliver elsewhere is waited for to be the object coming back
_OUT_OF_SIGHT_NS = 500_000_000
_HIDDEN_NS = 200_000_000
_NEAR_M = 0.02


class PoseTrack:
    """The pose of one object, frame by frame. Frames come in order of time; belongs to one thread."""

    def __init__(self, config: GeometryConfig, known: ModelTrack | None = None) -> None:
        self._config = config
        self._known = known  # where the model of its shape is, if there is one
        self._life: _Life | None = None
        self._last_box: OrientedBox | None = None

    @property
    def model(self) -> ObjectModel | None:
        """The model of its shape, where one is known."""
        return None if self._known is None else self._known.model

    def restart(self) -> None:
        """Learn it anew from the next frame on."""
        self._life = None
        if self._known is not None:
            self._known.restart()

    def step(
        self,
        frame: RgbdFrame,
        mask: Array,
        *,
        up_in_camera: Array | None = None,
        fixed_from_camera: Array | None = None,
    ) -> ObjectPose | None:
        """The pose in `frame` of what `mask` (H, W) bool covers, in the camera's optical frame; None when not seen.

        `up_in_camera` (3,) is the direction against gravity, `fixed_from_camera` (4, 4) where the camera is in a frame
        that does not move, both when known. ValueError for a mask or direction of the wrong shape.
        """
        seen = look(frame, mask, self._config, up_in_camera=up_in_camera)
        if seen is None:
            return None
        if self._known is not None:
            pose = self._known.step(frame, mask, seen, up_in_camera=up_in_camera, fixed_from_camera=fixed_from_camera)
            if pose is not None:
                self._life = None
                return pose
        view = View(frame, seen, fixed_from_camera, up_in_camera)
        if self._life is not None and not self._life.follow(view, self._config):
            if self._life.may_come_back(view):
                return self._life.as_seen(view, self._config)
            self._life = _Life(view, moved_over(view, self._last_box))
        if self._life is None:
            view = continued(view, self._last_box)
            self._life = _Life(view, view.seen.fit.box.camera_from_object)
        pose = self._life.pose(view, self._config)
        self._last_box = pose.box
        return pose


class _Life:
    """An object from the frame it was learned at until it fits no more."""

    def __init__(self, view: View, camera_from_object: Array) -> None:
        seen = view.seen
        self._born_ns = self._measured_ns = self._seen_ns = view.frame.stamp_ns
        self._published: Array | None = None  # (3, 3) axes of the last published box, in the fixed frame
        self._out_of_sight = False  # it was, and has not been found since
        self._coming_back = False  # it was hidden, and most of it has not been found since
        self._keyframes = Keyframes(seen, camera_from_object)
        self._shape = Shape(seen, camera_from_object)
        moving = view.fixed_from_camera is None  # what rests moves too, seen from a camera that moves
        self._motion = Motion(view.fixed @ camera_from_object, np.diag(LAID_SIGMA**2), self._born_ns, moving=moving)
        self._moved = moving  # ever: then it may be held over its support
        self._fixed_known = view.fixed_from_camera is not None
        self._source = "box"
        self._residual_m: float | None = None
        self._rejects = 0

    def follow(self, view: View, config: GeometryConfig) -> bool:
        """Take in one frame; False when the object has to be learned anew."""
        if self._fixed_known != (view.fixed_from_camera is not None):
            return False
        self._motion.predict(view.frame.stamp_ns)
        self._out_of_sight |= view.frame.stamp_ns - self._seen_ns > _OUT_OF_SIGHT_NS
        self._coming_back |= view.frame.stamp_ns - self._seen_ns > _HIDDEN_NS
        self._seen_ns = view.frame.stamp_ns
        predicted = rigid_inverse(view.fixed) @ self._motion.pose
        measured = self._laid(view, predicted, config)
        self._source = "predicted"
        if measured is None or not self._accept(view, measured):
            self._rejects += 1
            return (self._is_sliver(view) or self._rejects < _REJECTS) and self._is_near(view, predicted)
        self._rejects = 0
        self._out_of_sight = False
        self._coming_back &= self._seen_share(view) < _MOST_SHARE
        self._source, self._measured_ns = "registered", view.frame.stamp_ns
        self._residual_m = measured.registration.residual_m
        now = rigid_inverse(view.fixed) @ self._motion.pose
        self._moved |= self._motion.moving
        self._shape.learn(view.seen, now, moved=self._moved)
        if self._keyframes.wants(now, measured.registration.overlap):
            self._keyframes.add(view.seen, now)
        return True

    def may_come_back(self, view: View) -> bool:
        """Whether what is seen elsewhere is so little that it may still be this object, cut off or hidden."""
        return self._is_sliver(view) and self._rejects < _LONG_REJECTS

    def as_seen(self, view: View, config: GeometryConfig) -> ObjectPose:
        """What is published of so little: this frame's box, as unsure as the object is larger than it."""
        seen = view.seen
        covariance = look_covariance(seen, view.frame.intrinsics.fx, config, gravity_known=view.gravity_known)
        beyond_m = (np.linalg.norm(self._shape.faces.size_m) - np.linalg.norm(seen.fit.box.size_m)) / 2
        covariance[:3, :3] += np.eye(3) * beyond_m**2
        covariance[3:, 3:] += np.eye(3) * UNKNOWN_ANGLE_RAD**2
        box = self._along_published(seen, view.fixed)
        quality = PoseQuality(
            "box", unobserved=(True, True, True), born_stamp_ns=self._born_ns, measured_stamp_ns=view.frame.stamp_ns
        )
        return ObjectPose(box, covariance, ObjectCloud(seen.points_m, seen.rgb), quality)

    def _along_published(self, seen: Look, fixed: Array) -> OrientedBox:
        """The box of a frame's points along the axes that were last published."""
        axes = seen.fit.box.camera_from_object[:3, :3]
        if self._published is not None:
            axes = fixed[:3, :3].T @ self._published
        low, high = np.quantile(seen.points_m @ axes, [0.01, 0.99], axis=0)
        return OrientedBox(
            rigid(axes, axes @ ((low + high) / 2)), np.maximum(high - low, 0.001), len(seen.points_m), False
        )

    def pose(self, view: View, config: GeometryConfig) -> ObjectPose:
        """What is published for this frame."""
        now = rigid_inverse(view.fixed) @ self._motion.pose
        seen = view.seen
        box = self._shape.box(now, len(seen.points_m))
        if view.gravity_known and self._stands(view, now):
            box = stood_up(box, seen.up)
        box = self._continued(box, view)
        turn = np.kron(np.eye(2), view.fixed[:3, :3].T)
        covariance = fused_covariance(
            box,
            turn @ self._motion.covariance @ turn.T,
            self._shape.faces.center_sigma_m,
            config,
            upright=seen.fit.upright,
            gravity_known=view.gravity_known,
        )
        motion = "moving" if self._motion.moving else "static"
        quality = PoseQuality(
            self._source,
            motion=motion if self._fixed_known or motion == "static" else "unknown",
            residual_m=self._residual_m,
            unobserved=self._shape.faces.unobserved,
            born_stamp_ns=self._born_ns,
            measured_stamp_ns=self._measured_ns,
        )
        return ObjectPose(box, covariance, ObjectCloud(seen.points_m, seen.rgb), quality)

    def _continued(self, box: OrientedBox, view: View) -> OrientedBox:
        """The box with the yaw it was last published with, if it is round and has none of its own."""
        axes = view.fixed[:3, :3] @ box.camera_from_object[:3, :3]
        if self._shape.is_round and self._published is not None:
            axes = proper(smallest_rotation(self._published[:, 2], axes[:, 2]) @ self._published)
        self._published = axes
        return replace(box, camera_from_object=rigid(view.fixed[:3, :3].T @ axes, box.camera_from_object[:3, 3]))

    def _laid(self, view: View, predicted: Array, config: GeometryConfig) -> Measured | None:
        """This frame laid on the known surface, from where it should be or from where its box is; None: on neither."""
        best = self._keyframes.lay(view.seen, predicted)
        if not self._is_sliver(view):
            if best.overlap < _SURE_OVERLAP:
                anew = self._at_fresh_faces if self._coming_back else self._at_fresh_box
                other = self._keyframes.lay(view.seen, anew(view, predicted))
                margin = -_CLEARLY_BETTER if self._is_whole(view) else _CLEARLY_BETTER
                best = other if other.overlap > best.overlap + margin else best
            start = None
            if best.overlap < _FULL_OVERLAP:
                start = self._contradicting(view, rigid_inverse(best.target_from_points))
            if start is not None:
                other = self._keyframes.lay(view.seen, start)
                best = other if other.misfit < _BETTER_MISFIT * best.misfit else best
        if self._coming_back and self._seen_share(view) < 1 - _ALIKE_SHARE and self._is_turned(best, predicted):
            best = self._with_its_turn(view, best, predicted)
        if best.overlap < _GOOD_OVERLAP:
            return None
        pose = rigid_inverse(best.target_from_points)
        information = information_of(best, pose, view, config)
        if self._is_sliver(view):
            return shifted_only(best, pose, predicted, information)
        if self._shape.is_round:
            information = turned_anyhow(information, pose[:3, :3] @ self._shape.axes[:, 2])
        return self._with_box(Measured(pose, information, best), view, config)

    def _with_its_turn(self, view: View, turned: Registration, predicted: Array) -> Registration:
        """A part of it laid with the turn it had, if it lies well so; else as it was, if most of it lies wholly there.

        A part of one face of a box lies on another as well: what shows little does not show how it is turned.
        """
        kept = self._keyframes.lay(view.seen, self._at_fresh_faces(view, predicted))
        if kept.overlap > _SURE_OVERLAP and not self._is_turned(kept, predicted):
            return kept
        strong = turned.overlap > _FULL_OVERLAP and self._seen_share(view) > _MOST_SHARE
        return turned if strong else replace(turned, overlap=0.0)

    def _is_turned(self, laid: Registration, predicted: Array) -> bool:
        """Whether a frame was laid with clearly another turn than was predicted."""
        axis = predicted[:3, :3] @ self._shape.axes[:, 2] if self._shape.is_round else None
        return turned_rad(laid, predicted, spun_about=axis) > _FAR_RAD

    def _with_box(self, laid: Measured, view: View, config: GeometryConfig) -> Measured:
        """The registration and this frame's box together: a flat face slides along itself, its borders do not.

        Where both contradict each other the box is the one that is wrong: it may be hidden in part.
        """
        fit = view.seen.fit
        learned = self._shape.box(laid.camera_from_object, fit.box.point_count).camera_from_object
        fresh = continue_axes(fit.box, self._shape.box(laid.camera_from_object, 0)).camera_from_object
        turn = rotation_vector(fresh[:3, :3] @ learned[:3, :3].T)
        turned = fit.box.orientation_known and self._shape.orientation_known
        if self._coming_back and np.linalg.norm(turn) > _FAR_RAD:
            turned &= is_seen_whole(view.seen)
        apart = np.concatenate([fresh[:3, 3] - learned[:3, 3], turn * turned])
        information = box_information(view, config, turned=turned)
        if not self._stands(view, laid.camera_from_object):  # its own box may reach down to a support far below
            apart[:3], information[:3, :3] = self._shape.faces_apart(view.seen, laid.camera_from_object, stands=False)
        upright, lean = standing(learned, view)
        both = laid.information + information + upright
        contradiction = apart @ information @ np.linalg.solve(both, laid.information @ apart)
        if contradiction > GATE:
            both, information = laid.information + upright, np.zeros((6, 6))
        shift = np.linalg.solve(both, information @ apart + upright @ lean)
        old = laid.camera_from_object
        pose = rigid(rotation_of(shift[3:]) @ old[:3, :3], old[:3, 3] + shift[:3])
        return Measured(pose, both, laid.registration)

    def _stands(self, view: View, camera_from_object: Array) -> bool:
        """Whether it stands on the support that is seen, at a pose."""
        return self._shape.stands(view.seen, camera_from_object, moved=self._moved)

    def _is_sliver(self, view: View) -> bool:
        """Whether little of the object is seen."""
        return self._seen_share(view) < _SLIVER_SHARE

    def _is_whole(self, view: View) -> bool:
        """Whether as much is seen of the object as is known of it: then its box says where it is."""
        return abs(self._seen_share(view) - 1) < _ALIKE_SHARE

    def _seen_share(self, view: View) -> float:
        """How long the diagonal of this frame's box is beside that of the known one."""
        return float(np.linalg.norm(view.seen.fit.box.size_m) / np.linalg.norm(self._shape.faces.size_m))

    def _is_near(self, view: View, predicted: Array) -> bool:
        """Whether what is seen may still be the object: else the mask has gone over to something else."""
        box = self._shape.box(predicted, 0)
        apart_m = np.linalg.norm(view.seen.fit.box.camera_from_object[:3, 3] - box.camera_from_object[:3, 3])
        return bool(apart_m < _NEAR_M + np.linalg.norm(box.size_m) / 2)

    def _at_fresh_box(self, view: View, predicted: Array) -> Array:
        """The predicted pose moved to where this frame's own box is."""
        expected = self._shape.box(predicted, 0).camera_from_object[:3, 3]
        shift = view.seen.fit.box.camera_from_object[:3, 3] - expected
        return rigid(predicted[:3, :3], predicted[:3, 3] + shift)

    def _at_fresh_faces(self, view: View, predicted: Array) -> Array:
        """The predicted pose moved to where this frame's own faces are: those that are hidden have no say."""
        shift, _ = self._shape.faces_apart(view.seen, predicted, stands=self._stands(view, predicted))
        return rigid(predicted[:3, :3], predicted[:3, 3] + shift)

    def _contradicting(self, view: View, laid: Array) -> Array | None:
        """Where a frame lies by its own faces, and turned as its box if that is whole; None: where it was laid."""
        fit = view.seen.fit
        learned = self._shape.box(laid, fit.box.point_count)
        shift, _ = self._shape.faces_apart(view.seen, laid, stands=self._stands(view, laid))
        turn = np.eye(3)
        if self._is_whole(view) and fit.box.orientation_known and self._shape.orientation_known:
            turn = continue_axes(fit.box, learned).camera_from_object[:3, :3] @ learned.camera_from_object[:3, :3].T
        turned = np.linalg.norm(rotation_vector(turn)) > _APART_RAD
        if np.linalg.norm(shift) < _APART_M and not turned:
            return None
        turn = turn if turned else np.eye(3)
        about = learned.camera_from_object[:3, 3]
        return np.asarray(rigid(turn, about - turn @ about + shift) @ laid)

    def _accept(self, view: View, measured: Measured) -> bool:
        """Give a measurement to the filter, unless it cannot be."""
        turn = np.kron(np.eye(2), view.fixed[:3, :3])
        information = turn @ measured.information @ turn.T
        pose = view.fixed @ measured.camera_from_object
        creeps = self._motion.creeps(pose, information)
        if creeps or self._motion.surprise(pose, information) > GATE:
            if self._is_sliver(view):  # a sliver of a surface lies well in many places
                return False
            sure = self._is_whole(view) and measured.registration.overlap > _SURE_OVERLAP
            if not self._motion.moving or sure:  # what is pushed stops all at once, too
                self._motion.set_off()
            if self._out_of_sight and self._motion.surprise(pose, information) > GATE:
                self._motion.lose()
            if self._motion.surprise(pose, information) > GATE:
                return False
        self._motion.correct(pose, information, turns=self._shape.has_handle)
        return True
