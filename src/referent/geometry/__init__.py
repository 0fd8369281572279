"""Room 4: where an object is in space. Usable alone: no ROS, no torch, no tracker."""

from referent.geometry.estimate import estimate_pose
from referent.geometry.models import find_model, load_model, refine_model
from referent.geometry.track import PoseTrack
from referent.geometry.tracks import PoseTracks

__all__ = ["PoseTrack", "PoseTracks", "estimate_pose", "find_model", "load_model", "refine_model"]
