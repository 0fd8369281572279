"""Roles in one instruction, and what is said of what just happened in the named scenes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from tabletops import a_thing, a_truth

from referent.sources.simulation.events import event_expressions
from referent.sources.simulation.expressions import Expression, words_of_expressions
from referent.sources.simulation.roles import role_sentence
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import FrameTruth

FPS = 6
TABLE = a_truth(a_thing(1, "red mug", -0.2, scale=0.7), a_thing(2, "blue bowl", 0.1), a_thing(3, "green plate", 0.3))


def watched(name: str, seconds: float) -> list[FrameTruth]:
    scene = named_scene(name)
    return [shown.truth for shown in simulate(scene, frames=int(seconds * FPS) + 1, fps=FPS, width=160, height=120)]


def events(truths: Sequence[FrameTruth], draws: int = 12) -> dict[str, Expression]:
    drawn = [event_expressions(truths, np.random.default_rng(seed), fps=FPS) for seed in range(draws)]
    return {expression.phrase: expression for each in drawn for expression in each}


def meant(phrases: dict[str, Expression], pattern: str) -> set[tuple[int, ...]]:
    return {each.instance_ids for phrase, each in phrases.items() if re.search(pattern, phrase)}


@pytest.fixture(scope="module")
def handover() -> list[FrameTruth]:
    return watched("handover", 6.0)


def test_what_is_carried_is_lifted_then_in_the_air_then_put_down(handover: list[FrameTruth]) -> None:
    """The red mug rises from 1.5 s, crosses from 2.5 s, goes down from 4 s and rests from 5 s."""
    rising = events(handover[: round(2.2 * FPS) + 1])
    assert meant(rising, "being lifted") == meant(rising, "picked up|just lifted") == {(1,)}
    across = events(handover[: round(3.3 * FPS) + 1])
    assert meant(across, "in the air") == meant(across, "that moves|is moving|in motion") == {(1,)}
    down = events(handover[: round(5.7 * FPS) + 1])
    assert meant(down, "put down") == {(1,)}
    assert not meant(down, "in the air|moving")
    assert {tuple(sorted(ids)) for ids in meant(down, "s that (did not move|stayed)")} == {(2, 3)}


def test_before_anything_happened_there_is_nothing_to_say(handover: list[FrameTruth]) -> None:
    assert events(handover[: round(1.2 * FPS)]) == {}
    assert events(handover[:2]) == {}


def test_what_left_and_came_back_is_told_from_what_stayed() -> None:
    back = watched("leave_and_return", 9.0)
    seen = [bool(next(o for o in truth.objects if o.instance_id == 1).visible_px) for truth in back]
    assert not all(seen)
    assert meant(events(back), "came back|is back") == {(1,)}
    assert not meant(events(back), "hidden|covered|seen again")
    gone = events(back[: seen.index(False) + 2])
    assert not any(1 in each.instance_ids for each in gone.values())


def test_what_was_pushed_was_not_lifted() -> None:
    pushed = events(watched("tabletop", 3.6))
    assert meant(pushed, "pushed|slid") == meant(pushed, "that (was )?moved|been moved") == {(1,)}
    assert not meant(pushed, "air|lifted|picked|put down|rolled")


def test_what_an_arm_hid_was_hidden_and_did_not_come_back() -> None:
    """The arm passes by 2.8 s; it hides the red mug and maybe others wholly on its way."""
    clip = watched("occlusion", 4.9)
    hidden = {thing.instance_id for truth in clip for thing in truth.objects if thing.visible_px == 0}
    phrases = events(clip)
    assert (1,) in meant(phrases, "mug (that was hidden|that was covered|seen again)")
    assert {number for ids in meant(phrases, "hidden|covered|seen again") for number in ids} <= hidden
    assert not meant(phrases, "came back|is back|moving|that moved")


def test_events_speak_known_words_and_repeat(handover: list[FrameTruth]) -> None:
    words = words_of_expressions()
    for held_out in (False, True):
        for seed in range(30):
            drawn = event_expressions(handover, np.random.default_rng(seed), fps=FPS, held_out=held_out)
            assert drawn == event_expressions(handover, np.random.default_rng(seed), fps=FPS, held_out=held_out)
            assert all(each.kind == "event" for each in drawn)
            assert all(set(re.findall("[a-z]+", each.text.lower())) <= words for each in drawn)


def test_an_instruction_names_what_to_pick_and_the_place_for_it() -> None:
    words = words_of_expressions()
    texts = set()
    for seed in range(300):
        sentence = role_sentence(TABLE, np.random.default_rng(seed), held_out=seed % 2 == 1)
        assert sentence is not None
        (pick_role, pick), (place_role, place) = sentence.roles
        assert (pick_role, place_role) == ("pick", "place")
        assert len(pick.instance_ids) == len(place.instance_ids) == 1
        assert pick.instance_ids != place.instance_ids
        assert sentence.text.index(pick.text) < sentence.text.rindex(place.text)
        assert set(re.findall("[a-z]+", sentence.text)) <= words
        texts.add(sentence.text)
    assert any(re.search("put the (red )?mug (in|into|inside) the (blue )?bowl", text) for text in texts)
    assert not any(re.search("into the (green )?plate|on (top of )?the (blue )?bowl", text) for text in texts)


def test_no_role_is_given_where_one_thing_stands_alone() -> None:
    assert role_sentence(a_truth(a_thing(1, "red mug")), np.random.default_rng(0)) is None
    twins = a_truth(a_thing(1, "red mug", 0.0), a_thing(2, "red mug", 0.01))
    assert role_sentence(twins, np.random.default_rng(0)) is None
