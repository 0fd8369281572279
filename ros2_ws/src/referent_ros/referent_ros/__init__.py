"""Referent as ROS 2 nodes: callbacks convert and hand over, everything else is in the library."""
