"""The options --config and --set, as every command takes them."""

from __future__ import annotations

import argparse
from pathlib import Path

from referent.config import Config, load_config
from referent.errors import ConfigError


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Let a command be given settings."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (YAML); see `referent config show`")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, may be repeated")


def config_from(options: argparse.Namespace, **changes: object) -> Config:
    """The configuration that the options give, and `changes` after them. Raises ConfigError."""
    import yaml

    given: dict[str, object] = {}
    for item in options.set:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item!r}: NAME=VALUE is needed")
        try:
            given[name] = yaml.safe_load(value) if value else ""
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {item!r}: the value is not YAML ({' '.join(str(error).split())})") from error
    return load_config(options.config, {**given, **changes})
