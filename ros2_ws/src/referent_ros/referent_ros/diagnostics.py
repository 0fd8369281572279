"""What the node knows about its own health, and that as diagnostic messages."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from referent.types import FrameResult, TrackState
from referent_ros.pairing import TOLD_S

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
DEFAULT_SEGMENT_BYTES = 512 * 1024  # Fast DDS: larger messages are sent in pieces, and best effort loses pieces
FEW_SAMPLES = 5
SLOW_STEPS = 3  # so many steps may pass without a result before that is news


class InputHealth:
    """What came in on one topic. Owned by the executor's thread."""

    def __init__(self, topic: str, *, needed: bool) -> None:
        self.topic = topic
        self.needed = needed
        self.total = 0
        self.bad = 0
        self.lost = 0
        self._number: int | None = None
        self.last_fault = ""
        self.incompatible_policy = ""  # for which a publisher that is there cannot be heard
        self.largest_bytes = 0
        self._arrived_s = -math.inf
        self._in_window = 0
        self._fault_in_window = False

    def arrived(self, size_bytes: int = 0) -> None:
        """Count one message."""
        self.total += 1
        self._in_window += 1
        self._arrived_s = time.monotonic()
        self.largest_bytes = max(self.largest_bytes, size_bytes)

    def failed(self, fault: str) -> None:
        """Count one message that could not be used."""
        self.bad += 1
        self.last_fault = fault
        self._fault_in_window = True

    def numbered(self, number: int | None) -> None:
        """Count what is missing before the message that its publisher, the only one here, gave this number.

        The middleware replaces messages that wait for too long without a word, so its own event does not do.
        """
        if number is not None and self._number is not None:
            self.lost += max(0, number - self._number - 1)  # a publisher that was started anew counts from 1 again
        self._number = number

    @property
    def silent(self) -> bool:
        """Whether nothing came for so long that something must be wrong, at whatever rate it comes."""
        return time.monotonic() - self._arrived_s > TOLD_S

    def take_window(self) -> tuple[int, bool]:
        """Messages, and whether any was bad, since the last call."""
        window = self._in_window, self._fault_in_window
        self._in_window, self._fault_in_window = 0, False
        return window


@dataclass(frozen=True)
class Inputs:
    """The inputs a report is about; color images and camera_infos come in pairs, which shows lost images."""

    color: InputHealth
    info: InputHealth
    all: tuple[InputHealth, ...]
    reliable: bool = False  # subscribed so: then nothing is lost on the way

    @property
    def missing(self) -> list[str]:
        """The topics without which no frame comes, and on which nothing comes."""
        return [each.topic for each in self.all if each.needed and each.silent]


