"""What the probabilities of a reply's tokens say of its regions, and of nothing being there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from referent.grounding.replies import locate
from referent.grounding.token_scores import Token, nothing_score, region_score

HEAD, COMMA, NAME, NEXT, END = '[{"bbox_2d": [', ", ", '], "label": "mug"', '}, {"bbox_2d": [', "}]"


def spans_of(tokens: Sequence[Token]) -> tuple[tuple[int, int], ...]:
    text = "".join(piece for piece, _ in tokens)
    return locate(text, scale=(1.0, 1.0), size=(1000, 1000)).spans


def region(lead: str, sure_of_lead: float, numbers: Sequence[int], sure: Sequence[float]) -> list[Token]:
    """The tokens of one region; those between its numbers are certain."""
    tokens: list[Token] = [(lead, sure_of_lead)]
    for place, (number, p) in enumerate(zip(numbers, sure, strict=True)):
        tokens += [(COMMA, 1.0)] * (place > 0) + [(str(number), p)]
    return [*tokens, (NAME, 1.0)]


def test_a_region_is_as_sure_as_naming_it_times_its_numbers() -> None:
    tokens = [*region(HEAD, 0.6, (100, 200, 300, 400), (0.9, 0.4, 0.9, 0.9)), (END, 0.3)]
    (span,) = spans_of(tokens)
    assert region_score(tokens, span) == pytest.approx(0.6 * (0.9 * 0.4 * 0.9 * 0.9) ** 0.25)
    assert nothing_score(tokens, [span]) == pytest.approx(0.4)


def test_going_on_with_the_list_is_a_decision_of_the_second_region_alone() -> None:
    tokens = region(HEAD, 1.0, (100, 200, 300, 400), (1.0,) * 4)
    tokens += [*region(NEXT, 0.5, (500, 600, 700, 800), (1.0,) * 4), (END, 1.0)]
    spans = spans_of(tokens)
    assert [region_score(tokens, span) for span in spans] == pytest.approx([1.0, 0.5])
    assert nothing_score(tokens, spans) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "said", [["[]"], ["```json\n", "[", "]", "\n```"], ["I looked. ", "[", " ]"], ['{"boxes": []}']]
)
def test_an_empty_list_is_as_sure_as_its_brackets(said: list[str]) -> None:
    tokens = [(piece, 0.7 if "]" in piece else 0.9) for piece in said]
    assert nothing_score(tokens, ()) == pytest.approx(0.7)


def test_a_reply_spelt_in_small_pieces_is_as_sure_as_its_least_sure_step_towards_the_box() -> None:
    """Qwen's own tokenizer spells keys and digits; its thoughts before are no part of the answer."""
    lead = [
        ("A mug, I think", 0.1),
        (".\n```", 0.9),
        ("json", 1.0),
        ("\n[", 1.0),
        ("\n\t{", 0.8),
        ('"', 1.0),
        ("bbox", 1.0),
    ]
    lead += [("_", 1.0), ("2", 0.99), ("d", 1.0), ('":', 1.0), (" [", 1.0)]
    digits = [
        ("1", 1.0),
        ("0", 0.5),
        (",", 1.0),
        ("2", 0.5),
        (",", 1.0),
        ("3", 1.0),
        ("0", 1.0),
        (",", 1.0),
        ("40", 1.0),
    ]
    tokens = [*lead, *digits, ("]}", 1.0), ("]", 1.0)]
    (span,) = spans_of(tokens)
    assert region_score(tokens, span) == pytest.approx(0.8 * 0.25 ** (1 / 6))
    assert nothing_score(tokens, [span]) == pytest.approx(0.2)


def test_what_has_no_probability_gets_none() -> None:
    assert nothing_score([], ()) is None
    assert nothing_score([("There is no mug in the image.", 0.9)], ()) is None, "prose parts from a box nowhere certain"
    assert region_score([], (0, 10)) is None
