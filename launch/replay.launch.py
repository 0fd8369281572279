"""A rosbag2 played to the node: it begins when the models are loaded, all ends with the bag, and time is the bag's."""

import json

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

CAMERA = PathJoinSubstitution([FindPackageShare("referent_ros"), "launch", "camera.launch.py"])
ARGUMENTS = {
    "bag": (None, "folder or file of a rosbag2"),
    "camera": ("recorded", "whose topics the bag holds: a file of config/cameras without .yaml, or its path"),
    "instruction": ("", "what is said when the node listens; empty = the bag says it, or nobody"),
    "rate": ("1.0", "how fast the bag is played"),
    "patience_s": ("600.0", "how long the models may take to load"),
    "parameters": ("", "ROS 2 parameter file"),
    "rviz": ("false", "true: show it all in RViz"),
}
PASSED_ON = ("camera", "parameters", "rviz")
CLOCK_HZ = "100"


def generate_launch_description() -> LaunchDescription:
    """Arguments, the node, and what happens once it listens."""
    arguments = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    node = IncludeLaunchDescription(
        CAMERA,
        launch_arguments={"use_sim_time": "true", **{name: LaunchConfiguration(name) for name in PASSED_ON}}.items(),
    )
    patience = ParameterValue(LaunchConfiguration("patience_s"), value_type=float)
    ready = Node(package="referent_ros", executable="health", output="screen", parameters=[{"wait_s": patience}])
    when_ready = RegisterEventHandler(OnProcessExit(target_action=ready, on_exit=_play))
    at_nodes_end = RegisterEventHandler(OnProcessExit(target_action=_is_the_node, on_exit=[_end("the node ended")]))
    return LaunchDescription([*arguments, when_ready, at_nodes_end, node, ready])


def _is_the_node(action: Action) -> bool:
    return isinstance(action, Node) and action.node_executable == "node"


def _end(reason: str) -> Action:
    return EmitEvent(event=Shutdown(reason=reason))


def _play(event: ProcessExited, context: LaunchContext) -> list[Action]:
    """The words first, so that they are about the first pictures."""
    if event.returncode != 0:
        return [_end("the node does not come up")]
    bag = LaunchConfiguration("bag").perform(context)
    rate = LaunchConfiguration("rate").perform(context)
    play = ExecuteProcess(cmd=["ros2", "bag", "play", bag, "--clock", CLOCK_HZ, "--rate", rate], output="screen")
    at_end = RegisterEventHandler(OnProcessExit(target_action=play, on_exit=[_end("the bag was played")]))
    text = LaunchConfiguration("instruction").perform(context)
    if not text:
        return [at_end, play]
    message = json.dumps({"data": text})  # which is YAML too, whatever the text holds
    say = ExecuteProcess(
        cmd=["ros2", "topic", "pub", "--once", "instruction", "std_msgs/msg/String", message], output="screen"
    )
    return [at_end, RegisterEventHandler(OnProcessExit(target_action=say, on_exit=[play])), say]
