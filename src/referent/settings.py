"""What a setting is: a dataclass field with its bounds, unit and meaning; and how trees of them are read and changed.

A tree is a frozen dataclass of sections, each a frozen dataclass of settings; a dotted name is `section.setting`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from referent.errors import ConfigError

Value = bool | int | float | str
Tree = TypeVar("Tree", bound=Any)


@dataclass(frozen=True)
class SettingInfo:
    """What a person needs to know about one setting."""

    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """One setting with its dotted name and present value."""

    name: str
    value: Value
    default: Value
    info: SettingInfo


def setting(
    default: Value,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that carries its bounds, unit and meaning."""
    return field(default=default, metadata={"info": SettingInfo(meaning, unit, low, high, choices)})


def flatten(tree: Any) -> Iterator[Setting]:
    """Every setting of the tree, by dotted name."""
    for group in fields(tree):
        section = getattr(tree, group.name)
        for item in fields(section):
            name, default, info = f"{group.name}.{item.name}", cast(Value, item.default), item.metadata["info"]
            yield Setting(name, getattr(section, item.name), default, info)


def override(tree: Tree, changes: Mapping[str, object]) -> Tree:
    """`tree` with some settings (dotted names) replaced; ConfigError names what is wrong."""
    by_group: dict[str, dict[str, object]] = {}
    known = {item.name: item for item in flatten(tree)}
    for name, value in changes.items():
        if name not in known:
            raise ConfigError(f"unknown setting {name!r}{_did_you_mean(name, known)}; see `referent config show`")
        if type(known[name].default) is float and type(value) is int:
            value = float(value)
        if value is False and "off" in known[name].info.choices:  # YAML's reading of the word
            value = "off"
        group, key = name.split(".", 1)
        by_group.setdefault(group, {})[key] = value
    sections = {group: replace(getattr(tree, group), **values) for group, values in by_group.items()}
    return replace(tree, **sections)


def to_tree(tree: Any) -> dict[str, dict[str, Value]]:
    """`tree` as plain nested dictionaries, as a YAML file holds them."""
    plain: dict[str, dict[str, Value]] = {}
    for item in flatten(tree):
        group, key = item.name.split(".", 1)
        plain.setdefault(group, {})[key] = item.value
    return plain


def read_yaml(path: Path, groups: Collection[str]) -> dict[str, object]:
    """A settings file as dotted names of these groups. A ROS parameter file (`node: ros__parameters:`) is taken too."""
    tree = yaml_tree(path)
    if tree is None:  # nothing but comments
        return {}
    if isinstance(tree, dict) and len(tree) == 1:
        only = next(iter(tree.values()))
        if isinstance(only, dict) and set(only) == {"ros__parameters"}:
            tree = only["ros__parameters"]
    return dict(_dotted(path, tree, groups))


def yaml_tree(path: Path) -> object:
    """What a YAML file holds, None when that is nothing. Raises ConfigError naming the file that cannot be read."""
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())})") from error


def _dotted(path: Path, tree: object, groups: Collection[str]) -> Iterator[tuple[str, object]]:
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected groups of settings, found {type(tree).__name__}")
    for group, section in tree.items():
        if isinstance(group, str) and "." in group:
            yield group, section
        elif group not in groups:
            raise ConfigError(f"{path}: unknown group {group!r}{_did_you_mean(str(group), groups)}")
        elif not isinstance(section, dict):
            raise ConfigError(f"{path}: group {group!r} must hold settings, found {section!r}")
        else:
            yield from ((f"{group}.{key}", value) for key, value in section.items())


def _did_you_mean(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_value(name: str, value: object, kind: type, info: SettingInfo) -> None:
    """Raise ConfigError unless `value` is a legal value of the setting."""
    if type(value) is not kind:
        raise ConfigError(f"{name}: {value!r} is {type(value).__name__}, {kind.__name__} is needed")
    if info.choices and value not in info.choices:
        raise ConfigError(f"{name}: {value!r} is not one of {', '.join(info.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = -float("inf") if info.low is None else info.low
        high = float("inf") if info.high is None else info.high
        if not low <= value <= high:
            raise ConfigError(f"{name}: {value} is outside {low:g} to {high:g}{' ' + info.unit if info.unit else ''}")
