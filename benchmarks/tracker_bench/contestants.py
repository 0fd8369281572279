"""Who takes part: our tracker, the official video predictor, and transformers' Sam2VideoModel on the same weights.

Each is shown a clip frame by frame and hands out masks of the clip's size. The rivals are given their input resized and
normalized beforehand (`prepare` is not timed); ours takes the camera's bytes.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.profiler import record_function

from referent.config import TrackerConfig
from referent.tracking.model import build_sam2, model_settings
from referent.tracking.preprocess import image_from_rgb
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Prompt, RgbdFrame
from referent.weights import load_strictly, resolve

Part = tuple[object, str, str]  # owner, method, label


@dataclass(frozen=True)
class Setting:
    """What all contestants of one race have in common."""

    model: str  # what `referent.weights.resolve` takes: a name or the path of a weights file
    image_size: int  # 0 = as configured
    device: str = "cpu"
    max_objects: int = 1


class Contestant(Protocol):
    """A tracker in the race."""

    def start(self, prompts: Sequence[Prompt], *, size_wh: tuple[int, int], frames: int) -> None:
        """Forget everything; the first frame shown next carries the prompts, `frames` will be shown in all."""

    def prepare(self, frame: RgbdFrame) -> Any:
        """What `step` takes, made outside the timing."""

    def step(self, prepared: Any) -> list[Array]:
        """(H, W) bool masks in the order of the prompts; none for the frame that carries the prompts."""

    def labelled(self) -> AbstractContextManager[None]:
        """While open, its parts are recorded under the labels `sam2.*` for torch.profiler."""

    @property
    def held_bytes(self) -> int:
        """Bytes of all tensors it keeps from frame to frame, its weights left out."""


class Ours:
    """`Sam2Tracker`, from the picture's bytes."""

    def __init__(self, setting: Setting, *, precision: str) -> None:
        config = TrackerConfig(
            image_size=setting.image_size,
            threads=torch.get_num_threads(),
            device=setting.device,
            precision=precision,
            max_objects=setting.max_objects,
        )
        self._tracker = Sam2Tracker(config, resolve(setting.model))
        self._prompts: list[Prompt] = []

    def start(self, prompts: Sequence[Prompt], *, size_wh: tuple[int, int], frames: int) -> None:
        """As `Contestant`."""
        self._tracker.reset()
        self._prompts = list(prompts)

    def prepare(self, frame: RgbdFrame) -> RgbdFrame:
        """The frame itself."""
        return frame

    def step(self, prepared: RgbdFrame) -> list[Array]:
        """As `Contestant`."""
        masks = [found.mask for found in self._tracker.step(prepared)]
        for prompt in self._prompts:
            self._tracker.prompt(prompt)
        self._prompts = []
        return masks

    def labelled(self) -> AbstractContextManager[None]:
        """Nothing to do: the engine labels its parts itself."""
        return contextlib.nullcontext()

    @property
    def held_bytes(self) -> int:
        """Memory of the objects and the ring of image features for late prompts."""
        return self._tracker.memory_bytes + self._tracker.history_bytes


class Official:
    """`SAM2VideoPredictor` (sam2 package) over a clip of known length; on a GPU compiled (`vos_optimized`), in bf16."""

    def __init__(self, setting: Setting) -> None:
        from hydra.utils import instantiate

        entry = resolve(setting.model)
        on_gpu = setting.device == "cuda"
        settings = model_settings(entry.config_path, image_size=setting.image_size) | {
            "_target_": f"sam2.sam2_video_predictor.SAM2VideoPredictor{'VOS' if on_gpu else ''}",
            "compile_image_encoder": on_gpu,
        }
        self._predictor = instantiate(settings).eval()
        load_strictly(self._predictor, entry.weights_path)
        self._predictor.to(setting.device)
        self._device = setting.device
        self._state: dict[str, Any] = {}
        self._prompts: list[Prompt] = []
        self._run: Iterator[Any] = iter(())

    def start(self, prompts: Sequence[Prompt], *, size_wh: tuple[int, int], frames: int) -> None:
        """As `Contestant`. The pictures are put into its state one by one, as its asynchronous loader does."""
        with tempfile.TemporaryDirectory() as folder, _quiet(), self._arithmetic():
            cv2.imwrite(str(Path(folder) / "0.jpg"), np.zeros((size_wh[1], size_wh[0], 3), np.uint8))
            self._state = self._predictor.init_state(folder)
        self._state |= {"images": {}, "num_frames": frames, "cached_features": {}}
        self._prompts = list(prompts)

    def prepare(self, frame: RgbdFrame) -> None:
        """Put the resized and normalized picture where it looks for it."""
        images = self._state["images"]
        images[len(images)] = image_from_rgb(frame.rgb, size_px=self._predictor.image_size, device=self._device)[0]

    def step(self, prepared: None) -> list[Array]:
        """As `Contestant`."""
        with _quiet(), self._arithmetic():
            if self._prompts:
                self._add_prompts()
                next(self._run)
                return []
            _, _, logits = next(self._run)
            return list((logits[:, 0] > 0).cpu().numpy())

    def labelled(self) -> AbstractContextManager[None]:
        """As `Contestant`."""
        model = self._predictor
        return recorded(
            (model, "forward_image", "sam2.encoder"),
            (model.memory_attention, "forward", "sam2.attention"),
            (model, "_forward_sam_heads", "sam2.decoder"),
            (model.memory_encoder, "forward", "sam2.memory_encoder"),
        )

    @property
    def held_bytes(self) -> int:
        """Its inference state."""
        return tensor_bytes(self._state)

    def _add_prompts(self) -> None:
        for prompt in self._prompts:
            self._predictor.add_new_points_or_box(self._state, 0, prompt.object_id, box=prompt.box_xyxy)
        self._prompts = []
        self._run = self._predictor.propagate_in_video(self._state)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.bfloat16) if self._device == "cuda" else contextlib.nullcontext()


