"""What the running nodes offer, against all that names it: the SROS2 policy, RViz, Foxglove, the health check."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from robot import Robot, a_robot, overrides

from referent_ros.health import Probe
from referent_ros.speech import SpeechNode

CONFIG = Path(__file__).resolve().parents[2] / "config"
NOBODYS_OWN = {"/clock"}  # subscribed by whichever node has use_sim_time
HIDDEN = "/_action/"  # topics and services that an action is made of
RVIZ_TYPES = {
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
    "rviz_default_plugins/Pose": "geometry_msgs/msg/PoseStamped",
}


@dataclass(frozen=True)
class Offer:
    """Everything one node is on the network: name -> type."""

    published: dict[str, str]
    subscribed: dict[str, str]
    services: dict[str, str]
    actions: dict[str, str]


def offer_of(name: str, observer: Node) -> Offer:
    def plain(found: list[tuple[str, list[str]]]) -> dict[str, str]:
        return {topic: types[0] for topic, types in found if HIDDEN not in topic}

    return Offer(
        published=plain(observer.get_publisher_names_and_types_by_node(name, "/")),
        subscribed=plain(observer.get_subscriber_names_and_types_by_node(name, "/")),
        services=plain(observer.get_service_names_and_types_by_node(name, "/")),
        actions=plain(get_action_server_names_and_types_by_node(observer, name, "/")),
    )


@pytest.fixture(scope="module")
def node() -> Offer:
    """The active node, of both image transports."""
    with a_robot() as robot:
        raw = offer_of("referent", robot._own)
    with a_robot(start=False, input__image_transport="compressed") as robot:
        robot.node.start()
        robot.wait_for(lambda: robot._own.count_subscribers("color/image_rect/compressed"))
        robot.wait_for(lambda: robot._own.count_subscribers("depth/image_rect/compressedDepth"))
        compressed = offer_of("referent", robot._own)
    return Offer(raw.published, raw.subscribed | compressed.subscribed, raw.services, raw.actions)


@pytest.fixture(scope="module")
def speech() -> Offer:
    rclpy.init()
    executor, observer = SingleThreadedExecutor(), rclpy.create_node("observer")
    ears = SpeechNode(threading.Event(), parameter_overrides=[Parameter("speech.recognizer", value="pocketsphinx")])
    ears.start()
    executor.add_node(observer)
    while "/audio" not in dict(observer.get_subscriber_names_and_types_by_node("speech", "/")):
        executor.spin_once(timeout_sec=0.05)
    offer = offer_of("speech", observer)
    ears.close()
    executor.shutdown()
    ears.destroy_node()
    observer.destroy_node()
    rclpy.try_shutdown()
    return offer


def allowed(enclave: str) -> dict[str, set[str]]:
    """By what is allowed, such as "topics publish": full names."""
    policy = ET.parse(CONFIG / "sros2" / "policy.xml")
    (profile,) = policy.findall(f"./enclaves/enclave[@path='/referent/{enclave}']/profiles/profile")
    found: dict[str, set[str]] = {}
    for group in profile:
        for right, answer in group.attrib.items():
            assert answer == "ALLOW"
            names = [str(each.text).replace("~", f"/{profile.get('node')}") for each in group]
            assert len(set(names)) == len(names), "named twice"
            found.setdefault(f"{group.tag} {right}", set()).update("/" + name.lstrip("/") for name in names)
    return found


def test_the_policy_allows_the_node_what_it_does_and_nothing_else(node: Offer) -> None:
    rights = allowed("node")
    assert rights["topics publish"] == set(node.published)
    assert rights["topics subscribe"] - NOBODYS_OWN == set(node.subscribed)
    assert rights["services reply"] == set(node.services)
    assert rights["actions execute"] == set(node.actions)
    assert len(rights) == 4


def test_the_policy_allows_the_ears_what_they_do_and_nothing_else(speech: Offer) -> None:
    rights = allowed("speech")
    assert rights["topics publish"] == set(speech.published)
    assert rights["topics subscribe"] - NOBODYS_OWN == set(speech.subscribed)
    assert rights["services reply"] == set(speech.services)
    assert len(rights) == 3


@pytest.mark.parametrize("client", ["program", "operator"])
def test_what_the_policy_allows_to_clients_exists(client: str, node: Offer, speech: Offer) -> None:
    rights = allowed(client)
    everybodys = {"/rosout", "/parameter_events"}
    assert rights["services request"] <= set(node.services)
    assert rights.get("actions call", set()) <= set(node.actions)
    assert rights["topics subscribe"] - NOBODYS_OWN - {"/tf_static"} <= set(node.published)
    assert rights["topics publish"] - everybodys <= set(node.subscribed)


def test_a_program_cannot_change_settings_or_states_and_an_operator_can() -> None:
    sensitive = {"/referent/set_parameters", "/referent/change_state"}
    assert not sensitive & allowed("program")["services request"]
    assert sensitive <= allowed("operator")["services request"]


def test_rviz_shows_what_the_node_publishes(node: Offer) -> None:
    rviz = yaml.safe_load((CONFIG / "rviz" / "referent.rviz").read_text())
    shown = {
        each["Topic"]["Value"]: RVIZ_TYPES[each["Class"]]
        for each in rviz["Visualization Manager"]["Displays"]
        if "Topic" in each
    }
    assert shown.items() <= node.published.items()
    assert {"/referent/overlay", "/referent/markers", "/referent/target_cloud", "/referent/scene_cloud"} <= set(shown)


def test_foxglove_shows_what_the_node_publishes_and_says_what_it_listens_to(node: Offer) -> None:
    layout = json.loads((CONFIG / "foxglove" / "referent.json").read_text())
    panels: dict[str, Any] = layout["configById"]
    assert set(placed(layout["layout"])) == set(panels)
    said = panels["Publish!instruction"]
    assert node.subscribed[said["topicName"]] == said["datatype"]
    json.loads(said["value"])
    shown = {
        *panels["3D!referent"]["topics"],
        panels["Image!overlay"]["imageMode"]["imageTopic"],
        panels["RawMessages!tracks"]["topicPath"],
        panels["DiagnosticSummary!health"]["topicToRender"],
        *(path["value"].split(".")[0] for path in panels["Plot!score"]["paths"]),
    }
    assert shown <= set(node.published)


def placed(tree: Any) -> Iterator[str]:
    """Every panel of a Foxglove layout."""
    if isinstance(tree, str):
        yield tree
    else:
        yield from placed(tree["first"])
        yield from placed(tree["second"])


def complaint(robot: Robot, **settings: object) -> str | None:
    """What a probe says while the robot goes on."""
    with ThreadPoolExecutor(1) as pool:
        probe = Probe(parameter_overrides=overrides(**settings))
        said = pool.submit(probe.complaint)
        robot.wait_for(said.done)
        probe.destroy_node()
    return said.result()


def test_health_tells_a_node_that_works_from_one_that_does_not() -> None:
    with a_robot(start=False) as robot:
        assert complaint(robot) == "referent is unconfigured"
        assert complaint(robot, node="nobody", timeout_s=0.2) == "no node 'nobody' is there"
        robot.node.start()
        assert complaint(robot, wait_s=20.0) is None
        assert "/color/image_rect" in str(complaint(robot, strict=True))


def test_robots_in_namespaces_do_not_speak_for_each_other() -> None:
    with a_robot(start=False, cli_args=["--ros-args", "-r", "__ns:=/left"]) as robot:
        robot.node.start()
        assert complaint(robot, node="/left/referent", wait_s=20.0) is None
        assert str(complaint(robot, node="/left/referent", strict=True)).startswith("left/referent: input: ")


def test_health_is_an_exit_status_for_containers() -> None:
    command = [sys.executable, "-m", "referent_ros.health", "--ros-args", "-p", "node:=nobody", "-p", "timeout_s:=0.2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "no node 'nobody' is there\n")
