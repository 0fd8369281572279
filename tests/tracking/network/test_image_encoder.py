"""The image encoder's maps are those of the official `forward_image`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import SMALL_YAML
from official_parts import an_official_model, assert_close, official_yaml, randn, the_bundled_model

from referent.errors import ConfigError
from referent.tracking.network.image_encoder import ImageEncoder


def assert_same_maps(model: Any, *, relative: float = 1e-5) -> None:
    picture = randn(1, 3, model.image_size, model.image_size)
    ours = ImageEncoder(model, dtype=torch.float32)(picture)
    truth = model.forward_image(picture)["backbone_fpn"]
    assert len(ours) == len(truth) == 3
    for level, true_level in zip(ours, truth, strict=True):
        assert_close(level, true_level, relative=relative)


@pytest.mark.parametrize("windows", ["[8, 4, 8, 4]", "[8, 4, 14, 7]", "[8, 4, 16, 8]", "[4, 6, 10, 5]"])
@pytest.mark.parametrize("side", [96, 128, 160, 224])
def test_a_small_trunk_of_any_windows_and_size_gives_the_official_maps(side: int, windows: str, tmp_path: Path) -> None:
    yaml = tmp_path / "model.yaml"
    yaml.write_text(SMALL_YAML.read_text().replace("[8, 4, 8, 4]", windows))
    assert_same_maps(an_official_model(yaml, image_size=side))


def test_the_bundled_model_gives_the_official_maps() -> None:
    assert_same_maps(the_bundled_model())


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("sam2.1_hiera_t", 256),
        ("sam2.1_hiera_t", 320),
        ("sam2.1_hiera_t", 512),
        ("sam2.1_hiera_b+", 256),
    ],
)
def test_a_published_trunk_gives_the_official_maps(name: str, side: int) -> None:
    assert_same_maps(an_official_model(official_yaml(name), image_size=side))


def test_the_large_trunk_with_shorter_stages_gives_the_official_maps(tmp_path: Path) -> None:
    text = official_yaml("sam2.1_hiera_l").read_text()
    shorter = text.replace("[2, 6, 36, 4]", "[2, 6, 4, 2]").replace("[23, 33, 43]", "[9, 10]")
    assert "[2, 6, 4, 2]" in shorter
    assert "[9, 10]" in shorter
    (tmp_path / "large.yaml").write_text(shorter)
    assert_same_maps(an_official_model(tmp_path / "large.yaml", image_size=320))


def test_padding_tokens_take_part_as_they_do_officially(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above would see it if they did not."""
    from referent.tracking.network import image_encoder

    ragged = an_official_model(image_size=160)
    picture = randn(1, 3, 160, 160)
    *_, truth = ragged.forward_image(picture)["backbone_fpn"]
    monkeypatch.setattr(image_encoder.math, "log", lambda _: -1e9)
    *_, without = ImageEncoder(ragged, dtype=torch.float32)(picture)
    assert (without - truth).abs().max() > 1e-3 * truth.abs().max()


def test_in_bfloat16_the_maps_stay_close(model: Any) -> None:
    picture = randn(1, 3, model.image_size, model.image_size)
    precise = ImageEncoder(model, dtype=torch.float32)(picture)
    twin = an_official_model()
    for level, true_level in zip(ImageEncoder(twin, dtype=torch.bfloat16)(picture), precise, strict=True):
        assert level.dtype == torch.bfloat16
        assert (level.float() - true_level).square().mean() < 0.03**2 * true_level.square().mean()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda model: setattr(model.image_encoder.neck, "fpn_top_down_levels", [3]), "fpn_top_down_levels"),
        (lambda model: setattr(model.image_encoder.neck, "fuse_type", "avg"), "fuse_type"),
        (lambda model: setattr(model.image_encoder.neck, "fpn_interp_model", "bilinear"), "fpn_interp_model"),
        (lambda model: setattr(model.image_encoder, "scalp", 0), "scalp"),
        (lambda model: setattr(model, "use_high_res_features_in_sam", False), "use_high_res_features_in_sam"),
    ],
    ids=["levels", "fusing", "enlarging", "scalp", "fine maps"],
)
def test_an_unsupported_setting_is_refused_by_name(change: Callable[[Any], None], name: str) -> None:
    model = an_official_model()
    change(model)
    with pytest.raises(ConfigError, match=name):
        ImageEncoder(model, dtype=torch.float32)


def test_pooling_over_odd_windows_is_refused_with_the_block_and_the_window(tmp_path: Path) -> None:
    yaml = tmp_path / "model.yaml"
    yaml.write_text(SMALL_YAML.read_text().replace("[8, 4, 8, 4]", "[8, 5, 8, 4]"))
    with pytest.raises(ConfigError, match=r"block 2 pools .* windows of 5"):
        ImageEncoder(an_official_model(yaml), dtype=torch.float32)
