"""Exact depth images of one box or cylinder on an endless plane, by intersecting rays; the truth of these tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.geometry.camera import rays
from referent.types import Array, Intrinsics, RgbdFrame

CAMERA = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A frame, the object's mask in it, and where the object is."""

    frame: RgbdFrame
    mask: Array
    camera_from_object: Array
    size_m: Array
    up_in_camera: Array


def a_view(*, elevation_deg: float, distance_m: float, roll_deg: float = 0.0) -> Array:
    """world_from_camera (4, 4) of a camera that looks at the world's origin; world z is up."""
    e = np.deg2rad(elevation_deg)
    position = distance_m * np.array([0.0, -np.cos(e), np.sin(e)])
    forward = -position / distance_m
    right = np.array([1.0, 0.0, 0.0])
    down = np.cross(forward, right)
    r = np.deg2rad(roll_deg)
    view = np.eye(4)
    view[:3, 0] = np.cos(r) * right + np.sin(r) * down
    view[:3, 1] = -np.sin(r) * right + np.cos(r) * down
    view[:3, 2] = forward
    view[:3, 3] = position
    return view


def a_render(
    size_m: tuple[float, float, float] = (0.12, 0.08, 0.06),
    *,
    shape: str = "box",
    yaw_deg: float = 30.0,
    at_m: tuple[float, float] = (0.0, 0.0),
    elevation_deg: float = 40.0,
    distance_m: float = 0.7,
    roll_deg: float = 0.0,
    plane: bool = True,
    noise_px: float = 0.0,
    seed: int = 0,
    camera: Intrinsics = CAMERA,
) -> Rendered:
    """One object standing on the plane z = 0 of the world, `noise_px` of disparity noise correlated over pixels."""
    world_from_camera = a_view(elevation_deg=elevation_deg, distance_m=distance_m, roll_deg=roll_deg)
    world_from_object = np.eye(4)
    y = np.deg2rad(yaw_deg)
    world_from_object[:2, :2] = [[np.cos(y), -np.sin(y)], [np.sin(y), np.cos(y)]]
    world_from_object[:3, 3] = [*at_m, size_m[2] / 2]
    camera_from_object = np.linalg.inv(world_from_camera) @ world_from_object
    hit = {"box": _box_depth, "cylinder": _cylinder_depth}[shape](camera_from_object, np.asarray(size_m), camera)
    ground = _plane_depth(world_from_camera, camera) if plane else np.full_like(hit, np.inf)
    mask = hit < ground
    depth = np.where(mask, hit, ground)
    depth = np.where(np.isfinite(depth), depth, np.nan)
    frame = RgbdFrame(
        0, "camera", np.zeros((*mask.shape, 3), np.uint8), with_noise(depth, noise_px, seed, camera), camera
    )
    return Rendered(
        frame, mask, camera_from_object, np.asarray(size_m, float), world_from_camera[:3, :3].T[:, 2].copy()
    )


def with_noise(depth_m: Array, noise_px: float, seed: int, camera: Intrinsics, baseline_m: float = 0.05) -> Array:
    """Depth with stereo noise, smooth over a few pixels, as float32."""
    if noise_px == 0:
        return depth_m.astype(np.float32)
    import cv2

    rough = np.random.default_rng(seed).normal(size=depth_m.shape)
    smooth = cv2.GaussianBlur(rough, (0, 0), 2.0)
    sigma = depth_m**2 * noise_px / (camera.fx * baseline_m)
    return (depth_m + sigma * smooth / smooth.std()).astype(np.float32)


def _local_rays(camera_from_object: Array, camera: Intrinsics) -> tuple[Array, Array]:
    """Origin (3,) and directions (H, W, 3) of the camera's z = 1 rays in the object's frame."""
    rotation = camera_from_object[:3, :3]
    return -rotation.T @ camera_from_object[:3, 3], rays(camera).astype(np.float64) @ rotation


def _slab(origin: float, direction: Array, half: float) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (-half - origin) / direction, (half - origin) / direction
    return np.minimum(a, b), np.maximum(a, b)


def _box_depth(camera_from_object: Array, size_m: Array, camera: Intrinsics) -> Array:
    origin, direction = _local_rays(camera_from_object, camera)
    slabs = [_slab(origin[i], direction[..., i], size_m[i] / 2) for i in range(3)]
    enter = np.max([s[0] for s in slabs], axis=0)
    leave = np.min([s[1] for s in slabs], axis=0)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def _cylinder_depth(camera_from_object: Array, size_m: Array, camera: Intrinsics) -> Array:
    origin, direction = _local_rays(camera_from_object, camera)
    a = (direction[..., :2] ** 2).sum(axis=-1)
    b = (direction[..., :2] * origin[:2]).sum(axis=-1)
    c = (origin[:2] ** 2).sum() - (size_m[0] / 2) ** 2
    with np.errstate(invalid="ignore"):
        root = np.sqrt(b * b - a * c)
    low, high = _slab(origin[2], direction[..., 2], size_m[2] / 2)
    enter, leave = np.fmax((-b - root) / a, low), np.fmin((-b + root) / a, high)
    return np.where(np.isfinite(root) & (enter <= leave) & (enter > 0), enter, np.inf)


def _plane_depth(world_from_camera: Array, camera: Intrinsics) -> Array:
    direction = rays(camera).astype(np.float64) @ world_from_camera[:3, :3].T
    with np.errstate(divide="ignore"):
        depth = -world_from_camera[2, 3] / direction[..., 2]
    return np.where(depth > 0, depth, np.inf)
