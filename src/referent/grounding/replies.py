"""From a language model's words to regions of the picture, or to "nothing matches", or to an UnreadableReply.

Written for the answers in the wild: fences, thinking, tags of several model families, cut-off and sloppy JSON. "Nothing
matches" must be said; words that hold neither regions nor that are a fault, never an empty answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from referent.errors import UnreadableReply
from referent.grounding.boxes import box_iou
from referent.grounding.coordinates import xyxy_from
from referent.grounding.lenient_json import Container, Entry, Value, containers
from referent.types import GroundingItem

BOX_KEYS = ("bbox_2d", "box_2d", "bbox", "box", "bounding_box", "boundingbox", "bboxes", "boxes")
POINT_KEYS = ("point_2d", "point", "points", "points_2d")
LABEL_KEYS = ("label", "name", "object", "description", "category", "class", "ref", "phrase")
CORNER_KEYS = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"))
SAME_BOX_IOU = 0.95
_SHOWN = 120  # characters of a reply quoted in messages

_IN_PICTURE = r"in (?:the|this) (?:image|picture|photo|scene)"
_NOTHING = re.compile(
    r"\b(none|nothing|null|n/a"
    r"|no (?:such |matching )?\w+(?: \w+)? (?:match|is|are|was|were|can|could|in|on|found|visible|present)"
    r"|no (?:match|matches|object|objects|target|instance|instances|results?)\b"
    r"|(?:there (?:is|are|was|were)|(?:i|we) (?:see|found|find)) no\b"
    r"|(?:is|are|was|were|does|do|could|can)(?: not|n't|not)(?: be)?"
    r"(?: (?:appear|seem|exist|contain|visible|present|found|seen|detected|located|there|here|see any|find|locate)| "
    rf"{_IN_PICTURE})"
    rf"|not (?:visible|present|found|available|detected|{_IN_PICTURE}))",
    re.IGNORECASE,
)
_TAGGED_BOX = re.compile(
    r"(?:<\|object_ref_start\|>(?P<qwen>.*?)<\|object_ref_end\|>\s*|<ref>(?P<intern>.*?)</ref>\s*"
    r"|<\|ref\|>(?P<deepseek>.*?)<\|/ref\|>\s*)?"
    r"(?:<\|box_start\|>|<box>|<\|det\|>)(?P<inside>.*?)(?:<\|box_end\|>|</box>|<\|/det\|>)",
    re.DOTALL,
)
_CORNERS = re.compile(r"\(\s*(\d+\.?\d*)\s*,\s*(\d+\.?\d*)\s*\)\s*,\s*\(\s*(\d+\.?\d*)\s*,\s*(\d+\.?\d*)\s*\)")
_THOUGHT = re.compile(r"<think>.*?</think>|\A(?:(?!<think>).)*?</think>", re.DOTALL)
_FENCE = re.compile(r"```[a-zA-Z]*")


@dataclass(frozen=True)
class Region:
    """One region in the model's own numbers; `start:end` is where its numbers stand in the reply."""

    label: str
    box: tuple[float, float, float, float] | None
    points: tuple[tuple[float, float], ...]
    start: int
    end: int
    named: bool = False  # each number of `box` was named: no other order can be meant


@dataclass(frozen=True)
class Reply:
    """What a model said: regions, or `nothing` matches."""

    regions: tuple[Region, ...]
    nothing: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Located:
    """Regions in pixels of the picture, each with its place in the reply; or why there are none."""

    items: tuple[GroundingItem, ...]
    spans: tuple[tuple[int, int], ...]
    nothing: str | None
    notes: tuple[str, ...]


def read_reply(text: str) -> Reply:
    """The regions of a reply in the model's own numbers. Raises UnreadableReply."""
    payload, notes = _payload(text)
    tagged = list(_tagged_regions(payload))
    if tagged:
        return Reply(tuple(tagged), None, tuple(notes))
    found = containers(payload)
    if any(not part.closed for part in found):
        notes.append("the reply is cut off")
    tuples_only = all(part.opener == "(" for part in found)
    corners = list(_bare_corners(payload)) if tuples_only else []
    regions = corners or [region for part in found for region in _regions(part, "")]
    if regions:
        return Reply(tuple(regions), None, tuple(notes))
    if any(_says_nothing(part) for part in found) or (_has_no_numbers(found) and _NOTHING.search(payload)):
        return Reply((), "the grounder sees nothing that matches", tuple(notes))
    cut = " (it is cut off: allow more tokens)" if notes and notes[-1].endswith("cut off") else ""
    raise UnreadableReply(f'no box, point or "nothing matches" in the reply {text[:_SHOWN]!r}{cut}', raw=text)


