"""The table of docs/tracker.md: how far our logits and masks are from the official predictor's, and its from itself.

python tests/tracking/parity_table.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import SMALL_YAML, a_checkpoint, a_clip
from official import official_predictor, official_video
from streamed import Streamed
from test_parity import FRAMES, KINDS
from torch import Tensor

from referent.config import TrackerConfig
from referent.types import Prompt
from referent.weights import ModelEntry, read_state_dict, resolve

Logits = Mapping[int, Mapping[str, Tensor]]


def difference(ours: Logits, truth: Logits) -> str:
    """Largest difference of a logit, and how many pixels of all masks differ."""
    pairs = [(ours[index][name], logits) for index, objects in truth.items() for name, logits in objects.items()]
    worst = max((a - b).abs().max().item() for a, b in pairs)
    pixels = sum(int(((a > 0) != (b > 0)).sum()) for a, b in pairs)
    return f"{worst:.1e}, {pixels} of {sum(b.numel() for _, b in pairs)}"


def officially(predictor: Any, prompts: Sequence[Prompt], *, threads: int) -> Logits:
    """The logits of all frames."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        video = official_video(predictor, a_clip(FRAMES), Path(folder) / "jpeg")
        for prompt in prompts:
            video.prompt(prompt, index=0)
        return video.propagate(0, FRAMES - 1)


def row(entry: ModelEntry, predictor: Any, prompts: Sequence[Prompt]) -> list[str]:
    """Ours in official and in fast arithmetic, and the official predictor with two threads, against it with one."""
    again, truth = (officially(predictor, prompts, threads=threads) for threads in (2, 1))
    cells = []
    for arithmetic in ("official", "fast"):
        with pytest.MonkeyPatch.context() as patch:
            ours = Streamed(patch, TrackerConfig(arithmetic=arithmetic), entry).over(a_clip(FRAMES), {0: prompts})
        cells.append(difference(ours.logits, truth))
    return [*cells, difference(again, truth)]


def main() -> None:
    """Print a row for each kind of weights and prompts."""
    print("weights, prompt | ours, official | ours, fast | official, 2 threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random, bundled = a_checkpoint(folder, presence=1.61), resolve("referent-sam2-small")
        weights = {key: value.float() for key, value in read_state_dict(bundled.weights_path).items()}
        torch.save({"model": weights}, folder / "bundled.pt")
        as_written = {"defaults": False, "overrides": ["++model.binarize_mask_from_pts_for_mem_enc=true"]}
        models = {
            "random": (random, official_predictor(SMALL_YAML, random.weights_path)),
            "bundled": (bundled, official_predictor(bundled.config_path, folder / "bundled.pt", **as_written)),
        }
        for label, (entry, predictor) in models.items():
            for kind, prompts in KINDS.items():
                print(" | ".join([f"{label}, {kind}", *row(entry, predictor, prompts)]), flush=True)


if __name__ == "__main__":
    main()
