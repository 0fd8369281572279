"""The supervisor: answers are matched with tracks as they were at the question's frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from asking import BELOW, LEFT, MIDDLE, RIGHT, Asking, a_box, failed, found, nothing, one_block, seen, stamp
from doubles import ScriptedWorker
from painted import painted

from referent.config import GroundingConfig
from referent.grounding.boxes import box_iou, mask_box_xyxy
from referent.grounding.regions import prompt_from_item
from referent.grounding.supervisor import GroundingSupervisor
from referent.ports import PromptOutcome
from referent.types import (
    Candidate,
    GroundingItem,
    GroundingRequest,
    RegroundReason,
    TrackHealth,
    TrackState,
)


def two_blocks(*later: object, **settings: object) -> Asking:
    """Two objects of one expression, tracked; the second one then gets lost."""
    asking = Asking(found(LEFT, RIGHT), *later, **settings)  # type: ignore[arg-type]
    asking.say("the blocks")
    asking.frame()
    assert asking.outcomes == ["found"]
    return asking.frames(2, {"1": LEFT, "2": None})


def test_an_item_that_agrees_with_a_live_track_verifies_it_and_prompts_nothing() -> None:
    asking = two_blocks(found(LEFT))
    question = asking.worker.asked[1]
    assert question.reason is RegroundReason.LOST
    assert [target.id for target in question.targets] == ["2"]
    assert [track.id for track in question.tracks] == ["1"]
    assert asking.outcomes == ["found", "confirmed"]
    assert len(asking.prompts) == 2
    assert asking["1"].verified_stamp_ns == question.frame.stamp_ns
    assert asking["2"].state is TrackState.LOST


def test_the_lost_one_gets_the_item_that_no_live_track_explains_and_keeps_its_id() -> None:
    asking = two_blocks(found(LEFT, MIDDLE))
    assert [prompt.object_id for prompt in asking.prompts] == ["1", "2", "2"]
    assert asking.outcomes[-1] == "found"


def test_looking_for_a_lost_one_never_adds_objects() -> None:
    asking = two_blocks(found(LEFT, MIDDLE, RIGHT))
    assert asking.ids == ["1", "2"]
    assert asking.decisions[-1].drops == {"answer_items_dropped": 1}


def test_no_more_objects_than_allowed_are_followed() -> None:
    asking = Asking(found(LEFT, RIGHT, MIDDLE, BELOW), max_objects=3)
    asking.say("the blocks")
    asking.frame()
    assert asking.ids == ["1", "2", "3"]
    assert asking.decisions[0].drops == {"answer_items_dropped": 1}


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


def test_a_late_answer_is_judged_by_where_the_track_was_then_not_by_where_it_is() -> None:
    where_it_was = Asking(found(LEFT), lambda request: found(request.tracks[0].box_xyxy)(request), stale_after_s=0.5)
    where_it_was.say("the red block")
    where_it_was.frame()
    where_it_was.worker.delay_ns = stamp(5) - stamp(0)
    for x in range(0, 48, 4):
        where_it_was.frame({"1": (2 + x, 2, 12 + x, 12)})
    assert where_it_was.reasons == ["new", "stale"]
    assert where_it_was.outcomes == ["found", "confirmed"]


def test_an_answer_elsewhere_moves_a_doubtful_track_on_the_frame_it_was_asked_about() -> None:
    asking = one_block(found(RIGHT, score=0.6))
    asking.frames(2, {"1": LEFT}, score=0.2)
    assert asking.reasons == ["new", "uncertain"]
    assert asking.outcomes[-1] == "corrected"
    prompt = asking.prompts[-1]
    assert (prompt.object_id, prompt.stamp_ns) == ("1", asking.worker.asked[1].frame.stamp_ns)
    assert prompt.overrules, "the live track followed something else"
    assert not prompt.refine
    assert asking["1"].state is TrackState.TRACKING


def test_the_same_object_with_a_bad_outline_is_refined_and_not_begun_anew() -> None:
    half = (2, 2, 7, 9)
    asking = one_block(found(LEFT))
    asking.frames(2, {"1": half}, score=0.2)
    assert asking.outcomes[-1] == "corrected"
    assert asking.prompts[-1].refine
    assert not asking.prompts[-1].overrules


def test_a_track_that_nothing_speaks_against_is_moved_at_once_by_a_surer_answer_only() -> None:
    sure = one_block(found(RIGHT, score=0.9), stale_after_s=0.5).frames(3, {"1": LEFT})
    assert sure.outcomes == ["found", "corrected"]
    less = one_block(found(RIGHT, score=0.7), found(RIGHT, score=0.7), stale_after_s=0.5).frames(1, {"1": LEFT})
    assert less.outcomes == ["found", "unsure"]
    less.frame({"1": LEFT})
    assert less.outcomes == ["found", "unsure", "corrected"], "the second answer in a row is believed"
    assert less.worker.asked[2].frame.stamp_ns > less.worker.asked[1].frame.stamp_ns


def test_the_oftener_a_track_was_confirmed_the_more_it_takes_to_move_it() -> None:
    wrong = [found(RIGHT, score=0.75)] * 6
    fresh = one_block(*wrong, stale_after_s=0.4).frames(40, {"1": LEFT})
    proven = one_block(*[found(LEFT, score=0.9)] * 2, *wrong, stale_after_s=0.4).frames(90, {"1": LEFT})
    assert fresh.outcomes[:3] == ["found", "unsure", "corrected"]
    assert proven.outcomes[:7] == ["found", "confirmed", "confirmed", "unsure", "discarded", "unsure", "corrected"]


def test_an_unsure_second_answer_leaves_a_sound_track_alone() -> None:
    asking = one_block(found(RIGHT, score=0.2), found(RIGHT, score=0.2), stale_after_s=0.3).frames(9, {"1": LEFT})
    assert asking.outcomes == ["found", "unsure", "discarded"]
    assert asking["1"].state is TrackState.TRACKING


def test_an_unsure_answer_about_something_not_found_yet_is_asked_once_more_then_believed() -> None:
    asking = Asking(found(LEFT, score=0.2), found(LEFT, score=0.3))
    asking.say("the red block")
    asking.frame()
    assert asking["1"].state is TrackState.SEARCHING
    assert "not sure" in asking["1"].reason
    asking.frame()
    assert asking.outcomes == ["unsure", "found"]
    assert asking["1"].grounding_score == pytest.approx(0.3)


def test_what_is_on_the_left_by_now_does_not_move_a_sound_track_of_what_was_there() -> None:
    asking = one_block(found(RIGHT, score=0.99), expression="the block on the left", stale_after_s=0.3)
    asking.frames(4, {"1": LEFT})
    assert asking.outcomes == ["found", "discarded"]
    assert asking["1"].state is TrackState.TRACKING


def test_a_contested_track_is_asked_about_and_only_then_shared() -> None:
    asking = Asking(found(LEFT), found(LEFT), found(LEFT), found(LEFT))
    asking.say("the red block")
    asking.frame()
    asking.say("also the square thing")
    asking.frame({"1": LEFT})
    assert asking.outcomes == ["found", "conflict"]
    assert "followed as 1" in asking["2"].reason
    assert [prompt.object_id for prompt in asking.prompts] == ["1"]
    asking.frame({"1": LEFT})
    assert asking.reasons[2:] == ["ambiguous"]
    assert asking.outcomes[-1] == "confirmed"
    asking.frames(6, {"1": LEFT})
    assert asking.outcomes[-1] == "found", "both phrases mean this one: the grounder said so twice"
    assert asking.prompts[-1].object_id == "2"


def test_several_for_one_are_all_followed_named_and_never_called_certain() -> None:
    asking = Asking(found(RIGHT, LEFT))
    asking.say("the red block")
    asking.frame()
    assert asking.outcomes == ["ambiguous"]
    assert asking.ids == ["1", "2"]
    asking.frame({"1": RIGHT, "2": LEFT})
    assert asking.states == [TrackState.UNCERTAIN] * 2
    assert asking["1"].candidates == (Candidate("1", "right one"), Candidate("2", "left one"))
    assert asking["1"].reason == "2 match 'the red block': right one or left one?"
    asking.frame({"1": LEFT, "2": RIGHT})
    assert asking["1"].candidates[0] == Candidate("1", "left one"), "names say where they are now"


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


def test_a_region_much_less_sure_than_the_best_is_no_rival() -> None:
    def two_scores(request: GroundingRequest):  # type: ignore[no-untyped-def]
        from referent.types import Grounding

        items = (
            GroundingItem("block", score=0.9, box_xyxy=a_box(LEFT)),
            GroundingItem("block", score=0.35, box_xyxy=a_box(RIGHT)),
        )
        return Grounding(request, items)

    asking = Asking(two_scores)
    asking.say("the red block")
    asking.frame()
    assert asking.outcomes == ["found"]
    assert asking.ids == ["1"]


def test_an_answer_of_several_cannot_verify_which_of_them_is_followed() -> None:
    asking = one_block(found(LEFT, RIGHT), stale_after_s=0.3)
    before = asking["1"].verified_stamp_ns
    asking.frames(3, {"1": LEFT})
    assert asking.outcomes == ["found", "ambiguous"]
    assert asking["1"].verified_stamp_ns == before
    assert asking["1"].state is TrackState.TRACKING
    assert asking.ids == ["1"]


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


def test_nothing_matches_while_something_is_seen_makes_it_uncertain_and_ends_it_only_with_other_evidence() -> None:
    calm = one_block(nothing(0.9), nothing(0.9), nothing(0.9), stale_after_s=0.3).frames(80, {"1": LEFT})
    assert calm.outcomes == ["found", "nothing", "nothing", "nothing"]
    assert calm["1"].state is TrackState.UNCERTAIN
    assert "nothing matches: none in view (90% sure)" in calm["1"].reason
    doubtful = one_block(nothing(0.9), nothing(0.9)).frames(40, {"1": LEFT}, score=0.2)
    assert doubtful["1"].state is TrackState.SEARCHING
    assert doubtful.decisions[-1].unwanted == ("1",)


def test_an_unsure_nothing_speaks_against_no_track() -> None:
    asking = one_block(*[nothing(0.2)] * 4).frames(60, {"1": LEFT}, score=0.2)
    assert asking["1"].denials == 0
    assert asking.ids == ["1"]


def test_a_track_seen_again_after_a_loss_is_verified_before_it_is_called_so() -> None:
    asking = one_block(nothing(), found(LEFT), backoff_first_s=0.3)
    asking.frames(2, {"1": None})
    assert asking["1"].state is TrackState.LOST
    asking.worker.delay_ns = stamp(2) - stamp(0)
    asking.frame({"1": LEFT})
    assert asking["1"].suspicion is not None
    assert asking["1"].verified_stamp_ns == stamp(0)
    asking.frames(2, {"1": LEFT})
    assert asking.reasons == ["new", "lost", "uncertain"]
    assert asking["1"].verified_stamp_ns == asking.worker.asked[-1].frame.stamp_ns
    assert asking["1"].suspicion is None


def test_an_agreement_about_a_frame_before_a_loss_does_not_vouch_for_what_is_seen_after_it() -> None:
    asking = Asking(found(LEFT), found(LEFT), found(LEFT), stale_after_s=0.4, lost_after_frames=1)
    asking.say("the red block")
    asking.frame()
    asking.frame({"1": LEFT})
    asking.worker.delay_ns = stamp(4) - stamp(0)
    asking.frame({"1": LEFT})  # asked here
    asking.frame({"1": None})
    asking.frames(3, {"1": RIGHT})  # a swap: what is seen now is something else
    assert asking.outcomes == ["found", "confirmed"]
    assert asking["1"].verified_stamp_ns == stamp(2)
    assert asking["1"].suspicion is not None
    assert asking.reasons[-1] == "uncertain"


def test_a_cut_asks_about_everything_at_once() -> None:
    health = TrackHealth(stability=1.0, area_ratio=1.0, alternative_iou=1.0, overlap=0.0, scene_cut=0.5)
    asking = one_block(found(LEFT)).frame({"1": LEFT}, health=health)
    assert asking.reasons == ["new", "scene_cut"]
    assert asking.outcomes[-1] == "confirmed"


def test_an_uneventful_scene_costs_few_questions() -> None:
    asking = one_block(*[found(LEFT)] * 20).frames(600, {"1": LEFT})
    assert set(asking.reasons[1:]) == {"stale"}
    asked = [request.frame.stamp_ns for request in asking.worker.asked]
    assert max(sum(start <= ns < start + stamp(600) - stamp(0) for ns in asked) for start in asked) <= 6


def test_a_track_that_always_looks_doubtful_is_asked_about_ever_more_rarely() -> None:
    asking = one_block(*[found(LEFT)] * 50).frames(1200, {"1": LEFT}, score=0.3)
    asked = [request.frame.stamp_ns for request in asking.worker.asked]
    last_minute = [ns for ns in asked if ns > stamp(600)]
    assert 5 <= len(last_minute) <= 7


def test_a_loss_is_asked_about_at_once_even_in_the_pause_after_a_dispelled_doubt() -> None:
    asking = one_block(*[found(LEFT)] * 3, nothing())
    asking.frames(70, {"1": LEFT}, score=0.2)
    assert asking["1"].not_before_ns > stamp(asking.number) + 10**9
    asking.frames(2, {"1": None})
    assert asking.reasons[-1] == "lost"


def test_a_track_that_was_given_up_is_searched_for_soon() -> None:
    asking = one_block(nothing(0.9), nothing(0.9), found(RIGHT)).frames(30, {"1": LEFT}, score=0.2)
    assert asking.reasons == ["new", "uncertain", "uncertain", "new"]
    gaps_s = np.diff([request.frame.stamp_ns for request in asking.worker.asked[1:]]) / 1e9
    assert gaps_s.tolist() == pytest.approx([0.5, 0.5])
    assert asking.outcomes[-1] == "found"


def test_what_is_just_being_hidden_is_asked_about_when_it_looks_well_again_not_while_it_does_not() -> None:
    asking = one_block(found(LEFT), doubt_patience_s=1.0)
    asking.frames(5, {"1": LEFT}, score=0.2)
    assert asking["1"].state is TrackState.UNCERTAIN
    assert asking.reasons == ["new"]
    asking.frames(3, {"1": LEFT})
    assert asking.reasons == ["new", "uncertain"]
    lasting = one_block(found(LEFT), doubt_patience_s=1.0).frames(14, {"1": LEFT}, score=0.2)
    assert lasting.reasons == ["new", "uncertain"], "patience has an end"


# What goes wrong.


def test_a_grounder_that_hangs_is_given_up_and_tracking_never_notices() -> None:
    asking = Asking(found(LEFT), found(LEFT), delay_frames=10_000, answer_deadline_s=1.0)
    asking.say("the red block")
    asking.frames(12)
    assert asking.outcomes == ["failed"]
    assert "no answer within 1 s" in asking.decisions[0].event.detail
    assert asking.worker.cancelled == 1
    asking.frames(6)
    assert len(asking.worker.asked) == 2


def test_a_grounder_that_fails_is_asked_ever_more_rarely_about_all_targets_together() -> None:
    asking = Asking(*[failed] * 30)
    asking.say("put the red block in the bowl")
    asking.frames(150)
    gaps_s = np.diff([request.frame.stamp_ns for request in asking.worker.asked]) / 1e9
    assert gaps_s[:4] == pytest.approx([0.5, 1.0, 2.0, 4.0])
    assert gaps_s.max() == pytest.approx(4.0)
    assert {request.expression for request in asking.worker.asked} == {"the red block", "the bowl"}
    assert "server said 500" in asking["1"].reason


def test_an_answer_about_a_target_that_was_removed_changes_nothing_and_is_counted() -> None:
    asking = Asking(found(LEFT), delay_frames=2)
    asking.say("the red block")
    asking.frame()
    assert asking.supervisor.forget("1")
    asking.frames(3)
    assert asking.outcomes == ["discarded"]
    assert asking.decisions[0].drops == {"answers_about_removed": 1}
    assert asking.prompts == []


def test_fifty_boxes_are_cut_to_what_may_be_followed() -> None:
    boxes = [(x, y, x + 5, y + 5) for x in range(0, 60, 6) for y in range(0, 30, 6)]
    assert len(boxes) == 50
    several = Asking(found(*boxes), max_objects=16)
    several.say("the blocks")
    several.frame()
    assert len(several.ids) == 16
    assert several.decisions[0].drops == {"answer_items_dropped": 34}
    one = Asking(found(*boxes), max_objects=16, max_candidates=4)
    one.say("the red block")
    one.frame()
    assert len(one.ids) == 4
    assert one.decisions[0].drops["answer_items_dropped"] >= 12


@pytest.mark.parametrize(
    "box", [(70, 5, 90, 20), (-30, -30, -2, -2), (5, 5, 5, 20), (float("nan"), 5, 10, 20), (20, 20, 10, 10)]
)
def test_a_box_outside_the_picture_is_no_answer(box: Sequence[float]) -> None:
    asking = Asking(found(box))
    asking.say("the red block")
    asking.frame()
    assert asking.outcomes == ["discarded"]
    assert asking.decisions[0].drops == {"answer_items_dropped": 1}
    assert asking.prompts == []
    assert asking["1"].not_before_ns > stamp(0)


def test_a_box_partly_outside_is_cut_to_the_picture() -> None:
    asking = Asking(found((-10, -10, 20, 20)))
    asking.say("the red block")
    asking.frame()
    (prompt,) = asking.prompts
    assert prompt.box_xyxy is not None
    assert prompt.box_xyxy.tolist() == [0, 0, 20, 20]


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


def test_all_objects_leaving_is_waited_out_and_their_ids_come_back() -> None:
    asking = two_blocks(*[nothing()] * 6, found(LEFT, RIGHT))
    asking.frames(120, {"1": None, "2": None})
    assert asking.outcomes[-1] == "found"
    assert [prompt.object_id for prompt in asking.prompts[-2:]] == ["1", "2"]


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


def test_a_refused_track_waits_before_it_is_asked_for_again() -> None:
    asking = Asking(found(LEFT), found(LEFT), delay_frames=0)
    asking.outcome = "rejected"
    asking.say("the red block")
    asking.frames(5)
    assert len(asking.worker.asked) == 1
    asking.frame()
    assert len(asking.worker.asked) == 2


def test_a_box_that_does_not_survive_the_way_to_a_mask_and_back_is_asked_about() -> None:
    supervisor = GroundingSupervisor(GroundingConfig(), ScriptedWorker([found(LEFT, score=0.9)]), max_objects=3)
    supervisor.instruct("the red block")
    supervisor.ask_if_needed(painted(0, {}), ())
    answer = supervisor.poll(stamp(0))
    assert answer is not None
    (prompt,) = supervisor.decide(answer, stamp(0)).prompts
    supervisor.settle(PromptOutcome(prompt.object_id, prompt.stamp_ns, "committed", stamp(0), round_trip_iou=0.1))
    (record,) = supervisor.records
    assert record.grounding_score is not None
    assert record.grounding_score < 0.5
    assert record.suspicion is not None
    assert "does not fill the box" in record.suspicion.found.words


def test_without_time_travel_an_answer_is_applied_to_the_present_frame() -> None:
    asking = Asking(found(LEFT), delay_frames=4, time_travel=False)
    asking.say("the red block")
    asking.frames(6)
    (prompt,) = asking.prompts
    assert prompt.stamp_ns == stamp(4)


def test_an_unsure_region_can_be_asked_about_by_its_cut_out() -> None:
    def on_the_cut_out(request: GroundingRequest):  # type: ignore[no-untyped-def]
        assert request.kind == "verify"
        assert request.frame.rgb.shape[:2] == (17, 17)
        box = request.tracks[0].box_xyxy
        return found(box, score=0.9)(request)

    asking = Asking(found(LEFT, score=0.4), on_the_cut_out, verify=True)
    asking.say("the red block")
    asking.frames(2)
    assert asking.outcomes == ["unsure", "found"]
    assert asking.prompts[0].stamp_ns == stamp(0)
    assert asking.prompts[0].box_xyxy is not None
    assert tuple(asking.prompts[0].box_xyxy) == LEFT


@pytest.mark.parametrize("second", [failed, nothing(0.9)])
def test_a_cut_out_that_brings_nothing_leaves_it_at_asking_once_more(second: object) -> None:
    asking = Asking(found(LEFT, score=0.4), second, found(LEFT, score=0.4), verify=True)  # type: ignore[arg-type]
    asking.say("the red block")
    asking.frames(3)
    assert asking.outcomes == ["unsure", "unsure", "found"]


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 50 / 150),
        ((0, 0, 10, 10), (20, 20, 30, 30), 0.0),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
    ],
)
def test_box_iou(a: Sequence[float], b: Sequence[float], iou: float) -> None:
    assert box_iou(a_box(a), a_box(b)) == pytest.approx(iou)


def test_the_box_of_a_mask_is_tight_and_of_none_is_none() -> None:
    assert tuple(mask_box_xyxy(seen("1", MIDDLE).mask)) == MIDDLE  # type: ignore[arg-type]
    assert mask_box_xyxy(np.zeros((4, 4), bool)) is None


def test_points_of_a_grounder_are_positive_clicks() -> None:
    item = GroundingItem("block", points_xy=np.array([[3, 4], [5, 6]], np.float32))
    prompt = prompt_from_item(item, object_id="1", stamp_ns=7)
    assert prompt.point_labels is not None
    assert prompt.point_labels.tolist() == [1, 1]
