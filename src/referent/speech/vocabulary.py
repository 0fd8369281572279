"""The words that are listened for: read from a YAML list, checked, in lower case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from referent.errors import ConfigError
from referent.settings import yaml_tree

MAX_WORDS = 2000  # more than a small grammar can tell apart
_PHRASE = re.compile(r"[a-z][a-z'.-]*(?: [a-z][a-z'.-]*)*")
_PHONES = re.compile(r"[A-Z]{1,2}(?: [A-Z]{1,2})*")


@dataclass(frozen=True)
class Vocabulary:
    """What may be said, by the place it takes in a sentence; each entry is one word or a few."""

    colors: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    superlatives: tuple[str, ...] = ()
    ordinals: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()
    puttings: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    additions: tuple[str, ...] = ()
    forgetting: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    pronunciations: Mapping[str, str] = field(default_factory=dict)  # word -> ARPAbet phones


GROUPS = tuple(item.name for item in fields(Vocabulary) if item.name != "pronunciations")


def load_vocabulary(path: Path | str | None = None) -> Vocabulary:
    """The list at `path`, or the one that comes with Referent. Raises ConfigError naming the entry that is wrong."""
    file = Path(path or Path(__file__).with_name("words.yaml"))
    try:
        tree = yaml_tree(file)
    except ConfigError as error:
        raise ConfigError(f"speech.vocabulary: {error}") from error
    return _checked(str(file), tree)


def plural_of(noun: str) -> str:
    """The regular plural: boxes, mugs, berries."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"


def _checked(name: str, tree: Any) -> Vocabulary:
    if not isinstance(tree, dict) or not tree.get("things"):
        raise ConfigError(f"speech.vocabulary: {name}: a list with the group `things` is needed, see words.yaml")
    unknown = set(tree) - {*GROUPS, "pronunciations"}
    if unknown:
        raise ConfigError(f"speech.vocabulary: {name}: unknown group {min(map(str, unknown))!r}; {', '.join(GROUPS)}")
    groups = {group: _phrases(f"{name}: {group}", tree.get(group) or []) for group in GROUPS}
    count = sum(len(phrase.split()) for phrases in groups.values() for phrase in phrases)
    if count > MAX_WORDS:
        raise ConfigError(f"speech.vocabulary: {name}: {count} words, at most {MAX_WORDS} can be told apart")
    return Vocabulary(**groups, pronunciations=_pronunciations(name, tree.get("pronunciations") or {}))


def _phrases(where: str, entries: Any) -> tuple[str, ...]:
    if not isinstance(entries, list):
        raise ConfigError(f"speech.vocabulary: {where}: a list is needed, found {entries!r}")
    for entry in entries:
        if not isinstance(entry, str) or not _PHRASE.fullmatch(entry.lower()):
            raise ConfigError(
                f"speech.vocabulary: {where}: {entry!r} is no word; letters only, and YAML wants 'no', 'on' in quotes"
            )
    return tuple(dict.fromkeys(entry.lower() for entry in entries))


def _pronunciations(name: str, entries: Any) -> dict[str, str]:
    if not isinstance(entries, dict):
        raise ConfigError(f"speech.vocabulary: {name}: pronunciations: `word: PHONES` is needed, found {entries!r}")
    for word, phones in entries.items():
        if not _PHRASE.fullmatch(str(word)) or not _PHONES.fullmatch(str(phones)):
            raise ConfigError(
                f"speech.vocabulary: {name}: pronunciations: {word}: {phones!r}; such as 'M AH G' is needed"
            )
    return {str(word): str(phones) for word, phones in entries.items()}
