"""What a person may say about a simulated picture, and which objects are meant.

A phrase is only made when it is certain what it means: an object that is hardly visible is never spoken of, and no
phrase is made that would fit one. Left and right are the viewer's; near and far are distances from the camera.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, MATERIALS
from referent.sources.simulation.wording import sentence, words_of_sentences

KINDS = ("attribute", "absent", "relation", "superlative", "affordance", "plural")
CLEAR_SHARE_OF_PICTURE = 30 / (224 * 160)  # fewer visible pixels than this are not spoken of
CLEAR_VISIBLE_FRACTION = 0.4
AFFORDANCES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("mug", "cup"): ("something to drink from", "something to drink coffee from", "something i can pour tea into"),
    ("banana",): ("something to eat", "something edible", "some fruit", "the fruit"),
    ("ball",): ("something to play with", "something that rolls away", "a toy to throw"),
    ("bowl",): ("something to eat soup from", "something for my cereal"),
    ("plate",): ("something flat to serve food on", "the flat dish"),
}
MATERIAL_WORDS = {name: name for name in MATERIALS if name != "plain"}
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Expression:
    """One thing to say; `instance_ids` are the objects meant, none for something that is not in the picture."""

    text: str
    kind: str  # one of KINDS
    instance_ids: tuple[int, ...]
    phrase: str = ""  # the part of `text` that describes


@dataclass(frozen=True)
class _Description:
    """A noun phrase: words that must all hold; "" leaves a property open."""

    category: str = ""
    color: str = ""
    material: str = ""
    size: str = ""

    def fits(self, thing: ObjectTruth) -> bool:
        return all(
            want in ("", have)
            for want, have in (
                (self.category, thing.category),
                (self.color, thing.color),
                (self.material, thing.material),
                (self.size, thing.size_word),
            )
        )

    def words(self, noun: str = "") -> str:
        material = MATERIAL_WORDS.get(self.material, "")
        parts = (self.size, material, self.color, self.category or noun or "object")
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class _View:
    """The objects of one picture: those one may speak of, and those that only make phrases uncertain."""

    clear: tuple[ObjectTruth, ...]
    faint: tuple[ObjectTruth, ...]

    def meant(self, description: _Description) -> tuple[ObjectTruth, ...] | None:
        """The clear objects that fit; None when a faint one fits too."""
        if any(description.fits(thing) for thing in self.faint):
            return None
        return tuple(thing for thing in self.clear if description.fits(thing))


def expressions_for(
    truth: FrameTruth, rng: np.random.Generator, *, per_kind: int = 4, held_out: bool = False
) -> list[Expression]:
    """Up to `per_kind` expressions of each kind about one picture; `held_out` uses the sentences kept for tests."""
    view = _view(truth)
    makers: dict[str, Callable[[_View, np.random.Generator], _Found | None]] = {
        "attribute": _attribute,
        "absent": _absent,
        "relation": _relation,
        "superlative": _superlative,
        "affordance": _affordance,
        "plural": _plural,
    }
    found: dict[str, Expression] = {}
    for kind, make in makers.items():
        for _ in range(per_kind):
            made = make(view, rng)
            if made is not None and made[0] not in found:
                phrase, things = made
                ids = tuple(thing.instance_id for thing in things)
                found[phrase] = Expression(sentence(phrase, rng, held_out=held_out), kind, ids, phrase)
    return list(found.values())


_Found = tuple[str, tuple[ObjectTruth, ...]]


def words_of_expressions() -> set[str]:
    """Every word an expression can hold."""
    texts = [*CATEGORIES, *(f"{name}s" for name in CATEGORIES), "boxes", "dishes", *COLORS, *MATERIALS]
    texts += ["small", "large", "thing", "object", "one", *_SIDES, *_EXTREMES]
    texts += [phrase for phrases in AFFORDANCES.values() for phrase in phrases]
    return words_of_sentences() | set(_WORD.findall(" ".join(texts)))


def is_clear(thing: ObjectTruth, picture_px: int) -> bool:
    """Whether enough of `thing` is seen to speak of it."""
    enough = thing.visible_px >= CLEAR_SHARE_OF_PICTURE * picture_px
    whole = thing.visible_px >= CLEAR_VISIBLE_FRACTION * thing.amodal_px
    return thing.box_xyxy is not None and enough and whole and thing.in_view_fraction >= CLEAR_VISIBLE_FRACTION


def _view(truth: FrameTruth) -> _View:
    picture_px = truth.instance_ids.size
    seen = [thing for thing in truth.objects if thing.visible_px > 0]
    clear = tuple(thing for thing in seen if is_clear(thing, picture_px))
    return _View(clear, tuple(thing for thing in seen if not is_clear(thing, picture_px)))


def _describe(thing: ObjectTruth, rng: np.random.Generator) -> _Description:
    """Some of what is true of `thing`: mostly "<color> <category>"."""
    draw = rng.random()
    if draw < 0.5:
        return _Description(thing.category, thing.color)
    if draw < 0.68:
        return _Description(thing.category)
    if draw < 0.76:
        return _Description("", thing.color)
    if draw < 0.86 and thing.material in MATERIAL_WORDS:
        return _Description(thing.category, thing.color if rng.random() < 0.7 else "", thing.material)
    return _Description(thing.category, thing.color if rng.random() < 0.7 else "", "", thing.size_word)


def _spoken(description: _Description, rng: np.random.Generator, *, definite: bool = True) -> str:
    noun = ("object", "thing", "one")[rng.integers(3)]
    draw = rng.random()
    article = "the " if definite and draw < 0.75 else "" if draw < 0.88 else _a(description.words(noun))
    return article + description.words(noun)


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") if words else ""


def _attribute(view: _View, rng: np.random.Generator) -> _Found | None:
    if not view.clear:
        return None
    description = _describe(_one_of(view.clear, rng), rng)
    meant = view.meant(description)
    return (_spoken(description, rng), meant) if meant is not None and len(meant) == 1 else None


def _absent(view: _View, rng: np.random.Generator) -> _Found | None:
    """Mostly near misses: colour and category both in the picture, but not on one object."""
    everything = view.clear + view.faint
    colors, categories = list(COLORS), list(CATEGORIES)
    if everything and rng.random() < 0.75:
        near, other = _one_of(everything, rng), _one_of(everything, rng)
        recolor = other.color if rng.random() < 0.6 else colors[rng.integers(len(colors))]
        rename = other.category if rng.random() < 0.6 else categories[rng.integers(len(categories))]
        keeps_category = rng.random() < 0.5
        description = _Description(near.category, recolor) if keeps_category else _Description(rename, near.color)
    else:
        color = colors[rng.integers(len(colors))] if rng.random() < 0.6 else ""
        description = _Description(categories[rng.integers(len(categories))], color)
    if any(description.fits(thing) for thing in everything):
        return None
    return _spoken(description, rng), ()


_SIDES: dict[str, tuple[Callable[[ObjectTruth, ObjectTruth], float], float]] = {
    # How far (m) the first stands on that side of the second, and how far is far enough to say so.
    "left of": (lambda a, b: float(b.camera_from_object[0, 3] - a.camera_from_object[0, 3]), 0.04),
    "to the left of": (lambda a, b: float(b.camera_from_object[0, 3] - a.camera_from_object[0, 3]), 0.04),
    "right of": (lambda a, b: float(a.camera_from_object[0, 3] - b.camera_from_object[0, 3]), 0.04),
    "to the right of": (lambda a, b: float(a.camera_from_object[0, 3] - b.camera_from_object[0, 3]), 0.04),
    "behind": (lambda a, b: float(a.camera_from_object[2, 3] - b.camera_from_object[2, 3]), 0.05),
    "in front of": (lambda a, b: float(b.camera_from_object[2, 3] - a.camera_from_object[2, 3]), 0.05),
}


def _relation(view: _View, rng: np.random.Generator) -> _Found | None:
    """ "the mug left of the box": several fit the first noun or its category is open, one of them stands there."""
    if len(view.clear) < 2:
        return None
    anchor_words = _describe(_one_of(view.clear, rng), rng)
    anchors = view.meant(anchor_words)
    if anchors is None or len(anchors) != 1:
        return None
    anchor = anchors[0]
    others = tuple(thing for thing in view.clear if thing is not anchor)
    noun = _Description(_one_of(others, rng).category) if rng.random() < 0.8 else _Description()
    side = list(_SIDES)[rng.integers(len(_SIDES))]
    distance, far = _SIDES[side]
    if any(noun.fits(thing) for thing in view.faint):
        return None
    candidates = [thing for thing in others if noun.fits(thing)]
    there = tuple(thing for thing in candidates if distance(thing, anchor) > far)
    unsure = any(abs(distance(thing, anchor)) <= far for thing in candidates)
    if len(there) != 1 or unsure:
        return None
    return f"the {noun.words('object')} {side} the {anchor_words.words('object')}", there


_EXTREMES: dict[str, tuple[Callable[[ObjectTruth], float], float]] = {
    # What is greatest for the object meant, and by how much it must lead.
    "leftmost": (lambda thing: -float(thing.camera_from_object[0, 3]), 0.03),
    "rightmost": (lambda thing: float(thing.camera_from_object[0, 3]), 0.03),
    "closest": (lambda thing: -float(thing.camera_from_object[2, 3]), 0.05),
    "nearest": (lambda thing: -float(thing.camera_from_object[2, 3]), 0.05),
    "farthest": (lambda thing: float(thing.camera_from_object[2, 3]), 0.05),
    "largest": (lambda thing: float(np.log(np.prod(thing.size_m))), 0.4),
    "biggest": (lambda thing: float(np.log(np.prod(thing.size_m))), 0.4),
    "smallest": (lambda thing: -float(np.log(np.prod(thing.size_m))), 0.4),
}


def _superlative(view: _View, rng: np.random.Generator) -> _Found | None:
    if len(view.clear) < 2:
        return None
    noun = _Description(_one_of(view.clear, rng).category) if rng.random() < 0.6 else _Description()
    meant = view.meant(noun)
    if meant is None or len(meant) < 2:
        return None
    word = list(_EXTREMES)[rng.integers(len(_EXTREMES))]
    value, lead = _EXTREMES[word]
    ranked = sorted(meant, key=value, reverse=True)
    if value(ranked[0]) - value(ranked[1]) < lead:
        return None
    return f"the {word} {noun.words('object')}", (ranked[0],)


def _affordance(view: _View, rng: np.random.Generator) -> _Found | None:
    categories, phrases = list(AFFORDANCES.items())[rng.integers(len(AFFORDANCES))]
    if any(thing.category in categories for thing in view.faint):
        return None
    meant = tuple(thing for thing in view.clear if thing.category in categories)
    return (phrases[rng.integers(len(phrases))], meant) if len(meant) == 1 else None


def _plural(view: _View, rng: np.random.Generator) -> _Found | None:
    if len(view.clear) < 2:
        return None
    thing = _one_of(view.clear, rng)
    description = _Description(thing.category) if rng.random() < 0.6 else _Description("", thing.color)
    meant = view.meant(description)
    if meant is None or len(meant) < 2:
        return None
    words = description.words("object")
    plural = words + ("es" if words.endswith("x") else "s")
    phrase = (f"all the {plural}", f"all {plural}", f"the {plural}", f"every {words}")[rng.integers(4)]
    return phrase, meant


def _one_of(things: Sequence[ObjectTruth], rng: np.random.Generator) -> ObjectTruth:
    return things[int(rng.integers(len(things)))]
