"""One mask and its depth to one object: points, box, pose and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.box import BoxFit, principal_box, upright_box
from referent.geometry.camera import points_at
from referent.geometry.covariance import pose_covariance
from referent.geometry.ends import noise_shown_m
from referent.geometry.faces import faces_of
from referent.geometry.missing import missing_m
from referent.geometry.noise import depth_sigma_m
from referent.geometry.plane import Plane, heights_m, ring_pixels, support_plane
from referent.geometry.points import Patch, border_px, object_mask, one_object, patch_around, pixels_of, thinned
from referent.geometry.regrowth import REACH_PX, regrown
from referent.geometry.symmetry import continue_axes
from referent.types import Array, ObjectCloud, ObjectPose, OrientedBox, PoseQuality, RgbdFrame

_LEVEL_COS = np.cos(np.deg2rad(10.0))  # a support this level is taken as exactly level: gravity is the better normal
_MIDDLE_POINTS = 2000  # more move the middle of an object by nothing
_THIN_SHARE = 0.3  # if cutting the plane leaves less, the object is as thin as the cut and keeps its points


@dataclass(frozen=True, eq=False)
class Look:
    """What one frame alone shows of an object, in the camera's optical frame."""

    points_m: Array  # (N, 3) float32, cleaned
    rgb: Array  # (N, 3) uint8
    fit: BoxFit
    up: Array | None  # (3,) the box's z: gravity or the normal of its support; None when neither is known
    floor_m: float | None  # height along `up`, from the camera, of its support
    missing_m: Array  # (2, 2) how much longer it may be: left and right, above and below
    distance_m: float  # of its points along the camera's axis, in the median
    noise_m: float  # of the depth at that distance
    shown_m: float  # how much of that noise the depth shows
    border_m: float  # what cleaning took off its silhouette


def estimate_pose(
    frame: RgbdFrame,
    mask: Array,
    config: GeometryConfig,
    *,
    up_in_camera: Array | None = None,
    previous: OrientedBox | None = None,
) -> ObjectPose | None:
    """The pose of what `mask` (H, W) bool covers, in the camera's optical frame; None without enough depth on it.

    `up_in_camera` (3,) is the direction against gravity when known. `previous` is the object's last box: of the box's
    equal descriptions the one that continues it is returned. ValueError for a mask or direction of the wrong shape.
    """
    seen = look(frame, mask, config, up_in_camera=up_in_camera)
    if seen is None:
        return None
    covariance = look_covariance(seen, frame.intrinsics.fx, config, gravity_known=up_in_camera is not None)
    fit = seen.fit
    box = fit.box if previous is None else continue_axes(fit.box, previous, is_round=fit.is_round)
    axes = box.camera_from_object[:3, :3]
    faces = faces_of(
        seen.points_m,
        fit,
        axes,
        floor_m=seen.floor_m if fit.upright else None,
        missing_m=seen.missing_m,
        noise_m=seen.noise_m,
        shown_m=seen.shown_m,
        border_m=seen.border_m,
    )
    quality = PoseQuality("box", unobserved=faces.unobserved, measured_stamp_ns=frame.stamp_ns)
    return ObjectPose(box, covariance, ObjectCloud(seen.points_m, seen.rgb), quality)


def look_covariance(seen: Look, fx: float, config: GeometryConfig, *, gravity_known: bool) -> Array:
    """(6, 6) how sure the box of one frame is."""
    return pose_covariance(
        seen.fit, fx, config, gravity_known=gravity_known, missing_m=np.minimum(seen.missing_m.sum(axis=1), 10.0)
    )


