"""The supervisor: answers are matched with tracks as they were at the question's frame."""

from __future__ import annotations

import pytest
from asking import BELOW, LEFT, MIDDLE, RIGHT, Asking, a_box, failed, found, nothing, one_block, stamp, two_blocks

from referent.types import Candidate, GroundingItem, GroundingRequest, RegroundReason, TrackState


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
