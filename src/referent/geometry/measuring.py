"""What one frame says of a tracked object's pose, and how much: registration, box and support in one currency."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.estimate import Look, look_covariance
from referent.geometry.noise import independent_samples
from referent.geometry.poses import rigid, skew, transform_points
from referent.geometry.registration import Registration, rotation_vector
from referent.geometry.symmetry import continue_axes, smallest_rotation
from referent.types import Array, OrientedBox, RgbdFrame

LAID_SIGMA = np.array([0.001] * 3 + [0.005] * 3)  # m and rad: what a registration is off by at least
# Boxes of successive frames err alike: each counts as off by so much at least, however well calibrated the camera is.
_BOX_FLOOR_M, _BOX_FLOOR_DEG = 0.003, 1.0
_STANDING_RAD = np.deg2rad(2.0)  # what stands on a level support is upright to this
_ROUND_SHARE = 0.05  # of what a round thing's surface seems to say of its turn is left, lest none is
_TIPPED_COS = np.cos(np.deg2rad(25.0))  # what leans more does not stand
_LEVEL_COS = np.cos(np.deg2rad(8.0))  # a support that slopes more has its own normal as its up
_STANDING_COS = np.cos(np.deg2rad(10.0))  # what leans less and stands is upright


@dataclass(frozen=True, eq=False)
class View:
    """One frame's look at the object and where the camera was."""

    frame: RgbdFrame
    seen: Look
    fixed_from_camera: Array | None
    up_in_camera: Array | None  # (3,) against gravity, when known

    @property
    def gravity_known(self) -> bool:
        """Whether it is known where up is, whatever it stands on."""
        return self.up_in_camera is not None

    @property
    def fixed(self) -> Array:
        """(4, 4) the camera in the frame the motion is filtered in: its own where no other is known."""
        return np.eye(4) if self.fixed_from_camera is None else self.fixed_from_camera


@dataclass(frozen=True, eq=False)
class Measured:
    """One frame's pose of the object and (6, 6) information about it, about the camera's axes at its origin."""

    camera_from_object: Array
    information: Array
    registration: Registration


def continued(view: View, last: OrientedBox | None) -> View:
    """The view with its box described by the axes that continue those of an earlier life."""
    if last is None:
        return view
    fit = view.seen.fit
    box = continue_axes(fit.box, last, is_round=fit.is_round)
    return replace(view, seen=replace(view.seen, fit=replace(fit, box=box)))


def moved_over(view: View, last: OrientedBox | None) -> Array:
    """(4, 4) where this frame's box is, turned as the last one: a box seen in part has no say in how it is turned."""
    fresh = view.seen.fit.box.camera_from_object
    return fresh if last is None else rigid(last.camera_from_object[:3, :3], fresh[:3, 3])


def shifted_only(laid: Registration, pose: Array, predicted: Array, information: Array) -> Measured:
    """What a sliver of the object says: where it is, with the turn that was expected."""
    middle = transform_points(pose, laid.rotation_center_m[None])[0]
    turn = predicted[:3, :3]
    known = information.copy()
    known[3:, :] = known[:, 3:] = 0.0
    return Measured(rigid(turn, middle - turn @ laid.rotation_center_m), known, laid)


def information_of(laid: Registration, pose: Array, view: View, config: GeometryConfig) -> Array:
    """(6, 6) information of a registration about the camera's axes at the object's origin.

    Neighbouring pixels err together: the points count as the few independent ones they are worth.
    """
    seen = view.seen
    worth = (
        independent_samples(len(seen.points_m), seen.distance_m, view.frame.intrinsics.fx, config.depth_correlation_m)
        / laid.count
    )
    sigma_m = max(seen.noise_m, laid.residual_m)
    at_origin = np.eye(6)  # from a rotation about the origin to one about the points' middle
    at_origin[:3, 3:] = -skew(laid.rotation_center_m)
    information = at_origin.T @ laid.information @ at_origin * (min(1.0, worth) / sigma_m**2)
    loosest = np.diag([1.0] * 3 + [1e-2] * 3)
    covariance = np.linalg.inv(information + loosest) + np.diag(LAID_SIGMA**2)
    turn = np.kron(np.eye(2), pose[:3, :3])
    return np.asarray(turn @ np.linalg.inv(covariance) @ turn.T)


def turned_anyhow(information: Array, axis: Array) -> Array:
    """(6, 6) information that says little of the turn about `axis` (3,), of what is round about it."""
    known = np.eye(6)
    known[3:, 3:] -= (1 - _ROUND_SHARE) * np.outer(axis, axis)
    return np.asarray(known @ information @ known)


def turned_rad(laid: Registration, predicted: Array, *, spun_about: Array | None) -> float:
    """By how much a frame was laid turned beside `predicted` (4, 4); about the axis `spun_about` (3,) anything goes."""
    turn = laid.target_from_points[:3, :3].T @ predicted[:3, :3].T
    if spun_about is not None:
        return float(np.arccos(np.clip(spun_about @ turn @ spun_about, -1.0, 1.0)))
    return float(np.linalg.norm(rotation_vector(turn)))


def standing(learned: Array, view: View) -> tuple[Array, Array]:
    """(6, 6) information that what stands on a level support stands upright, and (6,) the turn that brings it there."""
    nothing = np.zeros((6, 6)), np.zeros(6)
    up = view.seen.up
    if up is None or view.up_in_camera is None or view.seen.floor_m is None:
        return nothing
    # A slope that its support has in one frame is mostly another surface: it does not tilt what stood upright.
    sloping = up @ view.up_in_camera < _LEVEL_COS * np.linalg.norm(view.up_in_camera)
    if learned[:3, 2] @ up < (_LEVEL_COS if sloping else _TIPPED_COS):
        return nothing
    information, lean = nothing
    information[3:, 3:] = _level(up) / _STANDING_RAD**2
    lean[3:] = np.cross(learned[:3, 2], up)
    return information, lean


def box_information(view: View, config: GeometryConfig, *, turned: bool) -> Array:
    """(6, 6) information of this frame's own box, of how it is turned only if `turned`."""
    as_sure = replace(config, floor_position_m=_BOX_FLOOR_M, floor_rotation_deg=_BOX_FLOOR_DEG)
    covariance = look_covariance(view.seen, view.frame.intrinsics.fx, as_sure, gravity_known=view.gravity_known)
    information = np.zeros((6, 6))
    information[:3, :3] = np.linalg.inv(covariance[:3, :3])
    if turned:
        information[3:, 3:] = np.linalg.inv(covariance[3:, 3:])
    return information


def _level(up: Array) -> Array:
    """(3, 3) what takes the part along `up` from a vector."""
    return np.eye(3) - np.outer(up, up)


def stood_up(box: OrientedBox, up: Array | None) -> OrientedBox:
    """The box with its third axis exactly upwards, if it nearly is."""
    z = box.camera_from_object[:3, 2]
    if up is None or z @ up < _STANDING_COS:
        return box
    axes = smallest_rotation(z, up) @ box.camera_from_object[:3, :3]
    return replace(box, camera_from_object=rigid(axes, box.camera_from_object[:3, 3]))