class Transformers:
    """`Sam2VideoModel` with an inference session that is given one frame at a time."""

    def __init__(self, setting: Setting) -> None:
        from tracker_bench.transformers_sam2 import converted

        self._model = converted(build_sam2(resolve(setting.model), image_size=setting.image_size))
        self._model.to(setting.device)
        self._device = setting.device
        self._size_wh = (0, 0)
        self._session: Any = None

    def start(self, prompts: Sequence[Prompt], *, size_wh: tuple[int, int], frames: int) -> None:
        """As `Contestant`."""
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self._size_wh = size_wh
        self._session = Sam2VideoInferenceSession(
            video_height=size_wh[1], video_width=size_wh[0], inference_device=self._device,
            inference_state_device=self._device, video_storage_device=self._device, dtype=torch.float32,
        )  # fmt: skip
        scale = torch.tensor(size_wh, dtype=torch.float32) / self._model.image_size
        for prompt in prompts:
            corners = torch.from_numpy(prompt.box_xyxy).reshape(1, 1, 2, 2) / scale
            inputs = {"point_coords": corners, "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32)}
            self._session.add_point_inputs(self._session.obj_id_to_idx(prompt.object_id), 0, inputs)
        self._session.obj_with_new_inputs = [prompt.object_id for prompt in prompts]

    def prepare(self, frame: RgbdFrame) -> Tensor:
        """The picture resized and normalized as for the others."""
        return image_from_rgb(frame.rgb, size_px=self._model.image_size, device=self._device)

    def step(self, prepared: Tensor) -> list[Array]:
        """As `Contestant`."""
        found = self._model(inference_session=self._session, frame=prepared)
        logits = interpolate(found.pred_masks, size=self._size_wh[::-1], mode="bilinear", align_corners=False)
        return list((logits[:, 0] > 0).cpu().numpy()) if found.frame_idx else []

    def labelled(self) -> AbstractContextManager[None]:
        """As `Contestant`."""
        model = self._model
        return recorded(
            (model, "get_image_features", "sam2.encoder"),
            (model.memory_attention, "forward", "sam2.attention"),
            (model, "_single_frame_forward", "sam2.decoder"),
            (model.memory_encoder, "forward", "sam2.memory_encoder"),
        )

    @property
    def held_bytes(self) -> int:
        """Its inference session."""
        return tensor_bytes(vars(self._session))


def contestant(name: str, setting: Setting) -> Contestant:
    """`ours` with its default precision, `ours fp32`, `ours bf16`, `official` or `transformers`."""
    if name == "official":
        return Official(setting)
    if name == "transformers":
        return Transformers(setting)
    return Ours(setting, precision=name.partition(" ")[2] or "auto")


@contextlib.contextmanager
def recorded(*parts: Part) -> Iterator[None]:
    """While open, calls of these methods are recorded under their labels."""
    before = [(owner, method, vars(owner).get(method)) for owner, method, _ in parts]
    for owner, method, label in parts:
        setattr(owner, method, _recording(getattr(owner, method), label))
    try:
        yield
    finally:
        for owner, method, own in before:
            delattr(owner, method)
            if own is not None:
                setattr(owner, method, own)


def _recording(call: Callable[..., Any], label: str) -> Callable[..., Any]:
    def recording(*args: Any, **kwargs: Any) -> Any:
        with record_function(label):
            return call(*args, **kwargs)

    return recording


def tensor_bytes(root: object) -> int:
    """Bytes of all tensor storages that can be reached from `root`, each counted once."""
    storages: dict[int, int] = {}
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        elif id(item) not in seen:
            seen.add(id(item))
            waiting += _children(item)
    return sum(storages.values())


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, list | tuple):
        return list(item)
    return list(vars(item).values()) if hasattr(item, "__dict__") and not isinstance(item, type) else []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Progress bars of the predictor are not ours to show."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