def look(frame: RgbdFrame, mask: Array, config: GeometryConfig, *, up_in_camera: Array | None = None) -> Look | None:
    """What `frame` shows of what `mask` (H, W) bool covers; None without enough depth on it.

    ValueError for a mask or direction of the wrong shape.
    """
    _check_inputs(frame, mask, up_in_camera)
    if frame.depth_m is None:
        return None
    up = None if up_in_camera is None else np.asarray(up_in_camera, np.float64) / np.linalg.norm(up_in_camera)
    camera = frame.intrinsics
    patch = patch_around(frame.depth_m, mask, camera.fx, config)
    if patch is None:
        return None
    kept = object_mask(patch, config)
    rows, columns = pixels_of(patch, kept)
    if len(rows) < config.min_points:
        return None
    points = points_at(frame.depth_m, rows, columns, camera)
    tolerance_m = max(config.plane_cut_m, 2 * depth_sigma_m(_distance_m(points), camera.fx, config))
    plane = _support(frame, patch, points, tolerance_m, config, up)
    if plane is not None and config.plane_ring_px >= REACH_PX:
        whole = regrown(patch, kept, frame.depth_m, camera, plane, tolerance_m)
        if whole is not None:
            patch, kept = whole, object_mask(whole, config)
            rows, columns = pixels_of(patch, kept)
            points = points_at(frame.depth_m, rows, columns, camera)
    if plane is not None:
        before, standing = kept, kept.copy()
        standing[kept] = _above(points, plane, tolerance_m, config)
        kept = one_object(standing, patch)  # what the support alone held together falls apart
        still = np.flatnonzero(kept[before])
        rows, columns, points = rows[still], columns[still], points.take(still, axis=0)
    few = thinned(np.arange(len(points)), config.max_points)
    points = points.take(few, axis=0)
    distance_m = _distance_m(points)
    noise_m = depth_sigma_m(distance_m, camera.fx, config)
    shown_m = min(noise_m, noise_shown_m(patch.depth_m[patch.around], kept[patch.around]))
    border_m = border_px(kept, patch.mask, config) * distance_m / camera.fx
    axis = _up_axis(plane, up)
    floor_m = None if plane is None or axis is None else _floor_m(points, plane, axis)
    lacking_m = missing_m(patch, kept, camera, config, plane)
    errors = {"noise_m": noise_m, "shown_m": shown_m, "border_m": border_m}
    if axis is None:
        fit = principal_box(points, **errors)
    else:
        fit = upright_box(points, axis, floor_m=floor_m, missing_m=lacking_m, **errors)
    colors = frame.rgb.reshape(-1, 3).take(rows[few] * camera.width + columns[few], axis=0)
    return Look(points, colors, fit, axis, floor_m, lacking_m, distance_m, noise_m, shown_m, border_m)


def _check_inputs(frame: RgbdFrame, mask: Array, up_in_camera: Array | None) -> None:
    size = (frame.intrinsics.height, frame.intrinsics.width)
    if mask.shape != size or mask.dtype != np.bool_:
        raise ValueError(f"mask: expected bool {size}, got {mask.dtype} {mask.shape}")
    if up_in_camera is not None:
        up = np.asarray(up_in_camera, np.float64)
        if up.shape != (3,) or not np.isfinite(up).all() or np.linalg.norm(up) < 1e-6:
            raise ValueError(f"up_in_camera: {up_in_camera!r} is no direction (3,)")


def _distance_m(points: Array) -> float:
    return float(np.median(points[:, 2]))


def _support(
    frame: RgbdFrame, patch: Patch, points: Array, tolerance_m: float, config: GeometryConfig, up: Array | None
) -> Plane | None:
    """The plane in a ring around the mask that the points stand on, if there is one."""
    assert frame.depth_m is not None
    ring = points_at(frame.depth_m, *ring_pixels(patch, config), frame.intrinsics)
    return support_plane(ring, points, tolerance_m=tolerance_m, up_in_camera=up)


def _above(points: Array, plane: Plane, tolerance_m: float, config: GeometryConfig) -> Array:
    """(N,) True for points clearly above the plane; for a thin object, for all of them."""
    above = heights_m(points, plane) > tolerance_m
    if np.count_nonzero(above) < max(config.min_points, _THIN_SHARE * len(points)):
        return np.ones(len(points), bool)
    return above


def _up_axis(plane: Plane | None, up: Array | None) -> Array | None:
    if plane is None or up is None:
        return up if plane is None else plane.normal
    return up if plane.normal @ up > _LEVEL_COS else plane.normal


def _floor_m(points: Array, plane: Plane, axis: Array) -> float:
    """Height along `axis` at which the plane passes below the points' middle."""
    middle = np.median(points[thinned(np.arange(len(points)), _MIDDLE_POINTS)], axis=0).astype(np.float64)
    return float(middle @ axis - heights_m(middle[None], plane)[0] / (plane.normal @ axis))
