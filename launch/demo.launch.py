"""The demo under a ROS 2 installation: simulated camera, node, and a client that speaks once and writes a report."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

CONFIG = PathJoinSubstitution([FindPackageShare("referent_ros"), "config"])
LARGE_IMAGES = {"FASTRTPS_DEFAULT_PROFILES_FILE": PathJoinSubstitution([CONFIG, "fastdds_large_images.xml"])}
MARGIN_S = 2.0  # the camera plays a little longer than the client listens


def generate_launch_description() -> LaunchDescription:
    """Three processes; the end of the client ends them all."""
    arguments = [
        DeclareLaunchArgument("scene", default_value="tabletop", description="a scene of the simulator"),
        DeclareLaunchArgument("instruction", default_value="pick up the red mug", description="what is said"),
        DeclareLaunchArgument("output", default_value="out/demo", description="folder of the report"),
    ]
    camera = _node(
        "camera", {"scene": LaunchConfiguration("scene"), "seconds": 12.0 + MARGIN_S, "wait_for_listeners": 2}
    )
    node = _node("node", PathJoinSubstitution([CONFIG, "demo.yaml"]), name="referent")
    said = ParameterValue(LaunchConfiguration("instruction"), value_type=str)
    client = _node("client", {"instruction": said, "output": LaunchConfiguration("output"), "seconds": 12.0})
    at_end = RegisterEventHandler(OnProcessExit(target_action=client, on_exit=[EmitEvent(event=Shutdown())]))
    return LaunchDescription([*arguments, camera, node, client, at_end])


def _node(executable: str, parameters: object, *, name: str | None = None) -> Node:
    return Node(
        package="referent_ros",
        executable=executable,
        name=name or executable,
        output="screen",
        parameters=[parameters],
        additional_env=LARGE_IMAGES,
    )
