"""The command line: what it prints, and that wrong input is one line with exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from referent import cli
from referent.benching import load_benchmark
from referent.cli import main
from referent.config import Config
from referent.settings import flatten

CAMERA = {"width": 320, "height": 240, "fx": 300.0, "fy": 300.0, "cx": 159.5, "cy": 119.5}


@pytest.fixture
def block(tmp_path: Path) -> list[str]:
    """Files of a block, 0.2 x 0.2 m, seen head-on 1 m away before a wall: the arguments of `referent pose`."""
    depth = np.full((240, 320), 2000, np.uint16)
    mask = np.zeros((240, 320), np.uint8)
    depth[90:150, 130:190], mask[90:150, 130:190] = 1000, 255
    cv2.imwrite(str(tmp_path / "color.png"), np.zeros((240, 320, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "depth.png"), depth)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    (tmp_path / "camera.json").write_text(json.dumps(CAMERA))
    names = {"color": "color.png", "depth": "depth.png", "mask": "mask.png", "camera": "camera.json"}
    return ["pose", *(word for name, file in names.items() for word in (f"--{name}", str(tmp_path / file)))]


def test_pose_of_a_known_block(block: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*block, "--json"]) == 0
    pose = json.loads(capsys.readouterr().out)
    assert np.allclose(pose["position_m"][:2], [0, 0], atol=0.005)
    assert pose["position_m"][2] == pytest.approx(1.0, abs=0.01)
    assert sorted(pose["size_m"])[-2:] == pytest.approx([0.2, 0.2], abs=0.012)
    assert len(pose["covariance"]) == 36
    assert main(block) == 0
    assert "position" in capsys.readouterr().out


def test_settings_are_shown_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {item.name.split('.')[1]}: " in shown for item in flatten(Config()))
    file = tmp_path / "shown.yaml"
    file.write_text(shown)
    assert main(["config", "check", str(file)]) == 0
    assert "is a valid configuration" in capsys.readouterr().out


def test_bundled_models_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == 0
    listed = capsys.readouterr().out
    assert "referent-sam2-small" in listed
    assert "sam2.1-hiera-large" in listed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["config", "check"], "a FILE is needed"),
        (["models", "fetch"], "a name is needed"),
        (["models", "verify", "sam9"], "no model 'sam9'"),
        (["ground", "nowhere.png", "the red mug"], "nowhere.png cannot be read"),
        (["ground", __file__, "the red mug"], "no picture that can be read"),
        (["ground", __file__, " "], "the text is empty"),
        (["ground", __file__], "IMAGE and TEXT are needed"),
        (["ground", "--calibrate", "--grounder", "openai_server"], "grounder.url"),
        (["simulate", "--scene", "moon", "--output", "unused"], "moon"),
        (["bag", "no_such_folder", "--output", "unused"], "no_such_folder"),
        (["replay", "no_such_bag", "--instruction", "x"], "no_such_bag"),
        (["evaluate", "--suite", "none_such"], "none_such"),
        (["simulate", "--seconds", "0.1", "--output", "/proc/none/bag"], "/proc/none"),
        (["bench", "tracker", "--against", "nobody"], "nobody"),
        (["bench", "soak", "--minutes", "0"], "--minutes"),
        (["compare", "kept", "came", "--min-overlap", "7"], "--min-overlap 7"),
        (["compare", "kept", "came", "--min-overlap", "0.9", "--max-shift", "nan"], "--max-shift nan"),
        (["demo", "--seconds", "0"], "--seconds 0"),
        (["demo", "--instruction", " "], "is empty"),
        (["demo", "--scene", "moon"], "moon"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_pose_file_is_named(block: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "camera.json").write_text(json.dumps({**CAMERA, "width": 640}))
    assert main(block) == 2
    assert "640" in capsys.readouterr().err


def test_settings_of_one_run_are_given_by_name(block: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*block, "--set", "geometry.min_points=100000000"]) == 0
    assert "no pose" in capsys.readouterr().out
    assert main([*block, "--set", "geometry.erode_px=-1"]) == 2
    assert "geometry.erode_px: -1 is outside 0 to 50 px" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "called"),
    [(what, ("measure", "table")) for what in ("tracker", "pipeline", "geometry")]
    + [("soak", ("soak", "overload", "latency", "table", "status"))],
)
def test_every_benchmark_has_what_the_command_calls(what: str, called: tuple[str, ...]) -> None:
    bench = load_benchmark(what)
    assert all(callable(getattr(bench, name)) for name in called)


def test_progress_ends_its_line_with_the_last_byte(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for done_bytes in (1_000_000, 3_000_000):
        cli._progress("m.pt", done_bytes, 3_000_000)
    assert capsys.readouterr().err == "\rm.pt: 1 of 3 MB\rm.pt: 3 of 3 MB\n"
