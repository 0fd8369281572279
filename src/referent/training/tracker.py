"""Trains the small SAM 2 from nothing on simulated clips, within a given number of minutes.

`python -m referent.training.tracker --minutes 60 --output out/tracker` renders its clips beside the training, logs a
learning curve, checkpoints itself and ends with `model.safetensors`; `--resume` goes on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from referent.errors import ReferentError
from referent.tracking.model import build_sam2
from referent.training import clips
from referent.training.tracker_batches import Batch, draw_batch, draw_points
from referent.training.tracker_curve import HeldOut, held_out, write_curve
from referent.training.tracker_losses import FrameLoss, frame_loss
from referent.training.tracker_model import save_weights, set_first_values, set_input_size
from referent.training.tracker_recipe import draw_prompting, plan_step
from referent.training.tracker_unroll import first_frames, unroll

log = logging.getLogger(__name__)

MUON_RATE, ADAMW_RATE, WEIGHT_DECAY = 2e-3, 1e-3, 0.01
WARM_UP_STEPS, BALANCED_STEPS = 40, 600
GRADIENT_NORM = 1.0
EMA_DECAY = 0.998
HELD_OUT_CLIPS = 24
LOG_EVERY_S, CHECKPOINT_EVERY_S, LOOK_FOR_CLIPS_EVERY_S = 15.0, 180.0, 20.0


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do."""

    config: Path  # model.yaml
    output: Path
    clips: Path
    minutes: float
    seed: int = 0
    image_size: int = 128
    final_image_size: int = 192
    clip_count: int = 4000
    clips_to_start: int = 150
    device: str = "cpu"


@dataclass(eq=False)
class Training:
    """Model, averaged weights, optimisers and counters: all that a checkpoint holds."""

    model: Any
    average: dict[str, torch.Tensor]
    optimizers: list[torch.optim.Optimizer]
    seed: int
    step: int = 0
    spent_s: float = 0.0
    object_frames: int = 0


def new_training(config: Path, *, seed: int, image_size: int, device: str) -> Training:
    """An untrained model with its optimisers."""
    torch.manual_seed(seed)
    model = build_sam2(config, image_size=image_size)
    set_first_values(model, torch.Generator().manual_seed(seed))
    model.to(device).train()
    average = {key: value.detach().clone() for key, value in model.state_dict().items()}
    return Training(model, average, _optimizers(model), seed)


def _optimizers(model: Any) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for biases, norms, convolutions and embeddings."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and min(parameter.shape) > 4 and "embed" not in name
        (matrices if is_matrix else others).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=ADAMW_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98)),
    ]


def losses_of(training: Training, batch: Batch, truth: float, rng: np.random.Generator) -> list[FrameLoss]:
    """The losses of every decoded frame of a batch with freshly drawn prompts."""
    balanced = max(0.1, 1 - 0.9 * training.step / BALANCED_STEPS)
    if batch.images.shape[1] == 1:
        first = batch.masks[:, 0]
        clicks = 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
        prompts = [draw_points(first, "box", 0, rng), draw_points(first, "click", clicks, rng)]
        return [frame_loss(output, first, balanced) for output in first_frames(training.model, batch, prompts)]
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    outputs = unroll(training.model, batch, draw_prompting(batch, rng), truth, generator)
    return [frame_loss(output, batch.masks[:, place], balanced) for place, output in enumerate(outputs)]


