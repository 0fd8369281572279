"""The races of the tracker's bench, and how one is run."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from referent.errors import ConfigError
from referent.tracking.model import build_sam2, model_settings
from referent.weights import registry, resolve, status
from tracker_bench.clip import Clip
from tracker_bench.contestants import Contestant, Setting, contestant
from tracker_bench.memory import GpuMeter, Probe, measured_alone
from tracker_bench.race import Laps, device_wait, ratio_of_medians, summary, take_turns
from tracker_bench.stages import stages

RIVALS = ("official", "transformers")
BUNDLED = "referent-sam2-small"
TINY = "sam2.1-hiera-tiny"
BANK_FULL = 17  # frames until every memory slot and pointer of SAM 2 is in use
MEMORY_FULL = 8  # frames until all but a few pointers are
PROFILED_FRAMES = 4  # the first of them is left out
RANDOM_OBJECT_SCORE_BIAS = 5.0  # random weights would call every object absent


@dataclass(frozen=True)
class Target:
    """`ours` must be this many times as fast as `rival` with so many objects."""

    rival: str
    ours: str
    objects: int
    ratio: float


@dataclass(frozen=True)
class Case:
    """One race. `skip` frames of warm-up come before `frames` timed ones; the first of them carries the prompts."""

    name: str
    title: str
    contestants: tuple[str, ...]
    only_with_one_object: tuple[str, ...] = ()  # of the contestants
    model: str = TINY
    image_size: int = 0  # 0 = as configured
    objects: tuple[int, ...] = (1,)
    size_wh: tuple[int, int] = (640, 480)
    skip: int = BANK_FULL
    frames: int = 20
    threads: int = 2
    device: str = "cpu"
    targets: tuple[Target, ...] = ()
    fps_target: float | None = None
    floors_ms: tuple[tuple[int, float], ...] = ()  # per number of objects, on one H200 in bf16
    memory: bool = True  # also measure everyone's memory


@dataclass(frozen=True)
class LongRun:
    """Memory over a long stream, every contestant alone in its own process."""

    name: str = "memory-1000"
    contestants: tuple[str, ...] = ("ours fp32", "transformers")
    model: str = BUNDLED
    image_size: int = 0
    objects: int = 1
    size_wh: tuple[int, int] = (640, 480)
    frames: int = 1000


@dataclass(frozen=True)
class Plan:
    """All of one bench."""

    cases: tuple[Case, ...]
    long_run: LongRun | None


FULL = Plan(
    (
        Case(
            "cpu-tiny-512",
            "CPU, SAM 2.1 tiny at 512, steady state",
            ("ours fp32", "ours bf16", "official", "transformers"),
            only_with_one_object=("transformers",),
            image_size=512,
            objects=(1, 5),
            frames=12,
            targets=(
                Target("official", "ours fp32", 1, 1.6),
                Target("official", "ours bf16", 1, 2.2),
                Target("official", "ours fp32", 5, 1.8),
                Target("transformers", "ours fp32", 1, 2.0),
                Target("transformers", "ours bf16", 1, 2.0),
            ),
        ),
        Case(
            "cpu-bundled",
            "CPU, bundled model, 640x480 input, end to end",
            ("ours fp32", "ours bf16", "official"),
            model=BUNDLED,
            frames=60,
            threads=1,  # the tracker's default
            fps_target=10.0,
        ),
        Case(
            "cpu-transformers",
            "CPU, bundled model, streaming, around frame 200",
            ("ours fp32", "ours bf16", "transformers"),
            model=BUNDLED,
            skip=190,
            frames=20,
            threads=1,
            targets=(Target("transformers", "ours fp32", 1, 2.0),),
            memory=False,
        ),
        Case(
            "cuda-tiny-1024",
            "CUDA, SAM 2.1 tiny at 1024, official vos_optimized, bf16",
            ("ours", "official"),
            image_size=1024,
            objects=(1, 5, 10),
            skip=60,
            frames=200,
            device="cuda",
            targets=(
                Target("official", "ours", 1, 1.5),
                Target("official", "ours", 5, 4.0),
                Target("official", "ours", 10, 6.0),
            ),
            floors_ms=((1, 1.16), (5, 4.3), (10, 8.2)),
        ),
    ),
    LongRun(),
)


def quick(plan: Plan, *, model: str = BUNDLED, image_size: int = 64) -> Plan:
    """`plan` with a small model and few frames: everything runs, nothing is measured."""
    small: dict[str, Any] = {
        "model": model, "image_size": image_size, "size_wh": (160, 120), "skip": 3, "frames": 4, "threads": 1,
    }  # fmt: skip
    cases = [
        replace(case, **small, title=f"trial of: {case.title}", targets=(), fps_target=None, memory=False)
        for case in plan.cases
    ]
    run = plan.long_run and replace(plan.long_run, model=model, image_size=image_size, frames=12, size_wh=(160, 120))
    return Plan(tuple(cases), run)


def only(plan: Plan, name: str) -> Plan:
    """The case or the long run of that name alone; an empty name = all. Raises ConfigError on an unknown one."""
    if not name:
        return plan
    run = plan.long_run if plan.long_run and plan.long_run.name == name else None
    found = tuple(case for case in plan.cases if case.name == name)
    if run is None and not found:
        known = [case.name for case in plan.cases] + ([plan.long_run.name] if plan.long_run else [])
        raise ConfigError(f"bench tracker: no case {name!r}; known: {', '.join(known)}")
    return Plan(found, run)


def against(plan: Plan, rivals: tuple[str, ...]) -> Plan:
    """`plan` without the rivals that were not asked for. Raises ConfigError on an unknown one."""
    unknown = [name for name in rivals if name not in RIVALS]
    if unknown:
        raise ConfigError(f"bench tracker: --against {','.join(unknown)} is unknown; known: {', '.join(RIVALS)}")
    return Plan(
        tuple(replace(case, contestants=_invited(case.contestants, rivals)) for case in plan.cases),
        plan.long_run and replace(plan.long_run, contestants=_invited(plan.long_run.contestants, rivals)),
    )


def _invited(contestants: tuple[str, ...], rivals: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in contestants if name.startswith("ours") or name in rivals)


def run_case(case: Case, folder: Path) -> dict[str, Any]:
    """One race with every number of objects; `folder` takes random weights."""
    facts: dict[str, Any] = {"name": case.name, "title": case.title, "device": case.device}
    if case.device == "cuda" and not torch.cuda.is_available():
        return facts | {"not_measured": "no GPU"}
    torch.set_num_threads(case.threads)
    model, random = weights_of(case.model, folder)
    setting = Setting(model, case.image_size, case.device, max(case.objects))
    meter = GpuMeter() if case.device == "cuda" else None
    racers = {name: _entered(name, setting, meter) for name in case.contestants}
    entry = resolve(model)
    facts |= {
        "model": case.model,
        "random_weights": random,
        "image_size": model_settings(entry.config_path, image_size=case.image_size)["image_size"],
        "threads": torch.get_num_threads(),
        "first_timed_frame": case.skip,
        "timed_frames": case.frames,
    }
    races = [_race(case, objects, _racing(case, objects, racers), meter) for objects in case.objects]
    for race in races if meter is None and case.memory else ():
        race["peak_memory_bytes"] = _peaks_alone(case, tuple(race["contestants"]), race["objects"], model)
    return facts | {"races": races, "added_object_ms": _added_object_ms(races)}


def _entered(name: str, setting: Setting, meter: GpuMeter | None) -> Contestant:
    with contextlib.nullcontext() if meter is None else meter.of(name):
        return contestant(name, setting)


def _racing(case: Case, objects: int, racers: dict[str, Contestant]) -> dict[str, Contestant]:
    return {name: racer for name, racer in racers.items() if objects == 1 or name not in case.only_with_one_object}


def _race(case: Case, objects: int, racers: dict[str, Contestant], meter: GpuMeter | None) -> dict[str, Any]:
    clip, wait = Clip(case.size_wh), device_wait(case.device)
    last = case.skip + case.frames
    shown = last + PROFILED_FRAMES
    prompts = [clip.prompt(number) for number in range(objects)]
    for name, racer in racers.items():
        with contextlib.nullcontext() if meter is None else meter.of(name, anew=True):
            racer.start(prompts, size_wh=case.size_wh, frames=shown)
    reference = next(name for name in (*RIVALS, *racers) if name in racers)
    laps = take_turns(racers, clip, range(last), skip=case.skip, reference=reference, wait=wait, meter=meter)
    profiled, on_gpu = range(last, shown), case.device == "cuda"
    return {
        "objects": objects,
        "contestants": {name: summary(seconds) for name, seconds in laps.seconds.items()},
        "ratios": _ratios(case, objects, laps),
        "reference": reference,
        "agreement": {name: found.summary() for name, found in laps.agreement.items()},
        "stages_ms": {n: stages(r, clip, profiled, wait=wait, on_gpu=on_gpu) for n, r in racers.items()},
        "fps_target": case.fps_target,
        "floor_share": _floor_share(case, objects, laps),
        "peak_memory_bytes": dict(meter.peak_bytes) if meter is not None else {},
    }


def _ratios(case: Case, objects: int, laps: Laps) -> list[dict[str, Any]]:
    """Every rival against every one of ours, with the target where there is one."""
    targets = {(t.rival, t.ours): t.ratio for t in case.targets if t.objects == objects}
    return [
        {"rival": rival, "ours": ours, "target": targets.get((rival, ours))}
        | ratio_of_medians(laps.seconds[rival], laps.seconds[ours])
        for rival in laps.seconds
        for ours in laps.seconds
        if rival in RIVALS and ours not in RIVALS
    ]


def _floor_share(case: Case, objects: int, laps: Laps) -> dict[str, float | None]:
    """Share of the least time an H200 needs for the arithmetic; None on another GPU, nothing on a CPU."""
    floor_ms = dict(case.floors_ms).get(objects)
    if floor_ms is None:
        return {}
    known = "H200" in torch.cuda.get_device_name()
    return {name: floor_ms / summary(s)["median_ms"] if known else None for name, s in laps.seconds.items()}


def _added_object_ms(races: list[dict[str, Any]]) -> dict[str, float]:
    """(time with 5 - time with 1 object) / 4 per contestant; nothing unless both were measured."""
    times = {race["objects"]: race["contestants"] for race in races}
    if not {1, 5} <= times.keys():
        return {}
    return {name: (times[5][name]["median_ms"] - times[1][name]["median_ms"]) / 4 for name in times[5]}


def _peaks_alone(case: Case, names: tuple[str, ...], objects: int, model: str) -> dict[str, int]:
    """Peak bytes of a process that runs one contestant until its memories are full; two processes at a time."""
    probes = [Probe(name, model, case.image_size, objects, case.size_wh, MEMORY_FULL, ()) for name in names]
    found = [answer for first in range(0, len(probes), 2) for answer in measured_alone(probes[first : first + 2])]
    return {probe.contestant: answer["peak_bytes"] for probe, answer in zip(probes, found, strict=True)}


def run_long(run: LongRun, folder: Path) -> dict[str, Any]:
    """Memory of every contestant after a tenth of the stream and at its end."""
    model, _ = weights_of(run.model, folder)
    report_at = (run.frames // 10, run.frames)
    probes = [
        Probe(name, model, run.image_size, run.objects, run.size_wh, run.frames, report_at) for name in run.contestants
    ]
    answers = dict(zip(run.contestants, measured_alone(probes), strict=True))
    size = model_settings(resolve(model).config_path, image_size=run.image_size)["image_size"]
    return {
        "name": run.name,
        "model": run.model,
        "image_size": size,
        "objects": run.objects,
        "frames": run.frames,
        "contestants": answers,
    }


def weights_of(model: str, folder: Path) -> tuple[str, bool]:
    """What `resolve` takes for `model`, and whether its weights are random.

    A model that is not downloaded, or the path of a YAML file, gets random weights (seed 0) in `folder`.
    """
    entry = registry().get(model)
    if model.endswith(".yaml"):
        return str(_random_weights(Path(model), folder)), True
    if entry is not None and status(entry) == "not downloaded":
        return str(_random_weights(entry.config_path, folder)), True
    return model, False


def _random_weights(config: Path, folder: Path) -> Path:
    weights = folder / f"{config.stem}.pt"
    if not weights.is_file():
        torch.manual_seed(0)
        network = build_sam2(config)
        with torch.no_grad():
            network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(RANDOM_OBJECT_SCORE_BIAS)
        torch.save({"model": network.state_dict()}, weights)
        shutil.copy(config, weights.with_suffix(".yaml"))
    return weights
