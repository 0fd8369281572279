"""Our streaming tracker beside the official video predictor: same weights, same frames, turn by turn."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from referent.config import TrackerConfig
from referent.errors import ConfigError
from referent.tracking.model import build_sam2, model_settings
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Intrinsics, Prompt, RgbdFrame
from referent.weights import ModelEntry, ModelFile, load_strictly, registry, resolve, status

RIVALS = ("official",)
WARM_UP_FRAMES = 17  # until every memory slot and pointer of SAM 2 is in use


def bench_tracker(
    model: str = "referent-sam2-small",
    *,
    image_size: int = 0,
    objects: int = 1,
    frames: int = 40,
    size_wh: tuple[int, int] = (640, 480),
    threads: int = 0,
    against: Sequence[str] = RIVALS,
) -> dict[str, Any]:
    """Milliseconds per frame in steady state on the CPU, and how far the masks agree.

    Ours counts from the picture's bytes to masks of its size; the official predictor is given its input resized and
    normalized beforehand. A model that is not downloaded is measured with random weights.
    """
    unknown = [name for name in against if name not in RIVALS]
    if unknown or frames <= WARM_UP_FRAMES:
        raise ConfigError(
            f"bench: against {unknown} of {RIVALS}, {frames} frames; more than {WARM_UP_FRAMES} are needed"
        )
    config = TrackerConfig(image_size=image_size, threads=threads, device="cpu", max_objects=objects)
    clip = list(_clip(frames, size_wh))
    prompts = [_prompt(i, size_wh) for i in range(objects)]
    with tempfile.TemporaryDirectory() as folder:
        entry, random = _entry_with_weights(model, Path(folder))
        steps = {"ours": _ours(config, entry, clip, prompts)}
        if "official" in against:
            steps["official"] = _official(config, entry, clip, prompts, Path(folder))
        seconds, agreement = _take_turns(steps, frames)
    return {
        "model": model,
        "random_weights": random,
        "image_size": model_settings(entry.config_path, image_size=image_size)["image_size"],
        "objects": objects,
        "frames": frames,
        "threads": torch.get_num_threads(),
        "ms_per_frame": {name: _summary(values[WARM_UP_FRAMES:]) for name, values in seconds.items()},
        "frames_with_equal_masks": agreement,
    }


def measure(*, against: Sequence[str] = RIVALS) -> dict[str, Any]:
    """The bundled model with one object and with three, on one thread: what `referent bench tracker` shows."""
    return {"cases": [bench_tracker(objects=objects, threads=1, against=against) for objects in (1, 3)]}


def table(measured: dict[str, Any]) -> str:
    """All cases for people."""
    return "\n".join(case_table(case) for case in measured["cases"])


def case_table(result: dict[str, Any]) -> str:
    """One case for people: one row per contestant."""
    ours = result["ms_per_frame"]["ours"]["median"]
    rows = [
        f"{result['model']} at {result['image_size']}, {result['objects']} object(s), {result['threads']} thread(s)"
    ]
    for name, row in result["ms_per_frame"].items():
        rows.append(
            f"  {name:10s} {row['median']:8.1f} ms median {row['p95']:8.1f} ms p95  {row['median'] / ours:5.2f}x ours"
        )
    return "\n".join([*rows, f"  frames with equal masks: {result['frames_with_equal_masks']}"])


def _take_turns(
    steps: dict[str, Callable[[int], list[Array]]], frames: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds per frame of each contestant, one after the other on every frame, and the share of equal masks."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    equal = dict.fromkeys(set(steps) - {"ours"}, 0)
    for index in range(frames):
        masks = {}
        for name, step in steps.items():
            started = time.perf_counter()
            masks[name] = step(index)
            seconds[name].append(time.perf_counter() - started)
        for name in equal:
            equal[name] += all(np.array_equal(a, b) for a, b in zip(masks["ours"], masks[name], strict=True))
    return seconds, {name: f"{count} of {frames}" for name, count in equal.items()}


def _ours(
    config: TrackerConfig, entry: ModelEntry, clip: list[RgbdFrame], prompts: list[Prompt]
) -> Callable[[int], list[Array]]:
    tracker = Sam2Tracker(config, entry)

    def step(index: int) -> list[Array]:
        masks = tracker.step(clip[index])
        return [mask.mask for mask in (masks if index else map(tracker.prompt, prompts))]

    return step


def _official(
    config: TrackerConfig, entry: ModelEntry, clip: list[RgbdFrame], prompts: list[Prompt], folder: Path
) -> Callable[[int], list[Array]]:
    predictor, state = _official_state(config, entry, clip, folder)
    for prompt in prompts:
        predictor.add_new_points_or_box(state, 0, prompt.object_id, box=prompt.box_xyxy)
    run = predictor.propagate_in_video(state)

    def step(index: int) -> list[Array]:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            _, _, logits = next(run)
        return list((logits[:, 0] > 0).cpu().numpy())

    return step


def _official_state(config: TrackerConfig, entry: ModelEntry, clip: list[RgbdFrame], folder: Path) -> tuple[Any, Any]:
    from hydra.utils import instantiate

    from referent.tracking.preprocess import image_from_rgb

    settings = model_settings(entry.config_path, image_size=config.image_size)
    predictor = instantiate(settings | {"_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor"}).eval()
    load_strictly(predictor, entry.weights_path)
    pictures = folder / "pictures"
    pictures.mkdir()
    for index, frame in enumerate(clip):
        cv2.imwrite(str(pictures / f"{index}.jpg"), frame.rgb)
    with contextlib.redirect_stderr(io.StringIO()):
        state = predictor.init_state(str(pictures))
    # The same pictures to the last bit: JPEG would change them.
    state["images"] = torch.cat([image_from_rgb(frame.rgb, size_px=predictor.image_size) for frame in clip])
    state["cached_features"] = {}
    return predictor, state


def _entry_with_weights(model: str, folder: Path) -> tuple[ModelEntry, bool]:
    """The model, with random weights in `folder` when its own are not on this machine."""
    entry = registry().get(model)
    if entry is None or status(entry) == "ready":
        return resolve(model), False
    torch.manual_seed(0)
    network = build_sam2(entry.config_path)
    with torch.no_grad():  # random weights would call every object absent
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(5.0)
    torch.save({"model": network.state_dict()}, folder / "random.pt")
    return replace(entry, files=(ModelFile(folder / "random.pt"),)), True


def _clip(frames: int, size_wh: tuple[int, int]) -> Iterator[RgbdFrame]:
    """Blocks that drift over a textured background."""
    width, height = size_wh
    texture = np.random.default_rng(0).integers(0, 255, (height // 16 + 4, width // 16 + 4, 3), np.uint8)
    background = texture.repeat(16, 0).repeat(16, 1)
    for index in range(frames):
        rgb = background[index // 2 : index // 2 + height, index : index + width].copy()[:height, :width]
        rgb[height // 3 : height // 2, 2 * index : 2 * index + width // 6] = (200, 30, 30)
        camera = Intrinsics(width, height, float(width), float(width), width / 2, height / 2)
        yield RgbdFrame(index * 33_000_000, "camera", rgb, None, camera)


def _prompt(number: int, size_wh: tuple[int, int]) -> Prompt:
    width, height = size_wh
    left = (number * width // 8) % (width * 3 // 4)
    return Prompt(str(number), 0, box_xyxy=np.array([left, height // 3, left + width // 6, height // 2], np.float32))


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"median": 1e3 * statistics.median(seconds), "p95": 1e3 * float(np.quantile(seconds, 0.95))}


def main() -> None:
    """`python benchmarks/bench_tracker.py --against official --json out/bench/tracker.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="referent-sam2-small")
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--against", default="official", help="comma-separated: official; empty = ours alone")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = bench_tracker(
        args.model, image_size=args.image_size, objects=args.objects, frames=args.frames, threads=args.threads,
        against=[name for name in args.against.split(",") if name],
    )  # fmt: skip
    print(case_table(result))
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
