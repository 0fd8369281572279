"""A lost object and a late answer: the correction starts in the past and catches up while the stream goes on.

    python benchmarks/late_correction.py [--output out/late_correction] [--scene NAME] [--seed N] [--object ID]

One object of a simulated scene is named to the bundled grounder in the first frame and followed by the bundled SAM 2.
Something passes before it and the track is lost. Frame s, the first in which the object is seen again, is pinned and
shown to the grounder; its answer counts `--late` seconds later, as a prompt for frame s. The corrected track catches
up, 4 past frames between two new ones, and replaces the old one, which is published meanwhile. The same stream without
the correction is the comparison. Writes `strip.jpg`, `late_correction.mp4` and `late_correction.json`.

When to ask is read from the scene's truth here (at least 90 % of the object visible again); in the pipeline the policy
decides. The prompts are the grounder's own answers wherever they overlap the true box by half (IoU), else the true box;
the JSON says which (`prompted_by`, `answered_by`).

The default scene was searched for, because the bundled tracker finds most hidden objects again by itself. Looked at
were held-out random scenes (`clip_test`, seeds 100-366 and 600-897) in which the only object of its color and kind is
wholly hidden within 2.7 s, seen again within 3.7 s, and has moved 5 cm meanwhile. Followed at 320x240 and 12 Hz from
the true box, the green mug of 308 is one of four that had been followed well (IoU 0.85) and then stayed lost for more
than a second. The board comes back at the end of the plot: then the uncorrected track, which had found the mug by
chance, keeps it, and the corrected one does not.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from late_correction_pictures import Marks, Shot, draw_strip, write_video

from referent.benching import write_json
from referent.config import Config, TrackerConfig
from referent.errors import ReferentError
from referent.evaluation.metrics import region_j
from referent.grounding.backends import create
from referent.grounding.boxes import box_iou
from referent.ports import Grounder
from referent.sources.simulation.scenes import KINDS, SCENE_NAMES, named_scene, sample_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import ObjectTruth, SimulatedFrame
from referent.tracking.engine import Sam2Engine
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, GroundingRequest, Prompt, RegroundReason, RgbdFrame, Target
from referent.weights import resolve

TRACK_ID = "1"
CATCH_UP_FRAMES = 4
SEEN_AGAIN = 0.9  # share of the object that must be visible before the grounder is asked
SEEN = 0.5  # share from which on a frame counts as one where the object can be followed
RIGHT_BOX_IOU = 0.5


@dataclass(frozen=True)
class Answer:
    """A box for the object in frame `index`, and who gave it."""

    index: int
    box_xyxy: Array
    source: str  # grounder | truth


@dataclass
class Run:
    """What was published in every frame of one run, and what it took."""

    masks: list[Array] = field(default_factory=list)
    ids: list[tuple[str, ...]] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    prompt_ms: float = 0.0  # of the late one
    encoder_runs: int = 0
    outcome: str = "none"
    commit: int | None = None


def played(scene: str, seed: int, *, seconds: float, fps: float, width: int) -> list[SimulatedFrame]:
    """The clip: a named scene, or a random one of a kind ("clip_test")."""
    world = sample_scene(seed, scene) if scene in KINDS else named_scene(scene, seed)
    return list(simulate(world, frames=round(seconds * fps), fps=fps, width=width, height=width * 3 // 4))


def truth_of(simulated: SimulatedFrame, instance_id: int) -> ObjectTruth:
    """The object in one frame. Raises ReferentError when the scene has none of that number."""
    found = next((item for item in simulated.truth.objects if item.instance_id == instance_id), None)
    if found is None:
        raise ReferentError(f"--object {instance_id}: the scene has objects 1 to {len(simulated.truth.objects)}")
    return found


def shares_seen(clip: Sequence[SimulatedFrame], instance_id: int) -> list[float]:
    """Per frame, how much of the object's silhouette in the picture nothing hides; 0 when it is outside."""
    truths = [truth_of(simulated, instance_id) for simulated in clip]
    return [truth.visible_px / max(1, truth.amodal_px) for truth in truths]


def first_return(shares: Sequence[float]) -> int:
    """The first frame after a complete hiding in which it is seen again. Raises ReferentError when there is none."""
    hidden = next((index for index, share in enumerate(shares) if share == 0), len(shares))
    back = next((index for index in range(hidden, len(shares)) if shares[index] >= SEEN_AGAIN), None)
    if back is None:
        raise ReferentError(f"in {len(shares)} frames the object is not hidden and seen again; take another --seed")
    return back


