"""What instructions do, sentence by sentence: a table with the traps that spoken English sets."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referent.errors import BadInstruction
from referent.grounding.dialogue import Act, Verb, understand

MUG = ("the red mug",)
BOTH = ("the red mug", "the bowl")
SURE, UNSURE = True, False


def act_of(said: str, known: tuple[str, ...]) -> tuple[str, tuple[str, ...], bool]:
    act = understand(said, known)
    return act.verb.value, tuple(expression for _, expression in act.parts), act.certain


@pytest.mark.parametrize(
    ("said", "meant", "certain"),
    [
        ("the red mug", "the red mug", SURE),
        ("find the red mug", "the red mug", SURE),
        ("find red mug", "red mug", SURE),
        ("FIND THE RED MUG!!", "THE RED MUG", SURE),
        ("Please pick up the red mug.", "the red mug", SURE),
        ("could you please pick the red mug up for me?", "the red mug", SURE),
        ("Hey robot, where is the red mug?", "the red mug", SURE),
        ("robot, bring me the red mug, thanks", "the red mug", SURE),
        ("bring the red mug to me", "the red mug", SURE),
        ("ok, take the red mug", "the red mug", SURE),
        ("i would like you to find the red mug again", "the red mug", SURE),
        ("keep an eye on the red mug now", "the red mug", SURE),
        ("find the red mug and bring it to me", "the red mug", SURE),
        ("i'm looking for my keys", "my keys", SURE),
        ("“Find the red mug”", "the red mug", SURE),
        ("find “the red mug”", "the red mug", SURE),
        ("find   the\u200b red\u00a0mug\n", "the red mug", SURE),
        ("find the box labelled “TEA”", 'the box labelled "TEA"', SURE),
        ("find the can that says 'no sugar'", "the can that says 'no sugar'", SURE),
        ("now the bowl", "the bowl", SURE),
        ("go back to the red mug", "the red mug", SURE),
        ("two mugs", "two mugs", SURE),
        ("one of the mugs", "one of the mugs", SURE),
        ("the mug in the bowl", "the mug in the bowl", SURE),
        ("take the mug in the bowl", "the mug in the bowl", SURE),
        ("the one-liter bottle", "the one-liter bottle", UNSURE),
        ("the red and the blue mug", "the red and the blue mug", SURE),
        ("the mug next to the bowl and the can", "the mug next to the bowl and the can", SURE),
        ("the mug that is too big", "the mug that is too big", SURE),
        ("bring me the block nearest to me", "the block nearest to me", SURE),
        ("take the block that is closest to me", "the block that is closest to me", SURE),
        ("tell me where the red mug is", "the red mug", SURE),
        ("the teapot, not the black one", "the teapot, not the black one", UNSURE),
        ("find everything that is not the orange pan", "everything that is not the orange pan", SURE),
        ("find everything, but not the red bowl", "everything, but not the red bowl", UNSURE),
        ("i want some jam", "i want some jam", UNSURE),
        ("show me the lid", "the lid", UNSURE),
        ("move the lid on the jar", "the lid on the jar", SURE),
        ("push the second ball from the right", "the second ball from the right", SURE),
        ("push the only bottle on the right of the cup", "the only bottle on the right of the cup", SURE),
        ("push the cup in view", "the cup in view", SURE),
        ("find the thing that is moving now", "the thing that is moving now", SURE),
        ("put away the mug", "the mug", SURE),
        ("put the mug away", "the mug", SURE),
        ("put down the mug", "the mug", SURE),
        ("drop the mug", "the mug", SURE),
        ("move the mug to the left", "the mug", UNSURE),
        ("red mug", "red mug", UNSURE),
        ("something to drink from", "something to drink from", UNSURE),
        ("find the other red mug", "the other red mug", UNSURE),
        ("find the one behind it", "the one behind it", UNSURE),
        ("now the blue one", "the blue one", UNSURE),
        ("the one that was just put down", "the one that was just put down", UNSURE),
        ("no mug", "no mug", UNSURE),
        ("undo the lid", "undo the lid", UNSURE),
        ("back of the chair", "back of the chair", UNSURE),
        ("stop sign", "stop sign", UNSURE),
        ("watch on the table", "watch on the table", UNSURE),
        ("pick axe", "pick axe", UNSURE),
        ("cancel button", "cancel button", UNSURE),
        ("next to the mug", "next to the mug", UNSURE),
        ("place mat in the drawer", "place mat in the drawer", UNSURE),
        ("set of forks on the table", "set of forks on the table", UNSURE),
        ("add the milk to the coffee", "add the milk to the coffee", UNSURE),
        ("remove the lid", "remove the lid", UNSURE),
        ("die rote Tasse", "die rote Tasse", UNSURE),
        ("找到红色的杯子。", "找到红色的杯子", UNSURE),
    ],
)
def test_something_else_is_looked_for(said: str, meant: str, certain: bool) -> None:
    assert act_of(said, ("the green can",)) == ("replace", (meant,), certain)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("the red mug and the bowl", ("the red mug", "the bowl")),
        ("show me the red mug and the bowl together", ("the red mug", "the bowl")),
        ("find the mug, the bowl and my keys", ("the mug", "the bowl", "my keys")),
        ("also the mug and the bowl", ("the mug", "the bowl")),
        ("forget the mug and the bowl", ("the mug", "the bowl")),
    ],
)
def test_a_plain_list_gives_a_target_for_each(said: str, meant: tuple[str, ...]) -> None:
    assert act_of(said, MUG)[1:] == (meant, SURE)


@pytest.mark.parametrize(
    ("said", "meant", "certain"),
    [
        ("also the bowl", "the bowl", SURE),
        ("and the bowl too", "the bowl", SURE),
        ("And the bowl, please.", "the bowl", SURE),
        ("the bowl as well", "the bowl", SURE),
        ("please also find the bowl", "the bowl", SURE),
        ("could you also find the bowl?", "the bowl", SURE),
        ("i also need the bowl", "the bowl", SURE),
        ("take the bowl too", "the bowl", SURE),
        ("add the bowl", "the bowl", SURE),
        ("add the bowl to the list", "the bowl", SURE),
        ("no, also the bowl", "the bowl", SURE),
        ("also the blue one", "the blue one", UNSURE),
        ("and the one next to it", "the one next to it", UNSURE),
        ("the blue ones too", "the blue ones", UNSURE),
        ("plus another mug", "another mug", UNSURE),
        ("and red things", "red things", UNSURE),
    ],
)
def test_something_is_added(said: str, meant: str, certain: bool) -> None:
    assert act_of(said, MUG) == ("add", (meant,), certain)
    assert understand(said, ()).verb is Verb.REPLACE, "there is nothing to add to"


@pytest.mark.parametrize("said", ["and now the bowl", "and then the bowl", "and where is the bowl?"])
def test_and_now_goes_on_to_something_else(said: str) -> None:
    assert act_of(said, MUG) == ("replace", ("the bowl",), SURE)


@pytest.mark.parametrize(
    ("said", "known", "meant", "certain"),
    [
        ("forget the box", BOTH, ("the box",), SURE),
        ("Forget about the box!", BOTH, ("the box",), SURE),
        ("stop following the mug", BOTH, ("the mug",), SURE),
        ("please stop tracking the red mug", BOTH, ("the red mug",), SURE),
        ("don’t follow the mug any more", BOTH, ("the mug",), SURE),
        ("do not look for the mug", BOTH, ("the mug",), SURE),
        ("never mind the mug", BOTH, ("the mug",), SURE),
        ("ignore the mug from now on", BOTH, ("the mug",), SURE),
        ("no, forget the mug", BOTH, ("the mug",), SURE),
        ("forget the other one", BOTH, ("the other one",), UNSURE),
        ("forget it", MUG, ("the red mug",), SURE),
        ("forget it", BOTH, ("the bowl",), UNSURE),
        ("stop following that one", BOTH, ("the bowl",), UNSURE),
        ("remove the bowl", BOTH, ("the bowl",), UNSURE),
        ("never mind", BOTH, (), SURE),
        ("nevermind.", BOTH, (), SURE),
        ("stop", BOTH, (), SURE),
        ("Stop!", BOTH, (), SURE),
        ("forget everything", BOTH, (), SURE),
        ("forget all of them", BOTH, (), SURE),
        ("stop looking", BOTH, (), SURE),
        ("no, stop", BOTH, (), SURE),
    ],
)
def test_something_is_forgotten(said: str, known: tuple[str, ...], meant: tuple[str, ...], certain: bool) -> None:
    assert act_of(said, known) == ("remove", meant, certain)


def test_forgetting_one_and_naming_another_replaces_it_for_certain_only_when_nothing_else_is_followed() -> None:
    assert act_of("forget the mug, find the can", MUG) == ("replace", ("the can",), SURE)
    assert act_of("never mind the mug and look for the can instead", BOTH)[2] is UNSURE


@pytest.mark.parametrize(
    ("said", "meant", "certain"),
    [
        ("the left one", "the left one", UNSURE),
        ("take the left one", "the left one", UNSURE),
        ("that striped one", "that striped one", UNSURE),
        ("yes, the left one please", "the left one", UNSURE),
        ("i mean the striped one", "the striped one", UNSURE),
        ("I meant the blue mug", "the blue mug", SURE),
        ("the one on the left", "the one on the left", UNSURE),
        ("the one behind it", "the one behind it", UNSURE),
        ("the left mug", "the left mug", UNSURE),
        ("the mug on the left", "the mug on the left", UNSURE),
        ("the bigger red mug", "the bigger red mug", UNSURE),
        ("its handle", "its handle", UNSURE),
        ("the handle", "the handle", UNSURE),
        ("both of them", "both of them", UNSURE),
        ("all of them", "all of them", UNSURE),
    ],
)
def test_what_is_meant_is_narrowed(said: str, meant: str, certain: bool) -> None:
    assert act_of(said, MUG) == ("refine", (meant,), certain)
    assert understand(said, ()).verb is Verb.REPLACE, "there is nothing to narrow"


def test_a_side_of_something_not_followed_is_something_else() -> None:
    assert act_of("the left bowl", MUG) == ("replace", ("the left bowl",), SURE)
    assert act_of("the mug", MUG) == ("replace", ("the mug",), SURE)


@pytest.mark.parametrize(
    ("said", "meant", "certain"),
    [
        ("no, the other one", "the other one", UNSURE),
        ("No - the other one!", "the other one", UNSURE),
        ("no the other one", "the other one", UNSURE),
        ("no no, the other one", "the other one", UNSURE),
        ("the other one", "the other one", UNSURE),
        ("the other one, not that one", "the other one", UNSURE),
        ("not that one, the blue one", "the blue one", UNSURE),
        ("not this mug but the other", "the other", UNSURE),
        ("not the red mug, the blue mug", "the blue mug", SURE),
        ("wrong, the one behind it", "the one behind it", UNSURE),
        ("that's wrong, i mean the blue mug", "the blue mug", SURE),
        ("no, i meant the bowl", "the bowl", SURE),
        ("no, take the bowl instead", "the bowl", SURE),
        ("the bowl instead", "the bowl", SURE),
        ("the bowl instead of the mug", "the bowl", SURE),
        ("actually, the bowl", "the bowl", SURE),
        ("sorry, the bowl", "the bowl", SURE),
        ("i said the blue mug", "the blue mug", SURE),
        ("no, its handle", "its handle", UNSURE),
        ("no", "the other one", UNSURE),
        ("Wrong!", "the other one", UNSURE),
        ("not that one", "the other one", UNSURE),
        ("that's not it", "the other one", UNSURE),
        ("that is not the red mug", "the other one", UNSURE),
        ("wrong mug", "the other mug", UNSURE),
        ("look again", "the red mug", UNSURE),
    ],
)
def test_a_wrong_answer_is_corrected(said: str, meant: str, certain: bool) -> None:
    assert act_of(said, MUG) == ("correct", (meant,), certain)


def test_where_nothing_is_followed_nothing_is_corrected() -> None:
    assert act_of("no, the blue mug", ()) == ("replace", ("the blue mug",), SURE)
    with pytest.raises(BadInstruction, match="nothing is followed that could be wrong"):
        understand("not that one", ())


@pytest.mark.parametrize(
    "said",
    [
        "undo", "Undo that.", "undo the last instruction", "go back", "back", "please go back!", "scratch that",
        "the previous one again", "back to the previous one", "go back to the last one", "no, go back",
        "take that back", "as before",
    ],
)  # fmt: skip
def test_the_last_instruction_is_taken_back(said: str) -> None:
    assert understand(said, MUG) == Act(Verb.UNDO, (), SURE)


@pytest.mark.parametrize(
    ("said", "pick", "place", "certain"),
    [
        ("put the red mug into the bowl", "the red mug", "the bowl", SURE),
        ("Put the red mug in the bowl, please.", "the red mug", "the bowl", SURE),
        ("could you place the cup next to the plate for me", "the cup", "the plate", SURE),
        ("place the cup on top of the plate", "the cup", "the plate", SURE),
        ("move the can to the box", "the can", "the box", SURE),
        ("move the can to the left of the box", "the can", "the box", SURE),
        ("bring the can over to the box", "the can", "the box", SURE),
        ("push the can towards the box", "the can", "the box", SURE),
        ("stack the red block onto the blue block", "the red block", "the blue block", SURE),
        ("set the mug down on the plate", "the mug", "the plate", SURE),
        ("put the mug back in the box", "the mug", "the box", SURE),
        ("take the green box to the orange teapot now", "the green box", "the orange teapot", SURE),
        ("put the mug on the right of the plate", "the mug", "the plate", SURE),
        ("put the mug on the top shelf", "the mug", "the top shelf", SURE),
        ("push the black one next to the plate", "the black one", "the plate", UNSURE),
        ("put the one in the bowl on the plate", "the one in the bowl", "the plate", UNSURE),
        ("pick up the mug and put it on the right of the plate", "the mug", "the plate", SURE),
        ("pick up the red mug and put it into the bowl", "the red mug", "the bowl", SURE),
        ("take the mug, then set it next to the plate", "the mug", "the plate", SURE),
        ("put the mug with the green handle into the box", "the mug with the green handle", "the box", SURE),
        ("put the mug on the table into the bowl", "the mug on the table", "the bowl", SURE),
        ("put the mug on the left next to the plate", "the mug on the left", "the plate", SURE),
        ("put the mug in the bowl on the left", "the mug", "the bowl on the left", SURE),
        ("put the mug that is on the plate in the box", "the mug that is on the plate", "the box", SURE),
        ("take the mug in the bowl to the box", "the mug in the bowl", "the box", SURE),
        ("put the mug in the bowl on the plate", "the mug in the bowl", "the plate", UNSURE),
        ("put red mug in bowl", "red mug", "bowl", UNSURE),
        ("put the blue one into the bowl", "the blue one", "the bowl", UNSURE),
        ("put it in the bowl", "the green can", "the bowl", UNSURE),
        ("no, put it in the bowl", "the green can", "the bowl", UNSURE),
    ],
)
def test_two_things_get_their_roles(said: str, pick: str, place: str, certain: bool) -> None:
    assert understand(said, ("the green can",)) == Act(Verb.REPLACE, (("pick", pick), ("place", place)), certain)


def test_roles_can_be_added_and_several_things_be_picked() -> None:
    parts = (("pick", "the mug"), ("pick", "the can"), ("place", "the box"))
    assert understand("put the mug and the can into the box", ()).parts == parts
    assert understand("also put the mug into the bowl", MUG).verb is Verb.ADD


@pytest.mark.parametrize(
    "said", ["put on the hat", "put the mug here", "the place for the mug", "take the mug on the box"]
)
def test_one_thing_has_no_roles(said: str) -> None:
    assert {role for role, _ in understand(said, MUG).parts} == {"target"}


@pytest.mark.parametrize(
    "said", ["", " ", "...", "please", "find", "could you", "ok", "thank you", "no thanks", "also", "“”"]
)
def test_what_names_nothing_is_refused(said: str) -> None:
    with pytest.raises(BadInstruction, match="names nothing"):
        understand(said, MUG)


WORDS = [
    *("the", "a", "no", "not", "that", "this", "one", "other", "mug", "bowl", "red", "blue", "put", "in", "into", "on"),
    *("to", "find", "also", "and", "too", "forget", "undo", "go", "back", "i", "mean", "it,", "instead", "left", "is"),
    *("wrong,", "please", "pick", "up", "next", "of", "stop", "following", "but", "than", "take", "with", "look"),
]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.sampled_from([(), MUG, BOTH]))
def test_any_words_in_any_order_are_an_act_or_refused(words: list[str], known: tuple[str, ...]) -> None:
    try:
        act = understand(" ".join(words), known)
    except BadInstruction:
        return
    assert all(role in ("target", "pick", "place") and expression.strip() for role, expression in act.parts)
    assert act.parts or act.verb in (Verb.UNDO, Verb.REMOVE)
    said = {"the", "other", "one", *" ".join(words).replace(",", " ").split(), *" ".join(known).split()}
    assert {word.strip(",") for _, expression in act.parts for word in expression.split()} <= said


@given(st.text(max_size=200))
def test_no_text_whatever_breaks_it(text: str) -> None:
    with contextlib.suppress(BadInstruction):
        understand(text, MUG)


@pytest.mark.parametrize(
    "piece", ["not the ", "no, ", "put the in ", "please ", "and the ", "the one ", "a, ", "'", "forget a and "]
)
def test_an_endless_sentence_is_understood_in_no_time(piece: str) -> None:
    started = time.process_time()
    with contextlib.suppress(BadInstruction):
        understand((piece * 1000)[:1000] + " mug", MUG)
    assert time.process_time() - started < 0.5
