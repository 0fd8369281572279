"""How well the small SAM 2 follows objects it never saw: simulated clips of 32 frames, one box in the first.

`python -m referent.training.tracker_eval --split test --clips 60` prints one table per input size. The official
`track_step` does the work, frame by frame, as in use; masks are compared at the resolution of the clip.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from referent.tracking.model import build_sam2
from referent.training.clips import Clip, scene_key
from referent.training.tracker_batches import SMALLEST_PRESENT_PX, Points, normalised, tight_box
from referent.training.tracker_unroll import NUM_FRAMES
from referent.types import Array
from referent.weights import load_strictly

WIDTH_PX, HEIGHT_PX, FRAMES, FPS = 320, 240, 32, 10.0
REPORTED_FRAMES = (1, 4, 8, 16, 32)
SMALLEST_TARGET_PX = 100  # visible pixels in the first frame of an object worth following
WHOLLY_VISIBLE = 0.9


@dataclass(frozen=True, eq=False)
class TestClip:
    """A clip and how much of every object can be seen in it."""

    clip: Clip
    visible_fraction: dict[int, Array]  # instance id -> (T,) visible share of the whole silhouette


@dataclass(frozen=True, eq=False)
class TrackScore:
    """One object followed through one clip."""

    iou: Array  # (T,) NaN where the object cannot be seen
    copied_iou: Array  # (T,) the same for the true first mask, left where it was
    absent: Array  # (T,) bool, truth
    denied: Array  # (T,) bool, the model says it is not there
    visible_fraction: Array  # (T,)


def render(split: str, number: int, *, frames: int = FRAMES) -> TestClip:
    """Clip `number` of a split with its visibility."""
    from referent.sources.simulation.scenes import sample_scene
    from referent.sources.simulation.simulate import simulate

    scene = sample_scene(*scene_key(split, number))
    played = list(simulate(scene, frames=frames, fps=FPS, width=WIDTH_PX, height=HEIGHT_PX))
    clip = Clip(np.stack([f.frame.rgb for f in played]), np.stack([f.truth.instance_ids for f in played]))
    shares: dict[int, list[float]] = {}
    for frame in played:
        for item in frame.truth.objects:
            share = item.in_view_fraction * item.visible_px / max(item.amodal_px, 1)
            shares.setdefault(item.instance_id, []).append(share)
    return TestClip(clip, {key: np.array(values) for key, values in shares.items()})


@torch.inference_mode()
def track(model: Any, clip: Clip, targets: list[int], *, jitter: np.random.Generator | None) -> tuple[Array, Array]:
    """Masks (N, T, H, W) and object score logits (N, T) of the targets, boxed in the first frame."""
    bank: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    masks, scores = [], []
    for index, rgb in enumerate(clip.rgb):
        backbone = model.forward_image(_image(rgb, model.image_size)[None])
        _, feats, positions, sizes = model._prepare_backbone_features(backbone)
        points = _boxes(clip.ids[0], targets, model.image_size, jitter) if index == 0 else None
        output = model.track_step(
            frame_idx=index,
            is_init_cond_frame=index == 0,
            current_vision_feats=[x.expand(-1, len(targets), -1) for x in feats],
            current_vision_pos_embeds=[x.expand(-1, len(targets), -1) for x in positions],
            feat_sizes=sizes,
            point_inputs=None if points is None else {"point_coords": points.coords, "point_labels": points.labels},
            mask_inputs=None,
            output_dict=bank,
            num_frames=NUM_FRAMES,
        )
        bank["cond_frame_outputs" if index == 0 else "non_cond_frame_outputs"][index] = output
        masks.append(F.interpolate(output["pred_masks"], clip.ids.shape[1:], mode="bilinear")[:, 0] > 0)
        scores.append(output["object_score_logits"][:, 0])
    return torch.stack(masks, 1).numpy(), torch.stack(scores, 1).numpy()


def _image(rgb: Array, side_px: int) -> torch.Tensor:
    return normalised(cv2.resize(rgb, (side_px, side_px), interpolation=cv2.INTER_AREA))


def _boxes(ids: Array, targets: list[int], side_px: int, jitter: np.random.Generator | None) -> Points:
    """Box prompts in pixels of the model's input: tight, or loose as a multimodal LLM draws them."""
    scale = side_px / np.array([ids.shape[1], ids.shape[0]])
    tight = np.stack([tight_box(ids == target) * scale for target in targets])
    if jitter is not None:
        tight += jitter.uniform(-0.1, 0.1, tight.shape) * (tight[:, 1:] - tight[:, :1])
    labels = torch.tensor([[2, 3]], dtype=torch.int32).expand(len(targets), -1)
    return Points(torch.from_numpy(tight).float(), labels)


