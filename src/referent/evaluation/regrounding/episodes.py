"""What the re-grounding suite plays: scenes with one target, and an expression for it that is right at first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from referent.errors import ReferentError
from referent.sources.simulation.expressions import expressions_for
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.trials import Trial, trial
from referent.sources.simulation.truth import FrameTruth, SimulatedFrame
from referent.types import Array, RgbdFrame

FPS = 10.0
WIDTH_PX, HEIGHT_PX = 320, 240
START_NS = 1_000_000_000
UNEVENTFUL = "tabletop"
LASTING_FIRST = ("attribute", "superlative", "ordinal", "relation")  # kinds, in the order in which one is taken


@dataclass(frozen=True)
class Episode:
    """A trial or a named scene of the simulator, how long it is played, and from when on it is judged."""

    scene: str
    seed: int
    seconds: float
    is_trial: bool = True
    judged_from_s: float = 0.0

    @property
    def frames(self) -> int:
        """Their number."""
        return round(self.seconds * FPS)


@dataclass(frozen=True, eq=False)
class Played:
    """An episode's pictures and what is true in each."""

    episode: Episode
    expression: str
    target: int  # instance id
    frames: tuple[RgbdFrame, ...]
    instance_ids: Array  # (T, H, W) uint8
    seen_share: Array  # (T,) of the target's whole silhouette, 0 = hidden or away
    swaps_ns: tuple[int, ...]  # when something else was put in its place

    @property
    def judged(self) -> Array:
        """(T,) bool: the frames that count."""
        return np.arange(len(self.frames)) >= round(self.episode.judged_from_s * FPS)


def play(episode: Episode) -> Played:
    """Draw an episode. The target is the scene's first object. Raises ReferentError when nothing means just it."""
    drawn = trial(episode.scene, episode.seed) if episode.is_trial else Trial(named_scene(episode.scene, episode.seed))
    scene = drawn.scene
    shown = list(simulate(scene, frames=episode.frames, fps=FPS, width=WIDTH_PX, height=HEIGHT_PX, start_ns=START_NS))
    target = scene.objects[0].instance_id
    return Played(
        episode,
        expression_for(shown[0].truth, target, seed=episode.seed),
        target,
        tuple(replace(each.frame, depth_m=None) for each in shown),
        np.stack([each.truth.instance_ids for each in shown]),
        np.array([_seen_share(each, target) for each in shown]),
        tuple(START_NS + round(at_s * 1e9) for at_s in drawn.swaps_s),
    )


def expression_for(truth: FrameTruth, target: int, *, seed: int) -> str:
    """What means the target and nothing else in a picture: its color and category, or else what tells it apart."""
    meant = next(thing for thing in truth.objects if thing.instance_id == target)
    alike = [o for o in truth.objects if (o.color, o.category) == (meant.color, meant.category)]
    if len(alike) == 1:
        return f"the {meant.color} {meant.category}"
    for kind in LASTING_FIRST:
        drawn = expressions_for(truth, np.random.default_rng(seed), per_kind=60, kinds=(kind,))
        for expression in drawn:
            if expression.instance_ids == (target,) and not expression.part:
                return expression.text
    raise ReferentError(f"seed {seed}: nothing certain can be said of one of several {meant.color} {meant.category}s")


def _seen_share(shown: SimulatedFrame, target: int) -> float:
    thing = next(o for o in shown.truth.objects if o.instance_id == target)
    return thing.in_view_fraction * thing.visible_px / max(thing.amodal_px, 1)
