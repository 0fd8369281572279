"""Which topics of a bag are color, depth, camera_info, transforms and instructions: by type, encoding and name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from referent.errors import BadMessage
from referent.messages import COLOR_ENCODINGS, DEPTH_ENCODINGS

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")  # the second one is ROS 1 before 2014
STRING = "std_msgs/msg/String"

_NOT_A_PICTURE = {
    "confidence", "debug", "disparity", "infra", "ir", "label", "labels", "mask", "masks", "overlay", "segmentation",
    "semantic", "truth",
}  # fmt: skip
_LISTED = 40  # topics named in an error message


@dataclass(frozen=True)
class FoundTopic:
    """One topic of a bag. `encoding` is that of its first image (or compressed format), "" for other types."""

    name: str
    msgtype: str
    count: int
    encoding: str = ""


@dataclass(frozen=True)
class ChosenTopics:
    """The topics frames are made of."""

    color: str
    depth: str
    info: str
    tf: tuple[str, ...]
    tf_static: tuple[str, ...]
    instruction: tuple[str, ...]
    depth_info: str | None = None  # the camera_info of depth's own camera, where it has one


def choose_topics(
    found: Sequence[FoundTopic],
    *,
    color: str | None = None,
    depth: str | None = None,
    info: str | None = None,
    depth_info: str | None = None,
) -> ChosenTopics:
    """The topics to read; given names are checked, the others found.

    Raises BadMessage listing the bag's topics when one is missing, ambiguous or of the wrong type.
    """
    color = _named(found, "color", color, (IMAGE, COMPRESSED)) or _best(found, "color", _color_rank)
    depth = _named(found, "depth", depth, (IMAGE, COMPRESSED)) or _best(
        found, "depth", lambda topic: _depth_rank(topic, color)
    )
    info = _named(found, "info", info, (CAMERA_INFO,)) or _info_beside(found, color)
    own = _named(found, "depth_info", depth_info, (CAMERA_INFO,)) or _beside(found, depth)
    return ChosenTopics(
        color=color,
        depth=depth,
        info=info,
        tf=_with_last_word(found, TF_TYPES, "tf"),
        tf_static=_with_last_word(found, TF_TYPES, "tf_static"),
        instruction=_with_last_word(found, (STRING,), "instruction"),
        depth_info=own if own != info else None,
    )


def listed(found: Sequence[FoundTopic]) -> str:
    """The topics of a bag on one line."""
    names = [f"{t.name} ({t.msgtype.split('/')[-1]}{' ' + t.encoding if t.encoding else ''}, {t.count})" for t in found]
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) + more) or "none"


def _named(found: Sequence[FoundTopic], kind: str, name: str | None, types: tuple[str, ...]) -> str | None:
    """`name` after checking that the bag has it with messages of one of `types`; None stays None."""
    if name is None:
        return None
    topic = next((t for t in found if t.name == name), None)
    if topic is None:
        close = difflib.get_close_matches(name, [t.name for t in found], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise BadMessage(f"{kind}_topic {name} is not in the bag{hint}; its topics: {listed(found)}")
    if topic.msgtype not in types:
        raise BadMessage(f"{kind}_topic {name} is {topic.msgtype}, {' or '.join(types)} is needed")
    if topic.count == 0:
        raise BadMessage(f"{kind}_topic {name} has no messages; topics of the bag: {listed(found)}")
    return name


def _best(found: Sequence[FoundTopic], kind: str, rank: Callable[[FoundTopic], tuple[int, ...] | None]) -> str:
    """The one topic of highest rank; topics of rank None do not take part."""
    ranked = [(r, topic.name) for topic in found if topic.count and (r := rank(topic)) is not None]
    if not ranked:
        raise BadMessage(f"no {kind} image in the bag; its topics: {listed(found)}; name one with {kind}_topic")
    highest = max(r for r, _ in ranked)
    names = sorted(name for r, name in ranked if r == highest)
    if len(names) > 1:
        raise BadMessage(f"several topics may be {kind}: {', '.join(names)}; choose one with {kind}_topic")
    return names[0]


def _color_rank(topic: FoundTopic) -> tuple[int, ...] | None:
    words = _words(topic.name)
    if topic.msgtype not in (IMAGE, COMPRESSED) or "depth" in words or words & _NOT_A_PICTURE:
        return None
    if topic.encoding in DEPTH_ENCODINGS or "compressedDepth" in topic.encoding:
        return None
    # An unknown encoding is chosen last, so that it is named as the fault when there is nothing else.
    known = topic.msgtype == COMPRESSED or topic.encoding in COLOR_ENCODINGS
    chroma = known and topic.encoding not in ("mono8", "8UC1")
    return known + chroma, bool(words & {"color", "colour", "rgb"}), "rect" in words, topic.msgtype == IMAGE


def _depth_rank(topic: FoundTopic, color: str) -> tuple[int, ...] | None:
    words = _words(topic.name)
    if topic.name == color or topic.msgtype not in (IMAGE, COMPRESSED) or words & _NOT_A_PICTURE:
        return None
    named, known = "depth" in words, topic.encoding in DEPTH_ENCODINGS or "compressedDepth" in topic.encoding
    if not named and not known:
        return None
    registered = bool(words & {"aligned", "registered"}) or {"to", "color"} <= words or {"to", "rgb"} <= words
    same_camera = topic.name.split("/")[1:2] == color.split("/")[1:2]
    return named, same_camera, known, registered, "rect" in words, topic.msgtype == IMAGE


def _info_beside(found: Sequence[FoundTopic], color: str) -> str:
    """The camera_info in the color image's namespace, or the only one of the bag."""
    beside = _beside(found, color)
    if beside is not None:
        return beside
    infos = [t.name for t in found if t.msgtype == CAMERA_INFO and t.count]
    if len(infos) == 1:
        return infos[0]
    if not infos:
        raise BadMessage(f"no camera_info in the bag; record it beside {color}; topics of the bag: {listed(found)}")
    raise BadMessage(f"several camera_info and none beside {color}: {', '.join(infos)}; choose one with info_topic")


def _beside(found: Sequence[FoundTopic], image: str) -> str | None:
    """The camera_info in an image's namespace (image_transport's rule)."""
    infos = {t.name for t in found if t.msgtype == CAMERA_INFO and t.count}
    spaces = [image.rsplit("/", n)[0] for n in (1, 2)]  # .../image and .../image/compressed
    return next((name for space in spaces if (name := f"{space}/camera_info") in infos), None)


def _with_last_word(found: Sequence[FoundTopic], types: tuple[str, ...], last: str) -> tuple[str, ...]:
    return tuple(t.name for t in found if t.msgtype in types and t.name.rsplit("/", 1)[-1] == last)


def _words(name: str) -> set[str]:
    return {word.rstrip("0123456789") for word in re.split(r"[/_]", name.lower())}
