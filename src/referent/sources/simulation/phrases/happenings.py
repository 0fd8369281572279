"""What can be said of what happened to an object up to now, and whether it did: yes, no, or too close to tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from referent.sources.simulation.phrases.view import is_clear
from referent.sources.simulation.phrases.voice import Wording
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.types import Array

MOVED_M, STAYED_M = 0.03, 0.004  # farther is a movement, less is none
MOVES_MPS, RESTS_MPS = 0.03, 0.004  # faster is moving, slower is resting
AIR_M, TABLE_M = 0.03, 0.012  # gap below an object: more is in the air, less is on the table
ROLLED_RAD, LEVEL_RAD = 0.5, 0.08
NOW_S, JUST_S, LONG_AGO_S = 0.2, 2.0, 4.0
GONE_S = 0.2  # so long out of sight is gone


@dataclass(frozen=True, eq=False)
class Past:
    """An object over T frames; in the world, z up and the table at 0."""

    positions_m: Array  # (T, 3)
    rotations: Array  # (T, 3, 3)
    below_m: Array  # (T,) gap between its box and the table
    in_view: Array  # (T,) share of it inside the picture
    visible: Array  # (T,) bool, any of it seen
    clear: Array  # (T,) bool, enough of it seen to speak of it
    fps: float

    def last(self, seconds: float) -> slice:
        """The frames of the last seconds, two at least."""
        return slice(-max(2, round(seconds * self.fps) + 1), None)


def past_of(truths: Sequence[FrameTruth], number: int, fps: float) -> Past:
    """What happened to an object. Raises StopIteration when a frame does not know it."""
    things = [next(thing for thing in truth.objects if thing.instance_id == number) for truth in truths]
    pairs = list(zip(truths, things, strict=True))
    poses = np.stack([truth.world_from_camera @ thing.camera_from_object for truth, thing in pairs])
    half = 0.5 * np.abs(poses[:, 2, :3]) @ things[0].size_m
    return Past(
        poses[:, :3, 3],
        poses[:, :3, :3],
        poses[:, 2, 3] - half,
        np.array([thing.in_view_fraction for thing in things]),
        np.array([thing.visible_px > 0 for thing in things]),
        np.array([_clear(thing, truth) for truth, thing in pairs]),
        fps,
    )


def _clear(thing: ObjectTruth, truth: FrameTruth) -> bool:
    return thing.visible_px > 0 and is_clear(thing, truth.instance_ids.size)


def _between(value: float, low: float, high: float) -> bool | None:
    return True if value > high else False if value < low else None


def moves(past: Past) -> bool | None:
    """Is moving now."""
    steps = past.positions_m[past.last(NOW_S)]
    seconds = (len(steps) - 1) / past.fps
    return _between(float(np.linalg.norm(steps[-1] - steps[0])) / seconds, RESTS_MPS, MOVES_MPS)


def moved(past: Past) -> bool | None:
    """Was somewhere else before, or is on its way."""
    away = np.linalg.norm(past.positions_m - past.positions_m[0], axis=1)
    return _between(float(away.max()), STAYED_M, MOVED_M)


def stayed(past: Past) -> bool | None:
    """Did not move."""
    verdict = moved(past)
    return None if verdict is None else not verdict


def flies(past: Past) -> bool | None:
    """Is in the air now."""
    return _between(float(past.below_m[-1]), TABLE_M, AIR_M)


def rises(past: Past) -> bool | None:
    """Is being lifted now."""
    heights = past.below_m[past.last(NOW_S)]
    speed = float(heights[-1] - heights[0]) * past.fps / (len(heights) - 1)
    if speed < RESTS_MPS:
        return False
    return True if speed > MOVES_MPS and heights[-1] > AIR_M else None


def was_picked_up(past: Past) -> bool | None:
    """Is in the air and stood on the table a moment ago."""
    if flies(past) is not True:
        return flies(past)
    return _recently(past, past.below_m < TABLE_M)


def was_put_down(past: Past) -> bool | None:
    """Rests on the table and was in the air a moment ago."""
    if flies(past) is not False:
        return None if flies(past) is None else False
    if past.below_m.max() < AIR_M:
        return False if past.below_m.max() < TABLE_M else None
    return _recently(past, past.below_m > AIR_M) if moves(past) is False else None


def was_pushed(past: Past) -> bool | None:
    """Slid over the table."""
    flat = past.positions_m[past.below_m < TABLE_M][:, :2]
    slid = False if len(flat) == 0 else _between(float(np.ptp(flat, axis=0).max()), STAYED_M, MOVED_M)
    if past.below_m.max() >= TABLE_M:
        return False if slid is False else None  # carried to another place, or pushed as well
    return _and_not(slid, _tilted(past))


def rolled(past: Past) -> bool | None:
    """Rolled over the table."""
    tilted = _tilted(past)
    if past.below_m.max() >= TABLE_M:
        return None if tilted is not False else False
    return tilted if tilted is not True else moved(past)


def came_back(past: Past) -> bool | None:
    """Left the picture and is seen again."""
    return _seen_again(past, gone=past.in_view == 0.0, otherwise_gone=past.in_view > 0.5)


def was_hidden(past: Past) -> bool | None:
    """Was behind something and is seen again."""
    return _seen_again(past, gone=~past.visible & (past.in_view > 0.5), otherwise_gone=past.in_view == 0.0)


def _seen_again(past: Past, *, gone: Array, otherwise_gone: Array) -> bool | None:
    if not past.visible[-1]:
        return False
    if not past.clear[-1]:
        return None
    if past.visible.all():
        return False if past.clear.all() else None
    first_seen = int(past.clear.argmax())
    if gone[first_seen:].sum() >= max(1, round(GONE_S * past.fps)):
        return True
    return False if otherwise_gone[~past.visible].all() else None


def _recently(past: Past, was: Array) -> bool | None:
    """Whether something was so within the last moments; None when it was so before, or may have been."""
    if was[past.last(JUST_S)].any():
        return True
    return False if not was[past.last(LONG_AGO_S)].any() and len(was) >= LONG_AGO_S * past.fps else None


def _tilted(past: Past) -> bool | None:
    upright = np.einsum("tj,j->t", past.rotations[:, 2], past.rotations[0, 2])
    return _between(float(np.arccos(np.clip(upright, -1, 1)).max()), LEVEL_RAD, ROLLED_RAD)


def _and_not(yes: bool | None, no: bool | None) -> bool | None:
    if yes is False or no is True:
        return False
    return None if yes is None or no is None else True


@dataclass(frozen=True)
class Happening:
    """Something that may have happened, and how it is said."""

    happened: Callable[[Past], bool | None]
    wording: Wording
    by_contrast: bool = False  # only said where it is not true of all


HAPPENINGS: tuple[Happening, ...] = (
    Happening(
        moves,
        Wording(
            ("the {noun} that is moving", "the moving {noun}", "the {noun} that moves", "the {noun} in motion"),
            ("the {noun} which is moving now", "the {noun} that is in motion"),
        ),
    ),
    Happening(
        moved,
        Wording(
            ("the {noun} that moved", "the {noun} that was moved", "the {noun} that has been moved"),
            ("the {noun} which was moved", "the {noun} that has moved"),
        ),
    ),
    Happening(
        stayed,
        Wording(
            ("the {noun} that did not move", "the {noun} that stayed where it was", "the {noun} that was not moved"),
            ("the {noun} which did not move", "the {noun} that has not moved"),
        ),
        by_contrast=True,
    ),
    Happening(
        flies,
        Wording(
            ("the {noun} in the air", "the {noun} that is in the air", "the {noun} that is held up"),
            ("the {noun} which is in the air", "the {noun} up in the air"),
        ),
    ),
    Happening(
        rises,
        Wording(
            ("the {noun} that is being lifted", "the {noun} being lifted", "the {noun} being raised"),
            ("the {noun} which is being lifted", "the {noun} being lifted up"),
        ),
    ),
    Happening(
        was_picked_up,
        Wording(
            ("the {noun} that was just picked up", "the {noun} that was just lifted", "the {noun} just picked up"),
            ("the {noun} which was just picked up", "the {noun} that has just been lifted"),
        ),
    ),
    Happening(
        was_put_down,
        Wording(
            ("the {noun} that was just put down", "the {noun} just put down", "the {noun} that was put down just now"),
            ("the {noun} which was just put down", "the {noun} that has just been put down"),
        ),
    ),
    Happening(
        was_pushed,
        Wording(
            ("the {noun} that was pushed", "the {noun} that slid over the table", "the pushed {noun}"),
            ("the {noun} which was pushed", "the {noun} that has been pushed"),
        ),
    ),
    Happening(
        rolled,
        Wording(
            ("the {noun} that rolled", "the {noun} that rolled over the table", "the {noun} that was rolling"),
            ("the {noun} which rolled", "the {noun} that has rolled"),
        ),
    ),
    Happening(
        came_back,
        Wording(
            ("the {noun} that came back", "the {noun} that is back", "the {noun} that was gone and is back"),
            ("the {noun} which came back", "the {noun} which is back"),
        ),
    ),
    Happening(
        was_hidden,
        Wording(
            ("the {noun} that was hidden", "the {noun} that was covered before", "the {noun} seen again"),
            ("the {noun} which was hidden", "the {noun} that has been hidden"),
        ),
    ),
)
WORDS = {"were", "are", "have", "they"}.union(*(each.wording.words for each in HAPPENINGS))
