"""ROS parameters are the settings of referent.config, with their bounds and meanings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from robot import overrides

from referent.config import Config, is_live
from referent.errors import ConfigError
from referent.settings import flatten
from referent_ros.parameters import Settings, declare, declare_config


@pytest.fixture(autouse=True)
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


def a_node(**settings: object) -> Node:
    return Node("settings", parameter_overrides=overrides(**settings))


def test_every_setting_is_a_described_parameter_with_its_default() -> None:
    node = a_node()
    assert declare_config(node) == Config()
    for item in flatten(Config()):
        descriptor = node.describe_parameter(item.name)
        assert node.get_parameter(item.name).value == item.default
        fixed = "only while the node is unconfigured" in descriptor.additional_constraints
        assert fixed is not is_live(item.name)
        assert item.info.meaning in descriptor.description


def test_bounds_choices_and_units_are_in_the_descriptor() -> None:
    node = a_node()
    declare_config(node)
    skew = node.describe_parameter("input.max_skew_s")
    assert "[s]" in skew.description
    assert (skew.floating_point_range[0].from_value, skew.floating_point_range[0].to_value) == (0.0, 1.0)
    queue = node.describe_parameter("input.queue_length").integer_range[0]
    assert (queue.from_value, queue.to_value) == (1, 100)
    assert "compressed" in node.describe_parameter("input.image_transport").additional_constraints


def test_what_is_launched_is_what_is_used_and_an_integer_serves_as_a_float() -> None:
    config = declare_config(a_node(input__max_depth_m=4, grounder__backend="openai_server", tracker__max_objects=3))
    assert (config.input.max_depth_m, type(config.input.max_depth_m)) == (4.0, float)
    assert (config.grounder.backend, config.tracker.max_objects) == ("openai_server", 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input__max_depth_m": 0.0}, "input.max_depth_m"),
        ({"input__max_depth_m": "far"}, "input.max_depth_m: 'far' is str"),
        ({"tracker__max_objects": 0}, "tracker.max_objects"),
        ({"tracker__max_objects": 2.5}, "tracker.max_objects"),
        ({"input__image_transport": "theora"}, "one of raw, compressed"),
        ({"grounder__modle": "x"}, "did you mean 'grounder.model'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        declare_config(a_node(**settings))


class Owner:
    """A node with settings, something built from them or not, and all that it was told."""

    def __init__(self, *, built: bool) -> None:
        self.node = a_node()
        self.told: list[Config] = []
        self.settings = Settings(self.node, is_built=lambda: built, changed=self.told.append)

    def set(self, **changes: object) -> str:
        """Why not; '' when it was taken."""
        answer = self.node.set_parameters_atomically(list(overrides(**changes)))
        return "" if answer.successful else str(answer.reason)


def test_a_threshold_changes_while_the_node_works_and_is_told() -> None:
    owner = Owner(built=True)
    assert owner.set(grounding__uncertain_score=0.3, output__publish_tf=False) == ""
    assert [(told.grounding.uncertain_score, told.output.publish_tf) for told in owner.told] == [(0.3, False)]
    assert owner.settings.config == owner.told[0]


def test_what_something_was_built_from_is_refused_with_the_way_out_and_nothing_is_taken() -> None:
    owner = Owner(built=True)
    reason = owner.set(grounding__uncertain_score=0.3, tracker__max_objects=3)
    assert "tracker.max_objects: used when the node is configured" in reason
    assert owner.settings.config == Config()
    assert owner.node.get_parameter("grounding.uncertain_score").value == Config().grounding.uncertain_score


def test_before_the_node_is_configured_everything_may_change() -> None:
    owner = Owner(built=False)
    assert owner.set(tracker__max_objects=3, input__max_depth_m=4) == ""
    assert (owner.settings.config.tracker.max_objects, owner.settings.config.input.max_depth_m) == (3, 4.0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"grounding__uncertain_score": 1.5}, "uncertain_score"),
        ({"grounding__uncertain_score": "high"}, "is str"),
        ({"grounding__reground_policy": "sometimes"}, "not one of evidence"),
        ({"grounding__lost_after_frames": 0}, "lost_after_frames"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_a_reason(changes: dict[str, object], why: str) -> None:
    owner = Owner(built=False)
    assert why in owner.set(**changes)
    assert owner.told == []


def test_off_may_be_written_without_quotes_though_yaml_reads_false() -> None:
    launched = a_node(grounder__calibrate=False)
    assert declare_config(launched).grounder.calibrate == "off"
    assert launched.get_parameter("grounder.calibrate").value == "off"
    owner = Owner(built=False)
    assert owner.set(grounder__calibrate=False) == ""
    assert owner.settings.config.grounder.calibrate == "off"
    assert owner.node.get_parameter("grounder.calibrate").value == "off"
    assert owner.set(tracker__device=False), "off is no choice there"


def test_a_nodes_own_parameters_are_fixed() -> None:
    node = a_node()
    declare(node, "autostart", True, "x")
    (answer,) = node.set_parameters([Parameter("autostart", value=False)])
    assert not answer.successful
