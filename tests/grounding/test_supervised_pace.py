"""When the supervisor asks: at once after a cut or a loss, rarely while nothing happens, ever more rarely in vain."""

from __future__ import annotations

import numpy as np
import pytest
from asking import LEFT, RIGHT, Asking, failed, found, nothing, one_block, stamp, two_blocks
from doubles import ScriptedWorker
from painted import painted

from referent.config import GroundingConfig
from referent.grounding.supervisor import GroundingSupervisor
from referent.ports import PromptOutcome
from referent.types import TrackHealth, TrackState


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


def test_all_objects_leaving_is_waited_out_and_their_ids_come_back() -> None:
    asking = two_blocks(*[nothing()] * 6, found(LEFT, RIGHT))
    asking.frames(120, {"1": None, "2": None})
    assert asking.outcomes[-1] == "found"
    assert [prompt.object_id for prompt in asking.prompts[-2:]] == ["1", "2"]


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