def ask(
    grounder: Grounder, simulated: SimulatedFrame, index: int, truth: ObjectTruth, reason: RegroundReason
) -> Answer:
    """The grounder's box for the object if it is right, else the true one."""
    assert truth.box_xyxy is not None, "only frames that show the object are asked about"
    target = Target(TRACK_ID, f"the {truth.color} {truth.category}")
    items = grounder.ground(GroundingRequest((target,), simulated.frame, reason)).items
    if (
        len(items) == 1
        and items[0].box_xyxy is not None
        and box_iou(items[0].box_xyxy, truth.box_xyxy) >= RIGHT_BOX_IOU
    ):
        return Answer(index, items[0].box_xyxy, "grounder")
    return Answer(index, truth.box_xyxy, "truth")


def follow(
    clip: Sequence[SimulatedFrame], config: TrackerConfig, first: Answer, late: Answer | None, *, answered: int
) -> Run:
    """Track the clip; `late`, if any, is asked for in its frame and given after frame `answered`."""
    tracker, run = Sam2Tracker(config, resolve(config.model)), Run()
    with mock.patch.object(Sam2Engine, "encode", autospec=True, side_effect=Sam2Engine.encode) as encode:
        for index, frame in enumerate(simulated.frame for simulated in clip):
            _step(tracker, run, frame, first if index == first.index else None)
            if late is not None and index == late.index:
                tracker.pin(frame.stamp_ns)
            if late is not None and index == answered:
                _correct(tracker, run, clip[late.index].frame.stamp_ns, late)
            _take_outcome(tracker, run, index, None if late is None else clip[late.index].frame.stamp_ns)
    run.encoder_runs = encode.call_count
    return run


def _step(tracker: Sam2Tracker, run: Run, frame: RgbdFrame, first: Answer | None) -> None:
    started = time.perf_counter()
    masks = tracker.step(frame)
    run.step_ms.append(1e3 * (time.perf_counter() - started))
    if first is not None:
        found = tracker.prompt(Prompt(TRACK_ID, frame.stamp_ns, box_xyxy=first.box_xyxy))
        masks = masks if found is None else (found,)
    run.ids.append(tuple(mask.object_id for mask in masks))
    run.masks.append(masks[0].mask if masks else np.zeros(frame.rgb.shape[:2], bool))


def _correct(tracker: Sam2Tracker, run: Run, stamp_ns: int, late: Answer) -> None:
    started = time.perf_counter()
    mask = tracker.prompt(Prompt(TRACK_ID, stamp_ns, box_xyxy=late.box_xyxy))
    run.prompt_ms = 1e3 * (time.perf_counter() - started)
    tracker.release(stamp_ns)
    if mask is not None:  # it was near enough to catch up at once
        run.masks[-1] = mask.mask


def _take_outcome(tracker: Sam2Tracker, run: Run, index: int, asked_ns: int | None) -> None:
    for outcome in tracker.take_outcomes():
        if outcome.stamp_ns == asked_ns:
            run.outcome, run.commit = outcome.outcome, index


def overlaps(clip: Sequence[SimulatedFrame], masks: Sequence[Array], instance_id: int) -> list[float | None]:
    """IoU with the truth per frame; None where the object cannot be seen."""
    truths = [simulated.truth.instance_ids == instance_id for simulated in clip]
    return [region_j(mask, truth) if truth.any() else None for mask, truth in zip(masks, truths, strict=True)]


