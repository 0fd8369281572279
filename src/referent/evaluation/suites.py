"""What `referent evaluate` runs over: simulated scenes, each with one thing to say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from referent.errors import ReferentError
from referent.sources.simulation.expressions import Expression, expressions_for
from referent.sources.simulation.scenes import SCENE_NAMES, named_scene, sample_scene
from referent.sources.simulation.truth import FrameTruth
from referent.sources.simulation.world import Scene


@dataclass(frozen=True)
class Case:
    """One scene and what is said at its beginning; `color` and `category` name the one object meant.

    Without them something is drawn that is true of the first picture and means one object.
    """

    scene: str  # a named scene, or a kind of random scene
    seed: int
    seconds: float
    color: str = ""
    category: str = ""


def _told(scene: str, seed: int) -> Case:
    return Case(scene, seed, seconds=4.0, color="red", category="mug")


HELDOUT_SEEDS = (0, 1, 2, 3, 4, 5, 7, 8)  # nothing certain can be said about the first picture of 6

SUITES: Mapping[str, tuple[Case, ...]] = MappingProxyType(
    {
        "demo": (_told("tabletop", 0), _told("tabletop", 1), _told("occlusion", 0), _told("moving_camera", 0)),
        "heldout": tuple(Case("clip_test", seed, seconds=3.0) for seed in HELDOUT_SEEDS),
    }
)


def cases_of(suite: str) -> tuple[Case, ...]:
    """The cases of a suite. Raises ReferentError for an unknown name."""
    if suite not in SUITES:
        raise ReferentError(f"suite {suite!r} is unknown; the suites are {', '.join(SUITES)}")
    return SUITES[suite]


def scene_of(case: Case) -> Scene:
    """The case's scene."""
    return named_scene(case.scene, case.seed) if case.scene in SCENE_NAMES else sample_scene(case.seed, case.scene)


def expression_of(case: Case, truth: FrameTruth) -> Expression | None:
    """What is said about the first picture; None when nothing certain can be said that means one object."""
    if case.category:
        words = f"the {case.color} {case.category}"
        meant = [o.instance_id for o in truth.objects if (o.color, o.category) == (case.color, case.category)]
        return Expression(words, "attribute", tuple(meant), words)
    rng = np.random.default_rng(case.seed)
    drawn = expressions_for(truth, rng, held_out=True)
    return next((expression for expression in drawn if len(expression.instance_ids) == 1), None)
