"""Train `referent-qwen3vl-tiny` from nothing on rendered pictures.

    python -m referent.training.grounder_stills --output STILLS &     # the pool may grow while training runs
    python -m referent.training.grounder --stills STILLS --output DIR --minutes 60 [--resume] [--start-from BUNDLE]

First the vision tower learns what every patch shows, then the whole model learns to answer. The schedule follows the
share of the wall-clock time that is used up, so it ends on time on a busy machine. A run may start from what an earlier
bundle has learnt: words the bundle does not know are added.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from referent.errors import BadMessage
from referent.grounding.coordinates import nearest_shape
from referent.sources.simulation.expressions import words_of_expressions
from referent.training.grounder_forward import Language, PackedForward, Vision, patches_from_pictures
from referent.training.grounder_losses import Helpers, dialogue_loss, vision_loss
from referent.training.grounder_model import (
    PICTURE_SIZES,
    build_model,
    build_processor,
    build_tokenizer,
    save_bundle,
    start_from,
)
from referent.training.grounder_packing import FOLLOW_UP, IGNORED, Batch, Packer
from referent.training.grounder_stills import Still, read_still, size_from_path, varied_example

VISION_SHARE = 0.24  # of the time, for a model that knows nothing yet
KNOWING_VISION_SHARE = 0.06  # ... and for one that starts from a bundle
SEEING_WEIGHT = 0.6  # of the dense labels beside the answers: what a thing is takes longest to learn
FULL: Mapping[str, float] = {  # weights of single questions; of most kinds about four can be asked of a picture
    "attribute": 2.5, "absent": 4.0, "relation": 2.0, "superlative": 1.4, "ordinal": 1.5, "affordance": 1.5,
    "plural": 1.8, "negation": 1.2, "part": 0.8, "ambiguous": 0.7, FOLLOW_UP: 2.8,
}  # fmt: skip
EASY: Mapping[str, float] = {"attribute": 6.0, "absent": 1.5, "affordance": 0.3, "superlative": 0.5}
SIZE_ODDS = (0.36, 0.14, 0.14, 0.24, 0.12)  # of the sizes the model knows


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    stills: Path
    output: Path
    minutes: float
    batch: int = 16
    seed: int = 0
    lr: float = 2.5e-3
    checkpoint_s: float = 300.0
    start_from: Path | None = None
    device: str = "cpu"
    vision_share: float = VISION_SHARE  # of the time, in which only the vision tower learns


class Pool:
    """The stills on disk by the size of the model they suit; looks for new ones now and then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: dict[tuple[int, int], list[Path]] = {}
        self.refresh()

    def __len__(self) -> int:
        return sum(len(paths) for paths in self.paths.values())

    def refresh(self) -> None:
        """Take in what was rendered since."""
        found: dict[tuple[int, int], list[Path]] = {}
        for path in sorted(self.folder.glob("*-*x*.npz")):
            found.setdefault(nearest_shape(size_from_path(path), PICTURE_SIZES), []).append(path)
        if not found:
            raise BadMessage(f"{self.folder} holds no stills; make some with referent.training.grounder_stills")
        self.paths = found

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Still:
        """A random still, of the shape of `size` if there is one."""
        fitting = self.paths.get(size) or next(iter(self.paths.values()))
        return read_still(fitting[rng.integers(len(fitting))])


