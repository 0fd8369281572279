"""The show of a late correction, on a short small clip: what it writes, and that it shows what it says."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from referent.errors import ReferentError

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SHORT = ["--seconds", "3", "--fps", "12", "--width", "320", "--late", "0.5"]
FRAMES = 36


@pytest.fixture(scope="module")
def show() -> Any:
    sys.path.append(str(BENCHMARKS))
    return importlib.import_module("late_correction")


@pytest.fixture(scope="module")
def shown(show: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("show")
    show.main([*SHORT, "--output", str(folder)])
    return folder, json.loads((folder / "late_correction.json").read_text())


def test_the_strip_and_the_video_can_be_looked_at(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = shown
    with Image.open(folder / "strip.jpg") as strip:
        assert strip.width == 1200
        assert np.asarray(strip).std() > 20
    with av.open(str(folder / "late_correction.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in video.decode(video=0)) == FRAMES


def test_the_image_encoder_runs_once_per_frame_though_the_correction_looks_back(
    shown: tuple[Path, dict[str, Any]],
) -> None:
    _, found = shown
    assert found["frames"] == FRAMES
    assert found["encoder_runs"] == {"without": FRAMES, "with": FRAMES}


def test_the_grounder_itself_finds_the_object(shown: tuple[Path, dict[str, Any]]) -> None:
    _, found = shown
    assert found["prompted_by"] == found["answered_by"] == "grounder"


def test_the_lost_object_is_found_only_with_the_correction(shown: tuple[Path, dict[str, Any]]) -> None:
    _, found = shown
    asked, commit, until = found["asked"], found["commit"], found["seen_until"]
    assert asked < found["answered"] < commit < until
    followed, lost = found["iou"]["with"], found["iou"]["without"]
    assert min(followed[:10]) > 0.6  # it was no hopeless case
    assert followed[:commit] == lost[:commit]  # nothing half-corrected was published
    assert max(lost[asked:until]) < 0.6 < min(followed[commit:until])


def test_the_object_keeps_its_id(shown: tuple[Path, dict[str, Any]]) -> None:
    _, found = shown
    assert found["published_ids"] == {"without": ["1"], "with": ["1"]}
    assert found["frames_without_the_id"] == {"without": 0, "with": 0}


def test_the_correction_is_carried_over_several_frames(shown: tuple[Path, dict[str, Any]]) -> None:
    _, found = shown
    behind = found["answered"] - found["asked"]
    assert len(found["step_ms_catching_up"]) == found["commit"] - found["answered"] == -(-behind // 4)


def test_a_clip_that_ends_before_the_object_is_back_is_refused(show: Any, tmp_path: Path) -> None:
    with pytest.raises(ReferentError, match="not hidden and seen again"):
        show.main(["--seconds", "0.5", "--fps", "12", "--width", "64", "--output", str(tmp_path)])


def test_an_answer_after_the_end_is_refused(show: Any, tmp_path: Path) -> None:
    with pytest.raises(ReferentError, match="raise --seconds or lower --late"):
        show.main(["--seconds", "2.5", "--fps", "12", "--width", "64", "--late", "3", "--output", str(tmp_path)])


def test_an_object_that_is_not_there_is_refused(show: Any, tmp_path: Path) -> None:
    with pytest.raises(ReferentError, match="--object 9: the scene has objects 1 to 3"):
        show.main(["--object", "9", "--seconds", "0.2", "--width", "64", "--output", str(tmp_path)])