def locate(
    text: str,
    *,
    scale: tuple[float, float],
    size: tuple[int, int],
    order: str = "xyxy",
    max_items: int = 16,
    label: str = "",
) -> Located:
    """The regions of a reply in pixels of a picture of `size` (width, height). Raises UnreadableReply.

    scale: pixels per unit (x, y). order: of a box's numbers (`coordinates.ORDERS`). label: for regions without one.
    """
    reply = read_reply(text)
    if reply.nothing is not None:
        return Located((), (), reply.nothing, reply.notes)
    notes = list(reply.notes)
    kept: list[tuple[Region, GroundingItem]] = []
    for region in (_in_order(region, order) for region in reply.regions):
        item = _item(region, scale, size, label, notes)
        if item is None or _repeats(item, [have for _, have in kept], notes):
            continue
        kept.append((region, item))
    if len(kept) > max_items:
        notes.append(f"{len(kept)} regions, the first {max_items} are kept")
        kept = kept[:max_items]
    if kept:
        spans = tuple((region.start, region.end) for region, _ in kept)
        return Located(tuple(item for _, item in kept), spans, None, tuple(notes))
    if all(not any(region.box or (1,)) for region in reply.regions):
        return Located((), (), "the grounder answers with an empty box", tuple(notes))
    raise UnreadableReply(f"no region lies in the picture: {text[:_SHOWN]!r} ({'; '.join(notes)})", raw=text)


def with_scores(items: Sequence[GroundingItem], scores: Sequence[float | None]) -> tuple[GroundingItem, ...]:
    """`items` with their scores."""
    return tuple(replace(item, score=score) for item, score in zip(items, scores, strict=True))


def _payload(text: str) -> tuple[str, list[str]]:
    """The answering part of a reply. What is left out becomes spaces, so that places in the text stay true."""
    notes: list[str] = []
    payload = _THOUGHT.sub(_blank, text)
    if "<think>" in payload:
        payload = payload[: payload.index("<think>")]
        notes.append("a thought that never ends is left out")
    opened = payload.rfind("<answer>")
    if opened >= 0:
        payload = " " * opened + payload[opened:].replace("<answer>", " " * 8)
    closed = payload.find("</answer>")
    payload = payload if closed < 0 else payload[:closed]
    return _FENCE.sub(_blank, payload), notes


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _tagged_regions(payload: str) -> Iterator[Region]:
    """Boxes between the tags of Qwen2-VL, InternVL and DeepSeek-VL2."""
    for match in _TAGGED_BOX.finditer(payload):
        label = next((text.strip() for text in (match["qwen"], match["intern"], match["deepseek"]) if text), "")
        start, end = match.span("inside")
        inside = " " * start + payload[start:end]
        bare = list(_bare_corners(inside))
        for region in bare or [r for part in containers(inside) for r in _regions(part, label)]:
            yield replace(region, label=label or region.label)


def _bare_corners(text: str) -> Iterator[Region]:
    """Boxes written "(x1,y1),(x2,y2)", as Qwen2-VL's are once its tags are stripped."""
    for match in _CORNERS.finditer(text):
        x1, y1, x2, y2 = (float(value) for value in match.groups())
        yield Region("", (x1, y1, x2, y2), (), *match.span())


def _regions(part: Container, label: str) -> Iterator[Region]:
    """All regions inside `part`."""
    numbers = _numbers(part)
    if part.opener == "{":
        yield from _regions_of_object(part, label)
    elif numbers is not None:
        if part.closed and len(numbers) >= 4:
            yield Region(label, _four(numbers), (), part.start, part.end)
        elif part.closed and len(numbers) == 2:
            yield Region(label, None, ((numbers[0], numbers[1]),), part.start, part.end)
    else:
        for entry in part.entries:
            if isinstance(entry.value, Container):
                yield from _regions(entry.value, label)


def _regions_of_object(part: Container, label: str) -> Iterator[Region]:
    """Regions of `{"bbox_2d": [..], "label": ".."}` and its kin; a box wins over a point."""
    fields = _fields(part)
    label = next((value for key in LABEL_KEYS if isinstance(value := fields.get(key), str)), label)
    corners = _named_corners(fields)
    if corners is not None:
        yield Region(label, corners, (), part.start, part.end, named=True)
        return
    for keys in (BOX_KEYS, POINT_KEYS):
        values = [part for key in keys for part in _containers_of(fields.get(key))]
        found = [region for value in values for region in _geometry(value, label, boxes=keys is BOX_KEYS)]
        if found:
            yield from found
            return
    for entry in part.entries:
        if isinstance(entry.value, Container) and (entry.key or "").lower() not in (*BOX_KEYS, *POINT_KEYS):
            yield from _regions(entry.value, label)


def _containers_of(value: Value) -> list[Container]:
    """The value itself, or what a text that holds brackets says."""
    if isinstance(value, str):
        return containers(value)
    return [value] if isinstance(value, Container) else []


