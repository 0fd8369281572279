"""What a grounder answered during a run, as JSON Lines: written as answers come in, read back to be given again.

The first line names the format. Every other line is one answer with the question it belongs to; numbers are written
with all their digits, so an answer read back is equal to the one recorded. A run recorded anew replaces the file.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from referent.errors import BadMessage, ConfigError, GrounderUnavailable
from referent.grounding.workers import health_of
from referent.ports import GroundingFailure, Worker
from referent.types import Array, GrounderHealth, Grounding, GroundingItem, GroundingRequest

FORMAT = {"format": "referent grounder answers", "version": 1}
Line = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What tells one question from another."""

    stamp_ns: int
    expression: str
    kind: str


@dataclass(frozen=True)
class Recorded:
    """One answer as it was recorded."""

    question: Question
    history: tuple[tuple[str, str], ...]
    reason: str
    latency_s: float
    line: Line = field(repr=False)

    def given_to(self, request: GroundingRequest) -> Grounding:
        """The answer, to `request`. Raises GrounderUnavailable when what was recorded is a failure."""
        line = self.line
        if line["failure"] is not None:
            raise GrounderUnavailable(str(line["failure"]))
        return Grounding(
            request=request,
            items=tuple(_item_from_line(item) for item in line["items"]),
            nothing_reason=line["nothing_reason"],
            raw=line["raw"],
            notes=tuple(line["notes"]),
            nothing_score=line["nothing_score"],
            latency_s=self.latency_s,
        )


def question_of(request: GroundingRequest) -> Question:
    """What tells `request` from other questions."""
    return Question(request.frame.stamp_ns, request.expression, request.kind)


def answer_line(answer: Grounding | GroundingFailure) -> Line:
    """An answer and its question as plain JSON values."""
    request = answer.request
    question: Line = {
        "stamp_ns": request.frame.stamp_ns,
        "expression": request.expression,
        "kind": request.kind,
        "reason": request.reason.value,
        "history": [[turn.question, turn.answer] for turn in request.history],
        "latency_s": float(answer.latency_s),
    }
    if isinstance(answer, GroundingFailure):
        return {**question, "failure": answer.message}
    return {
        **question,
        "failure": None,
        "raw": answer.raw,
        "items": [_item_line(item) for item in answer.items],
        "nothing_reason": answer.nothing_reason,
        "nothing_score": None if answer.nothing_score is None else float(answer.nothing_score),
        "notes": list(answer.notes),
    }


def read_answers(path: Path) -> tuple[Recorded, ...]:
    """All answers of a file, in the order they came in. Raises BadMessage naming the line that cannot be read."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadMessage(f"grounder.script: {path} cannot be read ({error})") from error
    if not lines or _parsed(lines[0]) != FORMAT:
        raise BadMessage(f"grounder.script: {path} holds no recorded answers (grounder.record writes them)")
    return tuple(_recorded(path, lines))


class RecordingWorker:
    """A worker whose answers are written down as they are handed over; those thrown away are not.

    Raises ConfigError when the file cannot be written.
    """

    def __init__(self, worker: Worker, path: Path) -> None:
        self.inner = worker
        self.fault = ""  # why writing ended early; the run goes on without
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)  # nothing is left to be written when a full disk is closed
        except OSError as error:
            raise ConfigError(f"grounder.record: {path} cannot be written ({error.strerror})") from error
        self._write(FORMAT)

    @property
    def busy(self) -> bool:
        """Whether the worker is."""
        return self.inner.busy

    @property
    def health(self) -> GrounderHealth | None:
        """That of the worker, and why writing ended early."""
        health = health_of(self.inner)
        if not self.fault:
            return health
        health = health or GrounderHealth("ready")
        return replace(health, note="; ".join(filter(None, (health.note, self.fault))))

    def submit(self, request: GroundingRequest) -> None:
        """Ask."""
        self.inner.submit(request)

    def poll(self, now_ns: int) -> Grounding | GroundingFailure | None:
        """The answer if it is in, once, after writing it down."""
        answer = self.inner.poll(now_ns)
        if answer is not None:
            self._write(answer_line(answer))
        return answer

    def cancel(self) -> None:
        """Throw away the question in flight, if any."""
        self.inner.cancel()

    def close(self) -> None:
        """Stop and free everything."""
        self.inner.close()
        self._file.close()

    def _write(self, line: Line) -> None:
        """A line, at once on its way to the disk: what crashes later has said what it was told."""
        if self.fault:
            return
        try:
            text = json.dumps(line).encode() + b"\n"
            if self._file.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:  # a full disk must not end the run
            self.fault = f"grounder.record: {self._file.name} cannot be written any more ({error.strerror})"


def _recorded(path: Path, lines: list[str]) -> Iterator[Recorded]:
    for number, text in enumerate(lines[1:], 2):
        line = _parsed(text)
        try:
            if line is None:
                raise ValueError("no JSON object; was the run cut short?")
            history = tuple((str(question), str(answer)) for question, answer in line["history"])
            question = Question(int(line["stamp_ns"]), str(line["expression"]), str(line["kind"]))
            recorded = Recorded(question, history, str(line["reason"]), float(line["latency_s"]), line)
            if line["failure"] is None:
                _check_items(line)
        except (KeyError, TypeError, ValueError) as error:
            raise BadMessage(f"grounder.script: {path}, line {number}: {type(error).__name__}: {error}") from error
        yield recorded


def _check_items(line: Line) -> None:
    """Raise now what giving the answer would raise later."""
    items = [_item_from_line(item) for item in line["items"]]
    if bool(items) == (line["nothing_reason"] is not None):
        raise ValueError("items or a reason why nothing matches, not both and not neither")


def _parsed(text: str) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _item_line(item: GroundingItem) -> Line:
    return {
        "label": item.label,
        "score": None if item.score is None else float(item.score),
        "box_xyxy": _numbers(item.box_xyxy),
        "points_xy": _numbers(item.points_xy),
        "mask": None if item.mask is None else _runs(item.mask),
        "embedding": _numbers(item.embedding),
    }


def _item_from_line(line: Line) -> GroundingItem:
    return GroundingItem(
        label=line["label"],
        score=line["score"],
        box_xyxy=_array(line["box_xyxy"]),
        points_xy=_array(line["points_xy"]),
        mask=None if line["mask"] is None else _mask(line["mask"]),
        embedding=_array(line["embedding"]),
    )


def _numbers(values: Array | None) -> Any:
    """float32 becomes the double of the same value, which JSON writes with all its digits."""
    return None if values is None else values.astype(np.float64).tolist()


def _array(values: Any) -> Array | None:
    return None if values is None else np.array(values, np.float32)


def _runs(mask: Array) -> Line:
    """An (H, W) bool mask as its size and the lengths of its runs, row by row, beginning with False."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=~flat[-1:]))
    return {"size": list(mask.shape), "runs": np.diff(edges, prepend=0).tolist()}


def _mask(line: Line) -> Array:
    runs = np.array(line["runs"], np.int64)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(line["size"])
