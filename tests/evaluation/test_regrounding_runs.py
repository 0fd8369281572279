"""Episodes, the runs over them, and the whole re-grounding suite on little."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from doubles import ColorGrounder
from PIL import Image
from regrounded import OTHER, TARGET, WHERE, a_run, played

from referent.config import Config
from referent.errors import ConfigError, ReferentError, UnreadableReply
from referent.evaluation.regrounding import judge as judging
from referent.evaluation.regrounding.episodes import Episode, Played, expression_for, play
from referent.evaluation.regrounding.judge import Plan, judge_episode
from referent.evaluation.regrounding.known_pictures import Encodings, EngineOfKnownPictures
from referent.evaluation.regrounding.policies import AS_OFTEN_AS_OURS, EVERY_ANSWER, INTERVAL, NEVER, OURS, REINIT
from referent.evaluation.regrounding.runs import ELSEWHERE, NOTHING, Run, Witness, run_episode
from referent.evaluation.run import run_suite
from referent.settings import override
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.trials import TRIALS
from referent.sources.simulation.truth import FrameTruth
from referent.tracking.build import Engine, build_engine
from referent.types import Array, Grounding, GroundingItem, GroundingRequest, RegroundReason, Target
from referent.weights import resolve

CONFIG = override(Config(), {"tracker.device": "cpu"})


# Episodes.


def truth_of(name: str, seed: int) -> FrameTruth:
    shown = next(iter(simulate(named_scene(name, seed), frames=1, fps=10.0, width=96, height=72, start_ns=1)))
    return shown.truth


def test_a_target_of_its_own_color_and_kind_is_called_by_them() -> None:
    truth = truth_of("tabletop", 3)
    for thing in truth.objects:
        alike = [o for o in truth.objects if (o.color, o.category) == (thing.color, thing.category)]
        if len(alike) == 1:
            assert expression_for(truth, thing.instance_id, seed=0) == f"the {thing.color} {thing.category}"


def test_one_of_several_alike_is_called_by_what_tells_it_apart() -> None:
    truth = truth_of("tabletop", 3)
    first = truth.objects[0]
    twins = [replace(o, color=first.color, category=first.category) for o in truth.objects[:2]]
    alike = replace(truth, objects=(*twins, *truth.objects[2:]))
    said = [expression_for(alike, twin.instance_id, seed=0) for twin in twins]
    assert len(set(said)) == 2
    assert f"the {first.color} {first.category}" not in said


def test_an_episode_is_played_as_it_was_planned() -> None:
    episode = Episode("leave_and_return", 3, 0.5, judged_from_s=0.2)
    shown = play(episode)
    assert len(shown.frames) == episode.frames == 5
    assert shown.instance_ids.shape == (5, 240, 320)
    assert shown.judged.tolist() == [False, False, True, True, True]
    assert all(frame.depth_m is None for frame in shown.frames)
    assert shown.expression == "the red mug"
    assert shown.seen_share == pytest.approx(np.ones(5))
    assert shown.swaps_ns == (shown.frames[0].stamp_ns + 7_500_000_000,)
    assert (shown.instance_ids[0] == shown.target).any()
    with pytest.raises(ReferentError, match="unknown"):
        play(replace(episode, scene="tabletop"))
    assert play(Episode("tabletop", 3, 0.1, is_trial=False)).swaps_ns == ()


# Encodings that are shared.


class Counting:
    """What `EngineOfKnownPictures` needs of an engine to encode; counts."""

    image_size, device, overlaps = 8, torch.device("cpu"), True

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, rgb: Array) -> tuple[torch.Tensor, ...]:
        self.encoded += 1
        return (torch.from_numpy(rgb).float().mean(dim=2),)


def test_a_picture_is_encoded_once_for_all_who_share_encodings() -> None:
    first, second, apart = Counting(), Counting(), Counting()
    encodings = Encodings()
    one, other = (np.full((4, 4, 3), value, np.uint8) for value in (10, 20))
    sharing = [EngineOfKnownPictures(engine, encodings) for engine in (first, second)]  # type: ignore[arg-type]
    maps = [engine.encode(picture)[0] for engine in sharing for picture in (one, other, one)]
    assert [float(each.mean()) for each in maps] == [10, 20, 10] * 2
    assert (first.encoded, second.encoded) == (2, 0)
    assert sharing[1].encode_ahead(one).take()[0] is maps[0]
    assert not sharing[0].overlaps, "nothing is gained by encoding ahead what may be known"
    EngineOfKnownPictures(apart, Encodings()).encode(one)  # type: ignore[arg-type]
    assert apart.encoded == 1, "others have encodings of their own"


def test_another_picture_at_the_address_of_one_that_is_gone_is_not_taken_for_it() -> None:
    engine = EngineOfKnownPictures(Counting(), Encodings())  # type: ignore[arg-type]
    means = [float(engine.encode(np.full((4, 4, 3), value, np.uint8))[0].mean()) for value in range(50)]
    assert means == list(range(50))


def test_the_maps_are_those_of_the_real_engine() -> None:
    engine, _ = build_engine(CONFIG.tracker, resolve(CONFIG.tracker.model))
    rgb = played([[TARGET, OTHER]]).frames[0].rgb
    with torch.inference_mode():
        ours, theirs = EngineOfKnownPictures(engine, Encodings()).encode(rgb), engine.encode(rgb)
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


# Runs.


def ran(
    episode: Played, grounder: ColorGrounder, *, policy: str = OURS, adapt: Callable[[Engine], Engine] | None = None
) -> Run:
    known = Encodings()
    adapt_engine = adapt or (lambda engine: EngineOfKnownPictures(engine, known))
    config = override(CONFIG, judging.POLICIES[policy])
    return run_episode(episode, config, grounder, policy=policy, latency_s=0.2, adapt_engine=adapt_engine)  # type: ignore[arg-type]


def test_a_run_tells_what_was_followed_verified_asked_and_how_sure_it_was() -> None:
    run = ran(played([[TARGET, OTHER]] * 5 + [[OTHER]] * 2), ColorGrounder())
    assert run.on.tolist() == [NOTHING] * 2 + [TARGET] * 3 + [NOTHING] * 2
    assert run.overlaps[:2].tolist() == [0, 0]
    assert (run.overlaps[2:5] > 0.8).all()
    assert run.overlaps[5:].tolist() == [1, 1], "nothing is right where there is nothing"
    assert np.flatnonzero(run.verified).tolist() == [2]
    assert run.questions == 1
    assert run.surenesses == ((0.9, True),)


def test_a_run_with_shared_encodings_is_the_run_without() -> None:
    episode = played([[TARGET, OTHER]] * 4)
    shared, alone = ran(episode, ColorGrounder()), ran(episode, ColorGrounder(), adapt=lambda engine: engine)
    assert shared.overlaps.tolist() == alone.overlaps.tolist()
    assert shared.on.tolist() == alone.on.tolist()


def a_question(episode: Played, number: int) -> GroundingRequest:
    return GroundingRequest((Target("1", "the red block"),), episode.frames[number], RegroundReason.NEW)


def test_answers_are_held_against_the_truth_of_the_frame_asked_about() -> None:
    episode = played([[TARGET, OTHER], [OTHER]])

    class Saying:
        """Says each time what it is told to."""

        def __init__(self, *answers: Sequence[GroundingItem] | float) -> None:
            self._answers = list(answers)

        def ground(self, request: GroundingRequest) -> Grounding:
            said = self._answers.pop(0)
            if isinstance(said, float):
                return Grounding(request, (), nothing_reason="none", nothing_score=said)
            if not said:
                raise UnreadableReply("garbage")
            return Grounding(request, tuple(said))

        def close(self) -> None:
            raise AssertionError("it serves the next run too")

    red, blue = (GroundingItem("it", score=0.8, box_xyxy=np.array(WHERE[i], np.float32)) for i in (TARGET, OTHER))
    witness = Witness(Saying([red], [blue], [red], 0.7, 0.6, []), episode)
    for number in (0, 0, 1, 0, 1):
        witness.ground(a_question(episode, number))
    with pytest.raises(UnreadableReply):
        witness.ground(a_question(episode, 0))
    witness.close()
    assert witness.surenesses == [(0.8, True), (0.8, False), (0.8, False), (0.7, False), (0.6, True), (0.0, False)]
    assert witness.questions == 6


# The suite.


class Noted:
    """Stands for `run_episode`: notes with what settings it was called; ours asks `questions` times."""

    def __init__(self, questions: int) -> None:
        self.questions = questions
        self.calls: list[tuple[str, float, Config]] = []

    def __call__(
        self, episode: Played, config: Config, grounder: object, *, policy: str, latency_s: float, **_: Any
    ) -> Run:
        self.calls.append((policy, latency_s, config))
        return a_run(len(episode.frames), policy=policy, latency_s=latency_s, questions=self.questions)


class AtOnce:
    """Stands for the pool of processes: calls in this one."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, call: Callable[..., Any], *args: object) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(call(*args))
        return future


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    """The suite without pictures and models: one second of painted blocks for every episode, and runs of no work."""
    noted = Noted(questions=3)
    monkeypatch.setattr(judging, "run_episode", noted)
    monkeypatch.setattr(judging, "play", lambda episode: replace(played([[TARGET, OTHER]] * 60), episode=episode))
    monkeypatch.setattr(judging.backends, "create", lambda _: ColorGrounder())
    monkeypatch.setattr(judging, "ProcessPoolExecutor", AtOnce)
    return noted


