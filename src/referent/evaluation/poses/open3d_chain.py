"""What tutorials of Open3D string together: masked depth to points, voxels, outlier removal, minimal oriented box."""

from __future__ import annotations

from typing import Any

import numpy as np

from referent.geometry.poses import rigid
from referent.types import Array, RgbdFrame

VOXEL_M, NEIGHBOURS, DEVIATIONS = 0.003, 20, 2.0


def cleaned_cloud(frame: RgbdFrame, mask: Array) -> Any:
    """An open3d point cloud of the mask's depth without what Open3D takes for outliers, in the camera's frame."""
    import open3d as o3d

    assert frame.depth_m is not None
    camera = frame.intrinsics
    depth: Any = np.where(mask, np.nan_to_num(frame.depth_m), 0).astype(np.float32)
    pinhole = o3d.camera.PinholeCameraIntrinsic(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    cloud = o3d.geometry.PointCloud.create_from_depth_image(o3d.geometry.Image(depth), pinhole, depth_scale=1.0)
    return cloud.voxel_down_sample(VOXEL_M).remove_statistical_outlier(NEIGHBOURS, DEVIATIONS)[0]


def box_around(cloud: Any) -> tuple[Array, Array] | None:
    """Pose (4, 4), right-handed, and sides (3,) of the minimal box of a cloud; None for less than four points."""
    import open3d as o3d

    if len(cloud.points) < 4:
        return None
    with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
        found = cloud.get_minimal_oriented_bounding_box(robust=True)
    axes = np.array(found.R)
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return rigid(axes, np.asarray(found.center)), np.array(found.extent)


def minimal_box(frame: RgbdFrame, mask: Array) -> tuple[Array, Array] | None:
    """Pose (4, 4) in the camera's frame and sides (3,) of what the mask covers; None with too few points."""
    return box_around(cleaned_cloud(frame, mask))
