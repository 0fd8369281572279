"""Which model a label means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Thing = TypeVar("Thing")


def model_for(label: str, models: Mapping[str, Thing]) -> Thing | None:
    """The model whose name is the last word or words of `label`, the longest such name; None when there is none.

    "the red mug" is a "mug" and, where one is known, rather a "red mug"; a "mug rack" is neither. Case does not count.
    """
    words = "".join(c if c.isalnum() else " " for c in label.lower()).split()
    for start in range(len(words)):
        name = " ".join(words[start:])
        for known, model in models.items():
            if " ".join("".join(c if c.isalnum() else " " for c in known.lower()).split()) == name:
                return model
    return None