def test_who_asks_by_interval_asks_as_often_as_ours_did(noted: Noted) -> None:
    judge_episode(CONFIG, Episode("occlusion", 3, 6.0), (0.5,))
    first, *_ = noted.calls
    assert first[0] == OURS
    intervals = {policy: config.grounding.reground_interval_frames for policy, _, config in noted.calls}
    assert set(AS_OFTEN_AS_OURS) == {INTERVAL, REINIT}
    assert [intervals[policy] for policy in AS_OFTEN_AS_OURS] == [20, 20], "three times in sixty frames"
    assert intervals[OURS] == CONFIG.grounding.reground_interval_frames
    noted.questions = 0
    noted.calls.clear()
    judge_episode(CONFIG, Episode("occlusion", 3, 6.0), (0.5,))
    assert noted.calls[-1][2].grounding.reground_interval_frames >= 1


def test_each_policy_is_run_with_its_own_settings_and_never_at_one_latency_only(noted: Noted) -> None:
    judge_episode(CONFIG, Episode("occlusion", 3, 6.0), (0.0, 0.5, 2.0))
    policies = {policy: config.grounding.reground_policy for policy, _, config in noted.calls}
    assert policies[OURS] == "evidence"
    assert policies[REINIT] == policies[INTERVAL] == "interval"
    assert policies[EVERY_ANSWER] == "every_answer"
    assert [latency_s for policy, latency_s, _ in noted.calls if policy == NEVER] == [0.5]
    assert [latency_s for policy, latency_s, _ in noted.calls if policy == OURS] == [0.0, 0.5, 2.0]
    reinit = next(config for policy, _, config in noted.calls if policy == REINIT)
    assert (reinit.grounding.time_travel, reinit.tracker.agreement_iou) == (False, 1.0)


