"""Pronunciations (ARPAbet) of words that a dictionary lacks, from those it has: plurals and joined words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Lookup = Callable[[str], str | None]  # a word to its phones, None when it is not known
MIN_PART_CHARS = 3  # "left" + "most", but not "a" + "way"
_HISSING = ("S", "Z", "SH", "CH", "ZH", "JH")
_VOICELESS = ("P", "T", "K", "F", "TH")


def pronunciations_for(words: Iterable[str], lookup: Lookup, given: Mapping[str, str]) -> dict[str, str | None]:
    """Phones of every word that is not in the dictionary or is `given`; None where none can be told."""

    def known(word: str) -> str | None:
        return given.get(word) or lookup(word)

    wanted = [word for word in sorted(words) if word in given or lookup(word) is None]
    return {word: given.get(word) or derived(word, known) for word in wanted}


def derived(word: str, lookup: Lookup) -> str | None:
    """Phones of a regular plural or of two words written as one; None when it is neither."""
    return _as_plural(word, lookup) or _as_joined(word, lookup)


def _as_plural(word: str, lookup: Lookup) -> str | None:
    if not word.endswith("s"):
        return None
    phones = lookup(word[:-1]) or (lookup(word[:-2]) if word.endswith("es") else None)
    return None if phones is None else f"{phones} {_ending(phones.split()[-1])}"


def _ending(last: str) -> str:
    if last in _HISSING:
        return "IH Z"
    return "S" if last in _VOICELESS else "Z"


def _as_joined(word: str, lookup: Lookup) -> str | None:
    for at in range(MIN_PART_CHARS, len(word) - MIN_PART_CHARS + 1):
        first, second = lookup(word[:at]), lookup(word[at:])
        if first is not None and second is not None:
            return f"{first} {second}"
    return None
