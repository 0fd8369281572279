"""From mask and depth to a box: Referent's chain beside Open3D's usual one, on the same masks in one run.

`referent bench geometry [--json FILE]`, or `python benchmarks/bench_geometry.py`. Open3D's chain is what its tutorials
string together: masked depth to points, voxels, statistical outlier removal, minimal oriented box.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from referent.config import GeometryConfig
from referent.geometry.estimate import estimate_pose
from referent.sources.simulation.scenes import sample_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import ObjectTruth
from referent.types import Array, RgbdFrame

SCENES, REPEATS, MIN_PX, LOOSE_PX = 8, 5, 3000, 2
VOXEL_M, NEIGHBOURS, DEVIATIONS = 0.003, 20, 2.0

Chain = Callable[["Job"], tuple[Array, Array] | None]  # center (3,) and sides (3,) in metres


@dataclass(frozen=True, eq=False)
class Job:
    """One object in one frame."""

    frame: RgbdFrame
    mask: Array
    up_in_camera: Array
    truth: ObjectTruth


def measure(*, against: tuple[str, ...] = ()) -> dict[str, Any]:
    """Milliseconds and errors of both chains, medians over objects; Open3D is the one peer, whatever `against` says."""
    chains: dict[str, Chain] = {"referent": referent_box, "open3d": open3d_chain()}
    jobs = list(simulated_jobs())
    measured: dict[str, Any] = {}
    for masks, grow_px in (("exact", 0), ("loose", LOOSE_PX)):
        grown = [Job(job.frame, _grown(job.mask, grow_px), job.up_in_camera, job.truth) for job in jobs]
        measured[masks] = _side_by_side(chains, grown)
    return {
        "objects": len(jobs),
        "median_mask_px": int(np.median([np.count_nonzero(job.mask) for job in jobs])),
        "repeats": REPEATS,
        "loose_px": LOOSE_PX,
        "masks": measured,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
    }


def table(measured: dict[str, Any]) -> str:
    """The measurements for people."""
    rows = [f"{'masks':6s} {'chain':9s} {'p50 ms':>7s} {'p95 ms':>7s} {'center mm':>10s} {'worst side mm':>14s}"]
    for masks, chains in measured["masks"].items():
        for name in ("referent", "open3d"):
            row = chains[name]
            rows.append(
                f"{masks:6s} {name:9s} {row['p50_ms']:7.1f} {row['p95_ms']:7.1f} {row['center_p50_mm']:10.1f} "
                f"{row['side_p50_mm']:14.1f}"
            )
        rows.append(f"{masks:6s} ratio     {chains['times_faster']:6.1f}x")
    rows.append(f"{measured['objects']} objects, {measured['median_mask_px']} px median, {measured['machine']}")
    return "\n".join(rows)


def simulated_jobs() -> Iterator[Job]:
    """Well visible objects of held-out simulated scenes with sensor noise."""
    for seed in range(SCENES):
        simulated = next(iter(simulate(sample_scene(seed, "still_test"), frames=1)))
        up = simulated.truth.world_from_camera[2, :3]
        for item in simulated.truth.objects:
            whole = item.in_view_fraction == 1 and item.visible_px > 0.8 * item.amodal_px
            if whole and item.visible_px >= MIN_PX:
                yield Job(simulated.frame, simulated.truth.instance_ids == item.instance_id, up, item)


def referent_box(job: Job) -> tuple[Array, Array] | None:
    """Referent's whole chain: cleaning, support, box and covariance."""
    pose = estimate_pose(job.frame, job.mask, GeometryConfig(), up_in_camera=job.up_in_camera)
    return None if pose is None else (pose.box.camera_from_object[:3, 3], pose.box.size_m)


def open3d_chain() -> Chain:
    """Open3D's chain with its legacy (fastest) geometry."""
    import open3d as o3d

    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)

    def box(job: Job) -> tuple[Array, Array] | None:
        camera = job.frame.intrinsics
        depth = np.where(job.mask, np.nan_to_num(job.frame.depth_m), 0).astype(np.float32)
        pinhole = o3d.camera.PinholeCameraIntrinsic(
            camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy
        )
        cloud = o3d.geometry.PointCloud.create_from_depth_image(o3d.geometry.Image(depth), pinhole, depth_scale=1.0)
        cloud, _ = cloud.voxel_down_sample(VOXEL_M).remove_statistical_outlier(NEIGHBOURS, DEVIATIONS)
        if len(cloud.points) < 4:
            return None
        found = cloud.get_minimal_oriented_bounding_box(robust=True)
        return np.asarray(found.center), np.asarray(found.extent)

    return box


def _side_by_side(chains: dict[str, Chain], jobs: list[Job]) -> dict[str, Any]:
    """Both chains in turn on each object, so that other load on the machine meets both."""
    laps: dict[str, list[float]] = {name: [] for name in chains}
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in chains}
    for job in jobs:
        best = dict.fromkeys(chains, np.inf)
        for _ in range(REPEATS):
            for name, chain in chains.items():
                started = time.perf_counter()
                found = chain(job)
                best[name] = min(best[name], time.perf_counter() - started)
                if found is not None:
                    errors[name].append(_errors_mm(found, job.truth))
        for name in chains:
            laps[name].append(1e3 * best[name])
    rows: dict[str, Any] = {name: _row(laps[name], errors[name]) for name in chains}
    rows["times_faster"] = rows["open3d"]["p50_ms"] / rows["referent"]["p50_ms"]
    return rows


def _row(laps_ms: list[float], errors_mm: list[tuple[float, float]]) -> dict[str, float]:
    center, side = np.array(errors_mm).T
    return {
        "p50_ms": float(np.median(laps_ms)),
        "p95_ms": float(np.percentile(laps_ms, 95)),
        "center_p50_mm": float(np.median(center)),
        "center_p90_mm": float(np.percentile(center, 90)),
        "side_p50_mm": float(np.median(side)),
    }


def _errors_mm(found: tuple[Array, Array], truth: ObjectTruth) -> tuple[float, float]:
    """Distance of the centers, and the worst of the sides compared in order of length."""
    center_m, sides_m = found
    off_m = np.linalg.norm(center_m - truth.camera_from_object[:3, 3])
    return 1e3 * float(off_m), 1e3 * float(np.abs(np.sort(sides_m) - np.sort(truth.size_m)).max())


def _grown(mask: Array, grow_px: int) -> Array:
    square = np.ones((2 * grow_px + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), square).astype(bool))


if __name__ == "__main__":
    print(table(measure()))
