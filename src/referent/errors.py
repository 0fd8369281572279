"""The exceptions Referent raises: one small tree, each message names the value and the way out."""


class ReferentError(Exception):
    """Wrong input or a refused request: shown to a user as one line, never as a traceback."""


class ConfigError(ReferentError):
    """A setting is unknown, out of bounds or of the wrong type."""


class BadMessage(ReferentError):
    """A message, file or bag does not hold what it must hold."""


class DepthNotRegistered(BadMessage):
    """Depth is not as the color camera sees it, and what would bring it there is not known."""


class BadInstruction(ReferentError):
    """An instruction that cannot be acted on, such as an empty one."""


class UnreadableReply(ReferentError):
    """A grounder answered, but no region and no "nothing matches" can be read from it."""

    def __init__(self, message: str, *, raw: str = "") -> None:
        super().__init__(message)
        self.raw = raw  # the grounder's own words


class GrounderUnavailable(ReferentError):
    """The grounder did not answer: unreachable, timed out, refused or crashed."""


class TransformUnavailable(ReferentError):
    """No transform between two coordinate frames is known at the time asked for."""


class FrameExpired(ReferentError):
    """A prompt is about a frame that has left the tracker's history."""


class StalePrompt(ReferentError):
    """A prompt says nothing new: its object was grounded on a later frame, or forgotten, or told the same before."""


class WeightsMissing(ReferentError):
    """A model's files are absent, damaged or do not fit the model."""


class MemoryUnavailable(ReferentError):
    """The object memory can at present not be written or read, such as on a full disk; what is in it stays."""
