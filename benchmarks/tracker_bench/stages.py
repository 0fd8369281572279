"""Where each millisecond of a step goes, by the labels `sam2.*` that its parts carry for torch.profiler."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from tracker_bench.clip import Clip
from tracker_bench.contestants import Contestant

LABELS = ("preprocess", "encoder", "attention", "decoder", "memory_encoder")
GLUE = "glue"
FRAME = "bench.frame"


def stages(
    contestant: Contestant, clip: Clip, frames: Sequence[int], *, wait: Callable[[], None], on_gpu: bool
) -> dict[str, float] | None:
    """Milliseconds in each labelled part and in the rest ("glue"), medians over frames; None where nothing is labelled.

    The first frame is left out. On a GPU these are milliseconds of its kernels, on a CPU of the calls.
    """
    with contestant.labelled(), _profiled(on_gpu) as profiler:
        for index in frames:
            prepared = contestant.prepare(clip.frame(index))
            with record_function(FRAME):
                contestant.step(prepared)
                wait()
    return medians(list(_frames(profiler.events(), on_gpu))[1:])


def medians(frames: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """The median of every part over `frames`, and of what the parts leave of the frame as glue."""
    parts = [label for label in LABELS if any(label in frame for frame in frames)]
    if not parts:
        return None
    rest = [frame[FRAME] - sum(frame.get(label, 0.0) for label in parts) for frame in frames]
    found = {label: float(np.median([frame.get(label, 0.0) for frame in frames])) for label in parts}
    return found | {GLUE: float(np.median(rest))}


def _frames(events: Iterable[Any], on_gpu: bool) -> Iterator[dict[str, float]]:
    """Milliseconds per label, frame by frame."""
    # On a GPU every label appears again as an annotation of its own time line.
    ours = [event for event in events if event.device_type == DeviceType.CPU]
    labelled = [event for event in ours if event.name.startswith("sam2.")]
    for frame in (event for event in ours if event.name == FRAME):
        times = {FRAME: _ms(frame, on_gpu)}
        for event in labelled:
            if frame.time_range.start <= event.time_range.start < frame.time_range.end:
                label = event.name.removeprefix("sam2.")
                times[label] = times.get(label, 0.0) + _ms(event, on_gpu)
        yield times


def _ms(event: Any, on_gpu: bool) -> float:
    return float(event.device_time_total if on_gpu else event.cpu_time_total) / 1e3


@contextlib.contextmanager
def _profiled(on_gpu: bool) -> Iterator[profile]:
    """torch.profiler; the lines that it writes to stderr when it starts and stops are dropped."""
    profiler = profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])])
    with _without_stderr():
        profiler.start()
    try:
        yield profiler
    finally:
        with _without_stderr():
            profiler.stop()


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """What C++ code writes to stderr inside is lost."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
