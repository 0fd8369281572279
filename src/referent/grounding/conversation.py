"""What was said so far by both sides: the turns a question is given, the meanings one can go back to."""

from __future__ import annotations

from collections import deque

from referent.grounding.records import Meaning
from referent.grounding.targets import Numbering
from referent.types import Turn

UNDO_STEPS = 16
MAX_ANSWER_CHARS = 4000  # of one turn; a chatty grounder's words are cut


class Conversation:
    """Bounded memory of a dialogue."""

    def __init__(self, *, turns: int, undo_steps: int = UNDO_STEPS, numbering: Numbering | None = None) -> None:
        self._turns: deque[Turn] = deque(maxlen=turns)
        self._earlier: deque[tuple[tuple[Meaning, ...], tuple[Turn, ...]]] = deque(maxlen=undo_steps)
        self._numbering = numbering or Numbering()

    @property
    def instruction_id(self) -> int:
        """Of the newest instruction; they are counted from 1."""
        return self._numbering.instruction_id

    @property
    def history(self) -> tuple[Turn, ...]:
        """The newest turns, oldest first."""
        return tuple(self._turns)

    def begin(self, meanings: tuple[Meaning, ...]) -> int:
        """An instruction is taken: remember what was meant before it; returns its id."""
        self._earlier.append((meanings, self.history))
        self._numbering.instruction_id += 1
        return self.instruction_id

    def note(self, question: str, answer: str) -> None:
        """Remember a question and the grounder's own words; without words there is nothing to refer to."""
        if not answer:
            return
        turn = Turn(question, answer[:MAX_ANSWER_CHARS])
        if not self._turns or self._turns[-1].question != question:
            self._turns.append(turn)
        else:
            self._turns[-1] = turn

    def start_anew(self) -> None:
        """What follows is understood without what was said before."""
        self._turns.clear()

    def take_back(self) -> tuple[Meaning, ...] | None:
        """What was meant before the newest instruction that was not taken back yet; None when there is none."""
        if not self._earlier:
            return None
        meanings, turns = self._earlier.pop()
        self._turns.clear()
        self._turns.extend(turns)
        return meanings

    def forget(self) -> None:
        """Time jumped or all was reset: nothing said before holds. Instructions go on being counted."""
        self._turns.clear()
        self._earlier.clear()
