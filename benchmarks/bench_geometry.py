"""From masks and depth to a followed pose: Referent's track beside Open3D's usual chain, in turns in one run.

`referent bench geometry [--json FILE]`, or `python benchmarks/bench_geometry.py`. Both follow the same objects through
the same frames of held-out simulated clips; what is timed is each frame but an object's first. Open3D's chain is what
its tutorials string together: masked depth to points, voxels, statistical outlier removal, minimal oriented box,
normals, and point-to-plane ICP onto the frame before.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.evaluation.poses.compare import Placed, compare, placed
from referent.evaluation.poses.episodes import Seen, seen_in
from referent.evaluation.poses.open3d_chain import VOXEL_M, box_around, cleaned_cloud
from referent.geometry.camera import known_depth
from referent.geometry.track import PoseTrack
from referent.sources.simulation.scenes import sample_scene
from referent.sources.simulation.simulate import simulate
from referent.types import Array, RgbdFrame

FRAMES, FPS, REPEATS, LOOSE_PX = 5, 15.0, 3, 2
NEAR_OBJECTS, ANY_OBJECTS, MOST_CLIPS = 12, 24, 60
LEAST_PX, SEEN_SHARE = 3000, 0.8
NEAR_POINTS = (15_000, 27_000)  # depth pixels in the mask: about 20 thousand
GATE_M = 0.015  # of ICP
OURS, OPEN3D = "referent", "open3d"


@dataclass(frozen=True, eq=False)
class View:
    """One object in one frame."""

    frame: RgbdFrame
    mask: Array
    seen: Seen

    @property
    def points(self) -> int:
        """Depth pixels in the mask."""
        assert self.frame.depth_m is not None
        return int(np.count_nonzero(self.mask & known_depth(self.frame.depth_m)))


@dataclass(frozen=True, eq=False)
class Job:
    """One object in frames that follow each other."""

    views: tuple[View, ...]
    category: str
    size_m: Array


class Chain(Protocol):
    """Follows one object."""

    def step(self, view: View) -> Placed | None:
        """Its pose in the next frame."""
        ...


class ReferentTrack:
    """Cleaning, support, box, registration, filter and covariance."""

    def __init__(self) -> None:
        self._track = PoseTrack(GeometryConfig())

    def step(self, view: View) -> Placed | None:
        """See `Chain`."""
        fixed_from_camera = view.seen.world_from_camera
        up = fixed_from_camera[2, :3]
        return placed(self._track.step(view.frame, view.mask, up_in_camera=up, fixed_from_camera=fixed_from_camera))


class Open3DTrack:
    """Open3D's chain with its legacy (fastest) geometry."""

    def __init__(self) -> None:
        import open3d as o3d

        self._registration = o3d.pipelines.registration
        self._normals = o3d.geometry.KDTreeSearchParamHybrid(radius=4 * VOXEL_M, max_nn=30)
        self._before: Any = None

    def step(self, view: View) -> Placed | None:
        """See `Chain`. The box is this frame's; ICP adds the motion since the last, which nothing here needs."""
        cloud = cleaned_cloud(view.frame, view.mask)
        box = box_around(cloud)
        if box is None:
            return None
        cloud.estimate_normals(self._normals)
        if self._before is not None:
            to_plane = self._registration.TransformationEstimationPointToPlane()
            self._registration.registration_icp(cloud, self._before, GATE_M, np.eye(4), to_plane)
        self._before = cloud
        return Placed(box[0], box[1], None)


CHAINS: dict[str, Callable[[], Chain]] = {OURS: ReferentTrack, OPEN3D: Open3DTrack}


def measure(*, against: tuple[str, ...] = ()) -> dict[str, Any]:
    """Milliseconds and errors of both, by object and frame; Open3D is the one peer, whatever `against` says."""
    near, any_size = simulated_jobs()
    loose = [_grown(job, LOOSE_PX) for job in near]
    return {
        "repeats": REPEATS,
        "loose_px": LOOSE_PX,
        "jobs": {
            "near, exact": _side_by_side(near),
            "near, loose": _side_by_side(loose),
            "any, exact": _side_by_side(any_size),
        },
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
    }


