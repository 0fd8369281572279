"""Short films of known objects on a table, from a camera that may move; what a pose track is to follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from known_shapes import Part, depth_of
from rendered import _plane_depth, with_noise

from referent.geometry.poses import rigid, rigid_inverse
from referent.geometry.track import PoseTrack
from referent.types import Array, Intrinsics, ObjectPose, OrientedBox, RgbdFrame

CAMERA = Intrinsics(400, 300, 420.0, 420.0, 199.5, 149.5)
FRAME_NS = 33_333_333
_LARGEST_M = 0.12  # from an object's origin to its farthest point


def on_table(yaw_deg: float = 0.0, x_m: float = 0.0, y_m: float = 0.0, *, z_m: float = 0.03) -> Array:
    """world_from_object of something on the table z = 0, its origin at height `z_m`."""
    return rigid(yawed(yaw_deg), np.array([x_m, y_m, z_m]))


def yawed(yaw_deg: float) -> Array:
    c, s = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def a_camera(
    azimuth_deg: float = 0.0,
    elevation_deg: float = 40.0,
    distance_m: float = 0.6,
    *,
    at_m: Sequence[float] = (0, 0, 0.03),
) -> Array:
    """world_from_camera that looks at `at_m`, x level."""
    e = np.deg2rad(elevation_deg)
    away = yawed(azimuth_deg) @ np.array([0.0, -np.cos(e), np.sin(e)])
    right = yawed(azimuth_deg)[:, 0]
    return rigid(np.column_stack([right, np.cross(-away, right), -away]), np.asarray(at_m) + distance_m * away)


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame, the mask of each object in it, and the camera."""

    frame: RgbdFrame
    masks: Mapping[str, Array]
    world_from_camera: Array
    poses: Mapping[str, Array]  # world_from_object

    @property
    def up(self) -> Array:
        return self.world_from_camera[2, :3].copy()

    def camera_from(self, name: str, offset_m: Sequence[float] = (0, 0, 0)) -> Array:
        """Where an object is; its origin moved by `offset_m` in its own axes."""
        return rigid_inverse(self.world_from_camera) @ self.poses[name] @ rigid(np.eye(3), np.asarray(offset_m))


def a_shot(
    world_from_camera: Array,
    objects: Mapping[str, tuple[Sequence[Part], Array]],
    *,
    frame: int = 0,
    noise_px: float = 0.05,
    table: bool = True,
    camera: Intrinsics = CAMERA,
) -> Shot:
    """Objects by name, each its parts and world_from_object, as the camera sees them in that frame of a film."""
    camera_from_world = rigid_inverse(world_from_camera)
    layers = {name: _layer(parts, camera_from_world @ pose, camera) for name, (parts, pose) in objects.items()}
    ground = _plane_depth(world_from_camera, camera)
    depth = np.min([ground if table else np.full_like(ground, np.inf), *layers.values()], axis=0)
    masks = {name: (layer == depth) & np.isfinite(layer) for name, layer in layers.items()}
    noisy = with_noise(np.where(np.isfinite(depth), depth, np.nan), noise_px, frame, camera)
    rgb = np.zeros((camera.height, camera.width, 3), np.uint8)
    picture = RgbdFrame(frame * FRAME_NS, "camera", rgb, noisy, camera)
    return Shot(picture, masks, world_from_camera, {name: pose for name, (_, pose) in objects.items()})


def _layer(parts: Sequence[Part], camera_from_object: Array, camera: Intrinsics) -> Array:
    """(H, W) depth of one object alone, infinite beside it; only its surroundings are rendered."""
    depth = np.full((camera.height, camera.width), np.inf)
    at = camera_from_object[:3, 3]
    reach = int(np.ceil(camera.fx * _LARGEST_M / max(at[2] - _LARGEST_M, 0.05)))
    u, v = int(camera.fx * at[0] / at[2] + camera.cx), int(camera.fy * at[1] / at[2] + camera.cy)
    left, top = max(0, u - reach), max(0, v - reach)
    width, height = min(camera.width, u + reach) - left, min(camera.height, v + reach) - top
    if width <= 0 or height <= 0:
        return depth
    window = Intrinsics(width, height, camera.fx, camera.fy, camera.cx - left, camera.cy - top)
    depth[top : top + height, left : left + width] = depth_of(parts, camera_from_object, window)
    return depth


@dataclass
class Followed:
    """What a track said of one object over a film."""

    track: PoseTrack
    name: str = "object"
    gravity: bool = True
    fixed: bool = True
    shots: list[Shot] = field(default_factory=list)
    poses: list[ObjectPose] = field(default_factory=list)

    def see(self, shot: Shot, mask: Array | None = None) -> ObjectPose:
        """One more frame, which shows the object."""
        pose = self.track.step(
            shot.frame,
            shot.masks[self.name] if mask is None else mask,
            up_in_camera=shot.up if self.gravity else None,
            fixed_from_camera=shot.world_from_camera if self.fixed else None,
        )
        assert pose is not None
        assert a_sound_pose(pose)
        self.shots.append(shot)
        self.poses.append(pose)
        return pose

    @property
    def boxes_in_world(self) -> Array:
        """(N, 4, 4) world_from_box of all frames."""
        pairs = zip(self.shots, self.poses, strict=True)
        return np.array([shot.world_from_camera @ pose.box.camera_from_object for shot, pose in pairs])


def a_sound_pose(pose: ObjectPose) -> bool:
    """What must hold of every pose that is handed out."""
    a_sound_box(pose.box)
    assert np.isfinite(pose.covariance).all()
    np.testing.assert_allclose(pose.covariance, pose.covariance.T)
    assert np.linalg.eigvalsh(pose.covariance).min() > 1e-7
    assert len(pose.cloud.points_m) > 0
    return True


def a_sound_box(box: OrientedBox) -> None:
    rotation = box.camera_from_object[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0
    assert np.isfinite(box.camera_from_object).all()
    assert np.isfinite(box.size_m).all()
    assert (box.size_m > 0).all()


def turns_deg(rotations: Array) -> Array:
    """(N - 1,) how far each of (N, 3, 3) rotations is from the one before."""
    cosines = (np.einsum("nij,nij->n", rotations[:-1], rotations[1:]) - 1) / 2
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosines, -1, 1))))
