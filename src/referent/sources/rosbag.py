"""A bag as a source of frames: color and depth paired, transforms and instructions beside them; no ROS needed."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.frames.transforms import TransformBuffer
from referent.intake import CameraIntake
from referent.messages import depth_from_image, stamp_ns, transforms_from_tf
from referent.sources.bag_reader import BagReader, open_bag
from referent.sources.bag_writer import write_bag
from referent.sources.topics import ChosenTopics, choose_topics
from referent.types import RgbdFrame

__all__ = ["BagSource", "read_bag", "write_bag"]

TRUTH_TOPIC = "/truth/objects"  # std_msgs/String: one line of truth.jsonl a frame
READ_AHEAD_NS = 500_000_000  # transforms recorded this much after a frame are known when the frame comes out
READ_AHEAD_FRAMES = 32  # frames held meanwhile, at most


def read_bag(
    path: Path | str,
    config: InputConfig,
    *,
    color_topic: str | None = None,
    depth_topic: str | None = None,
    info_topic: str | None = None,
    depth_info_topic: str | None = None,
) -> BagSource:
    """Open a bag (rosbag2 folder, .mcap, .db3, or ROS 1 .bag) as a source of frames; topics not given are found.

    Depth that is not registered to color is registered by its own camera_info and the bag's transforms.

    Raises BadMessage, one line naming what is wrong and the topics of the bag, before the first frame is read.
    """
    path = Path(path)
    with open_bag(path) as bag:
        try:
            topics = choose_topics(
                bag.topics(), color=color_topic, depth=depth_topic, info=info_topic, depth_info=depth_info_topic
            )
        except BadMessage as error:
            raise BadMessage(f"{path}: {error}") from error
        _require_fitting(path, bag, topics, config)
        return BagSource(path, config, topics, bag)


class BagSource:
    """Frames of a bag in time order, read lazily; one iteration at a time, each from the start.

    While a frame is out, `transforms` knows what was recorded up to half a second after it.
    """

    def __init__(self, path: Path, config: InputConfig, topics: ChosenTopics, bag: BagReader) -> None:
        self.path = path
        self.topics = topics
        self.transforms = TransformBuffer()
        self.duration_s = bag.duration_s
        self.instructions = _instructions(bag, topics)
        self._config = config
        self._frame_count = bag.count(topics.color)
        self._static = [(topic, data) for topic, _, data in bag.raw(topics.tf_static)]
        self._intake = CameraIntake(config, self.transforms)
        self._faults: Counter[str] = Counter()
        self._first_fault: dict[str, str] = {}

    def __len__(self) -> int:
        """Color images in the bag: the frames there are if each has its depth."""
        return self._frame_count

    @property
    def drops(self) -> Mapping[str, int]:
        """What the present iteration lost: images without a partner, and messages that are bad (`bad_<topic kind>`)."""
        counts = {name: count for name, count in self._intake.counts.items() if name != "pairs"}
        return {**counts, **self._faults}

    @property
    def drop_reasons(self) -> Mapping[str, str]:
        """The first fault of each kind of bad message."""
        return dict(self._first_fault)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the present iteration's camera."""
        warning = self._intake.raw_warning(self.topics.color)
        return () if warning is None else (warning,)

    def truth_lines(self) -> Iterator[dict[str, Any]]:
        """Ground truth of simulated recordings, frame by frame; nothing in others. BadMessage when damaged."""
        with open_bag(self.path) as bag:
            for topic, _, data in bag.raw([TRUTH_TOPIC]):
                try:
                    yield json.loads(bag.decode(topic, data).data)
                except (AttributeError, TypeError, ValueError) as error:
                    raise BadMessage(f"{self.path}: {topic} does not hold JSON lines ({error})") from error

    def __iter__(self) -> Iterator[RgbdFrame]:
        self._intake = CameraIntake(self._config, self.transforms)
        self._faults.clear()
        self._first_fault.clear()
        with open_bag(self.path) as bag:
            self._begin_transforms(bag)
            yield from self._frames(bag)

    def _frames(self, bag: BagReader) -> Iterator[RgbdFrame]:
        """Every frame, held back until the transforms recorded shortly after it are known."""
        waiting: deque[tuple[int, RgbdFrame]] = deque()  # (time of recording, frame)
        hold_ns = READ_AHEAD_NS if self.topics.tf else 0
        topics = (*_cameras_topics(self.topics), *self.topics.tf)
        _set_first_camera_infos(self._intake, bag, self.topics)
        for topic, recorded_ns, data in bag.raw(topics):
            while waiting and (recorded_ns - waiting[0][0] > hold_ns or len(waiting) >= READ_AHEAD_FRAMES):
                yield waiting.popleft()[1]
            resets = self._intake.counts["resets"]
            frame = self._take(bag, topic, data)
            if self._intake.counts["resets"] != resets:  # the recording began again
                yield from (held for _, held in waiting)
                waiting.clear()
                self.transforms.clear()
            if frame is not None:
                waiting.append((recorded_ns, frame))
        yield from (held for _, held in waiting)
        yield from self._intake.flush()
        if self._intake.counts["pairs"] == 0:
            raise BadMessage(self._why_no_frame())

    def _take(self, bag: BagReader, topic: str, data: bytes) -> RgbdFrame | None:
        """Give one message to where it belongs; a bad one is counted and skipped."""
        kind = self._kind(topic)
        try:
            return self._hand_over(kind, bag.decode(topic, data))
        except BadMessage as error:
            self._faults[f"bad_{kind}"] += 1
            self._first_fault.setdefault(f"bad_{kind}", str(error))
            return None

    def _hand_over(self, kind: str, message: Any) -> RgbdFrame | None:
        if kind == "color":
            return self._intake.color(message)
        if kind == "depth":
            return self._intake.depth(message)
        if kind == "info":
            self._intake.camera_info(message)
        elif kind == "depth_info":
            self._intake.depth_camera_info(message)
        else:
            _add_transforms(self.transforms, message, static=kind == "tf_static")
        return None

    def _kind(self, topic: str) -> str:
        kind = _cameras_topics(self.topics).get(topic)
        return kind or ("tf_static" if topic in self.topics.tf_static else "tf")

    def _begin_transforms(self, bag: BagReader) -> None:
        """Begin with the static transforms only: they hold for the whole bag, whenever recorded."""
        self.transforms.clear()
        for topic, data in self._static:
            self._take(bag, topic, data)

    def _why_no_frame(self) -> str:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self._first_fault.items())
        lost = ", ".join(f"{name} {count}" for name, count in self.drops.items() if count)
        return (
            f"{self.path}: no {self.topics.color} image has a {self.topics.depth} image within "
            f"{self._config.max_skew_s:g} s ({lost}){'; ' + reasons if reasons else ''}; raise input.max_skew_s if "
            "their clocks differ"
        )


