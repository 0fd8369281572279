"""What one goal follows and how far it has come, told from one result after another."""

from __future__ import annotations

from collections.abc import Sequence

from referent_msgs.action import Follow

from referent.errors import BadInstruction
from referent.types import TrackedObject, TrackState
from referent_ros.result_messages import seen


class Followed:
    """The targets of one goal, through choices, corrections and jumps of time. Begins with their ids."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = frozenset(ids)
        self._generations: frozenset[int] = frozenset()

    def among(self, objects: Sequence[TrackedObject]) -> list[TrackedObject]:
        """Those of the goal; from the same instruction come others that it means too, and new ids after a jump."""
        own = [o for o in objects if o.target.id in self.ids or o.target.generation in self._generations]
        if own:
            self.ids = frozenset(each.target.id for each in own)
            self._generations = frozenset(each.target.generation for each in own)
        return own


class Progress:
    """How near a goal is to what it asks for."""

    def __init__(self, goal: Follow.Goal) -> None:
        self._goal = goal
        self.frames = 0  # in which all was seen and sure

    def take(self, own: Sequence[TrackedObject]) -> bool:
        """Count one picture; whether the goal is reached."""
        found = all(is_found(each) for each in own)
        self.frames += found
        if self._goal.mode == Follow.Goal.UNTIL_FOUND:
            return found
        return self._goal.mode == Follow.Goal.N_FRAMES and self.frames >= self._goal.frames


def is_found(tracked: TrackedObject) -> bool:
    """Whether it is seen, and sure to be what is meant."""
    return tracked.state is TrackState.TRACKING and seen(tracked) and not tracked.candidates


def check_goal(goal: Follow.Goal) -> None:
    """Raise BadInstruction when a goal asks for nothing that can be done."""
    modes = (Follow.Goal.CONTINUOUS, Follow.Goal.UNTIL_FOUND, Follow.Goal.N_FRAMES)
    if goal.mode not in modes:
        raise BadInstruction(f"mode {goal.mode} is none of CONTINUOUS, UNTIL_FOUND, N_FRAMES {modes}")
    if goal.mode == Follow.Goal.N_FRAMES and goal.frames == 0:
        raise BadInstruction("N_FRAMES needs frames of 1 or more")
    if goal.timeout.sec < 0:
        raise BadInstruction(f"a timeout of {goal.timeout.sec} s is over already; 0 means none")
