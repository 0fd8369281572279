"""When the supervisor asks: patience with what vanished, events that end it, pictures that changed or did not."""

from __future__ import annotations

import numpy as np
import pytest
from asking import LEFT, RIGHT, Answer, Asking, found, nothing, one_block, stamp
from painted import FRAME_NS

from referent.types import Grounding, GroundingItem, GroundingRequest, RegroundReason, TrackState

SHIFTED = (6, 2, 16, 12)  # overlaps LEFT
SMALLER = (2, 2, 6, 12)  # 0.4 of LEFT
LARGER = (2, 2, 22, 14)  # 2.4 of LEFT
NEW_THING = {"red": (30, 20, 50, 40)}


def asked_in(asking: Asking) -> list[int]:
    """The numbers of the frames asked about."""
    return [(request.frame.stamp_ns - stamp(0)) // FRAME_NS for request in asking.worker.asked]


# What vanishes.


def test_a_fresh_loss_is_asked_about_only_after_some_patience() -> None:
    asking = one_block(nothing(), lost_patience_s=0.5).frames(2, {"1": None})
    assert asking["1"].state is TrackState.LOST, "in frame 3"
    asking.frames(4, {"1": None})
    assert asking.reasons == ["new"]
    asking.frame({"1": None})
    assert asking.reasons == ["new", "lost"]
    assert asked_in(asking) == [0, 8]


def test_what_comes_back_by_itself_is_not_looked_for_but_verified() -> None:
    asking = one_block(found(LEFT), lost_patience_s=0.5).frames(5, {"1": None}).frame({"1": LEFT})
    assert asking.reasons == ["new", "uncertain"]
    assert asking["1"].state is TrackState.TRACKING


def test_what_is_hidden_is_not_asked_about_however_stale_it_gets() -> None:
    asking = one_block(found(LEFT), lost_after_frames=100, stale_after_s=0.3).frames(50, {"1": None})
    assert asking["1"].state is TrackState.OCCLUDED
    assert asking.reasons == ["new"]
    asking.frame({"1": LEFT})
    assert asking.reasons == ["new", "stale"]


# What leaps.


def test_a_leap_is_suspected_disbelieved_and_asked_about_in_its_frame() -> None:
    asking = one_block(found(RIGHT, score=0.9))
    asking.worker.delay_ns = 3 * FRAME_NS
    believed = asking["1"].belief
    asking.frame({"1": RIGHT})
    record = asking["1"]
    assert record.suspicion is not None
    assert "leapt 28 px clear" in record.suspicion.found.words
    assert record.belief == 0 < believed
    assert not record.sound
    assert asking.reasons == ["new", "uncertain"]
    assert asked_in(asking) == [0, 2]
    asking.frames(3, {"1": RIGHT})
    assert asking["1"].suspicion is None, "it was the same one, moved"
    assert asking["1"].sound


def test_what_leapt_unseen_ends_the_pause_that_dispelled_doubts_earned_and_what_moves_fast_does_not() -> None:
    unseen = one_block(*[found(LEFT)] * 4).frames(70, {"1": LEFT}, score=0.2)
    assert unseen["1"].not_before_ns > stamp(unseen.number + 10)
    unseen.frame({"1": None}).frame({"1": RIGHT})
    assert asked_in(unseen)[-1] == unseen.number
    fast = one_block(*[found(LEFT)] * 4).frames(70, {"1": LEFT}, score=0.2)
    asked = len(fast.worker.asked)
    fast.frame({"1": RIGHT}).frame({"1": LEFT}).frame({"1": RIGHT})
    assert len(fast.worker.asked) == asked


def test_what_moves_on_step_by_step_or_is_placed_anew_does_not_leap() -> None:
    moving = one_block(found(RIGHT))
    for x in range(2, 42, 8):
        moving.frame({"1": (x, 2, x + 10, 12)})
    assert moving.reasons == ["new"]
    placed = one_block(found(RIGHT)).frames(2, {"1": None})
    assert placed.outcomes == ["found", "found"]
    placed.frames(5, {"1": RIGHT})
    assert placed.reasons == ["new", "lost"]
    assert placed["1"].suspicion is None


@pytest.mark.parametrize(("back", "words"), [(RIGHT, "leapt"), (SHIFTED, "seen again")])
def test_what_was_lost_and_shows_elsewhere_leapt_and_at_its_place_is_seen_again(
    back: tuple[int, int, int, int], words: str
) -> None:
    asking = one_block(lost_patience_s=9.0).frames(3, {"1": None}).frame({"1": back})
    suspicion = asking["1"].suspicion
    assert suspicion is not None
    assert words in suspicion.found.words


# What changes its size.


@pytest.mark.parametrize("box", [SMALLER, LARGER])
def test_a_box_far_from_the_size_that_the_grounder_gave_is_doubtful(box: tuple[int, int, int, int]) -> None:
    asking = one_block().frames(2, {"1": box})
    assert asking["1"].state is TrackState.UNCERTAIN
    assert "of what the grounder saw" in asking["1"].reason
    tolerant = one_block(uncertain_size_factor=3.0).frames(2, {"1": box})
    assert tolerant["1"].state is TrackState.TRACKING


def test_a_size_that_the_grounder_confirms_is_the_known_one_from_then_on() -> None:
    grown, more = (2, 2, 20, 12), (2, 2, 20, 24)  # 1.8, and 2.2 of that
    asking = one_block(found(grown), stale_after_s=0.3).frames(4, {"1": grown})
    assert asking.outcomes == ["found", "confirmed"]
    assert asking["1"].known_px == 180
    asking.frames(30, {"1": (2, 2, 22, 14)})
    assert asking["1"].state is TrackState.TRACKING, "2.4 of the first, 1.3 of the confirmed"
    asking.frames(30, {"1": more})
    assert asking["1"].state is TrackState.UNCERTAIN


def test_where_the_grounder_gave_points_no_size_is_doubtful() -> None:
    def pointing(request: GroundingRequest) -> Grounding:
        return Grounding(request, (GroundingItem("block", points_xy=np.array([[5, 5]], np.float32)),))

    asking = Asking(pointing)
    asking.say("the red block")
    asking.frame().frames(5, {"1": LARGER})
    assert asking["1"].known_px is None
    assert asking["1"].state is TrackState.TRACKING


def test_what_comes_back_in_part_is_asked_about_once_it_is_whole() -> None:
    asking = one_block(found(LEFT), doubt_patience_s=2.0, lost_patience_s=9.0).frames(3, {"1": None})
    asking.frames(4, {"1": SMALLER})
    assert asking.reasons == ["new"]
    asking.frames(3, {"1": LEFT})
    assert asking.reasons == ["new", "uncertain"]


# What happened while the answer was on its way.


def test_an_answer_about_a_frame_before_a_reappearance_sets_no_pause() -> None:
    def waiting(*where: tuple[int, int, int, int] | None) -> Asking:
        asking = one_block(nothing(0.9), found(LEFT), backoff_first_s=4.0).frame({"1": None})
        asking.worker.delay_ns = 3 * FRAME_NS
        asking.frame({"1": None})
        for box in where:
            asking.frame({"1": box})
        return asking

    back = waiting(LEFT, LEFT, LEFT)
    assert back.outcomes == ["found", "nothing"]
    assert asked_in(back) == [0, 3, 6], "again as soon as the answer is in"
    assert back["1"].denials == 0, "nothing was seen in the frame asked about"
    away = waiting(None, None, None, None)
    assert asked_in(away) == [0, 3]
    assert away["1"].not_before_ns == stamp(6 + 40)


def test_a_track_that_was_hidden_while_it_caught_up_is_verified() -> None:
    def caught_up(hidden_frames: int) -> Asking:
        asking = Asking(found(LEFT), found(LEFT), lost_after_frames=3)
        asking.hidden_frames = hidden_frames
        asking.say("the red block")
        return asking.frame()

    assert caught_up(2)["1"].suspicion is None
    hidden = caught_up(3)
    suspicion = hidden["1"].suspicion
    assert suspicion is not None
    assert suspicion.found.words == "not seen for 3 frames since it was found, not verified yet"
    hidden.frame({"1": LEFT})
    assert hidden.reasons == ["new", "uncertain"]
    assert hidden["1"].sound


# Pictures that changed, or did not.


def searching(*, frames: int, **settings: object) -> Asking:
    asking = Asking(*[nothing()] * 99, backoff_first_s=0.5, backoff_max_s=4.0, **settings)
    asking.say("the red block")
    return asking.frames(frames)


def test_an_unchanged_picture_is_asked_about_ever_more_rarely() -> None:
    assert asked_in(searching(frames=160)) == [0, 5, 15, 35, 75, 115, 155]


def test_a_changed_picture_is_asked_about_at_once_and_then_it_is_the_known_one() -> None:
    asking = searching(frames=90)
    asking.picture = NEW_THING
    asking.frames(50)
    assert asked_in(asking) == [0, 5, 15, 35, 75, 90, 130]


def test_a_picture_that_changes_all_the_time_is_asked_about_at_a_bounded_rate() -> None:
    asking = searching(frames=40)
    for number in range(40):
        asking.picture = NEW_THING if number % 2 else {}
        asking.frame()
    gaps = np.diff([number for number in asked_in(asking) if number >= 40])
    assert set(gaps.tolist()) <= {5, 6}, "half a second, or the next frame that differs"


def test_a_speck_is_no_change_and_other_policies_see_none() -> None:
    speck = searching(frames=90)
    speck.picture = {"red": (30, 20, 31, 21)}
    assert asked_in(speck.frames(20))[-1] == 75
    blind = searching(frames=90, picture_change=1.0)
    blind.picture = NEW_THING
    assert asked_in(blind.frames(20))[-1] == 75
    interval = searching(frames=90, reground_policy="interval")
    interval.picture = NEW_THING
    assert asked_in(interval.frames(20))[-1] == 75


def test_what_is_lost_is_asked_about_again_too_when_the_picture_changed() -> None:
    asking = one_block(*[nothing()] * 9, found(RIGHT)).frames(50, {"1": None})
    before = asked_in(asking)
    asking.picture = NEW_THING
    asking.frame({"1": None})
    assert asked_in(asking) == [*before, 52]
    assert asking.reasons[-1] == "lost"


def test_a_changed_picture_is_no_reason_to_ask_about_what_is_seen() -> None:
    asking = one_block(found(LEFT)).frames(5, {"1": LEFT})
    asking.picture = NEW_THING
    asking.frames(5, {"1": LEFT})
    assert asking.reasons == ["new"]


# What "nothing matches" is worth.


def leapt(*answers: Answer, **settings: object) -> Asking:
    """A track that leapt, is asked about in frame 2 and goes on."""
    return one_block(*answers, **settings).frame({"1": RIGHT})


def test_one_sure_denial_ends_a_track_that_leapt() -> None:
    asking = leapt(nothing(0.95))
    assert asking.decisions[-1].unwanted == ("1",)
    assert asking["1"].state is TrackState.SEARCHING
    assert asking["1"].not_before_ns == stamp(2 + 5), "and it is searched for soon"


@pytest.mark.parametrize(("sure", "settings"), [(0.85, {}), (0.95, {"refuted": 0.0})])
def test_a_less_sure_denial_is_asked_for_again_before_it_ends_the_track(
    sure: float, settings: dict[str, object]
) -> None:
    asking = leapt(nothing(sure), nothing(sure), **settings)
    asking.frames(4, {"1": RIGHT})
    assert asking.decisions[-1].unwanted == ()
    assert asking["1"].state is TrackState.UNCERTAIN
    asking.frame({"1": RIGHT})
    assert asked_in(asking) == [0, 2, 7]
    assert asking.decisions[-1].unwanted == ("1",)


def test_no_denial_however_sure_ends_a_track_that_nothing_else_speaks_against() -> None:
    asking = one_block(nothing(0.999), stale_after_s=0.3).frames(6, {"1": LEFT})
    assert asking.outcomes == ["found", "nothing"]
    assert asking.ids == ["1"]
    assert asking["1"].state is TrackState.UNCERTAIN
    assert asking.decisions[-1].unwanted == ()


def test_that_nothing_matches_says_little_of_what_is_half_hidden_for_a_moment_and_is_asked_again_soon() -> None:
    hidden = one_block(*[nothing(0.95)] * 3).frames(2, {"1": SMALLER})
    assert hidden.outcomes == ["found", "nothing"]
    assert (hidden["1"].denials, hidden["1"].fruitless) == (0, 1)
    assert hidden["1"].belief > 0
    hidden.frames(5, {"1": SMALLER})
    assert asked_in(hidden) == [0, 3, 8], "half a second later, not after the pause of a dispelled doubt"
    assert hidden["1"].denials == 1, "what stays so is no longer half hidden for a moment"
    hidden.frames(5, {"1": SMALLER})
    assert hidden.decisions[-1].unwanted == ("1",)


def test_that_nothing_matches_counts_against_what_shows_half_or_ran_over() -> None:
    half = one_block(nothing(0.95), stale_after_s=0.2).frames(2, {"1": (2, 2, 7, 12)})
    assert half["1"].denials == 1
    over = one_block(nothing(0.95), nothing(0.95)).frames(9, {"1": LARGER})
    assert over.reasons[1] == RegroundReason.UNCERTAIN.value
    assert over.decisions[-1].unwanted == ("1",)


# What an agreement is worth.


def test_a_weak_agreement_does_not_dispel_what_a_return_made_doubtful_but_two_of_them_do() -> None:
    weak = found(LEFT, score=0.65)
    asking = one_block(weak, weak, lost_patience_s=9.0).frames(4, {"1": None}).frame({"1": LEFT})
    first = asking["1"]
    assert asking.outcomes[-1] == "confirmed"
    assert first.suspicion is not None
    assert first.verified_stamp_ns == stamp(0), "hardly believed is not verified"
    asking.frames(20, {"1": LEFT})
    assert asking["1"].suspicion is None, "0.65 twice is odds of 3.4"
    assert (asking["1"].verified_stamp_ns or 0) > stamp(5)


def test_a_strong_agreement_dispels_it_at_once() -> None:
    asking = one_block(found(LEFT, score=0.9), lost_patience_s=9.0).frames(4, {"1": None}).frame({"1": LEFT})
    assert asking["1"].suspicion is None
    assert asking["1"].verified_stamp_ns == stamp(asking.number)


def test_what_is_lost_is_placed_only_where_the_grounder_is_sure_and_what_is_new_anywhere_in_the_end() -> None:
    unsure = [found(RIGHT, score=0.7)] * 2
    lost = one_block(*unsure).frames(4, {"1": None})
    assert lost.outcomes == ["found", "unsure", "discarded"]
    assert lost["1"].state is TrackState.LOST
    sure = one_block(found(RIGHT, score=0.9)).frames(4, {"1": None})
    assert sure.outcomes == ["found", "found"]
    new = Asking(found(RIGHT, score=0.3), found(RIGHT, score=0.3))
    new.say("the red block")
    assert new.frames(2).outcomes == ["unsure", "found"]


def test_what_was_told_apart_before_gets_no_candidates_when_an_answer_names_several() -> None:
    asking = one_block(found(LEFT, RIGHT)).frames(4, {"1": None})
    assert asking.outcomes == ["found", "ambiguous"]
    assert asking.ids == ["1"]
    assert asking["1"].candidates == ()


def test_a_sure_answer_that_names_one_candidate_rules_the_others_out() -> None:
    asking = Asking(found(LEFT, RIGHT), found(LEFT, score=0.95), stale_after_s=0.3)
    asking.say("the red block")
    asking.frames(1)
    assert asking.ids == ["1", "2"]
    asking.frames(40, {"1": LEFT, "2": RIGHT})
    assert asking.ids == ["1"]
    assert asking["1"].candidates == ()
    unsure = Asking(found(LEFT, RIGHT), found(LEFT, score=0.6), stale_after_s=0.3)
    unsure.say("the red block")
    unsure.frames(40, {"1": LEFT, "2": RIGHT})
    assert unsure.ids == ["1", "2"]
