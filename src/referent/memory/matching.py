"""How far a phrase fits what a remembered thing was called, by words alone."""

from __future__ import annotations

from collections.abc import Sequence

from referent.memory.words import Saying, saying

_HEAD_WEIGHT = 2.0  # what a thing is counts as much as two of its attributes


def match_score(phrase: str, names: Sequence[str]) -> float:
    """In [0, 1]: the share of what the phrase says that the names confirm; 0 where they contradict it.

    An empty phrase, or one that fits everything, is fully confirmed. What words cannot tell (where it stands, what it
    is for) counts as not confirmed.
    """
    asked = saying(phrase)
    known = [saying(name) for name in names]
    if _is_denied(asked, known):
        return 0.0
    facts = [*_head_fact(asked, known), *_attribute_facts(asked, known), *_other_facts(asked, known)]
    total = sum(weight for weight, _ in facts)
    if total == 0:
        return 1.0
    return sum(weight for weight, confirmed in facts if confirmed) / total


def likeness(phrase: str, names: Sequence[str]) -> float:
    """In [-1, 1]: what words say for a phrase that `match_score` may rule out, for asking about the likeliest first."""
    asked, known = saying(phrase), [saying(name) for name in names]
    facts = [*_head_fact(asked, known), *_attribute_facts(asked, known), *_other_facts(asked, known)]
    denied = sum(bool(_values(known, kind)) and not wanted & _values(known, kind) for kind, wanted in asked.attributes)
    total = sum(weight for weight, _ in facts)
    return (sum(weight for weight, confirmed in facts if confirmed) - denied) / total if total else 0.0


def _is_denied(asked: Saying, known: Sequence[Saying]) -> bool:
    heads = {said.head for said in known} - {""}
    if asked.head and heads and asked.head not in heads:
        return True
    return any(_values(known, kind) and not wanted & _values(known, kind) for kind, wanted in asked.attributes)


def _head_fact(asked: Saying, known: Sequence[Saying]) -> list[tuple[float, bool]]:
    return [(_HEAD_WEIGHT, any(asked.head == said.head for said in known))] if asked.head else []


def _attribute_facts(asked: Saying, known: Sequence[Saying]) -> list[tuple[float, bool]]:
    return [(1.0, bool(wanted & _values(known, kind))) for kind, wanted in asked.attributes]


def _other_facts(asked: Saying, known: Sequence[Saying]) -> list[tuple[float, bool]]:
    said = {word for name in known for word in (*name.others, name.head)}
    facts = [(1.0, word in said) for word in sorted(asked.others)]
    if asked.relation:
        facts.append((1.0, any(asked.relation == name.relation for name in known)))
    return facts


def _values(known: Sequence[Saying], kind: str) -> frozenset[str]:
    return frozenset().union(*(said.of_kind(kind) for said in known))
