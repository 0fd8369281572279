"""Reads phrases again, with word lists and geometry of its own, and says what they mean on a table all of whose
objects are plain to see. It knows nothing of how phrases are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS

Things = list[ObjectTruth]
SYNONYMS = {
    "striped": ("material", "striped"), "stripes": ("material", "striped"),
    "checkered": ("material", "checkered"), "checks": ("material", "checkered"),
    "wooden": ("material", "wooden"), "wood": ("material", "wooden"), "shiny": ("material", "glossy"),
    "small": ("size_word", "small"), "little": ("size_word", "small"),
    "large": ("size_word", "large"), "big": ("size_word", "large"),
    **{color: ("color", color) for color in COLORS},
    **{name: ("category", name) for name in CATEGORIES},
    **{f"{name}s": ("category", name) for name in CATEGORIES}, "boxes": ("category", "box"),
}  # fmt: skip
HAVE = {
    "handle": {"mug", "teapot", "pan", "hammer", "screwdriver"},
    "lid": {"bottle", "jar", "teapot"},
    "spout": {"teapot"},
}
SIDES: dict[str, Callable[[ObjectTruth], float]] = {
    r"left": lambda thing: -_middle(thing)[0],
    r"right(?! next| beside)": lambda thing: _middle(thing)[0],
    r"behind|back|farther away than|further away than": lambda thing: thing.camera_from_object[2, 3],
    r"front|closer|nearer": lambda thing: -thing.camera_from_object[2, 3],
}
RANKS = {
    "leftmost|furthest left|farthest left": SIDES["left"],
    "rightmost|furthest right|farthest right": SIDES["right(?! next| beside)"],
    "closest|nearest": lambda thing: -thing.camera_from_object[2, 3],
    "farthest|furthest|most distant": lambda thing: thing.camera_from_object[2, 3],
    "largest|biggest": lambda thing: float(np.prod(thing.size_m)),
    "smallest": lambda thing: -float(np.prod(thing.size_m)),
    "tallest|highest": lambda thing: float(thing.size_m[2]),
}
NTH = ("first", "second", "third", "fourth")


def read(phrase: str, kind: str, truth: FrameTruth) -> set[int]:
    """The instance ids that a phrase of a kind means."""
    things = list(truth.objects)
    readers = {
        "attribute": described, "ambiguous": described, "relation": placed, "superlative": ranked,
        "ordinal": counted, "negation": otherwise, "part": owner, "plural": several, "absent": anything,
    }  # fmt: skip
    return {thing.instance_id for thing in readers[kind](phrase, things)}


def described(phrase: str, things: Things) -> Things:
    """Those for which every word of the phrase holds."""
    for part, owners in HAVE.items():
        if re.search(rf"\b{part}\b", phrase):
            return [thing for thing in things if thing.category in owners]
    return [thing for thing in things if all(getattr(thing, name) == value for name, value in _words(phrase))]


def placed(phrase: str, things: Things) -> Things:
    """Where something stands, to another thing or to the viewer."""
    if "between" in phrase:
        return _between(phrase, things)
    beside = re.search(r"\b((right )?(next to|beside|near to|near|close to)|(closest|nearest) to) the ", phrase)
    apart = re.search(r"\b(farthest|furthest)( away)? from the (?!camera)", phrase)
    for found in (beside, apart):
        if found and "the camera" not in phrase:
            anchor = _only(described(phrase[found.end() :], things))
            rest = [thing for thing in described(phrase[: found.start()], things) if thing is not anchor]
            rest.sort(key=lambda thing: np.linalg.norm((thing.camera_from_object - anchor.camera_from_object)[:3, 3]))
            chosen = rest[0] if found is beside else rest[-1]
            far = np.linalg.norm((chosen.camera_from_object - anchor.camera_from_object)[:3, 3]) > 0.2
            return [] if far and re.search(r"next to|beside|near |close to", found[0]) else [chosen]
    return _viewed(phrase, things) if _is_viewed(phrase) else _sided(phrase, things)


def _sided(phrase: str, things: Things) -> Things:
    head, place, tail = _split(phrase)
    anchors = described(tail, things)
    if not anchors:
        return []
    anchor = _only(anchors)
    return [thing for thing in described(head, things) if thing is not anchor and place(thing) > place(anchor)]


def _split(phrase: str) -> tuple[str, Callable[[ObjectTruth], float], str]:
    at = phrase.rindex(" the ")
    for pattern, place in SIDES.items():
        found = re.search(rf"\b({pattern})\b", phrase[:at])
        if found:
            return phrase[: found.start()], place, phrase[at:]
    raise ValueError(f"no place in {phrase!r}")


def _is_viewed(phrase: str) -> bool:
    to_me = re.search(r"(from|to) (me|you|the camera)$|away$", phrase)
    return bool(to_me or not re.search(r"\b(of|than|behind) ", phrase.replace("of all", "")))


def _viewed(phrase: str, things: Things) -> Things:
    chosen = described(phrase, things)
    if "middle" in phrase:
        return sorted(chosen, key=SIDES["left"])[1:2]
    near, far = "near|front|closest", "far|back|furthest"
    patterns = {"left": SIDES["left"], "right": RANKS["rightmost|furthest right|farthest right"],
                near: RANKS["closest|nearest"], far: RANKS["farthest|furthest|most distant"]}  # fmt: skip
    place = next(place for pattern, place in patterns.items() if re.search(pattern, phrase))
    return [max(chosen, key=place)] if chosen else []


def _between(phrase: str, things: Things) -> Things:
    head, tail = phrase.split("between")
    one, other = (_only(described(each, things)) for each in tail.split(" and "))
    a, b = one.camera_from_object[:3, 3], other.camera_from_object[:3, 3]
    rest = [thing for thing in described(head, things) if thing is not one and thing is not other]
    way = [float((thing.camera_from_object[:3, 3] - a) @ (b - a) / ((b - a) @ (b - a))) for thing in rest]
    off = [
        np.linalg.norm(thing.camera_from_object[:3, 3] - a - w * (b - a)) for thing, w in zip(rest, way, strict=True)
    ]
    wide = 0.5 * np.linalg.norm(b - a)
    return [thing for thing, w, d in zip(rest, way, off, strict=True) if 0.2 < w < 0.8 and d < wide]


def ranked(phrase: str, things: Things) -> Things:
    """The one at the end of an order."""
    pattern, place = next((p, each) for p, each in RANKS.items() if re.search(rf"\b({p})\b", phrase))
    chosen = described(re.sub(pattern, "", phrase), things)
    return [max(chosen, key=place)] if chosen else []


def counted(phrase: str, things: Things) -> Things:
    """The n-th of an order."""
    number = next(index for index, word in enumerate(NTH) if word in phrase.split())
    side = re.search("from the (left|right)", phrase)
    pattern = next((each for each in RANKS if re.search(rf"\b({each})\b", phrase)), "")
    place = SIDES["left"] if side and side[1] == "left" else SIDES["right(?! next| beside)"] if side else RANKS[pattern]
    chosen = described(re.sub(pattern, "", phrase) if pattern else phrase, things)
    return sorted(chosen, key=place, reverse=True)[number : number + 1]


def otherwise(phrase: str, things: Things) -> Things:
    """Those of a kind that lack something."""
    words = _words(phrase)
    kind = [value for name, value in words if name == "category"]
    lacked = [(name, value) for name, value in words if name != "category"]
    return [
        thing
        for thing in things
        if (not kind or thing.category == kind[0]) and all(getattr(thing, name) != value for name, value in lacked)
    ]


def owner(phrase: str, things: Things) -> Things:
    """The object whose part is meant."""
    part = next(name for name in HAVE if re.search(rf"\b{name}\b", phrase))
    whole = re.sub(rf"\b{part}\b", "", phrase)
    return [thing for thing in described(whole, things) if thing.category in HAVE[part]]


def several(phrase: str, things: Things) -> Things:
    """All that fit; "and" joins two, "except" leaves one out."""
    if re.search(r"\b(except|but|other than|that is not the|not the)\b", phrase):
        head, tail = re.split(r"\b(?:except|but|other than|not)\b", phrase, maxsplit=1)
        kind = described(head, things)
        left_out = described(tail, kind)
        return [thing for thing in kind if thing not in left_out]
    if re.search(r"\bnot\b|aren't", phrase):
        return otherwise(phrase, things)
    if " and " in phrase:
        one, other = phrase.split(" and ", maxsplit=1)
        return [_only(described(one, things)), _only(described(other, things))]
    if " together with " in phrase:
        return [_only(described(each, things)) for each in phrase.split(" together with ")]
    joined = re.search(r"\b(left|right|behind|back|front|closer|nearer|farther|further)\b", phrase)
    return _sided(phrase, things) if joined else described(phrase, things)


def anything(phrase: str, things: Things) -> Things:
    """What a phrase means whose kind is not known."""
    if any(re.search(rf"\b{name}\b", phrase) for name in HAVE):
        return owner(phrase, things)
    if re.search(r"\b(not|without|no|isn|aren|but)\b", phrase):
        return otherwise(phrase, things)
    if any(word in phrase.split() for word in NTH):
        return counted(phrase, things)
    if re.search(
        r"between|next to|beside|near (to )?the|close to|(closest|nearest) to the |from the (?!camera)", phrase
    ):
        head, tail = phrase.rsplit(" the ", maxsplit=1)
        return placed(phrase, things) if described(tail, things) and described(head, things) else []
    if re.search(r"\b(left|right|behind|back|front|closer|nearer|than|far|near|middle)\b", phrase):
        return _viewed(phrase, things) if _is_viewed(phrase) else _sided(phrase, things)
    if any(re.search(rf"\b({each})\b", phrase) for each in RANKS):
        return ranked(phrase, things)
    return described(phrase, things)


def _words(phrase: str) -> list[tuple[str, str]]:
    return [SYNONYMS[word] for word in re.findall("[a-z]+", phrase) if word in SYNONYMS]


def _middle(thing: ObjectTruth) -> Sequence[float]:
    assert thing.box_xyxy is not None
    x1, y1, x2, y2 = thing.box_xyxy.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2


def _only(things: Things) -> ObjectTruth:
    (thing,) = things
    return thing
