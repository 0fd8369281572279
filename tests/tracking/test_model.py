"""SAM 2 is built from the official YAML files, and takes only weights that fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from clips import SMALL_YAML, a_box, a_checkpoint, a_clip
from official import official_predictor, official_video

from referent.config import TrackerConfig
from referent.errors import ConfigError, WeightsMissing
from referent.tracking.model import build_sam2
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.weights import ModelEntry, ModelFile, registry, resolve

OFFICIAL = [f"configs/{v}/{v}_hiera_{size}.yaml" for v in ("sam2.1", "sam2") for size in ("t", "s", "b+", "l")]


def official_yaml(name: str) -> Path:
    return registry()["sam2.1-hiera-tiny"].config_path.parents[2] / name


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models are built in no time and memory, of tensors that have a shape and nothing else."""
    # Hiera reads numbers out of a linspace, which tensors without data cannot give.
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    with torch.device("meta"):
        yield


@pytest.mark.usefixtures("without_data")
@pytest.mark.parametrize("side", [512, 1024])
@pytest.mark.parametrize("name", OFFICIAL)
def test_every_official_configuration_gives_the_official_tensors(name: str, side: int) -> None:
    import sam2  # noqa: F401  registers its configurations
    from hydra import compose
    from hydra.utils import instantiate

    ours = build_sam2(official_yaml(name), image_size=side, device="meta")
    theirs = instantiate(compose(name).model)
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}
    assert ours.image_size == side
    features = ours.forward_image(torch.empty(1, 3, side, side))["backbone_fpn"]
    assert [level.shape[-1] for level in features] == [side // 4, side // 8, side // 16]


@pytest.mark.usefixtures("without_data")
def test_every_listed_sam2_is_one_of_them_with_a_checked_download() -> None:
    listed = [entry for entry in registry().values() if entry.kind == "sam2" and entry.config.startswith("sam2:")]
    assert sorted(entry.config.removeprefix("sam2:") for entry in listed) == sorted(OFFICIAL)
    for entry in listed:
        (file,) = entry.files
        assert file.url is not None
        assert file.url.endswith(f"/{file.path.name}")
        assert len(file.sha256 or "") == 64
        numbers = sum(tensor.numel() for tensor in build_sam2(entry.config_path, device="meta").state_dict().values())
        # Four bytes a number, and what the archive and the names need.
        assert 0 <= (file.size_bytes or 0) - 4 * numbers < 0.005 * 4 * numbers


def test_an_official_tiny_checkpoint_is_loaded_strictly_and_tracks_as_the_official_build(tmp_path: Path) -> None:
    yaml, path = official_yaml(OFFICIAL[0]), tmp_path / "sam2.1_hiera_tiny.pt"
    torch.manual_seed(0)
    model = build_sam2(yaml)
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(5.0)
    torch.save({"model": model.state_dict()}, path)
    tracker = Sam2Tracker(TrackerConfig(image_size=256), resolve(str(path)))
    clip = a_clip(4)
    predictor = official_predictor(yaml, path, overrides=["++model.image_size=256"])
    official = official_video(predictor, clip * 4, tmp_path / "jpeg")
    prompt = a_box("red", 0, (10, 40, 50, 80))
    official.prompt(prompt, index=0)
    truth = official.propagate(0, 3)
    for index, frame in enumerate(clip):
        found = tracker.step(frame)
        mask = tracker.prompt(prompt) if index == 0 else found[0]
        assert (mask.mask == (truth[index]["red"] > 0).numpy()).all()
    assert 0 < mask.mask.mean() < 1


def test_a_configuration_that_names_the_predictor_is_built_without_it(tmp_path: Path) -> None:
    text = (
        SMALL_YAML.read_text()
        .replace("sam2_base.SAM2Base", "X")
        .replace(
            "sam2.modeling.X",
            "sam2.sam2_video_predictor.SAM2VideoPredictor\n  fill_hole_area: 8\n  non_overlap_masks: false",
        )
    )
    (tmp_path / "predictor.yaml").write_text(text)
    assert type(build_sam2(tmp_path / "predictor.yaml")).__name__ == "SAM2Base"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("model: [", "cannot be read"),
        ("something: 1", "no `model:` part"),
        ("model: {_target_: os.system, command: true}", "os.system"),
        ("model: {_target_: sam2.modeling.sam2_base.SAM2Base, image_encoder: {_target_: os.getcwd}}", "os.getcwd"),
        ("model: {_target_: sam2.modeling.sam2_base.SAM2Base, speed: 3}", "does not describe"),
    ],
    ids=["not yaml", "no model", "a stranger", "a stranger inside", "unknown setting"],
)
def test_a_yaml_that_is_no_sam2_is_refused_in_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(WeightsMissing, match=complaint) as caught:
        build_sam2(tmp_path / "bad.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("windows", ["[8, 4, 8, 4]", "[8, 4, 14, 7]", "[8, 4, 16, 8]"])
@pytest.mark.parametrize("side", [32, 64, 96, 160, 224])
def test_every_multiple_of_32_px_runs_through_the_whole_model(side: int, windows: str, tmp_path: Path) -> None:
    yaml = tmp_path / "model.yaml"
    yaml.write_text(SMALL_YAML.read_text().replace("[8, 4, 8, 4]", windows))
    model = build_sam2(yaml, image_size=side)
    points = {"point_coords": torch.tensor([[[3.0, 5.0]]]), "point_labels": torch.ones(1, 1, dtype=torch.int32)}
    seen: dict[str, dict[int, object]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    for index in range(2):
        with torch.inference_mode():
            output = model.forward_image(torch.randn(1, 3, side, side))
            _, features, positions, sizes = model._prepare_backbone_features(output)
            found = model.track_step(
                index, index == 0, features, positions, sizes, points if index == 0 else None, None, seen, num_frames=16
            )
        seen["cond_frame_outputs"][index] = found
        assert found["pred_masks"].shape == (1, 1, side // 4, side // 4)
        assert found["maskmem_features"].shape[-2:] == (side // 16, side // 16)


@pytest.mark.parametrize(
    ("side", "legal"),
    [(100, "96 and 128 px are"), (1000, "992 and 1024 px are"), (16, "32 px is the smallest"), (-64, "32 px is")],
)
def test_an_impossible_input_size_is_refused_with_the_nearest_possible_ones(side: int, legal: str) -> None:
    with pytest.raises(ConfigError, match=f"image size {side} px .* 32 px; {legal}"):
        build_sam2(SMALL_YAML, image_size=side)


def test_wider_first_windows_need_larger_steps(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(SMALL_YAML.read_text().replace("[8, 4, 8, 4]", "[16, 4, 8, 4]"))
    with pytest.raises(ConfigError, match="64 px; 64 and 128 px are"):
        build_sam2(tmp_path / "model.yaml", image_size=96)


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path: Path) -> None:
    entry = a_checkpoint(tmp_path)
    wrong = SMALL_YAML.read_text().replace("stages: [1, 1, 2, 1]", "stages: [1, 1, 3, 1]")
    (tmp_path / "small.yaml").write_text(wrong)
    with pytest.raises(WeightsMissing, match=r"\d+ missing \(image_encoder") as caught:
        build_sam2(entry)
    assert "\n" not in str(caught.value)


def test_weights_of_another_width_are_refused_with_both_shapes(tmp_path: Path) -> None:
    tensors = torch.load(a_checkpoint(tmp_path).weights_path, weights_only=True)["model"]
    tensors["no_mem_embed"] = torch.zeros(1, 1, 9)
    torch.save({"model": tensors}, tmp_path / "small.pt")
    with pytest.raises(WeightsMissing, match=r"\(1, 1, 9\) instead of \(1, 1, 64\)"):
        build_sam2(resolve(str(tmp_path / "small.pt")))


def test_safetensors_in_half_precision_load_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = torch.load(a_checkpoint(tmp_path).weights_path, weights_only=True)["model"]
    save_file({name: value.half() for name, value in tensors.items()}, tmp_path / "small.safetensors")
    entry = ModelEntry("x", "sam2", tmp_path, "small.yaml", (ModelFile(tmp_path / "small.safetensors"),))
    model = build_sam2(entry)
    assert model.no_mem_embed.dtype == torch.float32
    assert torch.equal(model.no_mem_embed, tensors["no_mem_embed"].half().float())


def test_the_tracker_neither_needs_nor_imports_torchvision() -> None:
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from pathlib import Path; from referent.tracking.model import build_sam2\n"
        f"build_sam2(Path({str(SMALL_YAML)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_are_set_only_by_configuration(tmp_path: Path) -> None:
    entry, before = a_checkpoint(tmp_path), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        Sam2Tracker(TrackerConfig(), entry)
        assert torch.get_num_threads() == 1
        Sam2Tracker(TrackerConfig(threads=2), entry)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
