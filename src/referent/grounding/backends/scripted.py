"""Recorded answers given again: a run's replies without the model that made them.

An answer belongs to the picture it was given to, so a question is matched by the stamp of its frame, its expression and
its kind. One that was not recorded is a fault and never answered by what was said about another picture. Answers to one
and the same question are given in their order, the last of them as often as it is asked for.
"""

from __future__ import annotations

from collections import defaultdict, deque
from pathlib import Path

from referent.config import GrounderConfig
from referent.errors import ConfigError, GrounderUnavailable
from referent.grounding.recordings import Question, Recorded, question_of, read_answers
from referent.types import Grounding, GroundingRequest

_SHOWN = 5  # stamps named in a fault


class ScriptedGrounder:
    """Answers from `config.script`, a file that `grounder.record` wrote."""

    def __init__(self, config: GrounderConfig) -> None:
        if not config.script:
            raise ConfigError("grounder.script: the scripted backend needs the file that grounder.record wrote")
        self._path = config.script
        self._answers: dict[Question, deque[Recorded]] = defaultdict(deque)
        for recorded in read_answers(Path(config.script)):
            self._answers[recorded.question].append(recorded)

    def ground(self, request: GroundingRequest) -> Grounding:
        """The recorded answer. Raises GrounderUnavailable: a recorded failure, or no answer was recorded."""
        question = question_of(request)
        answers = self._answers.get(question)
        if answers is None:
            raise GrounderUnavailable(self._unknown(question))
        recorded = answers.popleft() if len(answers) > 1 else answers[0]
        return recorded.given_to(request)

    def close(self) -> None:
        """Nothing to free."""

    def _unknown(self, question: Question) -> str:
        same = sorted(q.stamp_ns for q in self._answers if q.expression == question.expression)
        about = f"{question.expression!r} was asked about the frames {', '.join(map(str, same[:_SHOWN]))}"
        about += f" and {len(same) - _SHOWN} more" if len(same) > _SHOWN else ""
        hint = about if same else f"{question.expression!r} was never asked"
        return (
            f"{self._path} holds no answer to {question.expression!r} about the frame at {question.stamp_ns} ns: {hint}"
        )
