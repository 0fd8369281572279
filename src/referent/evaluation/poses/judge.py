"""The judgement on poses: geometry alone, with true masks, on simulated clips with the noise of a depth camera."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from referent.config import Config, GeometryConfig
from referent.errors import ConfigError
from referent.evaluation.lines import Line
from referent.evaluation.poses.episodes import CLIP, Episode, episodes, play
from referent.evaluation.poses.follow import Followed, follow
from referent.evaluation.poses.plot import PLOTTED, plot
from referent.evaluation.poses.rows import pose_rows
from referent.evaluation.poses.sheet import sheet
from referent.evaluation.poses.tables import breakdown, markdown, table_of_breakdown, table_of_rows
from referent.evaluation.poses.worst import worst, worst_lines, worst_table
from referent.evaluation.suites import POSES
from referent.evaluation.summary import versions
from referent.settings import to_tree

FINAL_SEED = 20_000  # from here on nobody looks before the final table
AT_ONCE = 2  # processes, a core each
TRACKED_MASKS = ("tabletop", "moving_camera", CLIP)  # the first of each also with dilated and eroded masks


@dataclass(frozen=True)
class Plan:
    """How much is judged: every named scene once, and `scenes` random clips."""

    first_seed: int = FINAL_SEED
    scenes: int = 8

    def __post_init__(self) -> None:
        if self.scenes < 1 or self.first_seed < 0:
            raise ConfigError(f"{self.scenes} scenes from seed {self.first_seed}: at least 1 from seed 0 is needed")

    @classmethod
    def of(cls, *, first_seed: int = FINAL_SEED, scenes: int = 8) -> Plan:
        """What a user may choose. Raises ConfigError."""
        return cls(first_seed, scenes)

    @property
    def episodes(self) -> list[Episode]:
        """All that is played."""
        return episodes(self.first_seed, self.scenes)


def judge_poses(config: Config, plan: Plan, *, output: Path | None = None) -> Line:
    """Every bar with its measurement, as JSON values; with `output` tables, plots and pictures lie there.

    Raises ConfigError when settings cannot be met.
    """
    followed = list(_followed(config.geometry, plan.episodes))
    measured: Line = {
        "suite": POSES,
        "plan": asdict(plan),
        **summed_up(followed),
        "config": to_tree(config),
        "versions": versions(),
    }
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "bars.md").write_text(markdown(poses_table(measured)), encoding="utf-8")
        (output / "poses.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        draw(followed, output)
    return measured


def measure(scenes: Sequence[Episode], config: GeometryConfig, *, tracked_masks: bool = True) -> Line:
    """A part of the suite, in this process: what `poses_table` takes."""
    return summed_up([one for each in scenes for one in follow(play(each), each, config, tracked_masks=tracked_masks)])


def summed_up(followed: Sequence[Followed]) -> Line:
    """Rows, breakdown and worst cases as JSON values."""
    return {
        "bars": [row.line() for row in pose_rows(followed)],
        "breakdown": breakdown(followed),
        "worst": worst_lines(worst(followed)),
    }


def draw(followed: Sequence[Followed], output: Path) -> None:
    """Plots over time of two scenes, and the worst boxes on their pictures."""
    for scene in PLOTTED:
        plot([one for one in followed if one.episode.scene == scene]).save(output / f"over_time_{scene}.png")
    sheet(worst(followed)).save(output / "worst.png")


def poses_table(measured: Line) -> str:
    """What was measured as tables for a terminal."""
    parts = (table_of_rows(measured["bars"]), table_of_breakdown(measured["breakdown"]), worst_table(measured["worst"]))
    return "\n\n".join(parts)


def _followed(config: GeometryConfig, played: Sequence[Episode]) -> Iterator[Followed]:
    """Episode by episode, in two processes."""
    first = {each.scene: each for each in reversed(played)}
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn"), initializer=_begin) as processes:
        running = [
            processes.submit(follow_episode, each, config, each.scene in TRACKED_MASKS and first[each.scene] == each)
            for each in played
        ]
        for part in tqdm(running, desc=POSES, unit="episode", disable=None):
            yield from part.result()


def _begin() -> None:
    """Ctrl-C ends a process without a word, and each keeps to its core."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)


def follow_episode(episode: Episode, config: GeometryConfig, tracked_masks: bool) -> list[Followed]:
    """Play one episode and follow its objects."""
    return follow(play(episode), episode, config, tracked_masks=tracked_masks)
