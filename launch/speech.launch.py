"""Ears for the node `referent`: spoken instructions from a topic, a microphone or a wav file."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

DEFAULT_PARAMETERS = PathJoinSubstitution([FindPackageShare("referent_ros"), "config", "speech.yaml"])
SETTINGS = {
    "source": ("topic", "topic, microphone or file"),
    "microphone": ("default", "ALSA device, as `arecord -L` lists them"),
    "file": ("", "wav file, for source:=file"),
}
TOPICS = {"audio": "audio", "instruction": "instruction"}


def generate_launch_description() -> LaunchDescription:
    """Arguments with what they stand for, and the node."""
    arguments = [
        DeclareLaunchArgument("parameters", default_value=DEFAULT_PARAMETERS, description="ROS 2 parameter file"),
        *(
            DeclareLaunchArgument(name, default_value=value, description=text)
            for name, (value, text) in SETTINGS.items()
        ),
        *(DeclareLaunchArgument(name, default_value=topic, description=topic) for name, topic in TOPICS.items()),
    ]
    settings = {f"speech.{name}": ParameterValue(LaunchConfiguration(name), value_type=str) for name in SETTINGS}
    node = Node(
        package="referent_ros",
        executable="speech",
        name="speech",
        output="screen",
        parameters=[LaunchConfiguration("parameters"), settings],
        remappings=[(topic, LaunchConfiguration(name)) for name, topic in TOPICS.items()],
    )
    return LaunchDescription([*arguments, node])
