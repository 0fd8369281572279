"""Words and grammar: what a list allows to be said, and what is wrong with a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from referent.errors import ConfigError
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, PARTS
from referent.speech.grammar import grammar_of, words_of_grammar
from referent.speech.pronunciation import derived, pronunciations_for
from referent.speech.vocabulary import Vocabulary, load_vocabulary, plural_of

DICTIONARY = {"mug": "M AH G", "cup": "K AH P", "box": "B AA K S", "left": "L EH F T", "most": "M OW S T"}


def test_the_list_that_comes_along_holds_all_that_the_bundled_models_know() -> None:
    vocabulary = load_vocabulary()
    assert set(CATEGORIES) <= set(vocabulary.things)
    assert set(COLORS) <= set(vocabulary.colors)
    assert set(PARTS) == set(vocabulary.parts)


def test_a_list_of_ones_own_says_its_own_words(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("things: [Wrench, coffee machine]\nwishes: [find]\n")
    words = words_of_grammar(grammar_of(load_vocabulary(mine)))
    assert {"wrench", "coffee", "machine", "find", "wrenches"} <= words
    assert "mug" not in words


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`things` is needed"),
        ("things: [mug]\ncolours: [red]", "unknown group 'colours'"),
        ("things: [mug]\nrelations: [on]", "True is no word"),
        ("things: ['mug | <NULL>']", "is no word"),
        ("things: ['mug; public <x> = y']", "is no word"),
        ("things: mug", "a list is needed"),
        ("things: [mug]\npronunciations: {mug: m-u-g}", "'M AH G'"),
        ("things: [mug", "not YAML"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path: Path, text: str, said: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text)
    with pytest.raises(ConfigError, match=r"speech\.vocabulary") as caught:
        load_vocabulary(wrong)
    assert said in str(caught.value)


def test_a_missing_list_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no/such\.yaml"):
        load_vocabulary("no/such.yaml")


def test_an_empty_group_cannot_be_said() -> None:
    assert words_of_grammar(grammar_of(Vocabulary(things=("mug",), wishes=("find",)))) >= {"find", "the", "mug", "mugs"}
    assert "<colors>" not in grammar_of(Vocabulary(things=("mug",)))


@pytest.mark.parametrize(
    ("one", "several"), [("mug", "mugs"), ("box", "boxes"), ("berry", "berries"), ("tray", "trays")]
)
def test_plurals(one: str, several: str) -> None:
    assert plural_of(one) == several


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("mugs", "M AH G Z"),
        ("cups", "K AH P S"),
        ("boxes", "B AA K S IH Z"),
        ("leftmost", "L EH F T M OW S T"),
        ("spatula", None),
    ],
)
def test_words_that_a_dictionary_lacks_are_made_from_those_it_has(word: str, phones: str | None) -> None:
    assert derived(word, DICTIONARY.get) == phones


def test_a_pronunciation_of_ones_own_wins() -> None:
    assert pronunciations_for(["mug", "cup"], DICTIONARY.get, {"mug": "M UH G"}) == {"mug": "M UH G"}