def test_a_quiet_scene_is_run_once(noted: Noted) -> None:
    judge_episode(CONFIG, Episode("tabletop", 3, 6.0, is_trial=False), (0.0, 0.5, 2.0))
    assert [(policy, latency_s) for policy, latency_s, _ in noted.calls] == [(OURS, 0.5)]


def test_the_suite_is_found_by_its_name_and_leaves_table_numbers_and_plot(noted: Noted, tmp_path: Path) -> None:
    measured, table = run_suite("regrounding", CONFIG, output=tmp_path / "out", scenes=1, first_seed=3)
    assert measured["suite"] == "regrounding"
    assert (measured["plan"]["scenes"], measured["plan"]["first_seed"]) == (1, 3)
    assert {run["scene"] for run in measured["runs"]} >= {*TRIALS, "tabletop"}
    assert {run["seed"] for run in measured["runs"]} == {3}
    assert "evidence less interval" in table
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bars.md",
        "quality_by_latency.png",
        "regrounding.json",
    ]
    assert "| J: evidence less never |" in (tmp_path / "out" / "bars.md").read_text(encoding="utf-8")
    with Image.open(tmp_path / "out" / "quality_by_latency.png") as picture:
        picture.verify()
    text = (tmp_path / "out" / "regrounding.json").read_text(encoding="utf-8")
    written = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert written["bars"] == measured["bars"]


def test_a_return_that_never_came_right_is_written_as_null(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    away = [[TARGET]] * 2 + [[]] * 6 + [[TARGET]] * 2
    monkeypatch.setattr(
        judging, "play", lambda episode: replace(played(away), episode=replace(episode, judged_from_s=0.0))
    )
    wrong = a_run(len(away), overlaps=np.zeros(len(away)), on=np.full(len(away), ELSEWHERE))
    monkeypatch.setattr(
        judging, "run_episode", lambda *_, policy, latency_s, **__: replace(wrong, policy=policy, latency_s=latency_s)
    )
    measured, table = run_suite("regrounding", CONFIG, scenes=1, first_seed=3)
    json.dumps(measured["bars"], allow_nan=False)
    assert {tuple(run["returns_s"]) for run in measured["runs"]} == {(None,)}
    assert json.dumps(measured["runs"], allow_nan=False)
    (row,) = [bar for bar in measured["bars"] if "return to right mask" in bar["measure"]]
    assert (row["value"], row["reached"]) == (None, False)
    assert table


@pytest.mark.parametrize("wish", [{"scenes": 0}, {"first_seed": -1}, {"parts": "tracker"}])
def test_wishes_that_the_suite_cannot_meet_are_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        run_suite("regrounding", CONFIG, **wish)


def test_the_plan_holds_every_trial_in_every_seed_and_one_quiet_scene() -> None:
    episodes = Plan(first_seed=7, scenes=2).episodes
    trials = [(each.scene, each.seed) for each in episodes if each.is_trial]
    assert sorted(trials) == sorted((name, seed) for name in TRIALS for seed in (7, 8))
    assert [each.seconds for each in episodes if each.scene == "tabletop"] == [60.0]
    assert Plan().first_seed >= 20_000, "seeds that nobody looked at"
