"""Reads JSON as language models write it: single quotes, tuples, comments, trailing commas, cut off anywhere.

Nothing is evaluated. Every container remembers where it stood in the text and whether it was closed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

MAX_DEPTH = 32
CLOSERS = {"[": "]", "{": "}", "(": ")"}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_SKIPPED = re.compile(r"(?:[\s,:;=]|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\\"'])")
_WORD = re.compile(r"[^\s\[\]{}(),:\"']+")


class TooDeep(Exception):
    """Containers inside containers beyond what any answer needs."""


@dataclass(frozen=True)
class Container:
    """A list, tuple or object. In an object, entries carry their keys."""

    opener: str
    entries: tuple[Entry, ...]
    start: int
    end: int
    closed: bool


class Entry(NamedTuple):
    """One value of a container; `key` is None in lists. Cut-off numbers and words are left out by the reader."""

    key: str | None
    value: Value


Value = float | str | None | Container
_CONSTANTS: dict[str, None] = {"null": None, "None": None, "none": None}


def containers(text: str) -> list[Container]:
    """Every outermost bracketed part of `text`, in order."""
    found: list[Container] = []
    at = 0
    while (at := _next_opener(text, at)) < len(text):
        try:
            container = _Reader(text).container(at, depth=0)
        except TooDeep:
            at += 1
            continue
        found.append(container)
        at = container.end
    return found


def _next_opener(text: str, at: int) -> int:
    places = (text.find(opener, at) for opener in CLOSERS)
    return min((place for place in places if place >= 0), default=len(text))


class _Reader:
    """A recursive descent over `text` that never fails on what it meets, only on depth."""

    def __init__(self, text: str) -> None:
        self.text = text

    def container(self, start: int, depth: int) -> Container:
        if depth >= MAX_DEPTH:
            raise TooDeep
        opener = self.text[start]
        entries: list[Entry] = []
        at, key = start + 1, None
        while True:
            skipped = _SKIPPED.match(self.text, at)
            at = skipped.end() if skipped else at
            if at >= len(self.text):
                return Container(opener, tuple(entries), start, at, closed=False)
            mark = self.text[at]
            if mark in CLOSERS.values():
                # A wrong closer closes too: models mix up ] and ).
                return Container(opener, tuple(entries), start, at + 1, closed=True)
            value, end, whole = self._value(at, depth)
            if opener == "{" and key is None and isinstance(value, str) and self._colon_follows(end):
                key, at = value, end
                continue
            if whole:
                entries.append(Entry(key, value))
            key, at = None, end

    def _value(self, at: int, depth: int) -> tuple[Value, int, bool]:
        """The value at `at`, where it ends, and whether it is certainly whole."""
        mark = self.text[at]
        if mark in CLOSERS:
            inner = self.container(at, depth + 1)
            return inner, inner.end, True
        if mark in "\"'":
            return self._quoted(at)
        number = _NUMBER.match(self.text, at)
        if number is not None:
            return float(number[0]), number.end(), number.end() < len(self.text)
        word = _WORD.match(self.text, at)
        if word is None:  # a stray mark
            return "", at + 1, False
        return _CONSTANTS.get(word[0], word[0]), word.end(), word.end() < len(self.text)

    def _quoted(self, at: int) -> tuple[str, int, bool]:
        """A string. A quote inside it counts as its end only where one could stand."""
        mark, place = self.text[at], at + 1
        while (place := self.text.find(mark, place)) >= 0:
            before = self.text[at + 1 : place]
            escaped = (len(before) - len(before.rstrip("\\"))) % 2 == 1
            following = self.text[place + 1 : place + 40].lstrip()
            if not escaped and (not following or following[0] in ",:]})"):
                return _ESCAPED.sub(r"\1", before), place + 1, True
            place += 1
        line_end = self.text.find("\n", at)
        end = len(self.text) if line_end < 0 else line_end
        return self.text[at + 1 : end], end, False

    def _colon_follows(self, at: int) -> bool:
        return self.text[at : at + 40].lstrip()[:1] in (":", "=")
