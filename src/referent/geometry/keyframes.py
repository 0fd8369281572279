"""The surface of an object as a few chosen frames saw it: what later frames are laid upon."""

from __future__ import annotations

import numpy as np

from referent.geometry.estimate import Look
from referent.geometry.points import thinned
from referent.geometry.poses import rigid_inverse, transform_points
from referent.geometry.registration import Registration, Target, register, surface_of
from referent.types import Array

_LIMIT = 12
_SURFACE_POINTS = 1500  # of one keyframe
_LAID_POINTS = 500  # of a frame
_NEW_VIEW_COS = np.cos(np.deg2rad(25.0))
_NEW_OVERLAP = 0.6
_KERNEL_M = 0.004
_GATE_M = 0.015
_SIGMAS = 3.0
_REACH_M = 0.006  # normals are taken over this radius, or more where the depth is noisier


class Keyframes:
    """A bounded set of surfaces in the object's frame. The first ones stay: a model that grows all the time smears."""

    def __init__(self, seen: Look, camera_from_object: Array) -> None:
        self._surfaces: list[Target] = []
        self._views: list[Array] = []  # (3,) directions from the object to the camera, in the object's frame
        self._target = Target(np.zeros((0, 3)), np.zeros((0, 3)))
        self.add(seen, camera_from_object)

    def add(self, seen: Look, camera_from_object: Array) -> None:
        """Take in a frame whose pose is known."""
        object_from_camera = rigid_inverse(camera_from_object)
        points = transform_points(object_from_camera, seen.points_m.astype(np.float64))
        reach_m = max(_REACH_M, _SIGMAS * seen.noise_m)
        self._surfaces.append(surface_of(points, _SURFACE_POINTS, reach_m, object_from_camera[:3, 3]))
        self._views.append(_view(camera_from_object))
        self._target = Target(
            np.concatenate([surface.points_m for surface in self._surfaces]),
            np.concatenate([surface.normals for surface in self._surfaces]),
        )

    def lay(self, seen: Look, camera_from_object: Array) -> Registration:
        """This frame's points laid on the known surface, beginning from a guess of the pose."""
        points = seen.points_m[thinned(np.arange(len(seen.points_m)), _LAID_POINTS)]
        kernel_m = max(_KERNEL_M, _SIGMAS * seen.noise_m)
        gate_m = max(_GATE_M, _SIGMAS * seen.noise_m)
        return register(points, self._target, rigid_inverse(camera_from_object), kernel_m=kernel_m, gate_m=gate_m)

    def wants(self, camera_from_object: Array, overlap: float) -> bool:
        """Whether a frame at this pose shows what is not known yet."""
        if len(self._views) >= _LIMIT:
            return False
        nearest = max(float(view @ _view(camera_from_object)) for view in self._views)
        return nearest < _NEW_VIEW_COS or overlap < _NEW_OVERLAP


def _view(camera_from_object: Array) -> Array:
    towards = rigid_inverse(camera_from_object)[:3, 3]
    return np.asarray(towards / np.linalg.norm(towards))
