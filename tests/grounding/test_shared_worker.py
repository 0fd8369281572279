"""One worker for targets and for questions from beside: neither loses an answer, neither starves the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from doubles import ScriptedWorker
from painted import painted

from referent.errors import GrounderUnavailable
from referent.grounding.shared_worker import MAX_WAITING, SharedWorker
from referent.types import Grounding, GroundingRequest, RegroundReason, Target

PICTURE = painted(0, {})


def a_question(words: str) -> GroundingRequest:
    return GroundingRequest((Target("1", words),), PICTURE, RegroundReason.NEW)


def nothing(request: GroundingRequest) -> Grounding:
    return Grounding(request, (), nothing_reason="nothing")


def a_worker(answers: int = 9) -> tuple[SharedWorker, ScriptedWorker]:
    inner = ScriptedWorker([nothing] * answers)
    return SharedWorker(inner), inner


def test_a_question_from_beside_is_answered_by_polling_and_the_targets_hear_nothing_of_it() -> None:
    shared, inner = a_worker()
    answer = shared.ask_aside(a_question("a drink"))
    assert not inner.asked
    assert shared.poll(PICTURE.stamp_ns) is None
    assert shared.busy
    assert shared.poll(PICTURE.stamp_ns) is None
    assert answer.result(0).request.expression == "a drink"
    assert not shared.busy


def test_the_targets_and_those_beside_take_turns() -> None:
    shared, inner = a_worker()
    asides = [shared.ask_aside(a_question(f"aside {number}")) for number in range(3)]
    order = []
    for number in range(12):
        if not shared.busy and number % 2 == 0:
            shared.submit(a_question(f"target {number}"))
        shared.poll(PICTURE.stamp_ns)
        order = [request.expression.split()[0] for request in inner.asked]
    assert all(aside.done() for aside in asides)
    assert order[:4] == ["target", "aside", "target", "aside"]


def test_the_targets_cancel_their_own_question_only() -> None:
    shared, inner = a_worker()
    answer = shared.ask_aside(a_question("a drink"))
    shared.poll(PICTURE.stamp_ns)
    shared.cancel()
    assert inner.cancelled == 0
    shared.poll(PICTURE.stamp_ns)
    assert answer.done()
    shared.submit(a_question("the mug"))
    shared.cancel()
    assert inner.cancelled == 1


def test_who_waits_when_it_ends_is_told() -> None:
    shared, inner = a_worker()
    answers = [shared.ask_aside(replace(a_question("x"))) for _ in range(MAX_WAITING)]
    with pytest.raises(GrounderUnavailable, match="wait for the grounder already"):
        shared.ask_aside(a_question("one too many"))
    shared.poll(PICTURE.stamp_ns)
    shared.close()
    assert inner.closed
    for answer in answers:
        with pytest.raises(GrounderUnavailable, match="was stopped"):
            answer.result(0)
