"""Builds SAM 2 from a YAML file in the official schema and loads its weights strictly.

Only `sam2.modeling.*` is built, so torchvision is not needed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from referent.errors import ConfigError, WeightsMissing
from referent.weights import ModelEntry, load_strictly

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

BUILDABLE = "sam2.modeling."
BASE_CLASS = "sam2.modeling.sam2_base.SAM2Base"
PATCH_PX = 4  # side of Hiera's finest token
COARSEST_PX = 32  # and of its coarsest, which is doubled back to the next finer size
HIERA_WINDOWS = (8, 4, 14, 7)  # tokens a window is wide, per stage, where a configuration does not say (hieradet.py)

# What the official video predictor adds to every configuration before it tracks (sam2/build_sam.py).
VIDEO_DEFAULTS = {"binarize_mask_from_pts_for_mem_enc": True}
VIDEO_DECODER_DEFAULTS = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def build_sam2(source: ModelEntry | Path, *, image_size: int = 0, device: str = "cpu") -> SAM2Base:
    """SAM 2 in evaluation mode: with its weights from a registry entry, with random ones from a YAML file.

    `image_size` is the side of the square input in pixels, 0 = the configured one. Raises WeightsMissing when the
    configuration or the weights are absent, damaged or do not belong together, ConfigError on an impossible size.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    path = source if isinstance(source, Path) else source.config_path
    settings = model_settings(path, image_size=image_size)
    try:
        model = instantiate(settings)
    except InstantiationException as error:
        reason = " ".join(str(error).split())
        raise WeightsMissing(f"{path} does not describe a SAM 2 model ({reason})") from error
    if isinstance(source, ModelEntry):
        load_strictly(model, source.weights_path)
    return model.to(device).eval()


def model_settings(path: Path, *, image_size: int = 0) -> dict[str, Any]:
    """The `model` part of a SAM 2 YAML file as the video predictor would build it, but naming `SAM2Base`.

    What the file says itself wins over the video predictor's defaults.
    """
    settings = _read_model_part(path)
    if str(settings.get("_target_", "")).startswith("sam2.sam2_video_predictor."):
        settings = _without_predictor_settings(settings)
    strangers = [target for target in _targets(settings) if not target.startswith(BUILDABLE)]
    if strangers or settings.get("_target_") != BASE_CLASS:
        raise WeightsMissing(f"{path} names {[*strangers, settings.get('_target_')][0]}; only {BASE_CLASS} is built")
    decoder = VIDEO_DECODER_DEFAULTS | (settings.get("sam_mask_decoder_extra_args") or {})
    settings = VIDEO_DEFAULTS | settings | {"sam_mask_decoder_extra_args": decoder, "compile_image_encoder": False}
    if image_size:
        settings["image_size"] = image_size
    _check_side(settings)
    return settings


def _check_side(settings: dict[str, Any]) -> None:
    """Raise ConfigError for a side SAM 2 cannot take.

    Later windows are padded, but the position embedding of the first stage is tiled window by window.
    """
    side = settings.get("image_size", 512)
    step = math.lcm(COARSEST_PX, PATCH_PX * _first_window(settings))
    if side < step or side % step:
        below, above = side // step * step, (side // step + 1) * step
        legal = f"{below} and {above} px are" if below >= step else f"{step} px is the smallest"
        raise ConfigError(f"image size {side} px of SAM 2 is not a multiple of {step} px; {legal}")


def _first_window(settings: dict[str, Any]) -> int:
    """Width in tokens of the windows of Hiera's first stage."""
    encoder = settings.get("image_encoder")
    trunk = encoder.get("trunk") if isinstance(encoder, dict) else None
    windows = trunk.get("window_spec", HIERA_WINDOWS) if isinstance(trunk, dict) else HIERA_WINDOWS
    return int(windows[0])


def _read_model_part(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise WeightsMissing(f"{path} cannot be read as a model's YAML ({' '.join(str(error).split())})") from error
    settings = tree.get("model") if isinstance(tree, dict) else None
    if not isinstance(settings, dict):
        raise WeightsMissing(f"{path} has no `model:` part as SAM 2 configurations do")
    return {str(key): value for key, value in settings.items()}


def _without_predictor_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of the official predictor class reduced to those of the model below it."""
    from sam2.modeling.sam2_base import SAM2Base

    known = inspect.signature(SAM2Base.__init__).parameters
    return {key: value for key, value in settings.items() if key in known} | {"_target_": BASE_CLASS}


def _targets(node: object) -> Iterator[str]:
    """Every class a configuration tree names."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        for child in node.values():
            yield from _targets(child)
    elif isinstance(node, list):
        for child in node:
            yield from _targets(child)
