"""The memory of a simulated table that a camera moves around, over a restart, against the simulator's truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from referent.config import GeometryConfig, MemoryConfig
from referent.geometry.tracks import PoseTracks
from referent.memory import ObjectMemory
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import ObjectTruth, SimulatedFrame
from referent.types import FrameResult, Target, TrackedMask, TrackedObject, TrackState

FRAMES, FPS = 24, 4
SEEN_PX = 300


@pytest.fixture(scope="module")
def table() -> list[SimulatedFrame]:
    return list(simulate(named_scene("moving_camera", 1), frames=FRAMES, fps=FPS, width=320, height=240))


def words(thing: ObjectTruth) -> str:
    return f"{thing.size_word} {thing.color} {thing.category}".strip()


def results(table: list[SimulatedFrame], *, run: str) -> Iterator[tuple[SimulatedFrame, FrameResult]]:
    """What the pipeline would say if its masks were the true ones; track ids are those of `run`."""
    poses = PoseTracks(GeometryConfig())
    for seen in table:
        world_from_camera = seen.truth.world_from_camera
        objects = []
        for thing in (thing for thing in seen.truth.objects if thing.visible_px > SEEN_PX):
            mask = seen.truth.instance_ids == thing.instance_id
            track_id = f"{run}{thing.instance_id}"
            pose = poses.step(
                track_id,
                words(thing),
                seen.frame,
                mask,
                up_in_camera=world_from_camera[2, :3],
                fixed_from_camera=world_from_camera,
            )
            tracked = TrackedMask(track_id, mask, 0.95, 0.95, 4.0)
            target = Target(track_id, f"the {words(thing)}")
            objects.append(TrackedObject(target, words(thing), TrackState.TRACKING, mask=tracked, pose=pose))
        yield seen, FrameResult(seen.frame.stamp_ns, seen.frame.camera_frame, tuple(objects))


def test_every_thing_on_the_table_is_remembered_once_and_where_it_is(
    table: list[SimulatedFrame], tmp_path: Path
) -> None:
    half = FRAMES // 2
    for run, part in (("morning ", table[:half]), ("evening ", table[half:])):
        memory = ObjectMemory(tmp_path / "memory.sqlite", MemoryConfig(frame="world"))
        for seen, result in results(part, run=run):
            memory.remember(result, seen.frame, seen.truth.world_from_camera)
        remembered = memory.find(now_ns=table[-1].frame.stamp_ns)
        memory.close()
    truth = table[-1].truth
    shown = {t.instance_id for seen in table for t in seen.truth.objects if t.visible_px > SEEN_PX}
    assert len(remembered) == len(shown) >= 3
    offs_m, sigmas = [], []
    for thing in (thing for thing in truth.objects if thing.instance_id in shown):
        at_m = (truth.world_from_camera @ thing.camera_from_object)[:3, 3]
        named = [known for known in remembered if known.label == words(thing)]
        offs = [known.fixed_from_object[:3, 3] - at_m for known in named]
        best = int(np.argmin([np.linalg.norm(off) for off in offs]))
        offs_m.append(float(np.linalg.norm(offs[best])))
        sigmas.append(float(np.sqrt(offs[best] @ np.linalg.solve(named[best].covariance[:3, :3], offs[best]))))
        assert named[best].sightings > 2
    assert np.median(offs_m) < 0.015  # of 320 x 240 pixels
    assert max(offs_m) < 0.03
    assert max(sigmas) < 3.5  # what it claims to know is true


def test_the_words_for_a_thing_find_it(table: list[SimulatedFrame]) -> None:
    memory = ObjectMemory(None, MemoryConfig(frame="world"))
    for seen, result in results(table[:3], run=""):
        memory.remember(result, seen.frame, seen.truth.world_from_camera)
    for known in memory.find(now_ns=table[2].frame.stamp_ns):
        best = memory.find(f"where is the {known.label}?", now_ns=table[2].frame.stamp_ns)[0]
        assert best.label == known.label
        assert best.match == 1.0
