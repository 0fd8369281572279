"""The supervisor between what people say: one question at a time, corrections, choices, roles and going back."""

from __future__ import annotations

from asking import LEFT, RIGHT, Asking, found, one_block, stamp

from referent.ports import PromptOutcome
from referent.types import RegroundReason, TrackState


def test_one_question_at_a_time_and_another_instruction_cancels_it() -> None:
    asking = Asking(found(LEFT), found(RIGHT), delay_frames=3)
    asking.say("the block")
    asking.frames(2)
    assert len(asking.worker.asked) == 1
    asking.say("the ball")
    assert asking.worker.cancelled == 1
    assert asking.supervisor.cancel_outdated() is None, "once is enough"
    asking.frames(4)
    assert [request.expression for request in asking.worker.asked] == ["the block", "the ball"]
    assert [prompt.object_id for prompt in asking.prompts] == ["2"]


def test_what_is_said_besides_cancels_nothing() -> None:
    asking = Asking(found(LEFT), found(RIGHT), delay_frames=3)
    asking.say("the block")
    asking.frame()
    asking.say("also the ball")
    asking.frames(3)
    assert asking.worker.cancelled == 0
    assert asking.outcomes == ["found"]


def test_a_name_chooses_among_candidates_without_a_question() -> None:
    asking = Asking(found(RIGHT, LEFT), found(LEFT))
    asking.say("the red block")
    asking.frames(2, {"1": RIGHT, "2": LEFT})
    assert asking.say("the left one") == ("1",)
    asking.frames(3, {"2": LEFT})
    assert len(asking.worker.asked) == 1
    assert asking.ids == ["2"]
    assert asking["2"].state is TrackState.TRACKING
    changed, created = asking["2"].changed, asking["2"].created
    assert changed is not None
    assert created is not None
    assert (changed.by, changed.why, changed.instruction_id) == ("user", "refined", 2)
    assert (created.by, created.why, created.instruction_id) == ("grounder", "new", 1)


def test_a_correction_by_the_user_is_asked_with_the_dialogue_and_keeps_the_id() -> None:
    asking = one_block(found(RIGHT, words="on the right"))
    asking.say("no, the other one")
    assert asking["1"].state is TrackState.UNCERTAIN
    asking.frame({"1": LEFT})
    question = asking.worker.asked[1]
    assert question.reason is RegroundReason.CORRECTED
    assert question.expression == "the other one"
    assert [(turn.question, turn.answer) for turn in question.history] == [("the red block", "the answer")]
    assert asking.prompts[-1].object_id == "1"
    assert asking.prompts[-1].overrules
    asking.frame({"1": RIGHT})
    assert asking["1"].state is TrackState.TRACKING
    changed = asking["1"].changed
    assert changed is not None
    assert (changed.by, changed.why, changed.instruction_id) == ("grounder", "corrected", 2)


def test_a_correction_said_while_the_first_answer_is_caught_up_with_is_not_lost() -> None:
    asking = Asking(found(LEFT), found(RIGHT))
    asking.outcome = "superseded"  # the tracker is still at it
    asking.say("the red block")
    asking.frames(2)
    asking.say("no, the other one")
    asking.outcome = "committed"
    asking.supervisor.settle(PromptOutcome("1", stamp(0), "committed", stamp(1)))
    changed = asking["1"].changed
    assert changed is not None
    assert (changed.by, changed.why, changed.instruction_id) == ("user", "corrected", 2)
    assert asking["1"].state is TrackState.UNCERTAIN
    asking.frame({"1": LEFT})
    assert asking.reasons == ["new", "corrected"]
    asking.frame({"1": RIGHT})
    assert asking["1"].state is TrackState.TRACKING
    assert asking.prompts[-1].overrules


def test_a_choice_made_while_the_candidates_are_caught_up_with_is_the_newest_change() -> None:
    asking = Asking(found(LEFT, RIGHT))
    asking.outcome = "superseded"
    asking.say("the red block")
    asking.frames(2)
    asking.say("the left one")
    asking.supervisor.settle(PromptOutcome("1", stamp(0), "committed", stamp(1)))
    changed, created = asking["1"].changed, asking["1"].created
    assert changed is not None
    assert created is not None
    assert (changed.by, changed.why, created.by) == ("user", "refined", "grounder")
    assert asking["1"].state is TrackState.TRACKING


def test_a_refinement_keeps_what_is_meant_and_drops_the_others() -> None:
    asking = Asking(found(LEFT, RIGHT), found(RIGHT))
    asking.say("the blocks")
    asking.frames(2, {"1": LEFT, "2": RIGHT})
    assert asking.say("the left one") == ()
    asking.frame({"1": LEFT, "2": RIGHT})
    assert asking.decisions[-1].unwanted == ("1",)
    assert asking.ids == ["2"]


def test_what_a_lost_refined_target_is_looked_for_by_is_what_the_dialogue_began_with() -> None:
    asking = Asking(found(RIGHT, LEFT), found(LEFT))
    asking.say("the red block")
    asking.frames(2, {"1": RIGHT, "2": LEFT})
    asking.say("the left one")
    asking.frames(3, {"2": None})
    question = asking.worker.asked[-1]
    assert (question.reason, question.expression) == (RegroundReason.LOST, "the red block")
    assert question.history == ()
    assert asking["2"].target.expression == "the left one"


def test_going_back_restores_what_was_meant_under_its_id() -> None:
    asking = one_block(found(RIGHT), found(LEFT))
    asking.say("the blue ball")
    asking.frame()
    assert asking.ids == ["2"]
    assert asking.say("go back") == ("2",)
    assert asking.ids == ["1"]
    assert asking["1"].state is TrackState.SEARCHING
    asking.frames(2, {"1": LEFT})
    assert asking["1"].state is TrackState.TRACKING
    assert [request.expression for request in asking.worker.asked] == [
        "the red block",
        "the blue ball",
        "the red block",
    ]


def test_roles_become_targets_of_their_own() -> None:
    asking = Asking(found(LEFT), found(RIGHT))
    asking.say("put the red block in the bowl")
    asking.frames(2, {"1": LEFT})
    targets = [record.target for record in asking.supervisor.records]
    assert [(target.role, target.expression) for target in targets] == [
        ("pick", "the red block"),
        ("place", "the bowl"),
    ]
    assert asking.outcomes == ["found", "found"]


def test_an_instruction_in_every_frame_leaves_one_question_and_one_target() -> None:
    asking = Asking(*[found(LEFT)] * 99, delay_frames=3)
    for number in range(30):
        asking.say(f"the block number {number}")
        asking.frame()
    assert asking.ids == ["30"]
    assert asking.outcomes == []
    asking.frames(4)
    assert asking.outcomes == ["found"]
    assert [prompt.object_id for prompt in asking.prompts] == ["30"]


def test_a_jump_of_time_forgets_what_was_said_but_not_what_is_looked_for() -> None:
    asking = Asking(found(LEFT), found(RIGHT), found(LEFT))
    asking.say("put the red block in the bowl")
    asking.frames(2, {"1": LEFT})
    assert asking.supervisor.search_again() == ("1", "2")
    targets = [record.target for record in asking.supervisor.records]
    assert [(t.id, t.role, t.expression) for t in targets] == [
        ("3", "pick", "the red block"),
        ("4", "place", "the bowl"),
    ]
    asking.number = -1
    asking.frame()
    assert asking.worker.asked[-1].history == ()
    assert asking.prompts[-1].object_id == "3"