def numbers(
    marks: Marks, shares: Sequence[float], runs: dict[str, Run], ious: dict[str, list[float | None]]
) -> dict[str, Any]:
    """What happened, for the JSON."""
    corrected = runs["with"]
    until = next((index for index in range(marks.commit, len(shares)) if shares[index] < SEEN), len(shares))
    spans = {
        "from_s_to_commit": range(marks.asked, marks.commit),
        "from_commit_until_hidden": range(marks.commit, until),
    }
    return {
        "frames": len(shares),
        **asdict(marks),
        "seen_until": until,
        "outcome": corrected.outcome,
        "encoder_runs": {name: run.encoder_runs for name, run in runs.items()},
        "published_ids": {name: sorted({each for ids in run.ids for each in ids}) for name, run in runs.items()},
        "frames_without_the_id": {name: sum(ids != (TRACK_ID,) for ids in run.ids) for name, run in runs.items()},
        "mean_iou": {
            name: {span: _mean([iou[index] for index in frames]) for span, frames in spans.items()}
            for name, iou in ious.items()
        },
        "step_ms_usual": round(statistics.median(corrected.step_ms[1 : marks.answered + 1]), 1),
        "step_ms_catching_up": [round(each, 1) for each in corrected.step_ms[marks.answered + 1 : marks.commit + 1]],
        "late_prompt_ms": round(corrected.prompt_ms, 1),
        "iou": {name: [None if each is None else round(each, 4) for each in iou] for name, iou in ious.items()},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    seen = [value for value in values if value is not None]
    return round(statistics.fmean(seen), 4) if seen else None


def shots(clip: Sequence[SimulatedFrame], runs: dict[str, Run], instance_id: int) -> Iterator[Shot]:
    """Every frame as the pictures need it."""
    for simulated, without, corrected in zip(clip, runs["without"].masks, runs["with"].masks, strict=True):
        yield Shot(simulated.frame.rgb, simulated.truth.instance_ids == instance_id, without, corrected)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both runs and everything that is written about them; returns the JSON's content."""
    clip = played(args.scene, args.seed, seconds=args.seconds, fps=args.fps, width=args.width)
    shares = shares_seen(clip, args.object)
    asked = first_return(shares)
    answered = asked + round(args.late * args.fps)
    if answered >= len(clip):
        raise ReferentError(
            f"the answer would come in frame {answered} of {len(clip)}; raise --seconds or lower --late"
        )
    config = replace(Config().tracker, catch_up_frames=CATCH_UP_FRAMES)
    first, late = answers(clip, asked, args.object)
    runs = {
        "without": follow(clip, config, first, None, answered=answered),
        "with": follow(clip, config, first, late, answered=answered),
    }
    commit, outcome = runs["with"].commit, runs["with"].outcome
    if commit is None or outcome != "committed":
        raise ReferentError(f"the correction of frame {asked}: {outcome}; take another --seed, --late or --seconds")
    marks = Marks(asked, answered, commit)
    ious = {name: overlaps(clip, run.masks, args.object) for name, run in runs.items()}
    draw(args, list(shots(clip, runs, args.object)), marks, late, ious)
    sources = {"prompted_by": first.source, "answered_by": late.source}
    return conditions(args, truth_of(clip[0], args.object)) | sources | numbers(marks, shares, runs, ious)


def answers(clip: Sequence[SimulatedFrame], asked: int, instance_id: int) -> tuple[Answer, Answer]:
    """Where the grounder finds the object in the first frame and in frame `asked`."""
    grounder = create(Config().grounder)
    first, late = (
        ask(grounder, clip[index], index, truth_of(clip[index], instance_id), reason)
        for index, reason in ((0, RegroundReason.NEW), (asked, RegroundReason.LOST))
    )
    grounder.close()
    return first, late


def draw(
    args: argparse.Namespace, all_shots: list[Shot], marks: Marks, late: Answer, ious: dict[str, list[float | None]]
) -> None:
    """`strip.jpg` and `late_correction.mp4`."""
    args.output.mkdir(parents=True, exist_ok=True)
    draw_strip(all_shots, marks, late.box_xyxy, ious, fps=args.fps).save(args.output / "strip.jpg", quality=88)
    write_video(args.output / "late_correction.mp4", all_shots, marks, ious, fps=args.fps)


def conditions(args: argparse.Namespace, truth: ObjectTruth) -> dict[str, Any]:
    """What was asked for, for the JSON."""
    config = Config()
    return {
        "scene": args.scene,
        "seed": args.seed,
        "object": f"the {truth.color} {truth.category}",
        "fps": args.fps,
        "size_wh": [args.width, args.width * 3 // 4],
        "model": config.tracker.model,
        "grounder": config.grounder.model,
        "catch_up_frames": CATCH_UP_FRAMES,
        "torch_threads": torch.get_num_threads(),
    }


def summary(found: dict[str, Any]) -> str:
    """The numbers for people."""
    mean = found["mean_iou"]
    steps = " ".join(f"{each:.0f}" for each in found["step_ms_catching_up"])

    def row(name: str) -> str:
        before, after = mean[name]["from_s_to_commit"], mean[name]["from_commit_until_hidden"]
        return f"{name:8s} mean IoU {before:.2f} from s to the commit, {after:.2f} from there until it is hidden again"

    return "\n".join(
        [
            f"{found['object']} of {found['scene']} {found['seed']}: asked about frame {found['asked']}, "
            f"answered by the {found['answered_by']} in frame {found['answered']}, "
            f"{found['outcome']} in frame {found['commit']}",
            row("without"),
            row("with"),
            f"image encoder: {found['encoder_runs']['with']} runs for {found['frames']} frames",
            f"step: {found['step_ms_usual']:.0f} ms usually; while catching up {steps} ms",
        ]
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/late_correction"), metavar="DIR")
    parser.add_argument("--scene", default="clip_test", metavar="NAME", choices=(*SCENE_NAMES, *KINDS))
    parser.add_argument("--seed", type=int, default=308, metavar="N")
    parser.add_argument("--object", type=int, default=1, metavar="ID", help="the object's number in the scene, from 1")
    parser.add_argument("--late", type=float, default=1.0, metavar="S", help="from the question to the answer, seconds")
    parser.add_argument("--seconds", type=float, default=6.0, metavar="S", help="length of the clip")
    parser.add_argument("--fps", type=float, default=15.0, metavar="HZ")
    parser.add_argument("--width", type=int, default=640, metavar="PX", help="of the camera's picture, 4:3")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """As the module says."""
    args = parsed(arguments)
    found = measure(args)
    write_json(args.output / "late_correction.json", found)
    print(summary(found))


if __name__ == "__main__":
    main()
