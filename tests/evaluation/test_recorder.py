"""A recording is whole, however it ends."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import SyntheticRun

from referent.evaluation import pictures
from referent.evaluation.lines import result_line
from referent.evaluation.recorder import Recorder
from referent.evaluation.summary import read_lines, summary_table

RUN = SyntheticRun(frames=30)
SUMMARY_FIELDS = {"frames", "duration_s", "wall_s", "fps", "latency_s", "groundings", "objects", "drops"}
RUN_FIELDS = {"config", "models", "versions"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RUN.record(tmp_path_factory.mktemp("recording"))


def summary_of(directory: Path) -> dict:
    return json.loads((directory / "summary.json").read_text())


def video_frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def record_until_interrupted(directory: Path, *, frames: int, cut_line: bytes = b"") -> None:
    with Recorder(directory) as recorder:
        for number in range(frames):
            RUN.write_frame(recorder, number)
        recorder._results._file.write(cut_line)  # what a signal inside a write leaves
        raise KeyboardInterrupt


def test_every_frame_has_its_line_its_truth_and_its_picture_in_the_video(recording: Path) -> None:
    assert [line["stamp_ns"] for line in read_lines(recording / "results.jsonl")] == [
        RUN.stamp_ns(n) for n in range(30)
    ]
    assert len(list(read_lines(recording / "truth.jsonl"))) == 30
    assert len(video_frames(recording / "overlay.mp4")) == 30


def test_the_video_is_what_browsers_play(recording: Path) -> None:
    with av.open(str(recording / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, float(stream.average_rate)) == (160, 120, 30.0)


def test_the_video_shows_the_object_in_its_color(recording: Path) -> None:
    number = RUN.frames - 5
    shown, plain = video_frames(recording / "overlay.mp4")[number].astype(int), RUN.rgb(number).astype(int)
    inside = RUN.true_mask(number)
    assert (shown - plain)[inside][:, 2].mean() > 20  # the first track is tinted blue
    assert abs(shown - plain)[60:, :40].mean() < 6


def test_pictures_of_odd_size_are_recorded(tmp_path: Path) -> None:
    odd = SyntheticRun(frames=6, width=81, height=61)
    assert video_frames(odd.record(tmp_path) / "overlay.mp4")[0].shape == (60, 80, 3)


def test_summary_holds_the_promised_fields_and_agrees_with_the_lines(recording: Path) -> None:
    summary = summary_of(recording)
    assert summary.keys() >= SUMMARY_FIELDS | RUN_FIELDS
    assert summary["frames"] == 30
    assert summary["duration_s"] == pytest.approx(29 / 30, abs=1e-4)
    assert summary["fps"] == pytest.approx(30 / summary["wall_s"], rel=1e-2)
    assert summary["latency_s"] == {
        "p50": pytest.approx(0.021),
        "p95": pytest.approx(0.025),
        "p99": pytest.approx(0.025),
    }
    assert [(g["reason"], g["outcome"]) for g in summary["groundings"]] == [("new", "found"), ("lost", "nothing")]
    (item,) = summary["objects"]
    assert item["states"] == {"searching": 5, "tracking": 22, "occluded": 3}
    assert item["truth"]["matched_by"] == "description"
    assert summary["truth"]["j"] > 0.9
    assert summary["drops"] == {"unmatched": 1}
    assert summary["models"] == {"tracker": "none"}


def test_wall_time_and_drops_of_the_source_can_be_given(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        RUN.write_frame(recorder, 0)
        summary = recorder.close(wall_s=0.5, drops={"no_depth": 3}, models={"tracker": "a"})
    assert (summary["fps"], summary["wall_s"]) == (2.0, 0.5)
    assert summary["drops"] == {"unmatched": 0, "no_depth": 3}
    assert summary_of(tmp_path) == summary


def test_an_interrupted_recording_leaves_whole_shorter_files(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        record_until_interrupted(tmp_path, frames=12)
    assert len(list(read_lines(tmp_path / "results.jsonl"))) == 12
    assert len(video_frames(tmp_path / "overlay.mp4")) == 12
    assert summary_of(tmp_path)["frames"] == 12
    assert not list(tmp_path.glob("*.part"))


def test_an_interrupt_in_the_middle_of_a_line_leaves_no_half_line(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        record_until_interrupted(tmp_path, frames=1, cut_line=b'{"stamp_ns": 12')
    assert [line["stamp_ns"] for line in read_lines(tmp_path / "results.jsonl")] == [RUN.stamp_ns(0)]


def test_a_killed_recording_touches_no_finished_file_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    RUN.record(tmp_path)
    before = (tmp_path / "results.jsonl").read_bytes()
    killed = Recorder(tmp_path)
    RUN.write_frame(killed, 3)
    assert (tmp_path / "results.jsonl").read_bytes() == before
    killed._finish_files()
    RUN.record(tmp_path, truth=False, stop_after=7)
    assert len(list(read_lines(tmp_path / "results.jsonl"))) == 7
    assert not list(tmp_path.glob("*.part"))


def test_files_of_an_earlier_run_do_not_mix_with_a_new_one(tmp_path: Path) -> None:
    RUN.record(tmp_path)
    (tmp_path / "report.html").write_text("of the first run")
    RUN.record(tmp_path, truth=False, stop_after=7)
    assert not (tmp_path / "truth.jsonl").exists()
    assert not (tmp_path / "report.html").exists()
    assert len(list((tmp_path / "pictures").glob("step_*"))) == 7


def test_a_fault_before_the_first_frame_leaves_nothing_and_keeps_the_earlier_recording(tmp_path: Path) -> None:
    new, kept = tmp_path / "new", RUN.record(tmp_path / "kept")
    before = sorted(path.name for path in kept.iterdir())
    for directory in (new, kept):
        with pytest.raises(ValueError, match="bad input"), Recorder(directory):
            raise ValueError("bad input")
    assert not new.exists()
    assert sorted(path.name for path in kept.iterdir()) == before


def test_a_frame_without_picture_is_left_out_of_the_video_and_counted(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for number in range(4):
            recorder.write(result_line(RUN.result(number)), None if number == 2 else RUN.rgb(number))
    assert len(video_frames(tmp_path / "overlay.mp4")) == 3
    assert summary_of(tmp_path)["frames_without_picture"] == 1


def test_without_overlay_there_is_no_video(tmp_path: Path) -> None:
    with Recorder(tmp_path, overlay=False) as recorder:
        RUN.write_frame(recorder, 0)
    assert not (tmp_path / "overlay.mp4").exists()
    assert (tmp_path / "results.jsonl").exists()


def test_numbers_json_cannot_hold_are_refused_loudly_and_leave_no_trace(tmp_path: Path) -> None:
    line = result_line(RUN.result(0))
    with Recorder(tmp_path) as recorder:
        recorder.write(line)
        with pytest.raises(ValueError, match="JSON"):
            recorder.write({**line, "timings_s": {"total": float("nan")}})
    assert len(list(read_lines(tmp_path / "results.jsonl"))) == 1


def test_step_pictures_stay_few_and_evenly_spaced_however_long_the_run(tmp_path: Path) -> None:
    book, gray = pictures.PictureBook(tmp_path / "book"), np.full((12, 16, 3), 99, np.uint8)
    for index in range(500):
        book.add_frame(index, index, rgb=gray, overlay=gray)
    kept = sorted(int(path.stem.removeprefix("step_")) for path in (tmp_path / "book").iterdir())
    assert 30 <= len(kept) <= pictures.MAX_STEPS
    assert set(np.diff(kept)) == {16}


def test_the_picture_of_a_grounding_is_the_frame_that_was_asked_about(recording: Path) -> None:
    grounding = summary_of(recording)["groundings"][0]
    with av.open(str(recording / "pictures" / grounding["picture"])) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    x1, y1, x2, y2 = (int(value) for value in grounding["boxes_xyxy"][0])
    red_at_asking = shown[(y1 + y2) // 2, (x1 + x2) // 2]
    assert red_at_asking[0] > red_at_asking[2] + 100
    assert shown[(y1 + y2) // 2, x1][:2].min() > 150  # the yellow box


def test_summary_table_names_what_matters(recording: Path) -> None:
    table = summary_table(summary_of(recording))
    for part in (
        "30 over 1.0 s",
        "21.0 / 25.0 / 25.0 ms",
        "1 found, 1 nothing",
        "the red mug",
        "J / F / J&F",
        "unmatched 1",
    ):
        assert part in table
