"""Replay: every frame of a bag gets its line, two runs are the same, wrong input is one line and leaves nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from referent.cli import main
from referent.config import InputConfig
from referent.evaluation.lines import mask_from_rle
from referent.sources.bag_writer import BagWriter
from referent.sources.folder import folder_to_bag
from referent.sources.rosbag import read_bag
from referent.sources.simulated_bag import write_simulated_bag
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate

FRAMES, FPS, SIZE = 12, 10, (320, 240)


@pytest.fixture(scope="module")
def simulated_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bag = tmp_path_factory.mktemp("bags") / "tabletop"
    write_simulated_bag("tabletop", 0, FRAMES / FPS, bag, fps=FPS, width=SIZE[0], height=SIZE[1])
    return bag


@pytest.fixture(scope="module")
def true_box() -> list[str]:
    """The box of the red mug in the first frame, as command-line words."""
    (first,) = simulate(named_scene("tabletop", 0), frames=1, fps=FPS, width=SIZE[0], height=SIZE[1])
    mug = next(item for item in first.truth.objects if (item.color, item.category) == ("red", "mug"))
    assert mug.box_xyxy is not None
    return [str(value) for value in mug.box_xyxy]


def lines_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("timings_s")
    return lines


def test_recorded_answers_make_the_same_run_without_a_model(simulated_bag: Path, tmp_path: Path) -> None:
    answers, common = tmp_path / "answers.jsonl", [str(simulated_bag), "--grounder-latency", "0.3"]
    asked = [*common, "--instruction", "pick up the red mug", "--output", str(tmp_path / "asked")]
    given = [*common, "--instruction", "pick up the red mug", "--output", str(tmp_path / "given")]
    assert main(["replay", *asked, "--set", f"grounder.record={answers}"]) == 0
    scripted = ["--set", "grounder.backend=scripted", "--set", f"grounder.script={answers}"]
    assert main(["replay", *given, *scripted, "--set", "grounder.model=there-is-no-model"]) == 0
    assert lines_of(tmp_path / "given") == lines_of(tmp_path / "asked")
    assert any(line["objects"] for line in lines_of(tmp_path / "asked"))


def test_a_given_box_is_followed_through_every_frame_and_two_runs_are_the_same(
    simulated_bag: Path, true_box: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        arguments = ["replay", str(simulated_bag), "--prompt-box", *true_box, "--output", str(tmp_path / name)]
        assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "frames" in out
    assert "warning" not in out
    first, second = lines_of(tmp_path / "first"), lines_of(tmp_path / "second")
    assert first == second
    assert len(first) == FRAMES
    for line, seen in zip(
        first, simulate(named_scene("tabletop", 0), frames=FRAMES, fps=FPS, width=SIZE[0], height=SIZE[1]), strict=True
    ):
        (found,) = line["objects"]
        truth = next(o for o in seen.truth.objects if (o.color, o.category) == ("red", "mug"))
        mask, true_mask = mask_from_rle(found["mask_rle"]), seen.truth.instance_ids == truth.instance_id
        assert (mask & true_mask).sum() / (mask | true_mask).sum() > 0.7
        error_m = np.linalg.norm(np.array(found["pose"]["position_m"]) - truth.camera_from_object[:3, 3])
        assert error_m < 0.03
    for file in ("summary.json", "overlay.mp4", "report.html", "truth.jsonl"):
        assert (tmp_path / "first" / file).stat().st_size > 0


def test_depth_that_does_not_fit_color_is_a_warning_of_the_summary(
    simulated_bag: Path, true_box: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The camera's depth is that of a lens of 0.8 times the focal length, under color's frame name."""
    bag, run = tmp_path / "misfit", tmp_path / "run"
    with BagWriter(bag) as writer:
        for frame in read_bag(simulated_bag, InputConfig()):
            depth_m = cv2.resize(frame.depth_m, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_NEAREST)
            depth_m = cv2.copyMakeBorder(depth_m, 24, 24, 32, 32, cv2.BORDER_CONSTANT, value=(0.0,))
            writer.write_frame(replace(frame, depth_m=depth_m))
    arguments = ["--prompt-box", *true_box, "--output", str(run), "--set", "input.registration_check_s=0.5"]
    assert main(["replay", str(bag), *arguments]) == 0
    (warning,) = json.loads((run / "summary.json").read_text())["warnings"]
    assert "depth does not fit color" in warning
    assert warning in capsys.readouterr().out


def test_the_real_kitchen_is_followed_from_a_box(real_data: Path, tmp_path: Path) -> None:
    bag, run = tmp_path / "kitchen", tmp_path / "run"
    folder_to_bag(real_data / "sevenscenes_redkitchen_a", bag, fps=30)
    assert main(["replay", str(bag), "--prompt-box", "250", "200", "330", "280", "--output", str(run)]) == 0
    lines = lines_of(run)
    assert len(lines) == 110
    assert {line["objects"][0]["id"] for line in lines} == {"1"}
    assert np.allclose(np.diff([line["stamp_ns"] for line in lines]), 1e9 / 30, atol=2)
    assert sum(line["objects"][0]["pose"] is not None for line in lines) > 55


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--instruction", "  "], "is empty"),
        ([], "nothing to look for"),
        (["--prompt-box", "900", "900", "950", "950"], "holds no pixel of the 320x240 image"),
        (["--prompt-box", "50", "50", "40", "60"], "holds no pixel"),
        (["--prompt-box", "1", "2", "nan", "4"], "holds no pixel"),
        (["--instruction", "x", "--at", "99"], "--at 99: the bag holds 0 to"),
        (["--instruction", "x", "--set", "tracker.modle=1"], "did you mean 'tracker.model'"),
        (["--instruction", "x", "--set", "tracker"], "NAME=VALUE is needed"),
        (["--instruction", "x", "--set", "tracker.model=nowhere"], "nowhere"),
        (["--instruction", "x", "--set", "tracker.model=sam2.1-hiera-tiny"], "sam2.1"),
        (["--instruction", "x", "--set", "grounder.backend=oracle"], "oracle"),
        (["--instruction", "x", "--set", "grounder.backend=openai_server"], "grounder.url: ''"),
        pytest.param(
            ["--instruction", "x", "--set", "tracker.device=cuda"],
            "tracker.device: 'cuda' is set, but torch finds no GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (["--instruction", "x", "--color-topic", "/nowhere"], "/nowhere"),
        (["--instruction", "x", "--config", "missing.yaml"], "missing.yaml: cannot be read"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing_behind(
    arguments: list[str], complaint: str, simulated_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["replay", str(simulated_bag), *arguments, "--output", str(run)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.startswith("referent: ")
    assert error.count("\n") == 1
    assert not list(run.glob("*")) if run.exists() else True


def test_a_corrupt_checkpoint_is_named(simulated_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not a checkpoint")
    arguments = ["--instruction", "x", "--set", f"tracker.model={broken}", "--output", str(tmp_path / "run")]
    assert main(["replay", str(simulated_bag), *arguments]) == 2
    error = capsys.readouterr().err
    assert "broken" in error
    assert error.count("\n") == 1


def test_a_truncated_bag_is_named(simulated_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recording,) = simulated_bag.glob("*.mcap")
    half = tmp_path / "half.mcap"
    half.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    assert main(["replay", str(half), "--instruction", "x", "--output", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "half.mcap" in error
    assert error.count("\n") == 1
