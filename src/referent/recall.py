"""Lets a grounder judge remembered pictures: what `memory.match_by_model` asks, in the words of a verification."""

from __future__ import annotations

from collections.abc import Callable

from referent.errors import GrounderUnavailable, UnreadableReply
from referent.grounding.verification import KIND, probability_of_yes
from referent.memory import box_in_crop
from referent.ports import GroundingFailure
from referent.types import Array, Grounding, GroundingRequest, Intrinsics, LiveTrack, RegroundReason, RgbdFrame, Target

Ground = Callable[[GroundingRequest], Grounding | GroundingFailure]


def asking(ground: Ground) -> Callable[[Array, str], float | None]:
    """A question for `match_by_model`: how probable it is that a phrase fits a remembered picture.

    `ground` answers one request, such as `Grounder.ground`; when it fails, there is no answer: None.
    """

    def ask(picture: Array, phrase: str) -> float | None:
        try:
            answer = ground(remembered_request(picture, phrase))
        except (GrounderUnavailable, UnreadableReply):
            return None
        return None if isinstance(answer, GroundingFailure) else probability_of_yes(answer)

    return ask


def remembered_request(picture: Array, phrase: str) -> GroundingRequest:
    """Whether `phrase` fits what is in the middle half of a (H, W, 3) uint8 picture, as a request to a grounder."""
    height, width = picture.shape[:2]
    camera = Intrinsics(width, height, float(width), float(width), width / 2, height / 2)  # of no consequence
    return GroundingRequest(
        targets=(Target("", phrase),),
        frame=RgbdFrame(0, "", picture, None, camera),
        reason=RegroundReason.UNCERTAIN,
        tracks=(LiveTrack("", phrase, box_in_crop(picture)),),
        kind=KIND,
    )
