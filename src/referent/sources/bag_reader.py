"""An open bag of any kind (rosbag2 sqlite3 or mcap, ROS 1): its topics and its messages in recorded order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from referent.errors import BadMessage
from referent.sources.topics import COMPRESSED, IMAGE, FoundTopic

_ENDINGS = (".mcap", ".db3", ".bag")


class BagReader:
    """The messages of one open bag; made by `open_bag`."""

    def __init__(self, path: Path, reader: AnyReader) -> None:
        self._path = path
        self._reader = reader
        self._types = {c.topic: c.msgtype for c in reader.connections}

    @property
    def duration_s(self) -> float:
        """Time between the first and the last message."""
        return max(self._reader.duration - 1, 0) * 1e-9  # AnyReader ends one nanosecond after the last message

    def topics(self) -> tuple[FoundTopic, ...]:
        """Every topic by name; of images also the encoding, read from the first message."""
        return tuple(
            FoundTopic(name, self._types[name], self.count(name), self._encoding(name)) for name in sorted(self._types)
        )

    def count(self, topic: str) -> int:
        """Messages of a topic."""
        return sum(c.msgcount for c in self._reader.connections if c.topic == topic)

    def raw(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time of recording in ns, serialized message) of these topics. BadMessage when the bag is damaged."""
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        messages = self._reader.messages(connections)
        for count in range(self._reader.message_count + 1):
            try:
                connection, recorded_ns, data = next(messages)
            except StopIteration:
                return
            except Exception as error:  # damage shows as any of a dozen exceptions of the storage libraries
                raise BadMessage(
                    f"{self._path}: damaged after {count} messages ({_one_line(error)}); "
                    "repair it with `mcap recover` or `ros2 bag reindex`"
                ) from error
            yield connection.topic, recorded_ns, data

    def decode(self, topic: str, data: bytes) -> Any:
        """The message in `data`. Raises BadMessage when it does not hold one."""
        try:
            return self._reader.deserialize(data, self._types[topic])
        except Exception as error:  # as above: generated parsers raise whatever the bytes lead to
            raise BadMessage(f"{len(data)} bytes are no {self._types[topic]} ({_one_line(error)})") from error

    def first(self, topic: str) -> Any:
        """The first message of a topic. Raises BadMessage when there is none."""
        for _, _, data in self.raw([topic]):
            return self.decode(topic, data)
        raise BadMessage(f"{self._path}: {topic} has no messages")

    def _encoding(self, topic: str) -> str:
        if self._types[topic] not in (IMAGE, COMPRESSED) or self.count(topic) == 0:
            return ""
        try:
            message = self.first(topic)
        except BadMessage:
            return "unreadable"  # said again, with its reason, if this topic is chosen
        return str(message.encoding if self._types[topic] == IMAGE else message.format)


@contextmanager
def open_bag(path: Path) -> Iterator[BagReader]:
    """Open a bag for reading. Raises BadMessage when there is none, or it is not whole or empty."""
    _require_bag(path)
    try:
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
        reader.open()
    except Exception as error:  # the storage libraries' own exceptions do not share a base
        raise BadMessage(
            f"{path}: not a whole bag ({_one_line(error)}); if a recording was cut off, repair it with "
            "`ros2 bag reindex` or `mcap recover`"
        ) from error
    try:
        if reader.message_count == 0:
            raise BadMessage(f"{path}: the bag is empty; was the recorder subscribed to anything?")
        yield BagReader(path, reader)
    finally:
        reader.close()


def _require_bag(path: Path) -> None:
    if not path.exists():
        raise BadMessage(f"{path}: no such bag")
    if path.is_dir() and not (path / "metadata.yaml").exists():
        inside = sorted(item.name for item in path.iterdir() if item.suffix in _ENDINGS)
        way_out = f"or give the file: {path / inside[0]}" if inside else "is it a bag at all?"
        raise BadMessage(f"{path}: metadata.yaml is missing; write it with `ros2 bag reindex {path}`, {way_out}")
    if path.is_dir() and path.suffix == ".bag":  # rosbags takes the ending for that of a ROS 1 file
        raise BadMessage(f"{path}: a rosbag2 folder whose name ends in .bag cannot be read; rename it")
    if not path.is_dir() and path.suffix not in _ENDINGS:
        raise BadMessage(f"{path}: not a bag; give a rosbag2 folder or a file ending in {', '.join(_ENDINGS)}")


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