class OutputHealth:
    """What the pipeline made of it. Written by the pipeline's thread, read by the executor's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies_s: deque[float] = deque(maxlen=300)
        self._ages_s: deque[float] = deque(maxlen=300)
        self._results = 0
        self._newest: FrameResult | None = None
        self._outcomes: Counter[str] = Counter()
        self._last_grounding = ""
        self._grounder_latency_s: float | None = None
        self._grounder_failing = False
        self._fault = ""
        self._fault_s = 0.0
        self._result_s = time.monotonic()

    def note_result(self, result: FrameResult, latency_s: float, age_s: float) -> None:
        """Remember one answer, given `latency_s` after its picture was taken and `age_s` after it was here."""
        with self._lock:
            self._results += 1
            self._latencies_s.append(latency_s)
            self._ages_s.append(age_s)
            self._newest, self._result_s = result, time.monotonic()
            for event in result.groundings:
                self._outcomes[event.outcome] += 1
                self._grounder_latency_s = event.latency_s
                self._last_grounding = f"{event.expression!r} ({event.reason.value}): {event.outcome} {event.detail}"
                self._grounder_failing = event.outcome == "failed"

    def note_fault(self, fault: str) -> None:
        """Remember one failure of the pipeline."""
        with self._lock:
            self._fault, self._fault_s = fault, time.monotonic()

    def begin_anew(self) -> None:
        """The pipeline is gone, or another one begins: nothing of the one before is news."""
        with self._lock:
            self._newest, self._fault, self._result_s = None, "", time.monotonic()
            self._last_grounding, self._grounder_latency_s, self._grounder_failing = "", None, False

    def statuses(
        self, seconds: float, counts: Mapping[str, int], *, active: bool = True, starved_by: str = ""
    ) -> list[DiagnosticStatus]:
        """Pipeline, grounder and objects over the last `seconds`; starts the next window.

        `starved_by`: why no frame can come, as far as the inputs know.
        """
        with self._lock:
            silent_s = time.monotonic() - self._result_s
            starved = active and silent_s > max(TOLD_S, SLOW_STEPS * self._step_s)
            why = f"no frame for {silent_s:.0f} s: {starved_by or 'see input, or the step at hand takes long'}"
            old = starved and self._newest is not None and self._newest.objects
            statuses = [
                self._pipeline(seconds, counts, why if starved else ""),
                self._grounder(active),
                self._objects(f", as seen {silent_s:.0f} s ago" if old else ""),
            ]
            self._results = 0
            if time.monotonic() - self._fault_s > TOLD_S:
                self._fault = ""
            self._latencies_s.clear()
            self._ages_s.clear()
            return statuses

    @property
    def _step_s(self) -> float:
        """How long the newest step took."""
        return 0.0 if self._newest is None else self._newest.timings_s.get("total", 0.0)

    def _pipeline(self, seconds: float, counts: Mapping[str, int], starved: str) -> DiagnosticStatus:
        drops = {} if self._newest is None else dict(self._newest.drops)
        values: dict[str, object] = {"rate_hz": round(self._results / seconds, 2)}
        values |= {**_percentiles("latency", self._latencies_s), **_percentiles("age", self._ages_s)}
        if self._newest is not None:
            values |= {f"{name}_s": round(value, 4) for name, value in self._newest.timings_s.items()}
        values |= {f"total_{name}": count for name, count in {**counts, **drops}.items()}
        if self._fault:
            return _status("pipeline", WARN, self._fault, values)
        if starved:
            return _status("pipeline", WARN, starved, values)
        if self._newest is not None and self._newest.output_frame and self._newest.output_from_camera is None:
            missing = (
                f"no transform from {self._newest.camera_frame} to {self._newest.output_frame} at the image's stamp"
            )
            return _status("pipeline", WARN, missing, values)
        return _status("pipeline", OK, "running" if self._results else "no frame in this period", values)

    def _grounder(self, active: bool) -> DiagnosticStatus:
        values: dict[str, object] = {f"total_{name}": count for name, count in self._outcomes.items()}
        if self._grounder_latency_s is not None:
            values["latency_s"] = round(self._grounder_latency_s, 3)
        message = self._last_grounding or ("not asked yet" if active else "the node is not active")
        health = None if self._newest is None else self._newest.grounder
        if health is None:
            return _status("grounder", WARN if self._grounder_failing else OK, message, values)
        values |= {"state": health.state, "restarts": health.restarts, "note": health.note}
        if health.state in ("restarting", "refused"):
            return _status("grounder", ERROR, f"{health.state}: {health.note}", values)
        if health.state == "starting":
            message = "starting: questions wait until its model is loaded"
        return _status("grounder", WARN if self._grounder_failing else OK, message, values)

    def _objects(self, when: str) -> DiagnosticStatus:
        objects = () if self._newest is None else self._newest.objects
        values = {
            f"object_{each.target.id}": f"{each.target.expression}: {each.state.value}"
            + (f", score {each.mask.score:.2f}" if each.mask is not None else "")
            + (f" ({each.reason})" if each.reason else "")
            for each in objects
        }
        lost = [each.target.expression for each in objects if each.state is TrackState.LOST]
        message = ("lost: " + ", ".join(lost) if lost else f"{len(objects)} objects") + when
        return _status("objects", WARN if lost or when else OK, message, values)


def lifecycle_status(state: str, fault: Exception | None, values: Mapping[str, object]) -> DiagnosticStatus:
    """The state of the node, and why the last transition failed."""
    if fault is None:
        return _status("lifecycle", OK, state, values)
    return _status("lifecycle", ERROR, f"{state}: {fault}", values)


def memory_status(known: int, counts: Mapping[str, int]) -> DiagnosticStatus:
    """What the object memory did so far."""
    unplaced = counts.get("unplaced", 0) and not known
    message = "nothing can be remembered: no transform to memory.frame yet" if unplaced else f"{known} remembered"
    return _status("memory", OK, message, {f"total_{name}": count for name, count in counts.items()})


def output_status(unheard: Mapping[str, str]) -> DiagnosticStatus:
    """Whether a subscriber asked for more than is offered, by topic and policy."""
    words = [f"a subscriber of {topic} hears nothing: its QoS does not fit ({unheard[topic]})" for topic in unheard]
    return _status("output", WARN if words else OK, "; ".join(words) or "offered", {})


def input_status(
    inputs: Inputs,
    seconds: float,
    *,
    publishers: Mapping[str, int],
    values: Mapping[str, object],
    warnings: Sequence[str] = (),
    unpaired: str = "",
) -> DiagnosticStatus:
    """What came in over the last `seconds`: missing topics, bad messages, lost images; starts the next window.

    `warnings` are about what the pictures show, `unpaired` says why all of them are useless.
    """
    windows = {each.topic: each.take_window() for each in inputs.all}
    report = dict(values)
    for each in inputs.all:
        report[f"{each.topic} rate_hz"] = round(windows[each.topic][0] / seconds, 2)
        report |= {f"{each.topic} {what}": getattr(each, what) for what in ("total", "lost", "bad")}
        if each.last_fault:
            report[f"{each.topic} last fault"] = each.last_fault
    complaints = [text for each in inputs.all for text in _complaints(each, windows[each.topic][1], publishers)]
    complaints += [unpaired] if unpaired else []
    complaints += warnings
    hint = list(_lost_images(inputs, windows, publishers))
    level = ERROR if unpaired or inputs.missing else WARN if complaints or hint else OK
    return _status("input", level, "; ".join([*complaints, *hint]) or "all inputs arrive", report)


def _complaints(health: InputHealth, faulty: bool, publishers: Mapping[str, int]) -> Iterable[str]:
    if health.incompatible_policy:
        way_out = "see input.reliable" if health.needed else f"see `ros2 topic info -v {health.topic}`"
        yield f"{health.topic}: the publisher's QoS does not fit ({health.incompatible_policy}); {way_out}"
    elif health.needed and health.silent:
        offered = publishers.get(health.topic, 0)
        yield f"{health.topic}: no message, " + (f"{offered} publishers" if offered else "nobody publishes it")
    if faulty:
        yield f"{health.topic}: {health.last_fault}"


def _lost_images(
    inputs: Inputs, windows: Mapping[str, tuple[int, bool]], publishers: Mapping[str, int]
) -> Iterable[str]:
    """Large messages are lost where far fewer images than camera_infos come, or nothing from publishers that fit."""
    color, count, info_count = inputs.color, windows[inputs.color.topic][0], windows[inputs.info.topic][0]
    if inputs.reliable or 0 < color.largest_bytes <= DEFAULT_SEGMENT_BYTES:
        return
    if info_count >= FEW_SAMPLES and count < info_count / 2:
        yield f"{color.topic}: {count} images came with {info_count} camera_infos; {_LARGE_IMAGES}"
    elif color.silent and publishers.get(color.topic, 0) and not color.incompatible_policy:
        yield f"{color.topic}: if its driver sends (ros2 topic hz), {_LARGE_IMAGES}"


_LARGE_IMAGES = (
    "Fast DDS loses most images over 512 KiB when the camera's process has its default settings: set "
    "FASTRTPS_DEFAULT_PROFILES_FILE there to config/fastdds_large_images.xml of referent_ros, "
    "or set input.reliable here"
)


def _percentiles(name: str, times_s: Iterable[float]) -> dict[str, object]:
    known = list(times_s)
    if not known:
        return {}
    return {f"{name}_p{q}_s": round(float(np.percentile(known, q)), 4) for q in (50, 95, 100)}


def _status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)