class Trainer:
    """Model, optimizers and everything that `resume` needs."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.tokenizer = build_tokenizer(words_of_expressions())
        self.processor = build_processor(self.tokenizer)
        self.model = build_model(self.tokenizer)
        if plan.start_from is not None:
            new = start_from(self.model, self.tokenizer, plan.start_from)
            print(f"from {plan.start_from}: {len(new)} new words", flush=True)
        self.model.to(plan.device)
        text, vision = self.model.config.text_config, self.model.config.vision_config
        self.helpers = Helpers(vision.hidden_size, text.hidden_size).to(plan.device)
        self.packed = PackedForward(self.model)
        self.packer = Packer(self.tokenizer, self.processor.chat_template)
        self.optimizers = _optimizers(self.model, self.helpers, plan.lr)
        self.step, self.spent_s = 0, 0.0

    def learn(self, batch: Batch, share: float) -> dict[str, float]:
        """One step at `share` (0..1) of the time."""
        batch = batch.to(self.plan.device)
        begin = self.plan.vision_share
        with torch.autocast(self.plan.device, torch.bfloat16):
            vision: Vision = self.packed.look(patches_from_pictures(batch.rgb), batch.grid)
            loss, seen = vision_loss(self.helpers, vision, batch)
            if share >= begin:
                language: Language = self.packed.read(
                    batch.ids, batch.positions, batch.allowed, vision, self.packer.picture_start
                )
                logits = self.packed.logits(language.hidden[batch.target != IGNORED])
                sigma = 16 * (4 / 16) ** ((share - begin) / (1 - begin))
                told, more = dialogue_loss(self.helpers, language, logits, batch, sigma)
                loss, seen = told + SEEING_WEIGHT * loss, seen | more
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._set_rate(share)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return seen | {"loss": float(loss.detach())}

    def _set_rate(self, share: float) -> None:
        """Warm up at the start of both phases, then fall to nothing."""
        begin = self.plan.vision_share
        if share < begin:
            inside = share / begin
            factor = min(1.0, inside / 0.05) * (1 - 0.5 * inside)
        else:
            inside = (share - begin) / (1 - begin)
            factor = min(1.0, inside / 0.02) * min(1.0, 1.25 * (1 - inside))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * max(factor, 0.005)

    def state(self) -> dict[str, Any]:
        """Everything that a later `restore` needs."""
        return {
            "model": self.model.state_dict(),
            "helpers": self.helpers.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent_s": self.spent_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.model.load_state_dict(state["model"])
        self.helpers.load_state_dict(state["helpers"])
        for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        self.step, self.spent_s = state["step"], state["spent_s"]


def train(plan: Plan) -> Path:
    """Run the plan; returns the folder of the finished bundle."""
    plan.output.mkdir(parents=True, exist_ok=True)
    trainer, pool = Trainer(plan), Pool(plan.stills)
    checkpoint = plan.output / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, weights_only=True))
    before, started, saved = trainer.spent_s, time.perf_counter(), trainer.spent_s
    total_s, halfway = plan.minutes * 60, trainer.spent_s > plan.minutes * 30

    def prepare(step: int, share: float) -> Batch:
        return _batch(trainer.packer, pool, np.random.default_rng((plan.seed, step)), plan, share)

    with (plan.output / "learning_curve.jsonl").open("a") as curve, ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(prepare, trainer.step, trainer.spent_s / total_s)
        while trainer.spent_s < total_s:
            share = trainer.spent_s / total_s
            batch, coming = coming.result(), ahead.submit(prepare, trainer.step + 1, share)
            seen = trainer.learn(batch, share)
            trainer.spent_s = before + time.perf_counter() - started
            if trainer.step % 20 == 0:
                line = {"step": trainer.step, "spent_s": trainer.spent_s, "stills": len(pool), **seen}
                curve.write(json.dumps({name: round(value, 4) for name, value in line.items()}) + "\n")
                curve.flush()
            if trainer.spent_s - saved > plan.checkpoint_s:
                saved = trainer.spent_s
                pool.refresh()
                _save_checkpoint(trainer, checkpoint)
            if not halfway and share > 0.5:
                halfway = True
                save_bundle(trainer.model, trainer.processor, plan.output / "halfway")
    save_bundle(trainer.model, trainer.processor, plan.output / "bundle")
    _save_checkpoint(trainer, checkpoint)
    return plan.output / "bundle"


def _batch(packer: Packer, pool: Pool, rng: np.random.Generator, plan: Plan, share: float) -> Batch:
    """Rows of one picture size."""
    mix = _mix(plan, share)
    size = PICTURE_SIZES[rng.choice(len(PICTURE_SIZES), p=SIZE_ODDS)]
    return packer.batch(
        [packer.row(varied_example(pool.draw(rng, size), rng, size), rng, mix) for _ in range(plan.batch)]
    )


def _mix(plan: Plan, share: float) -> Mapping[str, float]:
    """Kinds of expressions: none while only the eyes learn; then easy ones first, unless the model knows them."""
    if share < plan.vision_share:
        return {}
    if plan.start_from is not None:
        return FULL
    blend = min(1.0, max(0.0, (share - plan.vision_share - 0.2) / 0.25))
    return {kind: (1 - blend) * EASY.get(kind, 0.0) + blend * FULL[kind] for kind in FULL}


def _save_checkpoint(trainer: Trainer, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(trainer.state(), part)
    part.replace(path)


def _optimizers(model: Any, helpers: Helpers, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for everything else."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in _named(model):
        wide = parameter.ndim == 2 and max(parameter.shape) < 768 and "embed" not in name
        (matrices if wide else rest).append(parameter)
    muon = torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW([*rest, *helpers.parameters()], lr=rate / 2, betas=(0.9, 0.97), weight_decay=0.01)
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]


def _named(model: Any) -> Iterator[tuple[str, Tensor]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stills", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=2.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--start-from", type=Path, help="folder of a bundle whose knowledge is taken over")
    parser.add_argument(
        "--vision-share", type=float, help=f"of the time; {VISION_SHARE}, or {KNOWING_VISION_SHARE} from a bundle"
    )
    parser.add_argument("--resume", action="store_true", help="go on from DIR/checkpoint.pt")
    options = parser.parse_args()
    if (options.output / "checkpoint.pt").exists() and not options.resume:
        parser.error(f"{options.output / 'checkpoint.pt'} exists: pass --resume or choose another --output")
    if options.start_from is not None and not (options.start_from / "config.json").is_file():
        parser.error(f"--start-from {options.start_from}: no bundle lies there (config.json is missing)")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU; use cpu")
    torch.set_num_threads(options.threads)
    share = VISION_SHARE if options.start_from is None else KNOWING_VISION_SHARE
    plan = Plan(
        options.stills, options.output, options.minutes, options.batch, options.seed, options.lr,
        start_from=options.start_from, device=options.device,
        vision_share=share if options.vision_share is None else options.vision_share,
    )  # fmt: skip
    print(f"bundle: {train(plan)}")


if __name__ == "__main__":
    main()