def scores_of(model: Any, test: TestClip, *, jitter: np.random.Generator | None) -> Iterator[TrackScore]:
    """A score for every object that can be seen well in the first frame."""
    ids = test.clip.ids
    px = np.bincount(ids[0].ravel(), minlength=256)
    targets = [int(i) for i in np.flatnonzero(px >= SMALLEST_TARGET_PX) if i != 0]
    if not targets:
        return
    masks, logits = track(model, test.clip, targets, jitter=jitter)
    for row, target in enumerate(targets):
        truth = ids == target
        visible = truth.sum((1, 2)) >= SMALLEST_PRESENT_PX
        yield TrackScore(
            iou=np.where(visible, _iou(masks[row], truth), np.nan),
            copied_iou=np.where(visible, _iou(truth[:1], truth), np.nan),
            absent=~truth.any((1, 2)),
            denied=logits[row] <= 0,
            visible_fraction=test.visible_fraction[target],
        )


def _iou(found: Array, truth: Array) -> Array:
    union = (found | truth).sum((1, 2))
    return np.asarray((found & truth).sum((1, 2)) / np.maximum(union, 1))


def table(scores: list[TrackScore]) -> dict[str, Any]:
    """Mean IoU at the reported frames for groups of objects, and how often presence was judged rightly."""
    visibility = np.stack([s.visible_fraction for s in scores])
    always = np.minimum.accumulate(visibility, axis=1) > WHOLLY_VISIBLE
    iou, copied = np.stack([s.iou for s in scores]), np.stack([s.copied_iou for s in scores])
    absent, denied = np.stack([s.absent for s in scores]), np.stack([s.denied for s in scores])
    gone_before = np.logical_or.accumulate(absent, axis=1)
    everywhere = np.ones_like(always)
    return {
        "all": _row(iou, everywhere),
        "all, IoU > 0.5": _row(_above(iou), everywhere),
        "never hidden or cut": _row(iou, always),
        "never hidden or cut, IoU > 0.5": _row(_above(iou), always),
        "hidden or cut at some time": _row(iou, ~always & ~gone_before),
        "was gone, is back": _row(iou, gone_before),
        "first mask copied (all)": _row(copied, everywhere),
        "absent frames recognised": [
            round(float(denied[absent].mean()), 3) if absent.any() else None,
            int(absent.sum()),
        ],
        "present frames recognised": [round(float((~denied)[~np.isnan(iou)].mean()), 3), int((~np.isnan(iou)).sum())],
    }


def _above(iou: Array) -> Array:
    return np.where(np.isnan(iou), np.nan, iou > 0.5)


def _row(values: Array, group: Array) -> dict[str, tuple[float | None, int]]:
    """Frame -> (mean, number) over the objects of the group that can be seen in it."""
    row: dict[str, tuple[float | None, int]] = {}
    for frame in REPORTED_FRAMES:
        chosen = values[:, frame - 1][group[:, frame - 1]]
        chosen = chosen[~np.isnan(chosen)]
        row[f"f{frame}"] = (round(float(chosen.mean()), 3) if len(chosen) else None, len(chosen))
    return row


def evaluate(config: Path, weights: Path, tests: list[TestClip], image_size: int, *, jitter: bool) -> dict[str, Any]:
    """The table for one input size."""
    model = build_sam2(config, image_size=image_size)
    load_strictly(model, weights)
    rng = np.random.default_rng(0) if jitter else None
    return table([score for test in tests for score in scores_of(model, test, jitter=rng)])


def main() -> None:
    """Print the tables, as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/referent-sam2-small"), help="folder of the model")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[128, 192, 256])
    parser.add_argument("--jitter", action="store_true", help="boxes off by up to 10 %% of a side at every edge")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tests = [render(arguments.split, number) for number in range(arguments.clips)]
    folder = arguments.model
    for size in arguments.image_sizes:
        result = evaluate(folder / "model.yaml", folder / "model.safetensors", tests, size, jitter=arguments.jitter)
        print(json.dumps({"split": arguments.split, "clips": len(tests), "image_size": size}))
        for name, row in result.items():
            print(f"  {name}: {json.dumps(row)}")


if __name__ == "__main__":
    main()
