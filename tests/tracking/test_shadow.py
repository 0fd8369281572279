"""Who wins when a corrected track has caught up: the commit gate, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from memories import BOUNDS, WELL_SEEN, an_entry, spatial
from torch import Tensor

from referent.config import TrackerConfig
from referent.tracking.engine import Sightings, Signal
from referent.tracking.features import FrameFeatures
from referent.tracking.health import Signs
from referent.tracking.memory import ObjectMemory
from referent.tracking.memory_policy import policy_of
from referent.tracking.prompts import PromptInputs
from referent.tracking.shadow import Outcome, Shadow, agrees, begin, verdict
from referent.tracking.track import Track
from referent.types import Prompt

NOW = 9
CONFIG = TrackerConfig(agreement_iou=0.8, commit_max_area=0.5)
LEFT, RIGHT, NOWHERE, EVERYWHERE = (0, 10), (10, 20), (0, 0), (0, 20)


def a_track(columns: tuple[int, int], *, present: bool = True, index: int = NOW) -> Track:
    """A track whose newest mask fills these columns of 20."""
    columns = columns if present else NOWHERE
    signs = replace(WELL_SEEN, object_score=5.0 if present else -5.0, area=_area(columns))
    return Track(ObjectMemory(BOUNDS, policy_of("official")), index, _logits(columns), signs)


def _area(columns: tuple[int, int]) -> float:
    return (columns[1] - columns[0]) / 20


def _logits(columns: tuple[int, int]) -> Tensor:
    logits = torch.full((1, 1, 20, 20), -5.0)
    logits[..., columns[0] : columns[1]] = 5.0
    return logits


def a_shadow(track: Track, *, prompted_area: float = 0.2, refine: bool = False) -> Shadow:
    prompt = Prompt("x", 1, box_xyxy=torch.ones(4).numpy(), refine=refine)
    return Shadow(prompt, 3, an_entry(3), prompted_area, track)


class Finder:
    """An engine that finds every prompted object on the left."""

    image_size, device = 80, torch.device("cpu")

    def start(self, frame: FrameFeatures, inputs: PromptInputs) -> Sightings:
        return Sightings(_logits(LEFT), torch.ones(1, len(Signal)), (an_entry(frame.index),))


def remembered(*, seen_before: tuple[int, int], seen_now: tuple[int, int]) -> list[int]:
    """The frames in the memory of a track begun on the left, beside one shown in frames 0 and 5 and tracked so."""
    live = a_track(seen_before, index=NOW - 1)
    live.note(NOW, _logits(seen_now), replace(WELL_SEEN, area=_area(seen_now)))
    for index in (0, 5):
        live.memory.prompt(index, an_entry(index))
    frame = FrameFeatures(NOW, 1, (20, 20), ())
    prompt = Prompt("x", 1, box_xyxy=torch.tensor([2.0, 2.0, 9.0, 9.0]).numpy())
    nothing = ObjectMemory(BOUNDS, policy_of("official"))
    shadow = begin(Finder(), prompt, frame, live=live, nothing=nothing)  # type: ignore[arg-type]
    return [index for _, index in spatial(shadow.track.memory, NOW)]


def test_what_was_prompted_before_is_kept_where_a_lost_object_is_found_at_its_old_place() -> None:
    assert remembered(seen_before=LEFT, seen_now=NOWHERE) == [0, 5, NOW]
    assert remembered(seen_before=(9, 20), seen_now=NOWHERE) == [0, 5, NOW], "an edge in common is enough"


def test_what_was_prompted_before_is_dropped_where_a_lost_object_is_found_at_another_place() -> None:
    assert remembered(seen_before=RIGHT, seen_now=NOWHERE) == [NOW]
    assert remembered(seen_before=NOWHERE, seen_now=NOWHERE) == [NOW], "it was never seen"


def test_what_was_prompted_before_is_dropped_where_the_live_track_saw_something() -> None:
    assert remembered(seen_before=LEFT, seen_now=RIGHT) == [NOW]


def test_the_place_where_an_object_was_last_seen_outlasts_the_frames_kept() -> None:
    track = a_track(LEFT, index=1)
    for index in range(2, 6):
        track.note(index, _logits(NOWHERE), replace(WELL_SEEN, object_score=-5.0, area=0.0))
    counted = track.nbytes
    track.forget_frames(kept={4, 5}, pinned=set())
    assert track.last_mask is not None
    assert track.last_mask.equal(_logits(LEFT)[0, 0] > 0)
    assert track.nbytes == counted - 2 * track.last_mask.nbytes, "two empty masks are gone, the last full one is not"


def test_a_track_counts_the_frames_in_which_its_object_was_hidden() -> None:
    track = a_track(LEFT, index=1)
    for index, score in enumerate((5.0, -5.0, -5.0, 5.0, -5.0), start=2):
        track.note(index, _logits(LEFT), replace(WELL_SEEN, object_score=score))
    assert track.hidden_frames == 3


def test_without_a_live_track_the_shadow_is_taken_even_when_its_object_is_hidden_now() -> None:
    assert verdict(None, a_shadow(a_track(LEFT)), CONFIG) is Outcome.COMMITTED
    assert verdict(None, a_shadow(a_track(LEFT, present=False)), CONFIG) is Outcome.COMMITTED


def test_a_live_track_that_lost_its_object_gives_way() -> None:
    lost = a_track(LEFT, present=False)
    assert verdict(lost, a_shadow(a_track(RIGHT)), CONFIG) is Outcome.COMMITTED
    assert verdict(lost, a_shadow(a_track(RIGHT, present=False)), CONFIG) is Outcome.COMMITTED


def test_a_shadow_that_lost_its_object_is_dropped_while_the_live_track_sees_it() -> None:
    assert verdict(a_track(LEFT), a_shadow(a_track(LEFT, present=False)), CONFIG) is Outcome.REJECTED


def test_a_shadow_that_sees_the_same_confirms_the_live_track_and_one_that_sees_another_replaces_it() -> None:
    assert verdict(a_track(LEFT), a_shadow(a_track((0, 9))), CONFIG) is Outcome.CONFIRMED
    assert verdict(a_track(LEFT), a_shadow(a_track(RIGHT)), CONFIG) is Outcome.COMMITTED


def test_a_refinement_replaces_the_track_it_resembles() -> None:
    assert verdict(a_track(LEFT), a_shadow(a_track((0, 9)), refine=True), CONFIG) is Outcome.COMMITTED


@pytest.mark.parametrize("live", [None, a_track(LEFT), a_track(LEFT, present=False)], ids=["none", "live", "lost"])
def test_a_shadow_that_ran_over_into_the_background_is_dropped(live: Track | None) -> None:
    assert verdict(live, a_shadow(a_track(EVERYWHERE)), CONFIG) is Outcome.REJECTED


def test_what_was_prompted_as_large_may_be_large() -> None:
    assert verdict(None, a_shadow(a_track(EVERYWHERE), prompted_area=0.9), CONFIG) is Outcome.COMMITTED


def test_tracks_are_compared_in_the_frame_asked_about_and_an_agreement_of_one_never_holds() -> None:
    live, shadow = a_track(LEFT), a_shadow(a_track((0, 9)))
    assert agrees(live, shadow, NOW, CONFIG)
    assert not agrees(live, shadow, NOW, replace(CONFIG, agreement_iou=0.95))
    assert not agrees(live, a_shadow(a_track(LEFT)), NOW, replace(CONFIG, agreement_iou=1.0))
    assert not agrees(live, shadow, NOW - 1, CONFIG), "the live track was not followed there"
    assert not agrees(None, shadow, NOW, CONFIG)


def test_two_empty_masks_do_not_agree() -> None:
    assert not agrees(a_track(NOWHERE), a_shadow(a_track(NOWHERE)), NOW, CONFIG)


def test_signs_tell_presence_and_a_score() -> None:
    signs = Signs(object_score=0.0, predicted_iou=0.8, stability=1.0, alternative_iou=1.0, area=0.1)
    assert not signs.present
    assert signs.score == pytest.approx(0.4)
    assert replace(signs, object_score=-1e6).score == pytest.approx(0.0)


def test_a_hidden_object_wins_over_a_live_track_that_followed_something_else_to_begin_with() -> None:
    hidden = a_shadow(a_track(LEFT, present=False))
    sure = replace(hidden, prompt=replace(hidden.prompt, overrules=True))
    assert verdict(a_track(RIGHT), hidden, CONFIG) is Outcome.REJECTED
    assert verdict(a_track(RIGHT), sure, CONFIG) is Outcome.COMMITTED


def test_the_round_trip_compares_the_prompted_box_with_that_of_the_mask_it_gave() -> None:
    frame = FrameFeatures(NOW, 1, (40, 40), ())  # a low-resolution mask of 20 by 20 stands for it
    nothing = ObjectMemory(BOUNDS, policy_of("official"))

    def round_trip(*box: float) -> float | None:
        prompt = Prompt("x", 1, box_xyxy=torch.tensor(box).numpy())
        shadow = begin(Finder(), prompt, frame, live=None, nothing=nothing)  # type: ignore[arg-type]
        return shadow.round_trip_iou

    assert round_trip(0.0, 0.0, 20.0, 40.0) == pytest.approx(1.0)
    assert round_trip(0.0, 0.0, 10.0, 40.0) == pytest.approx(0.5)
    assert round_trip(30.0, 0.0, 40.0, 40.0) == pytest.approx(0.0)
    points = Prompt("x", 1, points_xy=torch.tensor([[2.0, 2.0]]).numpy(), point_labels=torch.ones(1).int().numpy())
    assert begin(Finder(), points, frame, live=None, nothing=nothing).round_trip_iou is None  # type: ignore[arg-type]
