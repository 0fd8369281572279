"""ROS parameters are the settings of referent.config, with their bounds and meanings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from robot import overrides

from referent.config import Config, flatten
from referent.errors import ConfigError
from referent_ros.parameters import declare_config


@pytest.fixture(autouse=True)
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


def a_node(**settings: object) -> Node:
    return Node("settings", parameter_overrides=overrides(**settings))


def test_every_setting_is_a_described_read_only_parameter_with_its_default() -> None:
    node = a_node()
    assert declare_config(node) == Config()
    for item in flatten(Config()):
        descriptor = node.describe_parameter(item.name)
        assert node.get_parameter(item.name).value == item.default
        assert descriptor.read_only
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


def test_settings_cannot_change_while_the_node_lives() -> None:
    node = a_node()
    declare_config(node)
    (answer,) = node.set_parameters([Parameter("input.max_depth_m", value=3.0)])
    assert not answer.successful
