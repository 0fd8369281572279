"""The protocols of the rooms: what the hall asks of a tracker, of a grounder and of the worker that runs one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from referent.types import Grounding, GroundingRequest, Prompt, RgbdFrame, TrackedMask


@dataclass(frozen=True)
class PromptOutcome:
    """What became of one prompt once the object's corrected track had caught up."""

    object_id: str
    stamp_ns: int  # the frame the prompt was about
    outcome: str  # committed | confirmed | rejected | superseded
    settled_stamp_ns: int  # the newest frame by then
    round_trip_iou: float | None = None  # of a prompted box with the box of the mask it gave in its frame
    hidden_frames: int = 0  # of those caught up through, in which the object was not seen


class Tracker(Protocol):
    """Follows objects through frames. Owned by one thread; frames come in order, each once."""

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        """The masks of all live objects in `frame`, in the order they were added."""
        ...

    def prefetch(self, frame: RgbdFrame) -> None:
        """May begin with a frame that will be stepped next, beside the present work; `step` alone does as well."""
        ...

    def prompt(self, prompt: Prompt) -> TrackedMask | None:
        """Start, replace or correct an object on a kept frame and catch it up to the newest.

        Returns the object's mask in the newest frame; None while it has none because catching up goes on during the
        next steps, or because the result was refused. What becomes of a prompt is told by `take_outcomes`. Nothing
        changes when this raises: FrameExpired when the frame is no longer kept, StalePrompt when something newer is
        known already, BadInstruction when there is nothing in the prompt.
        """
        ...

    def take_outcomes(self) -> tuple[PromptOutcome, ...]:
        """What became of prompts since the last call, in order."""
        ...

    def pin(self, stamp_ns: int) -> None:
        """Keep this frame and all later ones until `release`, bounded by the configured history."""
        ...

    def release(self, stamp_ns: int) -> None:
        """Undo `pin`."""
        ...

    def forget(self, object_id: str) -> None:
        """Drop an object and what is being caught up of it; unknown ids are ignored.

        No id is ever given to another object: a prompt for this one about a frame up to now is stale, one about a
        later frame starts an object without a past.
        """
        ...

    def reset(self) -> None:
        """Drop all objects and frames."""
        ...


class Grounder(Protocol):
    """Answers where an expression is in one picture. May be slow; called from one thread or process."""

    def ground(self, request: GroundingRequest) -> Grounding:
        """Raises UnreadableReply or GrounderUnavailable."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


@dataclass(frozen=True, eq=False)
class GroundingFailure:
    """No answer: the grounder could not be reached, took too long, or its reply is unreadable."""

    request: GroundingRequest
    message: str
    latency_s: float = 0.0


class Worker(Protocol):
    """Runs a grounder away from the frame path. One question at a time."""

    @property
    def busy(self) -> bool:
        """True while a question is in flight."""
        ...

    def submit(self, request: GroundingRequest) -> None:
        """Ask; only while not busy."""
        ...

    def poll(self, now_ns: int) -> Grounding | GroundingFailure | None:
        """The answer if it is in at frame time `now_ns`, once; never blocks."""
        ...

    def cancel(self) -> None:
        """Throw away the question in flight, if any."""
        ...

    def close(self) -> None:
        """Stop and free everything."""
        ...
