"""A JSGF grammar of the instructions that a vocabulary allows, for recognisers that are told what can be said.

One shape covers what `grounding.dialogue` understands: a head ("put", "where is", "no", "forget"), a thing, what
tells its place or where it goes, another thing. It says more than people do ("find the mug into the bowl"), but each
rule is copied at every use, and few copies keep recognition quick. Weights are relative within one choice (JSpeech
Grammar Format 1.0, section 4.3.3).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from referent.speech.vocabulary import Vocabulary, plural_of

Choice = tuple[tuple[float, str], ...]  # weights and what is said


def grammar_of(vocabulary: Vocabulary) -> str:
    """The grammar as text; its one public rule is `instruction`."""
    words = _words(vocabulary)
    empty = {f"<{name}>" for name, phrases in words.items() if not phrases}
    rules = {name: " | ".join(phrases) for name, phrases in words.items() if phrases}
    for name, choice in (_THINGS | _SENTENCES).items():  # in order: later ones use earlier ones
        said = _said(choice, empty)
        if said:
            rules[name] = said
        else:
            empty.add(f"<{name}>")
    body = "\n".join(f"<{name}> = {text};" for name, text in rules.items())
    return f"#JSGF V1.0;\ngrammar referent;\n{body}\npublic <instruction> = {_said(_INSTRUCTION, empty)};\n"


def words_of_grammar(grammar: str) -> set[str]:
    """Every word that a grammar of ours can say."""
    rules = grammar.split(";", 2)[2]
    return set(re.sub(r"<[^>]*>|/[\d.]+/|public|[=|;()\[\]]", " ", rules).split())


def _words(v: Vocabulary) -> dict[str, tuple[str, ...]]:
    return {
        "look": (*v.sizes, *v.superlatives, *v.ordinals, "left", "right", "middle", "other"),
        "colors": v.colors,
        "materials": v.materials,
        "things": v.things,
        "plurals": tuple(plural_of(thing) for thing in v.things),
        "parts": v.parts,
        "places": v.places,
        "relations": v.relations,
        "targets": v.targets,
        "puttings": v.puttings,
        "heads": (*v.wishes, *v.corrections, *v.additions, *v.forgetting),
        "sentences": v.sentences,
        "before": v.before,
        "after": v.after,
    }


def _said(choice: Choice, empty: Collection[str]) -> str:
    """The alternatives of a choice without what needs an empty group: pocketsphinx takes <VOID> for all of them."""
    for group in empty:
        choice = tuple((weight, text.replace(f"[{group}] ", "")) for weight, text in choice)
    kept = [(weight, text) for weight, text in choice if not any(group in text for group in empty)]
    return " | ".join(f"/{weight}/ {text}" for weight, text in kept)


# No other determiners: they sound like the end of the word before, and "my mug" heard as "the mug" is the same.
_THINGS: dict[str, Choice] = {
    "thing": ((1.0, "the [<look>] [<colors>] [<materials>] (/0.9/ <things> | /0.1/ one)"),),
    "group": tuple((1.0, text) for text in ("all", "all the", "both", "both the", "the two")),
    "several": ((1.0, "<group> [<look>] [<colors>] [<materials>] <plurals>"),),
    "side": ((0.4, "on the (left | right)"), (0.2, "in the middle"), (0.4, "from the (left | right)")),
}
_SENTENCES: dict[str, Choice] = {
    "verb": ((0.6, "<heads>"), (0.4, "<puttings>")),
    "head": ((0.7, "<verb>"), (0.2, "<NULL>"), (0.1, "<before> <verb>")),
    "first": ((0.9, "<thing>"), (0.05, "the <parts> of <thing>"), (0.05, "<several>")),
    "place": (
        (0.5, "<NULL>"),
        (0.25, "<relations> <thing>"),
        (0.05, "<side>"),
        (0.05, "between <thing> and <thing>"),
    ),
    "spot": ((1.0, "<thing>"), (1.0, "the <places>")),
    "goal": ((0.6, "<NULL>"), (0.3, "<targets> <spot>"), (0.1, "and (put | place) it <targets> <spot>")),
    "end": ((0.9, "<NULL>"), (0.1, "<after>")),
    "spoken": ((1.0, "<head> <first> <place> <goal> <end>"),),
}
_INSTRUCTION: Choice = ((0.95, "<spoken>"), (0.05, "<sentences>"))
