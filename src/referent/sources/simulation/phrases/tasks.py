"""How a robot is told to take one thing to another: "put the red mug into the bowl"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from referent.sources.simulation.phrases.view import Figure
from referent.sources.simulation.phrases.voice import Wording


@dataclass(frozen=True)
class Task:
    """What is done with {pick} at {place}, and whether a place suits a thing."""

    wording: Wording
    suits: Callable[[Figure, Figure], bool]


def _holds(pick: Figure, place: Figure) -> bool:
    return place.thing.category in ("bowl", "box", "pan", "mug", "cup", "jar") and place.bulk > pick.bulk


def _carries(pick: Figure, place: Figure) -> bool:
    return place.thing.category in ("plate", "box", "block", "pan") and pick.thing.category != "plate"


def _any(pick: Figure, place: Figure) -> bool:
    return True


TASKS: tuple[Task, ...] = (
    Task(
        Wording(
            ("put {pick} into {place}", "put {pick} in {place}", "place {pick} in {place}", "drop {pick} into {place}",
             "pick up {pick} and put it into {place}", "put {pick} inside {place}"),
            ("place {pick} inside {place}", "set {pick} into {place}", "take {pick} and drop it into {place}"),
        ),
        _holds,
    ),
    Task(
        Wording(
            ("put {pick} on {place}", "place {pick} on {place}", "put {pick} on top of {place}",
             "stack {pick} on {place}", "set {pick} onto {place}", "take {pick} and put it on {place}"),
            ("stack {pick} onto {place}", "set {pick} down on {place}",
             "pick up {pick}, then place it on top of {place}"),
        ),
        _carries,
    ),
    Task(
        Wording(
            ("put {pick} next to {place}", "move {pick} next to {place}", "place {pick} beside {place}",
             "set {pick} near {place}", "push {pick} next to {place}", "pick up {pick} and put it beside {place}"),
            ("set {pick} beside {place}", "put {pick} close to {place}", "take {pick}, then set it next to {place}"),
        ),
        _any,
    ),
    Task(
        Wording(
            ("put {pick} behind {place}", "put {pick} in front of {place}", "move {pick} to the left of {place}",
             "place {pick} to the right of {place}", "move {pick} behind {place}"),
            ("set {pick} behind {place}", "place {pick} left of {place}", "push {pick} in front of {place}"),
        ),
        _any,
    ),
    Task(
        Wording(
            ("bring {pick} to {place}", "move {pick} to {place}", "take {pick} to {place}", "carry {pick} to {place}",
             "push {pick} towards {place}", "move {pick} over to {place}"),
            ("bring {pick} over to {place}", "push {pick} over to {place}", "carry {pick} towards {place}"),
        ),
        _any,
    ),
)  # fmt: skip
AROUND = Wording(
    ("{}", "{}", "{}", "please {}", "robot, {}", "could you {}", "{} please", "now {}", "can you {} for me",
     "i want you to {}", "{} now", "ok, {}"),
    ("would you kindly {}", "i would like you to {}", "ok robot, {}", "could you please {}"),
)  # fmt: skip
WORDS = AROUND.words.union(*(task.wording.words for task in TASKS))
