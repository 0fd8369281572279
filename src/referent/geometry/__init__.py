"""Room 4: where an object is in space. Usable alone: no ROS, no torch, no tracker."""

from referent.geometry.estimate import estimate_pose

__all__ = ["estimate_pose"]