def table(measured: dict[str, Any]) -> str:
    """The measurements for people."""
    columns = ("p50_ms", "p95_ms", "center_p50_mm", "center_p90_mm", "side_p50_mm", "axis_p50_deg", "axis_p90_deg")
    heads = ("p50 ms", "p95 ms", "center mm", "p90", "side mm", "axis deg", "p90")
    rows = [f"{'objects, masks':15s} {'chain':9s}" + "".join(f"{head:>11s}" for head in heads)]
    for name, both in measured["jobs"].items():
        for chain in CHAINS:
            rows.append(f"{name:15s} {chain:9s}" + "".join(f"{both[chain][column]:11.1f}" for column in columns))
        counts = f"{both['objects']} objects, {both['steps']} steps, {both['median_points']} points in the median"
        rows.append(f"{name:15s} {both['times_faster']:.1f} times faster; {counts}")
    return "\n".join([*rows, measured["machine"]])


def simulated_jobs() -> tuple[list[Job], list[Job]]:
    """Well visible objects of held-out simulated clips with sensor noise: near the camera, and as they come."""
    near, any_size = list[Job](), list[Job]()
    for seed in range(MOST_CLIPS):
        jobs = list(_jobs_of(seed))
        near += [job for job in jobs if NEAR_POINTS[0] <= job.views[0].points <= NEAR_POINTS[1]]
        any_size += jobs
        if len(near) >= NEAR_OBJECTS and len(any_size) >= ANY_OBJECTS:
            break
    return near[:NEAR_OBJECTS], any_size[:ANY_OBJECTS]


def _jobs_of(seed: int) -> Iterator[Job]:
    shown = list(simulate(sample_scene(seed, "clip_test"), frames=FRAMES, fps=FPS))
    for place, thing in enumerate(shown[0].truth.objects):
        views = tuple(
            View(
                one.frame,
                one.truth.instance_ids == thing.instance_id,
                seen_in(index, one.truth, one.truth.objects[place]),
            )
            for index, one in enumerate(shown)
        )
        if all(view.seen.share > SEEN_SHARE and view.seen.visible_px >= LEAST_PX for view in views):
            yield Job(views, thing.category, thing.size_m)


def _side_by_side(jobs: Sequence[Job]) -> dict[str, Any]:
    """Both in turn on each object and frame, so that other load on the machine meets both; the best of each frame."""
    laps: dict[str, list[float]] = {name: [] for name in CHAINS}
    errors: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CHAINS}
    for job in jobs:
        best = {name: np.full(len(job.views), np.inf) for name in CHAINS}
        for _ in range(REPEATS):
            chains = {name: begin() for name, begin in CHAINS.items()}
            for place, view in enumerate(job.views):
                for name, chain in chains.items():
                    started = time.perf_counter()
                    found = chain.step(view)
                    best[name][place] = min(best[name][place], time.perf_counter() - started)
                    if found is not None and place > 0:
                        errors[name].append(_errors(found, view, job))
        for name in CHAINS:
            laps[name] += list(1e3 * best[name][1:])
    rows: dict[str, Any] = {name: _row(laps[name], errors[name]) for name in CHAINS}
    rows["times_faster"] = rows[OPEN3D]["p50_ms"] / rows[OURS]["p50_ms"]
    points = [view.points for job in jobs for view in job.views]
    return rows | {"objects": len(jobs), "steps": len(laps[OURS]), "median_points": int(np.median(points))}


def _errors(found: Placed, view: View, job: Job) -> tuple[float, float, float]:
    """Of the centre in mm, of the worst side in mm, of the axes in degrees (NaN where they cannot be told)."""
    errors = compare(found, view.seen, job.category, job.size_m)
    side_m = np.nan if errors.side_m is None else errors.side_m
    return 1e3 * errors.center_m, 1e3 * side_m, np.nan if errors.axis_deg is None else errors.axis_deg


def _row(laps_ms: Sequence[float], errors: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    center, side, axis = np.array(errors).T
    return {
        "p50_ms": float(np.median(laps_ms)),
        "p95_ms": float(np.percentile(laps_ms, 95)),
        "center_p50_mm": float(np.median(center)),
        "center_p90_mm": float(np.percentile(center, 90)),
        "side_p50_mm": float(np.nanmedian(side)),
        "axis_p50_deg": float(np.nanmedian(axis)),
        "axis_p90_deg": float(np.nanpercentile(axis, 90)),
    }


def _grown(job: Job, grow_px: int) -> Job:
    square = np.ones((2 * grow_px + 1,) * 2, np.uint8)
    views = [
        View(view.frame, np.asarray(cv2.dilate(view.mask.astype(np.uint8), square).astype(bool)), view.seen)
        for view in job.views
    ]
    return Job(tuple(views), job.category, job.size_m)


if __name__ == "__main__":
    print(table(measure()))
