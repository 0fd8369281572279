"""How a function of tensors is launched: as it is, compiled, or replayed as a CUDA graph.

Eagerly SAM 2 is some 500 kernel launches per frame, more than a fast GPU needs time to compute; a graph is one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]
Function = Callable[..., Tensors]
Signature = tuple[tuple[torch.Size, torch.dtype], ...]

CALLS_BEFORE_RECORDING = 3  # shapes that come and go while memories fill up are not worth a graph
RECORDINGS_KEPT = 8  # one for each number of objects; each holds its own buffers

_log = logging.getLogger(__name__)


class Recording(Protocol):
    """A function fixed to one signature."""

    def replay(self, arguments: Tensors) -> Tensors:
        """The function's results for other values of the same shapes, in memory of their own."""
        ...


Recorder = Callable[[Function, Tensors], Recording]


class Replay:
    """A function that is recorded once per signature (shapes and dtypes) and replayed from then on.

    The first calls of a signature run eagerly; of more than `RECORDINGS_KEPT` the one unused for longest is dropped.
    When recording fails the reason is logged once and everything runs eagerly from then on.
    """

    def __init__(self, function: Function, record: Recorder) -> None:
        self._function = function
        self._record = record
        self._recordings: dict[Signature, Recording] = {}
        self._calls: Counter[Signature] = Counter()
        self._broken = False

    def __call__(self, *arguments: Tensor) -> Tensors:
        """What the function returns."""
        if self._broken:
            return self._function(*arguments)
        signature = tuple((argument.shape, argument.dtype) for argument in arguments)
        recording = self._recordings.pop(signature, None) or self._recorded(signature, arguments)
        if recording is None:
            return self._function(*arguments)
        self._recordings[signature] = recording  # the newest last
        return recording.replay(arguments)

    def _recorded(self, signature: Signature, arguments: Tensors) -> Recording | None:
        if len(self._calls) > 1000:  # counts of signatures long gone
            self._calls.clear()
        self._calls[signature] += 1
        if self._calls[signature] <= CALLS_BEFORE_RECORDING:
            return None
        try:
            recording = self._record(self._function, arguments)
        except RuntimeError as error:
            _log.warning("tracker.acceleration: recording failed, running eagerly: %s", error)
            self._broken = True
            return None
        while len(self._recordings) >= RECORDINGS_KEPT:
            del self._recordings[next(iter(self._recordings))]
        return recording


class Compiled:
    """A `Recording` by torch.compile; compiling takes a minute or so, once per signature."""

    def __init__(self, function: Function, arguments: Tensors) -> None:
        self._function = torch.compile(function, dynamic=False)
        self._function(*arguments)

    def replay(self, arguments: Tensors) -> Tensors:
        """The compiled function's results."""
        return self._function(*arguments)


class CudaGraph:
    """A `Recording` on the GPU. Inputs are copied in and results copied out, so callers own what they hold."""

    def __init__(self, function: Function, arguments: Tensors) -> None:
        self._inputs = tuple(argument.clone() for argument in arguments)
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):  # libraries allocate their workspaces before the capture
            function(*self._inputs)
        torch.cuda.current_stream().wait_stream(side_stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = function(*self._inputs)
        self._idle = torch.cuda.Event()  # nobody reads or writes the buffers any more
        self._idle.record()

    def replay(self, arguments: Tensors) -> Tensors:
        """One launch for the whole function, from any stream."""
        stream = torch.cuda.current_stream()
        stream.wait_event(self._idle)
        torch._foreach_copy_(list(self._inputs), list(arguments))
        self._graph.replay()
        outputs = tuple(output.clone() for output in self._outputs)
        self._idle.record(stream)
        return outputs


def launcher(acceleration: str, device: torch.device) -> Callable[[Function], Function]:
    """What makes functions run as `acceleration` (eager, compile, graphs, auto) says, or logs why it cannot be had."""
    if acceleration == "auto":
        acceleration = "graphs" if device.type == "cuda" else "eager"
    if acceleration == "graphs" and device.type != "cuda":
        _log.warning("tracker.acceleration: graphs need a GPU, the tracker is on the %s; running eagerly", device.type)
        acceleration = "eager"
    recorders: dict[str, Recorder] = {"graphs": CudaGraph, "compile": Compiled}
    recorder = recorders.get(acceleration)
    return lambda function: function if recorder is None else Replay(function, recorder)
