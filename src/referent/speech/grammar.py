"""A JSGF grammar of the instructions that a vocabulary allows, for recognisers that are told what can be said.

One shape covers what `grounding.dialogue` understands: a head ("put", "where is", "no", "forget"), a thing, what
tells its place or where it goes, another thing. It says more than people do ("find the mug into the bowl"), but each
rule is copied at every use, and few copies keep recognition quick. Weights are relative within one choice (JSpeech
Grammar Format 1.0, section 4.3.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from referent.speech.vocabulary import Vocabulary, plural_of

_INSTRUCTION = "/0.85/ <spoken> | /0.1/ <before> <spoken> | /0.05/ <sentences>"


def grammar_of(vocabulary: Vocabulary) -> str:
    """The grammar as text; its one public rule is `instruction`."""
    rules = {**_words(vocabulary), **_things(), **_sentences()}
    body = "\n".join(f"<{name}> = {text};" for name, text in rules.items())
    return f"#JSGF V1.0;\ngrammar referent;\n{body}\npublic <instruction> = {_INSTRUCTION};\n"


def words_of_grammar(grammar: str) -> set[str]:
    """Every word that a grammar of ours can say."""
    rules = grammar.split(";", 2)[2]
    return set(re.sub(r"<[^>]*>|/[\d.]+/|public|[=|;()\[\]]", " ", rules).split())


def _words(v: Vocabulary) -> dict[str, str]:
    return {
        "look": _any((*v.sizes, *v.superlatives, *v.ordinals, "left", "right", "middle", "other")),
        "colors": _any(v.colors),
        "materials": _any(v.materials),
        "things": _any(v.things),
        "plurals": _any(plural_of(thing) for thing in v.things),
        "parts": _any(v.parts),
        "places": _any(v.places),
        "relations": _any(v.relations),
        "targets": _any(v.targets),
        "puttings": _any(v.puttings),
        "heads": _any((*v.wishes, *v.corrections, *v.additions, *v.forgetting)),
        "sentences": _any(v.sentences),
        "before": _any(v.before),
        "after": _any(v.after),
    }


def _things() -> dict[str, str]:
    # No other determiners: they sound like the end of the word before, and "my mug" heard as "the mug" is the same.
    return {
        "thing": "the [<look>] [<colors>] [<materials>] (/0.9/ <things> | /0.1/ one)",
        "several": "(all | all the | both | both the | the two) [<look>] [<colors>] [<materials>] <plurals>",
        "side": "on the left | on the right | in the middle | from the left | from the right",
    }


def _sentences() -> dict[str, str]:
    return {
        "head": "/0.5/ <heads> | /0.3/ <puttings> | /0.2/ <NULL>",
        "first": "/0.9/ <thing> | /0.05/ the <parts> of <thing> | /0.05/ <several>",
        "place": "/0.5/ <NULL> | /0.25/ <relations> <thing> | /0.05/ <side> | /0.05/ between <thing> and <thing>",
        "goal": "/0.6/ <NULL> | /0.3/ <targets> (<thing> | the <places>)"
        "| /0.1/ and (put | place) it <targets> (<thing> | the <places>)",
        "end": "/0.9/ <NULL> | /0.1/ <after>",
        "spoken": "<head> <first> <place> <goal> <end>",
    }


def _any(phrases: Iterable[str]) -> str:
    """One of the phrases; of none, what can never be said (section 4.2)."""
    return " | ".join(phrases) or "<VOID>"
