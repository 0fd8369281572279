"""The tracker's bench as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracker_bench.cases import MEMORY_FULL
from tracker_bench.stages import GLUE, LABELS

NOTES = (
    "Contestants take turns on every frame of one run. Ratios are of medians; intervals: 95 %, bootstrap over frames.",
    "Ours counts from the camera's bytes, with resizing; rivals are given resized and normalized input. All end with",
    "masks of the clip's size in host memory. Agreement: with the reference's masks, on every tracked frame of a race.",
    "Stages: torch.profiler, medians of three further frames, its overhead included. Peak: on a CPU of a process that",
    f"runs one contestant for {MEMORY_FULL} frames (the official one has them loaded), on a GPU of its allocator.",
)
MIB = 1 << 20


def lines_of(measured: dict[str, Any]) -> Iterator[str]:
    """All cases, the long run, how it was measured."""
    machine = measured["machine"]
    yield f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}"
    yield f"load before the run {machine['load_before']:.2f} (above 0.3: somebody else was computing)"
    for case in measured["cases"]:
        yield ""
        yield from _case(case)
    if measured["long_run"]:
        yield ""
        yield from _long_run(measured["long_run"])
    yield ""
    yield from NOTES


def _case(case: dict[str, Any]) -> Iterator[str]:
    if "not_measured" in case:
        yield f"{case['title']}: not measured: {case['not_measured']}"
        return
    weights = "random weights" if case["random_weights"] else "its own weights"
    yield f"{case['title']} ({case['model']}, {weights}, {case['image_size']} px, {case['threads']} threads)"
    for race in case["races"]:
        yield from _race(race)
    if case["added_object_ms"]:
        added = ", ".join(f"{name} {ms:.1f} ms" for name, ms in case["added_object_ms"].items())
        yield f"  cost of an added object, (t5 - t1) / 4: {added}"


def _race(race: dict[str, Any]) -> Iterator[str]:
    yield f"  {race['objects']} object(s){'':12s}median ms      p95  frames/s   peak MiB"
    for name, row in race["contestants"].items():
        peak = race["peak_memory_bytes"].get(name)
        memory = f"{peak / MIB:10.0f}" if peak else f"{'-':>10s}"
        times = f"{row['median_ms']:12.2f}{row['p95_ms']:9.2f}{row['fps']:10.2f}"
        yield f"    {name:18s}{times} {memory}{_remark(race, name)}"
    for ratio in race["ratios"]:
        yield f"    {_ratio(ratio)}"
    for name, found in race["agreement"].items():
        yield (
            f"    {name} against {race['reference']}: {found['equal_frames']} of {found['frames']} frames with equal"
            f" masks, IoU mean {found['mean_iou']:.4f}, least {found['min_iou']:.4f}"
        )
    yield from _stages(race["stages_ms"])


def _remark(race: dict[str, Any], name: str) -> str:
    """The target in frames/s or the share of the floor, where the case has one."""
    if name in race["floor_share"]:
        share = race["floor_share"][name]
        return "  floor known for an H200 only" if share is None else f"  {share:.0%} of the H200's floor"
    if race["fps_target"] and name.startswith("ours"):
        return _verdict(race["contestants"][name]["fps"], race["fps_target"], " frames/s")
    return ""


def _ratio(ratio: dict[str, Any]) -> str:
    text = f"{ratio['rival']} / {ratio['ours']}: {ratio['ratio']:.2f}x [{ratio['low']:.2f}, {ratio['high']:.2f}]"
    return text + (_verdict(ratio["ratio"], ratio["target"], "x") if ratio["target"] else "")


def _verdict(value: float, target: float, unit: str) -> str:
    return f"  target {target:g}{unit}: {'reached' if value >= target else 'MISSED'}"


def _stages(stages_ms: dict[str, dict[str, float] | None]) -> Iterator[str]:
    """One column per part, one row per contestant."""
    columns = (*LABELS, GLUE)
    yield f"    ms per frame in   {''.join(f'{column:>16s}' for column in columns)}"
    for name, parts in stages_ms.items():
        cells = [f"{parts[column]:16.2f}" if column in parts else f"{'-':>16s}" for column in columns] if parts else []
        yield f"    {name:18s}{''.join(cells) or '       no labels'}"


def _long_run(run: dict[str, Any]) -> Iterator[str]:
    yield (
        f"Memory over {run['frames']} frames ({run['model']} at {run['image_size']} px, {run['objects']} object,"
        " CPU, each alone in its process)"
    )
    yield "    MiB                   loaded" + "".join(
        f"{f'process @{frame}':>16s}{f'held @{frame}':>16s}" for frame in _frames(run)
    )
    for name, found in run["contestants"].items():
        cells = [found["after_frames"][frame] for frame in _frames(run)]
        numbers = "".join(f"{cell['rss_bytes'] / MIB:16.1f}{cell['held_bytes'] / MIB:16.1f}" for cell in cells)
        yield f"    {name:18s}{found['loaded_bytes'] / MIB:10.1f}{numbers}"


def _frames(run: dict[str, Any]) -> list[str]:
    """Reported frames, as JSON writes them."""
    return sorted({frame for found in run["contestants"].values() for frame in found["after_frames"]}, key=int)
