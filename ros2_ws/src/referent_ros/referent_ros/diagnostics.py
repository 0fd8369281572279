"""What the node knows about its own health, and that as diagnostic messages."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.qos import qos_policy_name_from_kind

from referent.types import FrameResult, TrackState

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
DEFAULT_SEGMENT_BYTES = 512 * 1024  # Fast DDS: larger messages are sent in pieces, and best effort loses pieces
FEW_SAMPLES = 5
FAULT_TOLD_S = 2.0  # a fault is told for so long at least, or people would miss it


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
        self.incompatible_policy = ""
        self.largest_bytes = 0
        self._in_window = 0
        self._fault_in_window = False

    def arrived(self, size_bytes: int = 0) -> None:
        """Count one message."""
        self.total += 1
        self._in_window += 1
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

    def incompatible(self, event: Any) -> None:
        """A publisher was seen whose QoS does not fit (rclpy's event callback)."""
        self.incompatible_policy = qos_policy_name_from_kind(event.last_policy_kind).lower()

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

    def note_result(self, result: FrameResult, latency_s: float, age_s: float) -> None:
        """Remember one answer, given `latency_s` after its picture was taken and `age_s` after it was here."""
        with self._lock:
            self._results += 1
            self._latencies_s.append(latency_s)
            self._ages_s.append(age_s)
            self._newest = result
            for event in result.groundings:
                self._outcomes[event.outcome] += 1
                self._grounder_latency_s = event.latency_s
                self._last_grounding = f"{event.expression!r} ({event.reason.value}): {event.outcome} {event.detail}"
                self._grounder_failing = event.outcome == "failed"

    def note_fault(self, fault: str) -> None:
        """Remember one failure of the pipeline."""
        with self._lock:
            self._fault, self._fault_s = fault, time.monotonic()

    def forget(self) -> None:
        """The pipeline is gone: nothing of it is news."""
        with self._lock:
            self._newest, self._fault = None, ""

    def statuses(self, seconds: float, counts: Mapping[str, int]) -> list[DiagnosticStatus]:
        """Pipeline, grounder and objects over the last `seconds`; starts the next window."""
        with self._lock:
            statuses = [self._pipeline(seconds, counts), self._grounder(), self._objects()]
            self._results = 0
            if time.monotonic() - self._fault_s > FAULT_TOLD_S:
                self._fault = ""
            self._latencies_s.clear()
            self._ages_s.clear()
            return statuses

    def _pipeline(self, seconds: float, counts: Mapping[str, int]) -> DiagnosticStatus:
        drops = {} if self._newest is None else dict(self._newest.drops)
        values: dict[str, object] = {"rate_hz": round(self._results / seconds, 2)}
        values |= {**_percentiles("latency", self._latencies_s), **_percentiles("age", self._ages_s)}
        if self._newest is not None:
            values |= {f"{name}_s": round(value, 4) for name, value in self._newest.timings_s.items()}
        values |= {f"total_{name}": count for name, count in {**counts, **drops}.items()}
        if self._fault:
            return _status("pipeline", WARN, self._fault, values)
        if self._newest is not None and self._newest.output_frame and self._newest.output_from_camera is None:
            missing = (
                f"no transform from {self._newest.camera_frame} to {self._newest.output_frame} at the image's stamp"
            )
            return _status("pipeline", WARN, missing, values)
        return _status("pipeline", OK, "running" if self._results else "no frame in this period", values)

    def _grounder(self) -> DiagnosticStatus:
        values: dict[str, object] = {f"total_{name}": count for name, count in self._outcomes.items()}
        if self._grounder_latency_s is not None:
            values["latency_s"] = round(self._grounder_latency_s, 3)
        message = self._last_grounding or "not asked yet"
        health = None if self._newest is None else self._newest.grounder
        if health is None:
            return _status("grounder", WARN if self._grounder_failing else OK, message, values)
        values |= {"state": health.state, "restarts": health.restarts, "note": health.note}
        if health.state in ("restarting", "refused"):
            return _status("grounder", ERROR, f"{health.state}: {health.note}", values)
        return _status("grounder", WARN if self._grounder_failing else OK, message, values)

    def _objects(self) -> DiagnosticStatus:
        objects = () if self._newest is None else self._newest.objects
        values = {
            f"object_{each.target.id}": f"{each.target.expression}: {each.state.value}"
            + (f", score {each.mask.score:.2f}" if each.mask is not None else "")
            + (f" ({each.reason})" if each.reason else "")
            for each in objects
        }
        lost = [each.target.expression for each in objects if each.state is TrackState.LOST]
        message = "lost: " + ", ".join(lost) if lost else f"{len(objects)} objects"
        return _status("objects", WARN if lost else OK, message, values)


class PairingHealth:
    """Whether color and depth become frames, and if not, why. Owned by the executor's thread."""

    def __init__(self, length: int, max_skew_s: float) -> None:
        self._max_skew_s = max_skew_s
        self._color_ns: deque[int] = deque(maxlen=length)
        self._depth_ns: deque[int] = deque(maxlen=length)
        self._told: Mapping[str, int] = {}
        self._unpaired_s = -FAULT_TOLD_S
        self._stamp_faults: dict[str, tuple[float, int]] = {}  # when they came last, and how many
        self.skew_s: float | None = None  # of the newest pictures, paired or not

    def color(self, stamp_ns: int) -> None:
        """Tell of a color image."""
        self._color_ns.append(stamp_ns)
        self._measure(stamp_ns, self._depth_ns)

    def depth(self, stamp_ns: int) -> None:
        """Tell of a depth image."""
        self._depth_ns.append(stamp_ns)
        self._measure(stamp_ns, self._color_ns)

    def complaints(self, counts: Mapping[str, int], now_s: float) -> list[str]:
        """What `counts` (of the intake) say that is news, told for FAULT_TOLD_S; begins the next window."""
        new = {name: count - self._told.get(name, 0) for name, count in counts.items()}
        self._told = dict(counts)
        if new["pairs"]:
            self._unpaired_s = -FAULT_TOLD_S
        elif min(new["unmatched_color"], new["unmatched_depth"]):
            self._unpaired_s = now_s
        recent = {name: found for name, found in self._stamp_faults.items() if now_s - found[0] < FAULT_TOLD_S}
        for name in _STAMP_FAULTS:
            if new[name]:
                recent[name] = now_s, recent.get(name, (now_s, 0))[1] + new[name]
        self._stamp_faults = recent
        found = [f"{count} {_STAMP_FAULTS[name]}" for name, (_, count) in recent.items()]
        if now_s - self._unpaired_s < FAULT_TOLD_S and self.skew_s is not None:
            found.append(
                f"color and depth never pair: their stamps are {self.skew_s:.3f} s apart and input.max_skew_s is "
                f"{self._max_skew_s:g}; do both come from one clock?"
            )
        return found

    def _measure(self, stamp_ns: int, others_ns: Iterable[int]) -> None:
        gaps = [abs(stamp_ns - other) for other in others_ns]
        if gaps:
            self.skew_s = min(gaps) / 1e9


_STAMP_FAULTS = {
    "duplicates": "images came with a stamp that an image of their topic had before",
    "out_of_order": "images came later than newer ones that were used already",
    "frame_mismatch": "color images came in another frame_id than color/camera_info",
}


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
) -> DiagnosticStatus:
    """What came in over the last `seconds`: missing topics, bad messages, lost images; starts the next window.

    `warnings` are about what the pictures show.
    """
    windows = {each.topic: each.take_window() for each in inputs.all}
    report = dict(values)
    for each in inputs.all:
        report[f"{each.topic} rate_hz"] = round(windows[each.topic][0] / seconds, 2)
        report |= {f"{each.topic} {what}": getattr(each, what) for what in ("total", "lost", "bad")}
        if each.last_fault:
            report[f"{each.topic} last fault"] = each.last_fault
    complaints = [text for each in inputs.all for text in _complaints(each, *windows[each.topic], publishers)]
    complaints += warnings
    hint = _lost_images(inputs, windows[inputs.color.topic][0], windows[inputs.info.topic][0])
    missing = any(each.needed and windows[each.topic][0] == 0 for each in inputs.all)
    level = ERROR if missing else WARN if complaints or hint else OK
    return _status("input", level, "; ".join([*complaints, *hint]) or "all inputs arrive", report)


