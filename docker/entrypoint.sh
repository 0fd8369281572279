#!/bin/bash
# Whatever is started in the container, and its health check, sees ROS 2 and the built workspace.
set -e
# shellcheck disable=SC1091
. /opt/ros/jazzy/setup.bash
# shellcheck disable=SC1091
. /referent/ros2_ws/install/setup.bash
exec "$@"
