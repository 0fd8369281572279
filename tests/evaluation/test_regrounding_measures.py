"""What the re-grounding suite counts, on arrays made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import pytest
from regrounded import OTHER, TARGET, a_run, judged, played

from referent.evaluation.regrounding import measures
from referent.evaluation.regrounding.measures import judge_run, returns, switches
from referent.evaluation.regrounding.runs import ELSEWHERE, NOTHING, mostly_on

T, O, N, B = TARGET, OTHER, NOTHING, ELSEWHERE  # noqa: E741


@pytest.mark.parametrize(
    ("on", "count"),
    [
        ([T] * 9, 0),
        ([T] * 5 + [O] * 3, 1),
        ([T] * 5 + [O] * 2 + [T] * 5, 0),
        ([T] * 5 + [N] * 9 + [O] * 3, 1),
        ([T] * 5 + [B] * 9 + [T] * 5, 0),
        ([T] * 5 + [B] * 9 + [O] * 5, 1),
        ([O] * 5 + [T] * 5, 0),
        ([T] * 5 + [O] * 5 + [7] * 5, 1),
        ([T] * 5 + [O] * 5 + [T] * 5 + [O] * 5, 2),
        ([N] * 9, 0),
        ([T] * 2 + [O] * 5, 0),
        ([T, O] * 9, 0),
    ],
    ids=[
        "true to it",
        "once",
        "a flicker",
        "over a loss",
        "the background is nothing to be followed",
        "over the background",
        "to the target",
        "and on to a third",
        "there and back twice",
        "never found",
        "too short on the target to be followed",
        "undecided",
    ],
)
def test_a_switch_is_from_the_target_to_another_thing_that_is_then_followed(on: Sequence[int], count: int) -> None:
    assert switches(np.array(on), TARGET) == count


@pytest.mark.parametrize(
    ("share", "overlap", "frames"),
    [
        ("11100000111", "99900000999", [0.0]),
        ("11100000111", "99900000099", [1.0]),
        ("11100000111", "99900000444", [inf]),
        ("11100001111", "99900009999", []),
        ("11100000222333", "99900000000999", [0.0]),
        ("1110000021111", "9990000000999", [1.0]),
        ("111000001110000011", "999000000000000099", [inf, 0.0]),
        ("11111111", "99999999", []),
        ("11100000000", "99900000000", []),
        ("00000111", "00000099", [1.0]),
    ],
    ids=[
        "at once",
        "a frame later",
        "never",
        "away too short",
        "what shows a little is not back yet",
        "nor does that begin another absence",
        "not before it left again",
        "never away",
        "never back",
        "away at first",
    ],
)
def test_a_return_takes_until_the_mask_is_right_again(share: str, overlap: str, frames: list[float]) -> None:
    """In words of digits: share 0 = hidden, 2 = shows a little, 1 and 3 = seen; overlap in tenths."""
    shares = np.array([{"0": 0.0, "2": 0.1, "3": 0.3, "1": 1.0}[digit] for digit in share])
    assert returns(shares, np.array([int(digit) / 10 for digit in overlap])) == frames


def test_only_verifications_after_the_first_swap_count_and_false_are_those_on_another_thing() -> None:
    episode = played([[T, O]] * 10, swaps=[4, 8])
    verified = np.zeros(10, bool)
    verified[[2, 4, 5, 6, 7, 9]] = True  # the picture of frame 4 is the last before the swap
    on = np.array([T, T, O, T, O, O, T, B, N, O])
    result = judge_run(episode, a_run(10, verified=verified, on=on))
    assert (result.verified, result.falsely_verified) == (4, 2)
    never = judge_run(played([[T, O]] * 10), a_run(10, verified=verified, on=on))
    assert (never.verified, never.falsely_verified) == (0, 0), "where nothing was swapped, nothing is counted"


def test_overlap_is_of_the_judged_frames_and_returns_are_in_seconds() -> None:
    episode = played([[T]] * 2 + [[]] * 5 + [[T]] * 3, judged_from=5)
    result = judge_run(episode, a_run(10, overlaps=np.array([0, 0, 1, 1, 1, 1, 1, 0, 0, 0.5]), questions=3))
    assert result.overlap == pytest.approx(2.5 / 5)
    assert result.returns_s == (pytest.approx(0.2),)
    assert (result.questions, result.seconds, result.scene) == (3, 1.0, "painted")


def test_a_mask_is_mostly_on_the_instance_of_most_of_its_pixels() -> None:
    ids = np.zeros((4, 10), np.uint8)
    ids[:, :3], ids[:, 3:5] = TARGET, OTHER

    def on(columns: slice) -> int:
        mask = np.zeros((4, 10), bool)
        mask[:, columns] = True
        return mostly_on(mask, ids)

    assert [on(slice(0, 5)), on(slice(2, 5)), on(slice(3, 10)), on(slice(0, 0))] == [T, O, B, N]


def test_overlaps_are_compared_episode_by_episode() -> None:
    ours = [judged(seed=1, overlap=0.9), judged(seed=2, overlap=0.5), judged(seed=9, overlap=0.0)]
    theirs = [judged("never", seed=2, overlap=0.1), judged("never", seed=1, overlap=0.7)]
    apart = measures.overlap_apart(ours, theirs)
    assert apart is not None
    assert apart.value == pytest.approx((0.2 + 0.4) / 2)
    assert apart.count == 2, "what only one of them was run over says nothing"
    assert measures.overlap_apart(ours, []) is None


def test_counts_become_rates() -> None:
    runs = [judged(switches=1, questions=4, seconds=24.0), judged(seed=2, switches=0, questions=8, seconds=24.0)]
    per_10_min, per_min = measures.switches_per_10_min(runs), measures.questions_per_min(runs)
    assert per_10_min is not None
    assert per_min is not None
    assert per_10_min.value == pytest.approx(600 / 24 / 2)
    assert per_min.value == pytest.approx(15.0)


def test_the_share_of_false_verifications_is_of_all_and_of_none_there_is_no_share() -> None:
    runs = [judged(verified=3, falsely_verified=1), judged(seed=2, verified=5, falsely_verified=0), judged(seed=3)]
    share = measures.share_falsely_verified(runs)
    assert share is not None
    assert (share.value, share.count) == (pytest.approx(1 / 8), 8)
    assert measures.share_falsely_verified([judged()]) is None