def _geometry(value: Container, label: str, *, boxes: bool) -> Iterator[Region]:
    """The value of a box or point key: numbers, lists of them, or an object of named corners."""
    corners = _named_corners(_fields(value))
    if corners is not None:
        yield Region(label, corners, (), value.start, value.end, named=True)
        return
    if value.opener == "{":
        return
    pairs = [numbers for entry in value.entries if (numbers := _numbers(entry.value)) and len(numbers) == 2]
    if boxes and len(pairs) == 2 and len(value.entries) == 2 and value.closed:
        yield Region(label, (*pairs[0][:2], *pairs[1][:2]), (), value.start, value.end)  # type: ignore[arg-type]
    elif not boxes and len(pairs) > 1 and value.closed:
        yield Region(label, None, tuple((x, y) for x, y in pairs), value.start, value.end)
    else:
        yield from _regions(value, label)


def _fields(part: Container) -> dict[str, Value]:
    return {entry.key.lower(): entry.value for entry in part.entries if entry.key is not None}


def _named_corners(fields: dict[str, Value]) -> tuple[float, float, float, float] | None:
    for names in CORNER_KEYS:
        values = [_number(fields.get(name)) for name in names]
        numbers = [value for value in values if value is not None]
        if len(numbers) == 4:
            return _four(numbers)
    return None


def _numbers(value: Value) -> list[float] | None:
    """The numbers of a flat list of numbers; None for anything else."""
    if not isinstance(value, Container) or value.opener == "{" or not value.entries:
        return None
    numbers = [_number(entry.value) for entry in value.entries]
    return None if None in numbers else [number for number in numbers if number is not None]


def _number(value: Value) -> float | None:
    """A finite number, also one written as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return value if isinstance(value, float) and math.isfinite(value) and abs(value) < 1e7 else None


def _four(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _says_nothing(part: Container) -> bool:
    """`[]`, `{}`, `{"objects": []}`, `{"bbox_2d": null}`, `["none"]`: closed, and nothing in it."""
    return part.closed and all(_is_empty(entry) for entry in part.entries)


def _is_empty(entry: Entry) -> bool:
    if isinstance(entry.value, Container):
        return _says_nothing(entry.value)
    is_label = entry.key is not None and entry.key.lower() in LABEL_KEYS
    return (
        entry.value is None
        or is_label
        or (isinstance(entry.value, str) and bool(_NOTHING.fullmatch(entry.value.strip())))
    )


def _has_no_numbers(found: Sequence[Container]) -> bool:
    """Whether no bracket holds a number: half a box is no "nothing"."""
    values = [entry.value for part in found for entry in part.entries]
    inner = [value for value in values if isinstance(value, Container)]
    return not any(isinstance(value, float) for value in values) and (not inner or _has_no_numbers(inner))


def _in_order(region: Region, order: str) -> Region:
    """`region` with x before y and corners instead of extents."""
    if region.box is not None:
        return region if region.named else replace(region, box=xyxy_from(region.box, order))
    return replace(region, points=tuple((y, x) for x, y in region.points)) if order == "yxyx" else region


def _item(
    region: Region, scale: tuple[float, float], size: tuple[int, int], label: str, notes: list[str]
) -> GroundingItem | None:
    """`region` in pixels; None, with a note, for one without extent inside the picture."""
    name = " ".join(region.label.split()) or label
    edge = np.array(size, np.float64)
    if region.box is None:
        points = np.array(region.points, np.float64) * scale
        inside = points[((points >= 0) & (points < edge)).all(axis=1)]
        if not len(inside):
            notes.append(f"{name}: no point lies in the picture")
            return None
        return GroundingItem(label=name, points_xy=inside.astype(np.float32))
    corners = np.array(region.box, np.float64).reshape(2, 2) * scale
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (low != corners[0]).any():
        notes.append(f"{name}: corners swapped")
    box = np.concatenate([np.clip(low, 0, edge), np.clip(high, 0, edge)])
    if (box != np.concatenate([low, high])).any():
        notes.append(f"{name}: box cut at the picture's edge")
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        notes.append(f"{name}: box {list(region.box)} has no extent")
        return None
    return GroundingItem(label=name, box_xyxy=box.astype(np.float32))


def _repeats(item: GroundingItem, others: Sequence[GroundingItem], notes: list[str]) -> bool:
    """Whether one of `others` is the same box; models in a loop repeat theirs."""
    if item.box_xyxy is None:
        return False
    for other in others:
        if other.box_xyxy is not None and box_iou(item.box_xyxy, other.box_xyxy) > SAME_BOX_IOU:
            notes.append(f"{item.label}: the same box again")
            return True
    return False
