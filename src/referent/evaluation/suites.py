"""What `referent evaluate` runs over: simulated scenes, each with one thing to say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from referent.errors import ReferentError
from referent.sources.simulation.expressions import Expression, expressions_for
from referent.sources.simulation.scenes import SCENE_NAMES, named_scene, sample_scene
from referent.sources.simulation.simulate import simulate
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


SUITES: Mapping[str, tuple[Case, ...]] = MappingProxyType(
    {"demo": (_told("tabletop", 0), _told("tabletop", 1), _told("occlusion", 0), _told("moving_camera", 0))}
)
HELDOUT = "heldout"  # judged part by part, see evaluation/heldout
REGROUNDING = "regrounding"  # policies side by side, see evaluation/regrounding
POSES = "poses"  # geometry alone, see evaluation/poses
HELDOUT_SECONDS = 3.0
SEVERAL_RED_MUGS = frozenset({"lookalikes"})


def cases_of(suite: str) -> tuple[Case, ...]:
    """The cases of a suite of scenes. Raises ReferentError for an unknown name."""
    if suite not in SUITES:
        known = ", ".join((*SUITES, HELDOUT, REGROUNDING, POSES))
        raise ReferentError(f"suite {suite!r} is unknown; the suites are {known}")
    return SUITES[suite]


def heldout_cases(first_seed: int, clips: int) -> list[Case]:
    """Every named scene in the variant `first_seed`, and `clips` random ones where something certain can be said."""
    named = [
        Case(name, first_seed, seconds=4.0) if name in SEVERAL_RED_MUGS else _told(name, first_seed)
        for name in SCENE_NAMES
    ]
    found: list[Case] = []
    seed = first_seed
    while len(found) < clips:
        case = Case("clip_test", seed, seconds=HELDOUT_SECONDS)
        found += [case] if can_be_told(case) else []
        seed += 1
    return [*named, *found]


def can_be_told(case: Case) -> bool:
    """Whether something certain can be said of the first picture that means one object."""
    first = next(simulate(scene_of(case), frames=1))
    return expression_of(case, first.truth) is not None


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
    return next((each for each in drawn if len(each.instance_ids) == 1 and not each.part), None)
