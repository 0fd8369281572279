"""Noun phrases: "the small red mug", "a mug that is red", "the boxes with stripes"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from referent.sources.simulation.phrases.voice import Voice, Wording, words_in
from referent.sources.simulation.truth import ObjectTruth
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, SIZE_WORDS

NOUNS = ("object", "thing", "one", "item")  # for things of any category
MATERIAL_WORDS = {"striped": "striped", "checkered": "checkered", "wooden": "wooden", "glossy": "shiny"}
SIZE_ADJECTIVES = {"small": ("small", "small", "little"), "large": ("large", "large", "big")}
HELD_OUT_ARTICLES = ("the ", "my ")

COLOR_CLAUSE = Wording(
    ("that is {}", "which is {}", "with {} color", "in {}", "of {} color", "that has the color {}"),
    ("whose color is {}", "with the color {}", "with a color that is {}"),
)
SIZE_CLAUSE = Wording(("that is {}", "which is {}", "of {} size"), ("whose size is {}", "that has a {} size"))
MATERIAL_CLAUSES = {
    "striped": Wording(
        ("with stripes", "that is striped", "that has stripes", "with a striped pattern"),
        ("which has stripes", "whose pattern is striped", "with stripes on it"),
    ),
    "checkered": Wording(
        ("with checks", "that is checkered", "with a checkered pattern", "whose pattern is checkered"),
        ("that has checks", "which is checkered", "with checks on it"),
    ),
    "wooden": Wording(
        ("made of wood", "that is wooden", "that is made of wood", "which is made from wood"),
        ("which is wooden", "made from wood", "whose material is wood"),
    ),
    "glossy": Wording(
        ("that is shiny", "with a shiny surface", "whose surface is shiny", "made of shiny material"),
        ("which is shiny", "that has a shiny surface", "with a surface that is shiny"),
    ),
}
WORDS = (
    words_in([*CATEGORIES, *COLORS, *NOUNS, *MATERIAL_WORDS.values(), "the a an", *HELD_OUT_ARTICLES])
    | words_in(word for words in SIZE_ADJECTIVES.values() for word in words)
    | words_in(f"{noun}s" for noun in (*CATEGORIES, *NOUNS))
    | COLOR_CLAUSE.words
    | SIZE_CLAUSE.words
    | {word for clause in MATERIAL_CLAUSES.values() for word in clause.words}
    | words_in(["boxes are have and with it"])
)


@dataclass(frozen=True)
class Description:
    """Words that must all hold; "" leaves a property open."""

    category: str = ""
    color: str = ""
    material: str = ""
    size: str = ""

    def fits(self, thing: ObjectTruth) -> bool:
        """Whether all of it is true of `thing`."""
        return (
            self.category in ("", thing.category)
            and self.color in ("", thing.color)
            and self.material in ("", thing.material)
            and self.size in ("", thing.size_word)
        )

    @property
    def properties(self) -> list[str]:
        """The names of what is said beside the category."""
        return [name for name in ("size", "material", "color") if getattr(self, name)]


def plural_of(noun: str) -> str:
    """ "boxes", "mugs"."""
    return noun + ("es" if noun.endswith("x") else "s")


def describe(thing: ObjectTruth, voice: Voice) -> Description:
    """Some of what is true of `thing`: mostly its color and category."""
    draw = voice.dice.random()
    if draw < 0.4:
        return Description(thing.category, thing.color)
    if draw < 0.56:
        return Description(thing.category)
    if draw < 0.64:
        return Description("", thing.color)
    color = thing.color if voice.chance(0.5) else ""
    if draw < 0.84 and thing.material in MATERIAL_WORDS:
        return Description(thing.category if voice.chance(0.8) else "", color, thing.material)
    if thing.size_word:
        return Description(thing.category, color, "", thing.size_word)
    return Description(thing.category, thing.color)


def noun_phrase(description: Description, voice: Voice, *, article: str | None = None, noun: str = "") -> str:
    """A phrase for one thing; `article` None draws one."""
    noun = description.category or noun or voice.pick(NOUNS)
    words = _worded(description, voice, noun)
    return (_article(words, voice) if article is None else article) + words


def plural_phrase(description: Description, voice: Voice, *, noun: str = "") -> str:
    """A phrase for several, without an article."""
    noun = plural_of(description.category or noun or voice.pick(NOUNS[:2]))
    return as_plural(_worded(description, voice, noun))


def as_plural(words: str) -> str:
    """Its clause in the plural."""
    for one, many in ((" that is ", " that are "), (" which is ", " which are "), (" that has ", " that have ")):
        words = words.replace(one, many)
    return words.replace(" which has ", " which have ").replace(" on it", " on them")


def plain_phrase(description: Description, voice: Voice, *, noun: str = "") -> str:
    """All words before the noun, without an article: more may follow and nothing is misread."""
    front = [adjective(name, getattr(description, name), voice) for name in description.properties]
    return " ".join([*front, description.category or noun or voice.pick(NOUNS)])


def adjective(name: str, value: str, voice: Voice) -> str:
    """The word for a property: "big", "shiny", "red"."""
    if name == "size":
        return voice.pick(SIZE_ADJECTIVES[value])
    return MATERIAL_WORDS[value] if name == "material" else value


def clause(name: str, value: str, voice: Voice) -> str:
    """The property as what follows a noun: "that is red"."""
    if name == "material":
        return voice.say(MATERIAL_CLAUSES[value])
    return voice.say(SIZE_CLAUSE if name == "size" else COLOR_CLAUSE).format(adjective(name, value, voice))


def _worded(description: Description, voice: Voice, noun: str) -> str:
    properties = description.properties
    behind = voice.pick(properties) if properties and voice.chance(0.75 if voice.unseen else 0.3) else ""
    front = [adjective(name, getattr(description, name), voice) for name in properties if name != behind]
    if len(front) > 1 and voice.chance(0.2):
        front.reverse()
    words = " ".join([*front, noun])
    return f"{words} {clause(behind, getattr(description, behind), voice)}" if behind else words


def _article(words: str, voice: Voice) -> str:
    draw = voice.dice.random()
    if voice.unseen and draw < 0.3:
        return voice.pick(HELD_OUT_ARTICLES)
    if draw < 0.75:
        return "the "
    return "" if draw < 0.87 else a_or_an(words)


def a_or_an(words: str) -> str:
    """The indefinite article before `words`; "one" takes none."""
    if words.startswith("one"):
        return ""
    return "an " if words[0] in "aeiou" else "a "


def near_miss(description: Description, thing: ObjectTruth, voice: Voice) -> Description:
    """`description` with one word put wrong, by a word of `thing` or any other."""
    draw = voice.dice.random()
    if draw < 0.45:
        return replace(description, color=thing.color if voice.chance(0.6) else voice.pick(tuple(COLORS)))
    if draw < 0.75 and description.color:
        return replace(
            description, category=thing.category if voice.chance(0.6) else voice.pick(CATEGORIES), size="", material=""
        )
    if draw < 0.9:
        return replace(description, material=voice.pick(tuple(MATERIAL_WORDS)), size="")
    sizes = [size for size in SIZE_WORDS.get(description.category, ()) if size]
    return replace(description, size=voice.pick(sizes), material="") if sizes else Description(voice.pick(CATEGORIES))
