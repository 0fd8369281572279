"""The official SAM 2 video predictor, built by its own functions, as the truth of the parity tests."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from clips import a_frame, jpeg_bytes
from torch import Tensor

from referent.tracking.preprocess import image_from_rgb
from referent.types import Prompt, RgbdFrame


def official_predictor(yaml: Path, checkpoint: Path, *, overrides: Sequence[str] = (), defaults: bool = True) -> Any:
    """`build_sam2_video_predictor` on a YAML file anywhere and a checkpoint of {"model": tensors}.

    `defaults=False` leaves out what the official build adds for evaluation, so that the YAML's own words count.
    """
    from sam2.build_sam import build_sam2_video_predictor

    with _hydra_reading(yaml.parent):
        predictor = build_sam2_video_predictor(
            yaml.name,
            str(checkpoint),
            device="cpu",
            hydra_overrides_extra=list(overrides),
            apply_postprocessing=defaults,
        )
    predictor.fill_hole_area = 0  # needs a CUDA kernel that CPU builds lack: they warn and fill nothing
    return predictor


@dataclass
class OfficialVideo:
    """One `inference_state` over a clip, told when to prompt and how far to go."""

    predictor: Any
    state: dict[str, Any]

    def prompt(self, prompt: Prompt, *, index: int) -> None:
        with torch.inference_mode():
            if prompt.mask is not None:
                self.predictor.add_new_mask(self.state, index, prompt.object_id, prompt.mask)
            else:
                self.predictor.add_new_points_or_box(
                    self.state, index, prompt.object_id,
                    points=prompt.points_xy, labels=prompt.point_labels, box=prompt.box_xyxy,
                )  # fmt: skip

    def propagate(self, first: int, last: int) -> dict[int, dict[str, Tensor]]:
        """Logits (H, W) at the video's resolution by frame and object."""
        with _quiet():
            run = self.predictor.propagate_in_video(self.state, first, last - first)
            return {index: dict(zip(ids, masks[:, 0].clone(), strict=True)) for index, ids, masks in run}

    def forget_tracked_frames(self, object_id: str) -> None:
        """Drop non-conditioning memories: what the broken `clear_non_cond_mem_around_input` is meant to do."""
        number = self.state["obj_id_to_idx"][object_id]
        self.state["output_dict_per_obj"][number]["non_cond_frame_outputs"].clear()


def official_video(predictor: Any, clip: list[RgbdFrame], folder: Path, *, own_pictures: bool = False) -> OfficialVideo:
    """The clip loaded as a folder of JPEG files; its pictures replaced by ours bit for bit unless `own_pictures`."""
    folder.mkdir()
    for index, frame in enumerate(clip):
        (folder / f"{index:05d}.jpg").write_bytes(jpeg_bytes(frame.rgb))
    with _quiet():
        state = predictor.init_state(str(folder))
    if not own_pictures:
        images = [image_from_rgb(frame.rgb, size_px=predictor.image_size)[0] for frame in clip]
        state["images"] = torch.stack(images)
        state["cached_features"] = {}
    return OfficialVideo(predictor, state)


def decoded(clip: list[RgbdFrame]) -> list[RgbdFrame]:
    """The pictures as anyone sees them who opens the JPEG files of `official_video`."""
    import numpy as np
    from PIL import Image

    return [
        a_frame(index, np.asarray(Image.open(io.BytesIO(jpeg_bytes(frame.rgb))).convert("RGB")))
        for index, frame in enumerate(clip)
    ]


@contextlib.contextmanager
def _hydra_reading(folder: Path) -> Iterator[None]:
    """Let the official build find YAML files in `folder` instead of in its own package."""
    from hydra import initialize_config_dir, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder.resolve()), version_base="1.2"):
        yield
    initialize_config_module("sam2", version_base="1.2")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Progress bars of the predictor are not ours to show."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
