"""The node alone, for a robot that has a camera: remap the image topics to the camera's."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare("referent_ros"), "config", "referent.yaml"])
TOPICS = {
    "color": "color/image_rect",
    "camera_info": "color/camera_info",
    "depth": "depth/image_rect",
    "depth_camera_info": "depth/camera_info",
    "instruction": "instruction",
}
TRANSPORTS = {"color": "compressed", "depth": "compressedDepth"}  # whose topics have names of their own


def generate_launch_description() -> LaunchDescription:
    """Arguments with what they stand for, and the node."""
    arguments = [
        DeclareLaunchArgument("parameters", default_value=DEFAULT_PARAMETERS, description="ROS 2 parameter file"),
        DeclareLaunchArgument("autostart", default_value="true", description="false: wait for a lifecycle manager"),
        *(DeclareLaunchArgument(name, default_value=topic, description=topic) for name, topic in TOPICS.items()),
    ]
    node = Node(
        package="referent_ros",
        executable="node",
        name="referent",
        output="screen",
        parameters=[LaunchConfiguration("parameters"), {"autostart": LaunchConfiguration("autostart")}],
        remappings=[
            *((topic, LaunchConfiguration(name)) for name, topic in TOPICS.items()),
            *((f"{TOPICS[name]}/{kind}", [LaunchConfiguration(name), f"/{kind}"]) for name, kind in TRANSPORTS.items()),
        ],
    )
    return LaunchDescription([*arguments, node])
