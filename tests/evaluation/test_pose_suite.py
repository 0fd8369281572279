"""The whole suite of poses: bars that can be missed, its tables and pictures, and a little of it from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from posed import SIZE_M, camera, followed, given, seen, turned

from referent.config import Config, GeometryConfig
from referent.errors import ConfigError
from referent.evaluation.poses import judge as judging
from referent.evaluation.poses.compare import Placed
from referent.evaluation.poses.drawing import GIVEN, corners_m, draw_box
from referent.evaluation.poses.episodes import CLIP, NAMED, Episode, Seen, episodes, play
from referent.evaluation.poses.estimates import estimate, mean, median
from referent.evaluation.poses.follow import (
    MASK_PX,
    METHODS,
    OPEN3D,
    SINGLE,
    TRACK,
    TRACKED_MASK_PX,
    UNAWARE,
    Followed,
    MaskChange,
    follow,
    grown,
)
from referent.evaluation.poses.judge import Plan, judge_poses, measure, poses_table, summed_up
from referent.evaluation.poses.open3d_chain import minimal_box
from referent.evaluation.poses.plot import ERROR, SIGMA, plot
from referent.evaluation.poses.rows import Row, pose_rows
from referent.evaluation.poses.worst import worst
from referent.evaluation.run import run_suite
from referent.geometry.poses import rigid
from referent.sources.simulation.scenes import SCENE_NAMES
from referent.types import Array, Intrinsics, RgbdFrame

FRAMES = 111
OTHER_EPISODE = Episode("painted", 2, 120, 30.0)


def a_suite(
    change: Callable[[int, Seen], dict[str, object]] = lambda _place, _truth: {}, error: Array | None = None
) -> list[Followed]:
    """Two episodes in which a camera moves round an object at rest, with poses that reach every bar."""
    rng = np.random.default_rng(0)
    sigma = np.array([0.0005, 0.0005, 0.0005, 0.005, 0.005, 0.005])

    def sound(place: int, truth: Seen) -> Placed:
        noise = rng.normal(0, sigma)
        wrong = rigid(turned(noise[3:], np.rad2deg(np.linalg.norm(noise[3:]))), noise[:3])
        fields: dict[str, Any] = {"covariance": np.diag(sigma**2), **change(place, truth)}
        return given(truth, wrong if error is None else wrong @ error, **fields)

    orbit = [seen(None, camera(aside_m=0.003 * n), index=n) for n in range(FRAMES)]
    suite = [followed(orbit, sound, episode=each) for each in (Episode("painted", 1, 120, 30.0), OTHER_EPISODE)]
    for one in suite:
        one.masks.extend(MaskChange(0, px, 0.001 * abs(px) / 2, True) for px in TRACKED_MASK_PX)
    return suite


def barred(suite: Sequence[Followed]) -> dict[str, Row]:
    return {row.name: row for row in pose_rows(suite) if (row.low, row.high) != (None, None)}


def the(rows: dict[str, Row], *words: str) -> Row:
    (row,) = [row for name, row in rows.items() if all(word in f"{name}." for word in words)]
    return row


BARS = [
    (("centre error", "median"), None, 8),
    (("centre error", "p90"), None, 15),
    (("worst observed side", "8 mm or 10 %"), None, 1),
    (("axis error", "median"), None, 6),
    (("axis error", "p90"), None, 12),
    (("axis jumps",), None, 0),
    (("jitter",), None, 2),
    (("drift", "settled, median"), None, 4),
    (("drift", "settled, turn"), None, 1.5),
    (("NEES", "mean."), 0.4, 2.5),
    (("NEES", "highest"), None, 2.5),
    (("NEES", "lowest"), 0.4, None),
    (("inside the 95 %",), 0.90, 0.99),
    (("inside, lowest",), 0.90, None),
    (("mask dilated",), None, 4),
    (("mask eroded",), None, 4),
]


@pytest.mark.parametrize(("words", "low", "high"), BARS, ids=[" ".join(words) for words, _, _ in BARS])
def test_every_bar_is_the_one_promised_and_sound_poses_reach_it(
    words: tuple[str, ...], low: float | None, high: float | None
) -> None:
    row = the(barred(a_suite()), *words)
    assert (row.low, row.high, row.reached) == (low, high, True), row


def moved(*shift_m: float) -> Array:
    return rigid(np.eye(3), np.array(shift_m))


WORSE: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("centre error", "median"), {"error": moved(0.009, 0, 0)}),
    (("centre error", "p90"), {"error": moved(0.016, 0, 0)}),
    (("worst observed side", "8 mm or 10 %"), {"change": lambda p, t: {"size_m": SIZE_M + 0.013}}),
    (("axis error", "median"), {"error": rigid(turned((0, 0, 1), 8), np.zeros(3))}),
    (("axis error", "p90"), {"error": rigid(turned((0, 0, 1), 14), np.zeros(3))}),
    (("inside the 95 %",), {"change": lambda p, t: {"covariance": np.eye(6)}}),
    (("inside, lowest",), {"change": lambda p, t: {"covariance": np.eye(6) * 1e-7}}),
    (("NEES", "lowest"), {"change": lambda p, t: {"covariance": np.eye(6)}}),
    (("NEES", "highest"), {"change": lambda p, t: {"covariance": np.eye(6) * 1e-7}}),
]


@pytest.mark.parametrize(("words", "worse"), WORSE, ids=[" ".join(words) for words, _ in WORSE])
def test_bars_can_be_missed(words: tuple[str, ...], worse: dict[str, Any]) -> None:
    assert the(barred(a_suite(**worse)), *words).reached is False


def test_bars_over_time_can_be_missed() -> None:
    def drifting(place: int, truth: Seen) -> Placed:
        error = rigid(turned((0, 0, 1), 0.02 * place), np.array([0.0006 * (place % 20), 0.00005 * place, 0]))
        return given(truth, error if place != 50 else error @ rigid(turned((1, 0, 0), 180), np.zeros(3)))

    orbit = [seen(None, camera(aside_m=0.003 * n), index=n) for n in range(FRAMES)]
    one = followed(orbit, drifting)
    one.masks.extend(MaskChange(0, px, 0.005, True) for px in (-5, 5))
    rows = barred([one])
    missed = {name for name, row in rows.items() if row.reached is False}
    assert {
        the(rows, w).name
        for w in ("axis jumps", "jitter", "settled, median", "settled, turn", "mask dilated", "mask eroded")
    } <= missed


def test_what_was_not_run_reaches_no_bar_and_no_two_rows_have_one_name() -> None:
    rows = pose_rows([])
    assert {row.reached for row in rows} == {None}
    names = [(row.group, row.name) for row in pose_rows(a_suite())]
    assert len(set(names)) == len(names)


def test_errors_are_judged_up_to_a_metre_and_where_enough_is_seen() -> None:
    far = seen(rigid(np.eye(3), np.array([0, 0.6, 0])))
    hidden = seen(share=0.2)
    one = followed([seen(), far, hidden], lambda place, truth: given(truth, moved(0.001 + place, 0, 0)))
    row = next(row for row in pose_rows([one]) if "p90" in row.name and row.group == "centre")
    assert row.measured[TRACK] is not None
    assert row.measured[TRACK].value == pytest.approx(1.0)
    assert row.measured[TRACK].count == 1


# Statistics, tables, worst cases, pictures.


def test_an_error_comes_from_drawing_other_episodes() -> None:
    same = estimate([1.0] * 50 + [3.0] * 50, ["a"] * 50 + ["b"] * 50, mean)
    assert same is not None
    assert same.value == pytest.approx(2.0)
    assert same.error == pytest.approx(1 / np.sqrt(2), rel=0.15), "two episodes, not a hundred frames"
    alone = estimate([1.0, 2.0, 9.0], ["a"] * 3, median)
    assert alone is not None
    assert (alone.value, alone.error, alone.count) == (2.0, None, 3)
    assert estimate([], [], mean) is None


def test_the_table_names_every_method_and_what_is_missed() -> None:
    text = poses_table(summed_up(a_suite(error=moved(0.03, 0, 0))))
    assert all(name in text for name in METHODS)
    assert "NO" in text
    assert "category  box" in text


def test_the_worst_pose_of_each_object_is_listed_where_it_is() -> None:
    orbit = [seen(None, camera(aside_m=0.003 * n), index=n + 5) for n in range(9)]
    bad = followed(orbit, lambda place, truth: given(truth, moved(0.05 if place == 3 else 0.001, 0, 0)))
    good = followed(orbit, episode=OTHER_EPISODE)
    first = worst([good, bad])[0]
    assert (first.measure, first.judged.followed, first.judged.place) == ("centre mm", bad, 3)
    (line, *_) = summed_up([good, bad])["worst"]
    assert (line["value"], line["frame"], line["seed"]) == (50.0, 8, 1)


def test_every_jump_is_listed() -> None:
    flip = rigid(turned((0, 0, 1), 90), np.zeros(3))
    orbit = [seen(None, camera(aside_m=0.003 * n), index=n) for n in range(9)]
    one = followed(orbit, lambda place, truth: given(truth, flip if place == 3 else None))
    listed = [(line["frame"], line["value"]) for line in summed_up([one])["worst"] if line["measure"] == "jump deg"]
    assert listed == [(3, 90.0), (4, 90.0)]


def test_a_boxes_edges_are_drawn_where_they_are_seen() -> None:
    view = Intrinsics(200, 200, 200.0, 200.0, 100.0, 100.0)
    pose, size = rigid(np.eye(3), np.array([0, 0, 1.0])), np.array([0.4, 0.2, 1e-6])
    picture = np.zeros((200, 200, 3), np.uint8)
    draw_box(picture, pose, size, view, color=GIVEN)
    drawn = np.argwhere(picture.any(axis=2))
    np.testing.assert_allclose(drawn.min(axis=0), [80, 60], atol=2)
    np.testing.assert_allclose(drawn.max(axis=0), [120, 140], atol=2)
    np.testing.assert_allclose(np.ptp(corners_m(pose, size), axis=0), size)
    draw_box(picture, rigid(np.eye(3), np.array([0, 0, -1.0])), size, view, color=GIVEN, axes=True)  # behind: no fault


def test_the_plot_shows_error_and_sigma() -> None:
    picture = np.asarray(plot(a_suite()))
    for color in (ERROR, SIGMA):
        assert (picture == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=2).sum() > 300
    assert plot([]).size[0] > 0, "nothing to draw is no fault"


# From end to end.

TINY = Episode("tabletop", 3, 2, 15.0)


@pytest.fixture(scope="module")
def tiny() -> list[Followed]:
    """Two frames of a named scene, everything measured."""
    return follow(play(TINY), TINY, GeometryConfig(), tracked_masks=True)


def test_every_object_is_followed_by_every_method(tiny: list[Followed]) -> None:
    assert len(tiny) >= 5
    for one in tiny:
        assert [len(one.poses[name]) for name in METHODS] == [2] * 4
        assert all(one.poses[name][0] is not None for name in (TRACK, UNAWARE, SINGLE, OPEN3D))
        assert one.poses[OPEN3D][1] is None, "slow ones run rarely"
        assert {c.grow_px for c in one.masks if c.through_track} == set(TRACKED_MASK_PX)
        assert {c.grow_px for c in one.masks if not c.through_track} == set(MASK_PX)


def test_poses_of_a_simple_scene_are_near_the_truth(tiny: list[Followed]) -> None:
    rows = {row.name: row for row in pose_rows(tiny)}
    center = rows["box centre error, up to 1 m, median"].measured[TRACK]
    assert center is not None
    assert center.value < 15.0
    moved_mm = rows["mask eroded by 1-5 px: centre moves by, median"].measured
    assert all(moved_mm[name] is not None for name in (TRACK, SINGLE))


def test_masks_grow_and_shrink_by_whole_pixels() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:30, 12:20] = True
    assert [int(np.count_nonzero(grown(mask, px))) for px in (-4, -3, 1, 5)] == [0, 14 * 2, 22 * 10, 30 * 18]


def test_open3d_finds_a_box_of_points_and_none_without() -> None:
    view = Intrinsics(160, 120, 150.0, 150.0, 80.0, 60.0)
    depth = np.full((120, 160), 1.0, np.float32)
    depth[40:80, 50:110] = 0.8
    depth[40:80, 80:110] = 0.78  # a step: a flat thing has no hull
    frame = RgbdFrame(1, "camera", np.zeros((120, 160, 3), np.uint8), depth, view)
    found = minimal_box(frame, depth < 0.9)
    assert found is not None
    np.testing.assert_allclose(np.sort(found[1])[1:], [40 / 150 * 0.8, 60 / 150 * 0.8], atol=0.025)
    assert np.linalg.det(found[0][:3, :3]) == pytest.approx(1.0)
    assert minimal_box(frame, np.zeros_like(depth, bool)) is None


def test_a_plan_plays_every_named_scene_and_random_clips_from_its_seed_on() -> None:
    assert set(NAMED) == set(SCENE_NAMES)
    played = Plan.of(first_seed=3000, scenes=2).episodes
    assert {each.scene for each in played} == {*SCENE_NAMES, CLIP}
    assert [each.seed for each in played if each.scene == CLIP] == [3000, 3001]
    assert [each.frames for each in played] == sorted((each.frames for each in played), reverse=True)
    assert Plan().first_seed == 20_000, "what nobody looks at while developing"
    with pytest.raises(ConfigError, match="at least 1"):
        Plan.of(scenes=0)
    assert episodes(5, 3)[-1] == Episode(CLIP, 7, 40, 15.0)


class AtOnce:
    """Runs what is submitted at once, in this process."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, function: Callable[..., object], *arguments: object) -> Future[object]:
        done: Future[object] = Future()
        done.set_result(function(*arguments))
        return done


