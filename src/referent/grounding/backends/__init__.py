"""The grounders by name. A new one is a line here, or an entry point in group "referent.grounders"."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType

from referent.config import GrounderConfig
from referent.errors import ConfigError
from referent.ports import Grounder

__all__ = ["BACKENDS", "ENTRY_POINT_GROUP", "SERVERS", "THREADED", "check", "create", "known_backends"]

ENTRY_POINT_GROUP = "referent.grounders"
# Nothing is imported before it is chosen.
BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "qwen3_vl": "referent.grounding.backends.qwen3_vl:Qwen3VLGrounder",
        "openai_server": "referent.grounding.backends.openai_server:OpenAIGrounder",
        "scripted": "referent.grounding.backends.scripted:ScriptedGrounder",
    }
)
# These wait for a server or a file: a thread is enough for them. All others compute, and get a process of their own.
SERVERS = frozenset({"openai_server"})
THREADED = SERVERS | {"scripted"}


def known_backends() -> dict[str, str]:
    """Every backend's name and "module:Class", those of installed packages included; ours win a name clash."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)} | dict(BACKENDS)


def check(config: GrounderConfig) -> None:
    """Raise ConfigError unless `config.backend` is known; nothing is imported."""
    known = known_backends()
    if config.backend not in known:
        close = difflib.get_close_matches(config.backend, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"grounder.backend: {config.backend!r} is unknown; {hint}known: {', '.join(sorted(known))}")


def create(config: GrounderConfig) -> Grounder:
    """The grounder that `config.backend` names. Raises ConfigError for an unknown one and WeightsMissing."""
    check(config)
    known = known_backends()
    module, _, name = known[config.backend].partition(":")
    try:
        make = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"grounder.backend: {config.backend!r} cannot be loaded from {known[config.backend]} ({error})"
        ) from error
    grounder: Grounder = make(config)
    return grounder
