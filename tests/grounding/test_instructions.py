"""What an instruction changes: acts of a dialogue on the targets, and what is remembered of the dialogue."""

from __future__ import annotations

from dataclasses import replace

import pytest
from asking import stamp

from referent.config import GroundingConfig
from referent.errors import BadInstruction
from referent.grounding.conversation import MAX_ANSWER_CHARS, Conversation
from referent.grounding.dialogue import Act, Verb
from referent.grounding.instructions import carry_out, clean_instruction
from referent.grounding.targets import Targets
from referent.types import Candidate, TrackState

NOW_NS = stamp(9)


class Talk:
    """Targets and a conversation."""

    def __init__(self, *, max_objects: int = 16, undo_steps: int = 16) -> None:
        self.targets = Targets(GroundingConfig(), max_objects=max_objects)
        self.conversation = Conversation(turns=3, undo_steps=undo_steps)

    def act(self, verb: Verb, *expressions: str, certain: bool = True) -> tuple[str, ...]:
        parts = tuple(("target", expression) for expression in expressions)
        return carry_out(Act(verb, parts, certain), self.targets, self.conversation, now_ns=NOW_NS)

    @property
    def meant(self) -> dict[str, str]:
        return {record.target.id: record.target.expression for record in self.targets}


def test_replacing_drops_what_was_followed_and_what_was_said() -> None:
    talk = Talk()
    talk.act(Verb.REPLACE, "the red mug")
    talk.conversation.note("the red mug", "[1]")
    assert talk.act(Verb.REPLACE, "the bowl") == ("1",)
    assert talk.meant == {"2": "the bowl"}
    assert talk.conversation.history == ()


def test_what_is_not_certain_is_asked_with_the_dialogue() -> None:
    talk = Talk()
    talk.act(Verb.REPLACE, "the red mug")
    talk.conversation.note("the red mug", "[1]")
    talk.act(Verb.ADD, "the one next to it", certain=False)
    assert [turn.question for turn in talk.targets["2"].meaning.history] == ["the red mug"]
    talk.act(Verb.ADD, "the bowl")
    assert talk.targets["3"].meaning.history == ()
    talk.act(Verb.REPLACE, "the one behind it", certain=False)
    assert len(talk.targets["4"].meaning.history) == 1


def test_adding_to_nothing_begins_and_adding_too_much_is_refused() -> None:
    talk = Talk(max_objects=1)
    assert talk.act(Verb.ADD, "the red mug") == ()
    with pytest.raises(BadInstruction, match=r"1 targets are followed already; .*tracker.max_objects"):
        talk.act(Verb.ADD, "the bowl")
    assert talk.meant == {"1": "the red mug"}
    assert talk.conversation.instruction_id == 1


@pytest.mark.parametrize(
    ("said", "left"), [("the mug", {"2"}), ("the red mug", {"2"}), ("2", {"1"}), ("the bowl", {"1"})]
)
def test_forgetting_takes_the_targets_that_fit_the_words(said: str, left: set[str]) -> None:
    talk = Talk()
    talk.act(Verb.REPLACE, "the red mug", "the bowl")
    talk.act(Verb.REMOVE, said)
    assert set(talk.meant) == left


def test_forgetting_everything() -> None:
    talk = Talk()
    talk.act(Verb.REPLACE, "the red mug", "the bowl")
    assert talk.act(Verb.REMOVE) == ("1", "2")
    with pytest.raises(BadInstruction, match="but nothing"):
        talk.act(Verb.REMOVE)


def test_narrowing_changes_the_meaning_and_keeps_the_id_and_where_it_came_from() -> None:
    talk = Talk()
    talk.act(Verb.REPLACE, "the red mug")
    talk.conversation.note("the red mug", "[1]")
    talk.act(Verb.CORRECT, "the other one", certain=False)
    record = talk.targets["1"]
    assert record.target.expression == "the other one"
    assert record.target.generation == 2
    assert record.meaning.root == "the red mug"
    assert record.corrected
    assert record.changed is not None
    assert (record.changed.by, record.changed.why, record.changed.stamp_ns) == ("user", "corrected", NOW_NS)
    talk.act(Verb.REFINE, "the big one", certain=False)
    assert talk.targets["1"].meaning.root == "the red mug", "the root of a dialogue is where it began"


def test_narrowing_is_about_what_is_ambiguous_else_about_the_newest() -> None:
    talk = Talk()
    talk.act(Verb.REPLACE, "the red mug")
    talk.act(Verb.ADD, "the bowl")
    talk.act(Verb.REFINE, "the big one")
    assert talk.meant == {"1": "the red mug", "2": "the big one"}
    candidates = (Candidate("1", "left one"),)
    talk.targets.change(("1",), lambda record: replace(record, candidates=candidates))
    talk.act(Verb.REFINE, "the left one")
    assert talk.meant["1"] == "the left one"
    assert not talk.targets["1"].corrected, "a name needs no question"


def test_narrowing_nothing_is_a_beginning() -> None:
    talk = Talk()
    talk.act(Verb.REFINE, "the left one")
    assert talk.meant == {"1": "the left one"}


def test_going_back_step_by_step_as_far_as_is_remembered() -> None:
    talk = Talk(undo_steps=2)
    for expression in ("the mug", "the bowl", "the can"):
        talk.act(Verb.REPLACE, expression)
    assert talk.act(Verb.UNDO) == ("3",)
    assert talk.meant == {"2": "the bowl"}
    talk.act(Verb.UNDO)
    assert talk.meant == {"1": "the mug"}
    with pytest.raises(BadInstruction, match="nothing to go back to"):
        talk.act(Verb.UNDO)


def test_going_back_leaves_alone_what_stays_and_keeps_the_order() -> None:
    talk = Talk()
    talk.act(Verb.REPLACE, "the mug", "the bowl")
    talk.targets.change(("1", "2"), lambda record: replace(record, state=TrackState.TRACKING))
    talk.act(Verb.REMOVE, "the mug")
    assert talk.act(Verb.UNDO) == ()
    assert list(talk.meant) == ["1", "2"]
    assert [record.state for record in talk.targets] == [TrackState.SEARCHING, TrackState.TRACKING]
    talk.act(Verb.CORRECT, "the other one", certain=False)
    assert talk.act(Verb.UNDO) == ("2",), "its track may be the corrected one's by now"
    assert talk.meant == {"1": "the mug", "2": "the bowl"}


def test_the_dialogue_is_bounded_in_turns_and_in_words() -> None:
    conversation = Conversation(turns=2, undo_steps=1)
    for number in range(5):
        conversation.note(f"question {number}", "x" * 10**6)
    assert [turn.question for turn in conversation.history] == ["question 3", "question 4"]
    assert {len(turn.answer) for turn in conversation.history} == {MAX_ANSWER_CHARS}
    conversation.note("question 4", "better")
    assert [turn.answer for turn in conversation.history][-1] == "better"
    conversation.note("question 5", "")
    assert len(conversation.history) == 2
    conversation.forget()
    assert conversation.history == ()
    assert conversation.take_back() is None


@pytest.mark.parametrize("text", ["", " \n", "x" * 1001])
def test_an_instruction_without_words_or_without_end_is_refused(text: str) -> None:
    with pytest.raises(BadInstruction):
        clean_instruction(text)
