"""The official SAM 2 video predictor with the configured weights, as sam2's users run it: the rival of our tracker."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from referent.config import TrackerConfig
from referent.evaluation.heldout.clips import JudgedClip
from referent.evaluation.heldout.follows import Follower
from referent.tracking.model import model_settings
from referent.types import Array, Prompt, RgbdFrame
from referent.weights import load_strictly, resolve

PREDICTOR = "sam2.sam2_video_predictor.SAM2VideoPredictor"


def official_follower(config: TrackerConfig) -> Follower:
    """A follower that lets `SAM2VideoPredictor` propagate each clip from its first frame, in float32.

    Pictures are read by its own loader. Raises WeightsMissing when the model cannot be loaded.
    """
    predictor = _predictor(config)

    def follow(clip: JudgedClip, prompts: Sequence[Prompt]) -> Array:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            _write_frames(clip.frames, Path(folder))
            state = predictor.init_state(folder)
            for prompt in prompts:
                predictor.add_new_points_or_box(state, 0, prompt.object_id, box=prompt.box_xyxy)
            masks = np.zeros((len(prompts), *clip.instance_ids.shape), bool)
            for index, _, logits in predictor.propagate_in_video(state):
                masks[:, index] = (logits[:, 0] > 0).cpu().numpy()
        return masks

    return follow


def _predictor(config: TrackerConfig) -> Any:
    import torch
    from hydra.utils import instantiate

    entry = resolve(config.model)
    settings = model_settings(entry.config_path, image_size=config.image_size) | {"_target_": PREDICTOR}
    predictor = instantiate(settings).eval()
    load_strictly(predictor, entry.weights_path)
    on_gpu = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    return predictor.to("cuda" if on_gpu else "cpu")


def _write_frames(frames: Sequence[RgbdFrame], folder: Path) -> None:
    """PNG under the only names its loader looks for: Pillow looks at the content, and no pixel is lost."""
    for number, frame in enumerate(frames):
        png = cv2.imencode(".png", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))[1]
        (folder / f"{number}.jpg").write_bytes(png.tobytes())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Progress bars of the predictor are not ours to show."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