def optimise(training: Training, losses: list[FrameLoss], rate: float) -> float:
    """One step down the mean loss; returns that loss. ReferentError when it is not a number."""
    total = torch.stack([loss.total for loss in losses]).mean()
    if not torch.isfinite(total):
        raise ReferentError(
            f"step {training.step}: the loss is {total.item()}; resume from the checkpoint, lower rates"
        )
    total.backward()
    torch.nn.utils.clip_grad_norm_(training.model.parameters(), GRADIENT_NORM)
    warm_up = min(1.0, (training.step + 1) / WARM_UP_STEPS)
    for optimizer, full_rate in zip(training.optimizers, (MUON_RATE, ADAMW_RATE), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = full_rate * rate * warm_up
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    training.step += 1
    _average_in(training)
    return float(total.detach())


@torch.no_grad()
def _average_in(training: Training) -> None:
    decay = min(EMA_DECAY, (1 + training.step) / (10 + training.step))
    state = training.model.state_dict()
    floats = [key for key, value in state.items() if value.is_floating_point()]
    torch._foreach_lerp_([training.average[key] for key in floats], [state[key] for key in floats], 1 - decay)


def train(settings: Settings, training: Training, judge: HeldOut | None = None) -> None:
    """Steps until the minutes are spent; the clips may grow meanwhile. `judge` adds points to the learning curve."""
    folder = clips.ClipFolder(settings.clips)
    folder.wait_for(settings.clips_to_start, timeout_s=900)
    budget_s, device = settings.minutes * 60, torch.device(settings.device)
    window, last = _Window(), time.perf_counter()
    logged_s = saved_s = looked_s = training.spent_s
    while training.spent_s < budget_s:
        rng = np.random.default_rng((training.seed, training.step))
        plan = plan_step(training.spent_s / budget_s, settings.image_size, settings.final_image_size, rng)
        if training.model.image_size != plan.shape.side_px:
            set_input_size(training.model, plan.shape.side_px)
        batch = draw_batch(folder, plan.shape, rng).to(device)
        with _precision(device):
            losses = losses_of(training, batch, plan.truth, rng)
        window.add(optimise(training, losses, plan.rate), losses, batch.images.shape[1])
        training.object_frames += batch.masks.shape[0] * batch.masks.shape[1]
        now = time.perf_counter()
        training.spent_s, last = training.spent_s + now - last, now
        if training.spent_s - logged_s > LOG_EVERY_S:
            logged_s = training.spent_s
            _log_line(settings.output, training, window.summary(), plan.rate)
            window = _Window()
        if training.spent_s - saved_s > CHECKPOINT_EVERY_S:
            saved_s = training.spent_s
            save_checkpoint(training, settings.output)
            _add_to_curve(training, judge, settings.output)
        if training.spent_s - looked_s > LOOK_FOR_CLIPS_EVERY_S:
            looked_s = training.spent_s
            folder.refresh()
    save_checkpoint(training, settings.output)
    _add_to_curve(training, judge, settings.output)


def _precision(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where it pays (CUDA); on the CPU it gained 8 % only."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


class _Window:
    """Means since the last line of the log."""

    def __init__(self) -> None:
        self._loss: list[float] = []
        self._first: list[torch.Tensor] = []
        self._later: list[torch.Tensor] = []
        self._absent: list[torch.Tensor] = []

    def add(self, loss: float, losses: list[FrameLoss], frames: int) -> None:
        """Take in one step."""
        self._loss.append(loss)
        first = len(losses) if frames == 1 else 1
        self._first += [item.iou for item in losses[:first]]
        self._later += [item.iou for item in losses[first:]]
        self._absent += [item.absent_right for item in losses]

    def summary(self) -> dict[str, float | None]:
        """Loss, IoU in the prompted and in later frames, share of absent frames recognised."""
        columns = {"iou_first": self._first, "iou_later": self._later, "absent_recognised": self._absent}
        return {"loss": round(float(np.mean(self._loss)), 4)} | {k: _mean(v) for k, v in columns.items()}


def _mean(parts: list[torch.Tensor]) -> float | None:
    values = torch.cat(parts) if parts else torch.empty(0)
    values = values[~values.isnan()]
    return round(float(values.float().mean()), 4) if len(values) else None


def _add_to_curve(training: Training, judge: HeldOut | None, output: Path) -> None:
    if judge is None:
        return
    with (output / "learning_curve.jsonl").open("a") as file:
        file.write(json.dumps(_counters(training) | judge.point(training.average)) + "\n")
    write_curve([json.loads(line) for line in (output / "learning_curve.jsonl").read_text().splitlines()], output)


def _counters(training: Training) -> dict[str, float | int]:
    return {
        "minutes": round(training.spent_s / 60, 2),
        "step": training.step,
        "object_frames": training.object_frames,
    }


def _log_line(output: Path, training: Training, summary: dict[str, float | None], rate: float) -> None:
    cpu_s = round(sum(os.times()[:2]), 1)
    line = json.dumps(_counters(training) | {"cpu_s": cpu_s, "rate": round(rate, 4)} | summary)
    log.info("%s", line)
    with (output / "training_log.jsonl").open("a") as file:
        file.write(line + "\n")


def save_checkpoint(training: Training, output: Path) -> None:
    """`checkpoint.pt` to resume from and `model.safetensors`, the averaged weights to use."""
    state = {
        "model": training.model.state_dict(),
        "average": training.average,
        "optimizers": [optimizer.state_dict() for optimizer in training.optimizers],
        "counters": (training.seed, training.step, training.spent_s, training.object_frames),
    }
    unfinished = output / "checkpoint.tmp"
    torch.save(state, unfinished)
    unfinished.replace(output / "checkpoint.pt")
    save_weights(training.average, output / "model.safetensors")


def load_checkpoint(training: Training, output: Path) -> None:
    """Go on where `save_checkpoint` left off."""
    path = output / "checkpoint.pt"
    if not path.exists():
        raise ReferentError(f"{path}: no checkpoint to resume from; start without --resume")
    state = torch.load(path, map_location=training.model.device, weights_only=True)
    training.model.load_state_dict(state["model"])
    training.average = state["average"]
    for optimizer, saved in zip(training.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    training.seed, training.step, training.spent_s, training.object_frames = state["counters"]


def _start_renderer(settings: Settings) -> multiprocessing.process.BaseProcess:
    """A process that fills the clip folder at low priority and dies with this one."""
    arguments = (settings.clips, settings.clip_count)
    renderer = multiprocessing.get_context("spawn").Process(target=_render_quietly, args=arguments, daemon=True)
    renderer.start()
    return renderer


def _render_quietly(folder: Path, count: int) -> None:
    os.nice(10)
    torch.set_num_threads(1)
    clips.fill(folder, "train", count)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="wall-clock time of the training itself")
    parser.add_argument("--output", type=Path, required=True, help="folder for log, checkpoint and weights")
    parser.add_argument("--config", type=Path, default=Path("models/referent-sam2-small/model.yaml"))
    parser.add_argument("--clips", type=Path, help="folder of rendered clips (default: OUTPUT/clips)")
    parser.add_argument("--clip-count", type=int, default=4000, help="how many clips to render at most")
    parser.add_argument("--image-size", type=int, default=128, help="side of the square model input")
    parser.add_argument("--final-image-size", type=int, default=192, help="the same in the last fifth of the time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--resume", action="store_true", help="go on from OUTPUT/checkpoint.pt")
    return parser.parse_args()


def main() -> None:
    """Train for the given minutes."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    output = arguments.output
    settings = Settings(
        config=arguments.config,
        output=output,
        clips=arguments.clips or output / "clips",
        minutes=arguments.minutes,
        seed=arguments.seed,
        image_size=arguments.image_size,
        final_image_size=arguments.final_image_size,
        clip_count=arguments.clip_count,
        device=arguments.device,
    )
    output.mkdir(parents=True, exist_ok=True)
    training = new_training(settings.config, seed=settings.seed, image_size=settings.image_size, device=settings.device)
    if arguments.resume:
        load_checkpoint(training, output)
    renderer = _start_renderer(settings)
    try:
        judge = held_out(settings.config, settings.image_size, count=HELD_OUT_CLIPS)
        train(settings, training, judge)
    finally:
        renderer.terminate()


if __name__ == "__main__":
    main()
