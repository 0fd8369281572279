"""Point clouds as messages: one object's cleaned points, and the whole scene with an object index per point."""

from __future__ import annotations

import array

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from referent.geometry.camera import known_depth, rays
from referent.types import Array, ObjectCloud, RgbdFrame

# The layout RViz and PCL read: color is packed in a float's bits.
_COLORED = np.dtype([("xyz", np.float32, 3), ("rgb", np.uint32)])
_INDEXED = np.dtype([("xyz", np.float32, 3), ("rgb", np.uint32), ("object", np.uint32)])


def cloud_message(cloud: ObjectCloud, header: Header) -> PointCloud2:
    """Points with x, y, z in metres and rgb."""
    points = np.empty(len(cloud.points_m), _COLORED)
    points["xyz"], points["rgb"] = cloud.points_m, _packed(cloud.rgb)
    return _message(points, header)


def scene_cloud_message(frame: RgbdFrame, labels: Array, header: Header) -> PointCloud2:
    """Every pixel of known depth, row by row, with `object`: its value in the (H, W) label image, 0 = none.

    Points are in the camera's optical frame, so that frame's origin is the viewpoint of each.
    """
    if frame.depth_m is None:
        return _message(np.empty(0, _INDEXED), header)
    points = np.empty(labels.shape, _INDEXED)
    seen_along = rays(frame.intrinsics)
    for axis in range(3):  # numpy is six times slower on all axes at once
        np.multiply(seen_along[..., axis], frame.depth_m, out=points["xyz"][..., axis])
    points["rgb"], points["object"] = _packed(frame.rgb), labels
    as_bytes = points.view(f"V{_INDEXED.itemsize}")  # copied whole: ten times faster than field by field
    return _message(as_bytes[known_depth(frame.depth_m)].view(_INDEXED), header)


def _packed(rgb: Array) -> Array:
    """(...) uint32 of (..., 3) uint8."""
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    return np.asarray(red << 16 | green << 8 | blue)


def _message(points: Array, header: Header) -> PointCloud2:
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(("x", "y", "z", "rgb"))
    ]
    if "object" in (points.dtype.names or ()):
        fields.append(PointField(name="object", offset=16, datatype=PointField.UINT32, count=1))
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        point_step=points.itemsize,
        row_step=points.nbytes,
        data=array.array("B", points.tobytes()),
        is_dense=True,
    )
