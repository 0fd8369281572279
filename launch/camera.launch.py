"""The node for a camera by its name: config/cameras/NAME.yaml holds its topics, its settings and its driver.

`camera:=realsense driver:=true` starts the camera's own driver too, which must be installed.
"""

from pathlib import Path

import yaml
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

CONFIG = PathJoinSubstitution([FindPackageShare("referent_ros"), "config"])
ARGUMENTS = {
    "camera": ("simulated", "a file of config/cameras without .yaml, or the path of such a file"),
    "driver": ("false", "true: start the camera's driver as well"),
    "parameters": ("", "ROS 2 parameter file whose values win over the camera's"),
    "autostart": ("true", "false: wait for a lifecycle manager"),
    "use_sim_time": ("false", "true: time comes from /clock"),
    "rviz": ("false", "true: show it all in RViz"),
}
TRANSPORTS = {"color/image_rect": "compressed", "depth/image_rect": "compressedDepth"}


def generate_launch_description() -> LaunchDescription:
    """Arguments, the node as the camera's file says, RViz where it is wanted."""
    arguments = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", PathJoinSubstitution([CONFIG, "rviz", "referent.rviz"])],
        parameters=[{"use_sim_time": _bool("use_sim_time")}],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription([*arguments, OpaqueFunction(function=_from_preset), rviz])


def _from_preset(context: LaunchContext) -> list[Action]:
    name = LaunchConfiguration("camera").perform(context)
    file = Path(name) if name.endswith(".yaml") else Path(CONFIG.perform(context), "cameras", f"{name}.yaml")
    preset = yaml.safe_load(file.read_text())
    given = LaunchConfiguration("parameters").perform(context)
    node = Node(
        package="referent_ros",
        executable="node",
        name="referent",
        output="screen",
        parameters=[
            PathJoinSubstitution([CONFIG, "referent.yaml"]),
            preset["parameters"],
            *([given] if given else []),
            {"autostart": _bool("autostart"), "use_sim_time": _bool("use_sim_time")},
        ],
        remappings=_remappings(preset["topics"]),
    )
    wants_driver = LaunchConfiguration("driver").perform(context) == "true"
    return [node, _driver(name, preset)] if wants_driver else [node]


def _remappings(topics: dict[str, str]) -> list[tuple[str, str]]:
    """A remapping holds for one name: compressed images come under names of their own."""
    images = [(f"{ours}/{kind}", f"{topics[ours]}/{kind}") for ours, kind in TRANSPORTS.items()]
    return [*topics.items(), *images]


def _driver(name: str, preset: dict[str, dict]) -> Action:
    if "driver" not in preset:
        raise RuntimeError(f"camera:={name} names no driver: start the camera yourself, without driver:=true")
    driver = preset["driver"]
    # Found only here, so that a driver which is not wanted need not be installed.
    launch_file = PathJoinSubstitution([FindPackageShare(driver["package"]), "launch", driver["launch_file"]])
    return IncludeLaunchDescription(launch_file, launch_arguments=driver["arguments"].items())


def _bool(name: str) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(name), value_type=bool)
