"""Parts of the reliability measurements: real ROS 2 processes that are fed, watched and killed."""
