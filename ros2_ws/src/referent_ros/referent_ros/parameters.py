"""ROS parameters made from the settings of `referent.config`, and the settings read back from them.

Thresholds and outputs may be changed at any time; what something was built from only while the node is unconfigured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from referent.config import Config, is_live, load_config
from referent.errors import ConfigError
from referent.settings import Setting, flatten, override

INT64_MAX = 2**63 - 1
Value = TypeVar("Value", bool, int, float, str)


def declare_config(node: Node) -> Config:
    """Declare one parameter per setting; the settings as launched. Raises ConfigError."""
    _refuse_unknown(node)
    given = node._parameter_overrides  # rclpy has no public way to list what was given
    given.update({name: _off_for_false(value) for name, value in given.items()})
    changes = {}
    for item in flatten(Config()):
        try:
            changes[item.name] = node.declare_parameter(item.name, item.default, descriptor_of(item)).value
        except ParameterException as error:
            raise ConfigError(f"{item.name}: {error}") from error
    return load_config(None, changes)


class Settings:
    """The settings as they are now. `is_built`: whether something was built from them; `changed` is told of new ones.

    A change is checked as a whole before any of it is taken.
    """

    def __init__(self, node: Node, *, is_built: Callable[[], bool], changed: Callable[[Config], None]) -> None:
        self.config = declare_config(node)
        self._known = {item.name for item in flatten(self.config)}
        self._is_built = is_built
        self._changed = changed
        node.add_pre_set_parameters_callback(lambda wanted: [_off_for_false(each) for each in wanted])
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def _check(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        wanted = self._ours(parameters)
        try:
            override(self.config, wanted)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        built_from = [name for name in wanted if not is_live(name)]
        if built_from and self._is_built():
            reason = (
                f"{', '.join(built_from)}: used when the node is configured; deactivate and clean up, set, configure"
            )
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _take(self, parameters: Sequence[Parameter]) -> None:
        wanted = self._ours(parameters)
        if wanted:
            self.config = override(self.config, wanted)
            self._changed(self.config)

    def _ours(self, parameters: Sequence[Parameter]) -> dict[str, object]:
        return {each.name: each.value for each in parameters if each.name in self._known}


def _off_for_false(given: Parameter) -> Parameter:
    """YAML, as which ROS reads values, takes the word off for false: undone where off is a choice."""
    may_be_off = given.value is False and any(
        "off" in item.info.choices for item in flatten(Config()) if item.name == given.name
    )
    return Parameter(given.name, value="off") if may_be_off else given


def declare(node: Node, name: str, default: Value, meaning: str) -> Value:
    """Declare one read-only parameter of a node's own; its value as launched. Raises ConfigError."""
    kind = type(default)
    # Untyped, or rclpy would refuse `-p x:=1` for a double.
    about = ParameterDescriptor(description=meaning, read_only=True, dynamic_typing=True)
    value = node.declare_parameter(name, default, about).value
    if kind is float and type(value) is int:
        return kind(value)
    if type(value) is not kind:
        raise ConfigError(f"{node.get_name()}: {name}: {value!r} is {type(value).__name__}, {kind.__name__} is needed")
    return value


def descriptor_of(item: Setting) -> ParameterDescriptor:
    """What `ros2 param describe` shows of a setting: meaning, unit, bounds, choices."""
    unit = f" [{item.info.unit}]" if item.info.unit else ""
    descriptor = ParameterDescriptor(description=item.info.meaning + unit)
    constraints = ["one of " + ", ".join(item.info.choices)] if item.info.choices else []
    if not is_live(item.name):
        constraints.append("only while the node is unconfigured")
    descriptor.additional_constraints = "; ".join(constraints)
    if isinstance(item.default, float):
        # rclpy refuses `-p x:=1` for a double; untyped, it is taken and the config tree makes it one.
        descriptor.dynamic_typing = True
        descriptor.floating_point_range = _float_range(item)
    elif isinstance(item.default, int) and not isinstance(item.default, bool):
        descriptor.integer_range = _integer_range(item)
    return descriptor


def _float_range(item: Setting) -> list[FloatingPointRange]:
    low = -sys.float_info.max if item.info.low is None else float(item.info.low)
    high = sys.float_info.max if item.info.high is None else float(item.info.high)
    return [FloatingPointRange(from_value=low, to_value=high)]


def _integer_range(item: Setting) -> list[IntegerRange]:
    low = -INT64_MAX if item.info.low is None else int(item.info.low)
    high = INT64_MAX if item.info.high is None else int(item.info.high)
    return [IntegerRange(from_value=low, to_value=high, step=1)]


def _refuse_unknown(node: Node) -> None:
    """rclpy ignores a misspelt parameter silently; here it is an error, as in a settings file."""
    groups = {group.name for group in fields(Config)}
    overrides = node._parameter_overrides
    given = {name: override.value for name, override in overrides.items() if name.split(".")[0] in groups}
    known = {item.name for item in flatten(Config())}
    load_config(None, {name: value for name, value in given.items() if name not in known})
