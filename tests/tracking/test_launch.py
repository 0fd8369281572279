"""How functions are launched: when they are recorded, what is kept, and what happens where that cannot be."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from referent.tracking.launch import (
    CALLS_BEFORE_RECORDING,
    RECORDINGS_KEPT,
    Compiled,
    CudaGraph,
    Replay,
    Tensors,
    launcher,
)

CPU = torch.device("cpu")


def plain(x: Tensor, y: Tensor | None = None) -> Tensors:
    return 2 * x + 1, x.sum() if y is None else x.sum() + y.sum()


class Tape:
    """A recorder that notes what is recorded and replayed, by the length of the first argument."""

    def __init__(self) -> None:
        self.recorded: list[int] = []
        self.replayed: list[int] = []

    def record(self, function: object, arguments: Tensors) -> _Cassette:
        assert function is plain
        self.recorded.append(len(arguments[0]))
        return _Cassette(self, arguments)


class _Cassette:
    def __init__(self, tape: Tape, arguments: Tensors) -> None:
        self._tape = tape
        self._signature = [(argument.shape, argument.dtype) for argument in arguments]

    def replay(self, arguments: Tensors) -> Tensors:
        assert [(argument.shape, argument.dtype) for argument in arguments] == self._signature
        self._tape.replayed.append(len(arguments[0]))
        return plain(*arguments)


def recorded(replay: Replay, *lengths: int) -> None:
    """Call with each of these lengths until it is recorded."""
    for length in lengths:
        for _ in range(CALLS_BEFORE_RECORDING + 1):
            replay(torch.ones(length))


def assert_as_plain(found: Tensors, *arguments: Tensor) -> None:
    for ours, truth in zip(found, plain(*arguments), strict=True):
        assert torch.equal(ours, truth)


def test_a_signature_is_recorded_once_it_has_come_often_enough() -> None:
    tape = Tape()
    replay = Replay(plain, tape.record)
    for call in range(CALLS_BEFORE_RECORDING + 4):
        x = torch.full((3,), float(call))
        assert_as_plain(replay(x), x)
        assert tape.recorded == ([3] if call >= CALLS_BEFORE_RECORDING else [])
    assert tape.replayed == [3] * 4


def test_shapes_and_dtypes_and_the_number_of_arguments_are_told_apart() -> None:
    tape = Tape()
    replay = Replay(plain, tape.record)
    kinds = [(torch.ones(3),), (torch.ones(3, dtype=torch.bfloat16),), (torch.ones(3, 1),), (torch.ones(3),) * 2]
    for arguments in kinds:
        for _ in range(CALLS_BEFORE_RECORDING):
            replay(*arguments)
    assert tape.recorded == []
    for arguments in kinds:
        assert_as_plain(replay(*arguments), *arguments)
    assert tape.recorded == [3] * len(kinds)


def test_the_recording_unused_for_longest_makes_room() -> None:
    tape = Tape()
    replay = Replay(plain, tape.record)
    lengths = list(range(1, RECORDINGS_KEPT + 1))
    recorded(replay, *lengths)
    replay(torch.ones(lengths[0]))  # so that the second is the oldest
    recorded(replay, 100)
    tape.recorded.clear()
    for length in (100, lengths[0], *lengths[2:]):
        replay(torch.ones(length))
    assert tape.recorded == [], "all but one are still there"
    replay(torch.ones(lengths[1]))
    assert tape.recorded == [lengths[1]], "which is recorded again when it comes back"
    assert len(replay._recordings) == RECORDINGS_KEPT


def test_an_endless_change_of_shapes_keeps_a_bounded_number_of_counts() -> None:
    replay = Replay(plain, Tape().record)
    empty = torch.ones(1)
    for length in range(1, 2500):
        replay(empty.expand(length))
    assert len(replay._calls) <= 1001
    assert len(replay._recordings) == 0


def test_after_a_failed_recording_all_runs_eagerly_and_the_reason_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = []

    def fail(function: object, arguments: Tensors) -> _Cassette:
        attempts.append(len(arguments[0]))
        raise RuntimeError("this kernel cannot be captured")

    replay = Replay(plain, fail)
    with caplog.at_level(logging.WARNING):
        for length in (3, 4):
            for _ in range(CALLS_BEFORE_RECORDING + 2):
                assert_as_plain(replay(torch.ones(length)), torch.ones(length))
    assert attempts == [3]
    (line,) = caplog.messages
    assert "tracker.acceleration" in line
    assert "this kernel cannot be captured" in line


def test_a_fault_that_is_none_of_recording_is_not_hidden() -> None:
    def fail(function: object, arguments: Tensors) -> _Cassette:
        raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"):
        recorded(Replay(plain, fail), 3)


@pytest.mark.parametrize("acceleration", ["eager", "auto"])
def test_on_a_cpu_functions_run_as_they_are(acceleration: str) -> None:
    assert launcher(acceleration, CPU)(plain) is plain


def test_graphs_on_a_cpu_are_refused_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert launcher("graphs", CPU)(plain) is plain
    (line,) = caplog.messages
    assert "graphs need a GPU, the tracker is on the cpu" in line


@pytest.mark.parametrize("acceleration", ["graphs", "auto"])
def test_on_a_gpu_graphs_are_the_way(acceleration: str) -> None:
    launched = launcher(acceleration, torch.device("cuda"))(plain)
    assert isinstance(launched, Replay)
    assert launched._record is CudaGraph


@pytest.fixture
def compiler() -> Iterator[None]:
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        pytest.skip("torch.compile needs a C++ compiler on a CPU, and none is installed")
    yield
    torch.compiler.reset()


# What torch.compile itself imports.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.usefixtures("compiler")
def test_a_compiled_function_gives_what_it_gave_before() -> None:
    compiled = launcher("compile", CPU)(lambda x: (2 * x + 1,))
    assert isinstance(compiled, Replay)
    assert compiled._record is Compiled
    with torch.inference_mode():
        for call in range(CALLS_BEFORE_RECORDING + 2):
            x = torch.full((3, 5), float(call))
            (found,) = compiled(x)
            assert torch.equal(found, 2 * x + 1)
    assert len(compiled._recordings) == 1
    assert not compiled._broken