def _depth_m(message: Any, config: InputConfig) -> Any:
    return depth_from_image(message, unit_m=config.depth_unit_m, max_depth_m=config.max_depth_m)


def _cameras_topics(topics: ChosenTopics) -> dict[str, str]:
    """What each topic of the camera holds."""
    kinds = {topics.color: "color", topics.depth: "depth", topics.info: "info"}
    return kinds if topics.depth_info is None else {**kinds, topics.depth_info: "depth_info"}


def _add_transforms(buffer: TransformBuffer, message: Any, *, static: bool) -> None:
    for parent, child, when_ns, parent_from_child in transforms_from_tf(message):
        buffer.add(parent, child, when_ns, parent_from_child, static=static)


def _set_first_camera_infos(intake: CameraIntake, bag: BagReader, topics: ChosenTopics) -> None:
    """Recorders often get the first images before the first camera_info: it holds for them as well."""
    intake.camera_info(bag.first(topics.info))
    if topics.depth_info is not None:
        with suppress(BadMessage):  # not needed where depth is registered already
            intake.depth_camera_info(bag.first(topics.depth_info))


def _require_fitting(path: Path, bag: BagReader, topics: ChosenTopics, config: InputConfig) -> None:
    """Raise BadMessage unless the first color, depth and camera_info are readable and belong together."""
    topic = topics.info
    try:
        trial = CameraIntake(config, _first_transforms(bag, topics))
        _set_first_camera_infos(trial, bag, topics)
        topic = topics.color
        trial.color(bag.first(topic))
        topic = topics.depth
        trial.depth(bag.first(topic))
        _require_known_depth(bag, topic, config)
    except BadMessage as error:
        raise BadMessage(f"{path}: {topic}: {error}") from error


def _first_transforms(bag: BagReader, topics: ChosenTopics) -> TransformBuffer:
    """The static transforms, and what was recorded until shortly after the first depth image."""
    transforms = TransformBuffer()
    for topic, _, data in bag.raw(topics.tf_static):
        with suppress(BadMessage):  # counted when frames are read
            _add_transforms(transforms, bag.decode(topic, data), static=True)
    if topics.depth_info is None:
        return transforms
    first_ns: int | None = None
    for topic, recorded_ns, data in bag.raw([topics.depth, *topics.tf]):
        if first_ns is not None and recorded_ns > first_ns + READ_AHEAD_NS:
            break
        if topic == topics.depth:
            first_ns = first_ns or recorded_ns
            continue
        with suppress(BadMessage):
            _add_transforms(transforms, bag.decode(topic, data), static=False)
    return transforms


def _require_known_depth(bag: BagReader, topic: str, config: InputConfig) -> None:
    """Raise BadMessage unless some pixel of some image is known; mostly the first image settles it."""
    for _, _, data in bag.raw([topic]):
        with suppress(BadMessage):  # a single bad message is skipped and counted when frames are read
            if np.isfinite(_depth_m(bag.decode(topic, data), config)).any():
                return
    raise BadMessage(
        f"no pixel of any depth image is known: all are 0, NaN or beyond input.max_depth_m ({config.max_depth_m:g} m)"
    )


def _instructions(bag: BagReader, topics: ChosenTopics) -> tuple[tuple[int, str], ...]:
    """The (time, text) of each instruction, its time on the clock of the image headers.

    Strings have no header: their time of recording is moved by as much as the first color image's differs.
    """
    _, recorded_ns, data = next(iter(bag.raw([topics.color])))
    ahead_ns = recorded_ns - stamp_ns(bag.decode(topics.color, data).header)
    return tuple(
        (when_ns - ahead_ns, str(bag.decode(topic, text).data)) for topic, when_ns, text in bag.raw(topics.instruction)
    )
