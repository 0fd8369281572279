"""`referent compare`: a run beside a kept one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from referent.cli import main
from referent.evaluation.lines import mask_to_rle


def a_line(number: int) -> dict[str, Any]:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    pose = {"frame": "camera", "position_m": [0.1, 0.2, 0.8 + number / 1000]}
    thing = {"id": "1", "state": "tracking", "mask_rle": mask_to_rle(mask), "pose": pose}
    return {"stamp_ns": 10**9 + number, "objects": [thing], "timings_s": {"total": 0.01 * number}, "drops": {}}


def compared(tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], *options: str) -> int:
    """The status of comparing a run of three frames with the same one after a change."""
    kept = [a_line(number) for number in range(3)]
    came = copy.deepcopy(kept)
    change(came)
    for name, lines in (("kept", kept), ("came", came)):
        (tmp_path / name).mkdir()
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "results.jsonl").write_text(text)
    return main(["compare", str(tmp_path / "kept"), str(tmp_path / "came" / "results.jsonl"), *options])


def later(lines: list[dict[str, Any]]) -> None:
    lines[1]["timings_s"] = {"total": 7.0}


def nearer(lines: list[dict[str, Any]]) -> None:
    lines[2]["objects"][0]["pose"]["position_m"][2] -= 0.003


def lost(lines: list[dict[str, Any]]) -> None:
    lines[2]["objects"][0] |= {"state": "lost", "mask_rle": None, "pose": None}


def narrower(lines: list[dict[str, Any]]) -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:29] = True  # 19 of 20 columns
    lines[0]["objects"][0]["mask_rle"] = mask_to_rle(mask)


def shorter(lines: list[dict[str, Any]]) -> None:
    del lines[2]


def another(lines: list[dict[str, Any]]) -> None:
    lines[0]["objects"][0]["id"] = "2"


def in_the_map(lines: list[dict[str, Any]]) -> None:
    lines[0]["objects"][0]["pose"]["frame"] = "map"


def test_the_same_run_agrees_whatever_time_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(tmp_path, later) == 0
    assert capsys.readouterr().out == "3 frames agree\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nearer, "frame 2 (1000000002): objects[0].pose.position_m[2] was 0.802, is 0.799"),
        (lost, "objects[0].state was 'tracking', is 'lost'"),
        (shorter, "3 frames were kept, 2 came"),
    ],
)
def test_one_digit_is_a_difference_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[list[dict[str, Any]]], None], said: str
) -> None:
    assert compared(tmp_path, change) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("change", [nearer, narrower, later])
def test_what_is_within_bounds_agrees(tmp_path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    assert compared(tmp_path, change, "--min-overlap", "0.9") == 0


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (nearer, ("--max-shift", "0.002"), "object 1: moved by 3.0 mm, at most 2 mm may be"),
        (narrower, ("--min-overlap", "0.97"), "object 1: masks overlap by 0.950, at least 0.97 is asked for"),
        (lost, (), "object 1 was tracking, is lost"),
        (another, (), "objects were ['1'], are ['2']"),
        (in_the_map, (), "moved by inf mm"),
        (shorter, (), "2 came"),
    ],
)
def test_what_is_out_of_bounds_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[list[dict[str, Any]]], None],
    options: tuple[str, ...],
    said: str,
) -> None:
    assert compared(tmp_path, change, "--min-overlap", "0.9", *options) == 1
    assert said in capsys.readouterr().out


def test_many_differences_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def all_of_it(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            line["objects"][0]["pose"]["position_m"] = [9.0, 9.0, 9.0]
            line["drops"] = {f"kind_{n}": n + 1 for n in range(4)}

    assert compared(tmp_path, all_of_it) == 1
    assert capsys.readouterr().out.endswith("and 11 more\n")


def test_an_empty_run_and_a_bound_without_its_other_are_wrong_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(tmp_path, list.clear) == 2
    assert "holds no frame" in capsys.readouterr().err
    kept = str(tmp_path / "kept")
    assert main(["compare", kept, kept, "--max-shift", "1"]) == 2
    assert main(["compare", kept, str(tmp_path / "nowhere")]) == 2
