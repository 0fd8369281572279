"""How long it takes from an instruction to the first published mask, in real time.

The live pipeline runs as in the node: frames at camera rate, newest wins, the grounder in a process of its own. Each
scene is a still picture shown again and again; the clock starts when the instruction is given and stops when a result
with its mask is handed out for publishing. ROS messages are not part of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tqdm import tqdm

from referent.building import build_pipeline
from referent.config import Config
from referent.errors import ReferentError
from referent.evaluation.heldout.estimates import Estimate, median_of
from referent.evaluation.heldout.questions import Picture, questions_about, render_picture
from referent.live import LivePipeline
from referent.pipeline import Pipeline
from referent.types import FrameResult, RgbdFrame

RATE_HZ = 30.0
LIMIT_S = 6.0  # without a mask by then the time counts as endless
WARM_UP_LIMIT_S = 180.0  # for models to load
KIND = "attribute"


class Stopwatch:
    """Shows one scene after the other to a live pipeline and takes the times. A context manager."""

    def __init__(self, config: Config, make_pipeline: Callable[[Config], Pipeline] = build_pipeline) -> None:
        self._awaited: Callable[[FrameResult], bool] = _never
        self._met_s = 0.0
        self._met = threading.Event()
        self._faults: list[str] = []
        self._stamp_ns = 0
        self._live = LivePipeline(
            lambda _: make_pipeline(config), output=config.output, on_result=self._take, on_fault=self._faults.append
        )

    def __enter__(self) -> Stopwatch:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def warm_up(self, frame: RgbdFrame, instruction: str) -> None:
        """Have one question answered, whatever the answer, so that all models are loaded.

        Raises ReferentError without an answer.
        """
        self._live.instruct(instruction)
        if self._show_until(frame, _is_answered, WARM_UP_LIMIT_S) is None:
            raise ReferentError(f"{instruction!r}: the grounder gave no answer in {WARM_UP_LIMIT_S:g} s")

    def seconds(self, frame: RgbdFrame, instruction: str, *, limit_s: float) -> float:
        """Seconds from the instruction to a result with its mask; infinite without one in `limit_s`.

        Raises ReferentError when the pipeline gives no result at all, or tells of a fault.
        """
        self._live.reset()
        if self._show_until(frame, _is_idle, limit_s) is None:
            raise ReferentError(f"{instruction!r}: the pipeline gave no result in {limit_s:g} s")
        started_s = time.perf_counter()
        self._live.instruct(instruction)
        met_s = self._show_until(frame, _has_mask, limit_s)
        return float("inf") if met_s is None else met_s - started_s

    def _take(self, frame: RgbdFrame, result: FrameResult) -> None:
        if not self._met.is_set() and self._awaited(result):
            self._met_s = time.perf_counter()
            self._met.set()

    def _show_until(self, frame: RgbdFrame, awaited: Callable[[FrameResult], bool], limit_s: float) -> float | None:
        """Show `frame` at camera rate until a result is as awaited; when that was, None if it was not."""
        self._met.clear()
        self._awaited = awaited
        deadline_s = time.perf_counter() + limit_s
        while time.perf_counter() < deadline_s:
            self._stamp_ns += round(1e9 / RATE_HZ)
            self._live.put(replace(frame, stamp_ns=self._stamp_ns))
            if self._met.wait(1 / RATE_HZ):
                return self._met_s
            if self._faults:
                raise ReferentError(f"the live pipeline: {self._faults[0]}")
        return None


def _never(result: FrameResult) -> bool:
    return False


def _is_answered(result: FrameResult) -> bool:
    """Also a first try may fail while models are loading; a second one follows."""
    return any(event.outcome != "failed" for event in result.groundings)


def _is_idle(result: FrameResult) -> bool:
    return not result.objects


def _has_mask(result: FrameResult) -> bool:
    return any(found.mask is not None and bool(found.mask.mask.any()) for found in result.objects)


def first_mask_times(
    config: Config,
    *,
    first_seed: int,
    scenes: int,
    make_pipeline: Callable[[Config], Pipeline] = build_pipeline,
    render: Callable[[int], Picture] = render_picture,
    limit_s: float = LIMIT_S,
) -> list[float]:
    """Seconds for one instruction in each of some held-out pictures, once the models are loaded."""
    shown = _instructions(first_seed, scenes + 1, render)
    with Stopwatch(config, make_pipeline) as watch:
        watch.warm_up(*shown[0])
        return [
            watch.seconds(*each, limit_s=limit_s)
            for each in tqdm(shown[1:], desc="first mask", unit="scene", disable=None)
        ]


def _instructions(first_seed: int, count: int, render: Callable[[int], Picture]) -> list[tuple[RgbdFrame, str]]:
    found: list[tuple[RgbdFrame, str]] = []
    seed = first_seed
    while len(found) < count:
        picture = render(seed)
        questions = questions_about(picture, "", kinds=(KIND,))
        found += [(picture.frame, question.expression.text) for question in questions][:1]
        seed += 1
    return found


def median_first_mask(times_s: Sequence[float]) -> Estimate | None:
    """The median of the times."""
    return median_of(times_s)
