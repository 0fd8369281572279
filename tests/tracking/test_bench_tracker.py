"""The tracker's bench: turns, ratios, intervals and agreement on made-up contestants; rivals with the same weights."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from clips import SMALL_YAML, a_box, a_checkpoint, a_clip
from official import official_predictor, official_video
from torch.nn.functional import interpolate

from referent.benching import load_benchmark
from referent.cli import main
from referent.config import TrackerConfig
from referent.errors import ReferentError
from referent.tracking.model import build_sam2
from referent.tracking.preprocess import image_from_rgb
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array
from referent.weights import ModelEntry, resolve

bench, soak = load_benchmark("tracker"), importlib.import_module("soak_tracker")
cases, contestants, memory, race, report, stages, transformers_sam2 = (
    importlib.import_module(f"tracker_bench.{part}")
    for part in ("cases", "contestants", "memory", "race", "report", "stages", "transformers_sam2")
)
Clip = importlib.import_module("tracker_bench.clip").Clip
RED = (10, 40, 50, 80)


class Paced:
    """A contestant that takes as long as told on a clock of its own and finds a square of as many pixels as told."""

    def __init__(
        self, clock: list[float], log: list[str], name: str, pace: Sequence[float], side: Sequence[int]
    ) -> None:
        self.clock, self.log, self.name = clock, log, name
        self.pace, self.side = list(pace), list(side)

    def prepare(self, frame: Any) -> None:
        self.clock[0] += 100.0  # must not be counted

    def step(self, prepared: None) -> list[Array]:
        self.log.append(self.name)
        self.clock[0] += self.pace.pop(0)
        mask = np.zeros((20, 20), bool)
        mask[: self.side.pop(0), :10] = True
        return [mask] if len(self.log) > 2 else []


def a_race(monkeypatch: pytest.MonkeyPatch, slow: Sequence[float], fast: Sequence[float], **sides: Any) -> Any:
    clock, log = [0.0], []
    monkeypatch.setattr(race.time, "perf_counter", lambda: clock[0])
    same = [10] * len(slow)
    racers = {
        "official": Paced(clock, log, "official", slow, sides.get("official", same)),
        "ours fp32": Paced(clock, log, "ours fp32", fast, sides.get("ours", same)),
    }
    laps = race.take_turns(racers, Clip((64, 48)), range(len(slow)), skip=2, reference="official", wait=lambda: None)
    return laps, log


def test_contestants_take_turns_and_none_always_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    laps, log = a_race(monkeypatch, [9, 9, 2, 4, 6], [9, 9, 1, 3, 2])
    assert log == ["official", "ours fp32", "ours fp32", "official"] * 2 + ["official", "ours fp32"]
    assert laps.seconds == {"official": [2, 4, 6], "ours fp32": [1, 3, 2]}, "warm-up and preparation are not timed"
    ratio = race.ratio_of_medians(laps.seconds["official"], laps.seconds["ours fp32"])
    assert ratio["ratio"] == 4 / 2


def test_the_interval_holds_the_ratio_and_narrows_with_frames() -> None:
    rng = np.random.default_rng(3)
    fast = rng.gamma(20, 1, 400)
    slow = 3 * rng.gamma(20, 1, 400)
    few, many = (race.ratio_of_medians(slow[:n], fast[:n]) for n in (20, 400))
    assert few["low"] <= few["ratio"] <= few["high"]
    assert many["low"] < 3 < many["high"]
    assert many["high"] - many["low"] < 0.5 * (few["high"] - few["low"])


def test_a_machine_that_slows_down_for_everyone_does_not_widen_the_interval() -> None:
    fast = np.r_[np.full(10, 1.0), np.full(10, 8.0)]
    found = race.ratio_of_medians(2 * fast, fast)
    assert (found["low"], found["ratio"], found["high"]) == (2, 2, 2)


def test_agreement_counts_tracked_frames_and_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = [1.0] * 5
    laps, _ = a_race(monkeypatch, steady, steady, official=[10] * 5, ours=[3, 10, 10, 5, 10])
    found = laps.agreement["ours fp32"].summary()
    assert found == {"frames": 4, "equal_frames": 3, "mean_iou": (3 + 0.5) / 4, "min_iou": 0.5}


def test_overlap_of_two_empty_masks_is_full() -> None:
    empty, full = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    assert (race.iou(empty, empty), race.iou(empty, full), race.iou(full, full)) == (1, 0, 1)


def test_glue_is_what_the_labels_leave_of_a_frame() -> None:
    frames = [
        {stages.FRAME: 10.0, "encoder": 6.0, "decoder": 1.0},
        {stages.FRAME: 14.0, "encoder": 8.0, "decoder": 1.0},
    ]
    assert stages.medians(frames) == {"encoder": 7.0, "decoder": 1.0, "glue": 4.0}
    assert stages.medians([{stages.FRAME: 10.0}]) is None


def test_parts_of_a_rival_are_labelled_only_while_they_are_profiled() -> None:
    layer = torch.nn.Linear(2, 2)
    before = dict(vars(layer))
    with contestants.recorded((layer, "forward", "sam2.encoder")), torch.autograd.profiler.profile() as profiler:
        layer(torch.zeros(1, 2))
    assert "sam2.encoder" in {event.name for event in profiler.function_events}
    assert vars(layer) == before


def test_what_a_session_holds_is_counted_once_per_storage() -> None:
    whole = torch.zeros(100)
    session = {"a": [whole[:10], whole[50:]], "b": SimpleNamespace(mask=torch.zeros(5, dtype=torch.uint8), name="x")}
    assert contestants.tensor_bytes(session) == 405


def test_blocks_of_the_clip_stay_in_the_picture_and_prompts_frame_them() -> None:
    clip = Clip((160, 120))
    for index in (0, 1, 63, 64, 500, 9_999):
        frame = clip.frame(index)
        for number, color in enumerate(importlib.import_module("tracker_bench.clip").COLORS):
            left, top, right, bottom = clip.prompt(number, index=index).box_xyxy.astype(int)
            assert 0 <= left < right <= 160
            assert 0 <= top < bottom <= 120
            assert tuple(frame.rgb[bottom - 1, left]) == color
    assert np.array_equal(clip.frame(500).rgb, Clip((160, 120)).frame(500).rgb)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> ModelEntry:
    return a_checkpoint(tmp_path_factory.mktemp("weights"))


def test_the_model_converted_to_transformers_is_the_official_one(checkpoint: ModelEntry, tmp_path: Path) -> None:
    clip = a_clip(20)
    official = official_video(official_predictor(SMALL_YAML, checkpoint.weights_path), clip, tmp_path / "jpeg")
    prompt = a_box("red", 0, RED)
    official.prompt(prompt, index=0)
    truth = official.propagate(0, len(clip) - 1)

    model = transformers_sam2.converted(build_sam2(checkpoint))
    image = image_from_rgb(clip[0].rgb, size_px=model.image_size)
    with torch.inference_mode():
        theirs = model.get_image_features(image).fpn_hidden_states
        for level, features in zip(official.predictor.forward_image(image)["backbone_fpn"], theirs, strict=True):
            assert (level.flatten(2).permute(2, 0, 1) - features).abs().max() <= 1e-4

    rival = contestants.Transformers(contestants.Setting(str(checkpoint.weights_path), 0))
    rival.start([prompt], size_wh=(160, 120), frames=len(clip))
    logits = []
    rival._model.register_forward_hook(lambda *call: logits.append(call[-1].pred_masks))
    masks = [rival.step(rival.prepare(frame)) for frame in clip]
    for index, low_res in enumerate(logits):
        enlarged = interpolate(low_res, size=(120, 160), mode="bilinear", align_corners=False)[0, 0]
        assert (enlarged - truth[index]["red"]).abs().max() <= 1e-4, f"frame {index}"
        assert index == 0 or np.array_equal(masks[index][0], (truth[index]["red"] > 0).numpy())
    assert len({float(truth[index]["red"].sum()) for index in truth}) == len(clip), "the clip must not be trivial"
    assert "torchvision" not in sys.modules


def test_the_bundled_models_narrow_memory_is_converted_too() -> None:
    official = build_sam2(resolve("referent-sam2-small"), image_size=64)
    weights = transformers_sam2.converted(official).state_dict()
    assert sum(weight.numel() for weight in official.state_dict().values()) == sum(
        weight.numel() for name, weight in weights.items() if not name.startswith("prompt_encoder.shared_embedding")
    )


def test_the_whole_bench_runs_and_its_json_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    file = tmp_path / "bench" / "tracker.json"
    try:
        assert main(["bench", "tracker", "--quick", "--against", "official,transformers", "--json", str(file)]) == 0
    finally:
        torch.set_num_threads(threads)
    shown, measured = capsys.readouterr().out, json.loads(file.read_text())
    assert [case["name"] for case in measured["cases"]] == [case.name for case in cases.FULL.cases]
    for case in measured["cases"]:
        assert f"trial of: {case['title'].removeprefix('trial of: ')}" in shown
        for run in case.get("races", ()):
            assert set(run["stages_ms"]) == set(run["contestants"])
            assert run["stages_ms"][run["reference"]].keys() >= {"encoder", "attention", "decoder", "memory_encoder"}
            for ratio in run["ratios"]:
                times = {name: run["contestants"][name]["ms"] for name in (ratio["rival"], ratio["ours"])}
                expected = np.median(times[ratio["rival"]]) / np.median(times[ratio["ours"]])
                assert ratio["ratio"] == pytest.approx(expected, rel=1e-3)
                assert ratio["low"] <= ratio["ratio"] <= ratio["high"]
    assert measured["cases"][0]["added_object_ms"].keys() == {"ours fp32", "ours bf16", "official"}
    if not torch.cuda.is_available():
        assert measured["cases"][-1]["not_measured"] == "no GPU"
        assert "not measured: no GPU" in shown
    held = {name: run["after_frames"]["12"] for name, run in measured["long_run"]["contestants"].items()}
    assert held.keys() == {"ours fp32", "transformers"}
    assert all(row["rss_bytes"] > 100e6 and row["held_bytes"] > 1000 for row in held.values())


@pytest.mark.parametrize("arguments", [["--against", "official,samurai"], ["--against", "Official"]])
def test_an_unknown_rival_is_refused_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "tracker", *arguments]) == 2
    error = capsys.readouterr().err
    assert "known: official, transformers" in error
    assert error.count("\n") == 1


def test_rivals_that_are_not_asked_for_stay_out() -> None:
    alone = cases.against(cases.FULL, ())
    assert {name for case in alone.cases for name in case.contestants} == {"ours", "ours fp32", "ours bf16"}
    assert alone.long_run.contestants == ("ours fp32",)


def test_quick_is_for_the_tracker_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "geometry", "--quick"]) == 2
    assert "--quick" in capsys.readouterr().err


def test_a_missed_target_is_called_missed() -> None:
    ratio = {"rival": "official", "ours": "ours fp32", "ratio": 1.5, "low": 1.4, "high": 1.6}
    assert report._ratio({**ratio, "target": 1.6}).endswith("target 1.6x: MISSED")
    assert report._ratio({**ratio, "target": 1.5}).endswith("target 1.5x: reached")
    assert "target" not in report._ratio({**ratio, "target": None})


def test_a_probe_that_fails_says_why(tmp_path: Path) -> None:
    probe = memory.Probe("ours fp32", str(tmp_path / "none.pt"), 0, 1, (64, 48), 2, ())
    with pytest.raises(ReferentError, match=r"none\.pt does not exist"):
        memory.measured_alone([probe])


def test_the_soak_notes_memory_and_draws_it(checkpoint: ModelEntry, tmp_path: Path) -> None:
    tracker = Sam2Tracker(TrackerConfig(image_size=64, history_frames=30), checkpoint)
    rows = list(soak.soak(tracker, frames=300, every=50))
    assert [row["frame"] for row in rows] == [50, 100, 150, 200, 250, 300]
    assert [row["objects"] for row in rows] == [1, 1, 1, 1, 1, 2]
    assert rows[1]["memory_bytes"] == rows[4]["memory_bytes"] > 0, "one object needs what it needed before"
    assert rows[5]["memory_bytes"] == 2 * rows[1]["memory_bytes"]
    soak.write(rows, {"model": "small"}, tmp_path)
    assert json.loads((tmp_path / "soak.json").read_text())["rows"] == rows
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
    assert "over 300 frames" in soak.verdict(rows)


def test_objects_of_the_soak_come_and_go() -> None:
    clip, present = Clip((320, 240)), set()
    counts = set()
    for index in range(3000):
        present |= {prompt.object_id for prompt in soak.prompts_at(clip, index)}
        present -= set(soak.forgotten_at(index))
        counts.add(len(present))
    assert counts == {1, 2, 3}
    late = [prompt for prompt in soak.prompts_at(clip, 500) if prompt.object_id == "first"]
    assert late[0].stamp_ns == clip.frame(480).stamp_ns