def test_the_suite_runs_by_its_name_and_writes_tables_plots_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "ProcessPoolExecutor", AtOnce)
    monkeypatch.setattr(judging, "episodes", lambda seed, clips: [Episode("moving_camera", seed, 1, 15.0)])
    measured, table = run_suite("poses", Config(), output=tmp_path / "out", first_seed=3, scenes=1)
    assert "box centre error" in table
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"bars.md", "poses.json", "over_time_occlusion.png", "over_time_moving_camera.png", "worst.png"}
    assert json.loads((tmp_path / "out" / "poses.json").read_text())["bars"] == measured["bars"]
    with Image.open(tmp_path / "out" / "worst.png") as sheet:
        assert sheet.size[0] == 1200


def test_a_part_of_the_suite_is_measured_in_this_process() -> None:
    measured = measure([Episode("tabletop", 3, 1, 15.0)], GeometryConfig(), tracked_masks=False)
    assert {row.name for row in pose_rows([])} == {line["measure"] for line in measured["bars"]}
    assert "tabletop" in poses_table(measured)


def test_parts_are_nothing_to_this_suite() -> None:
    with pytest.raises(ConfigError, match="--parts"):
        run_suite("poses", Config(), parts="tracker")


def test_judge_poses_takes_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "ProcessPoolExecutor", AtOnce)
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(judging, "episodes", lambda *plan: asked.append(plan) or [])
    assert judge_poses(Config(), Plan(7, 4))["plan"] == {"first_seed": 7, "scenes": 4}
    assert asked == [(7, 4)]