def _complaints(health: InputHealth, count: int, faulty: bool, publishers: Mapping[str, int]) -> Iterable[str]:
    if health.incompatible_policy and not count:
        yield f"{health.topic}: the publisher's QoS does not fit ({health.incompatible_policy}); see input.reliable"
    elif health.needed and not count:
        offered = publishers.get(health.topic, 0)
        yield f"{health.topic}: no message, " + (f"{offered} publishers" if offered else "nobody publishes it")
    if faulty:
        yield f"{health.topic}: {health.last_fault}"


def _lost_images(inputs: Inputs, color_count: int, info_count: int) -> list[str]:
    """Cameras send an image with every camera_info: far fewer images mean that large messages are lost."""
    size = inputs.color.largest_bytes
    if info_count < FEW_SAMPLES or color_count >= info_count / 2 or 0 < size <= DEFAULT_SEGMENT_BYTES:
        return []
    return [
        f"{inputs.color.topic}: {color_count} images came with {info_count} camera_infos; Fast DDS loses most images "
        "over 512 KiB when the camera's process has its default settings: set FASTRTPS_DEFAULT_PROFILES_FILE there to "
        "config/fastdds_large_images.xml of referent_ros, or set input.reliable here"
    ]


def _percentiles(name: str, times_s: Iterable[float]) -> dict[str, object]:
    known = list(times_s)
    if not known:
        return {}
    return {f"{name}_p{q}_s": round(float(np.percentile(known, q)), 4) for q in (50, 95, 100)}


def _status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)
