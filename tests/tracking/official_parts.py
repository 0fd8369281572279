"""Builders: official SAM 2 models of random weights that do something, what their parts take, and how to compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from clips import SMALL_YAML
from torch import Tensor, nn

from referent.tracking.model import build_sam2, model_settings
from referent.weights import registry, resolve

SAM_2 = {"add_tpos_enc_to_obj_ptrs": False, "proj_tpos_enc_in_obj_ptrs": False, "no_obj_embed_spatial": False}
UNPROJECTED_AGES = {"proj_tpos_enc_in_obj_ptrs": False}


def an_official_model(yaml: Path = SMALL_YAML, *, seed: int = 0, image_size: int = 0, **settings: Any) -> Any:
    """A `SAM2Base` of enlarged random weights; `settings` win over those of the YAML file."""
    from hydra.utils import instantiate

    torch.manual_seed(seed)
    tree = model_settings(yaml, image_size=image_size)
    decoder = tree["sam_mask_decoder_extra_args"] | settings.pop("sam_mask_decoder_extra_args", {})
    return enlarged(instantiate(tree | settings | {"sam_mask_decoder_extra_args": decoder}).eval())


def the_bundled_model() -> Any:
    return build_sam2(resolve("referent-sam2-small"))


def official_yaml(name: str) -> Path:
    """A configuration inside the installed sam2 package, such as sam2.1_hiera_t."""
    return registry()["sam2.1-hiera-tiny"].config_path.with_name(f"{name}.yaml")


def enlarged(model: Any) -> Any:
    """Weights so large that no part can be left out unseen, and nothing that starts as zeros or ones stays so."""
    norms = (nn.LayerNorm, nn.GroupNorm)
    with torch.no_grad():
        for module in model.modules():
            is_norm = isinstance(module, norms) or type(module).__name__ == "LayerNorm2d"
            for name, weight in module.named_parameters(recurse=False):
                if is_norm:
                    weight.add_(0.2 * torch.randn_like(weight))
                elif name == "bias" or weight.std() < 0.1:
                    weight.mul_(2 if weight.any() else 0).add_(0.1 * torch.randn_like(weight))
    return model


@dataclass(frozen=True)
class Frame:
    """One picture's maps, ours to take as they are and as the official functions take them for `count` objects."""

    maps: tuple[Tensor, Tensor, Tensor]
    model: Any

    @property
    def sizes(self) -> list[tuple[int, int]]:
        return [(level.shape[-2], level.shape[-1]) for level in self.maps]

    def features(self, count: int = 1) -> list[Tensor]:
        """(hw, count, C) of each level, finest first."""
        return [level.expand(count, -1, -1, -1).flatten(2).permute(2, 0, 1) for level in self.maps]

    def position(self, count: int = 1) -> Tensor:
        """(hw, count, D) of the coarse level."""
        encoding = self.model.image_encoder.neck.position_encoding(self.maps[-1])
        return encoding.expand(count, -1, -1, -1).flatten(2).permute(2, 0, 1)


def a_frame(model: Any, *, seed: int = 1) -> Frame:
    """Random maps in the sizes that `model` makes of a picture."""
    generator = torch.Generator().manual_seed(seed)
    side, dim = model.image_size // 4, model.hidden_dim
    shapes = [(1, dim // 8, side, side), (1, dim // 4, side // 2, side // 2), (1, dim, side // 4, side // 4)]
    fine, middle, coarse = (torch.randn(shape, generator=generator) for shape in shapes)
    return Frame((fine, middle, coarse), model)


def randn(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_close(ours: Tensor, truth: Tensor, *, relative: float = 1e-5) -> None:
    """Of one shape, and apart by no more than `relative` of the truth's largest value."""
    assert ours.shape == truth.shape
    scale = truth.abs().max().item()
    assert scale > 1e-3, "nothing to compare"
    worst = (ours.float() - truth.float()).abs().max().item()
    assert worst <= relative * scale, f"apart by {worst} of {scale}"
