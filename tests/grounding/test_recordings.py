"""Recorded answers: a run given its answers again is the same run, and nothing is answered that was not asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from asking import a_box
from doubles import ColorGrounder, ColorTracker, ScriptedWorker
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from painted import painted

from referent.config import Config, GrounderConfig
from referent.errors import BadMessage, ConfigError, GrounderUnavailable
from referent.evaluation.lines import result_line
from referent.grounding import backends
from referent.grounding.recordings import RecordingWorker, answer_line, read_answers
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.ports import Grounder, GroundingFailure, Worker
from referent.settings import override
from referent.types import FrameResult, Grounding, GroundingItem, GroundingRequest, RegroundReason, Target, Turn

RED, BLUE = (10, 10, 24, 24), (40, 20, 56, 40)
LATENCY_NS = 300_000_000


def scripted(path: Path) -> Grounder:
    return backends.create(GrounderConfig(backend="scripted", script=str(path)))


def a_request(number: int = 0, expression: str = "the red block", **fields: object) -> GroundingRequest:
    request = GroundingRequest((Target("1", expression),), painted(number, {"red": RED}), RegroundReason.NEW)
    return replace(request, **fields)  # type: ignore[arg-type]


def written(path: Path, *answers: Grounding | GroundingFailure) -> Path:
    worker = RecordingWorker(ScriptedWorker([lambda _, a=answer: a for answer in answers]), path)  # type: ignore[misc]
    for answer in answers:
        worker.submit(answer.request)
        assert worker.poll(answer.request.frame.stamp_ns) is answer
    worker.close()
    return path


def run(worker: Worker) -> list[FrameResult]:
    """Something found, something lost, a wrong question, a correction, a question cancelled while in flight."""
    config = override(Config(), {"grounding.stale_after_s": 0.5, "grounding.lost_after_frames": 2})
    pipeline = Pipeline(config, tracker=ColorTracker(), worker=worker)
    said = {0: "the red block", 8: "also the blue block", 16: "no, the other block", 24: "the purple thing", 26: "undo"}
    results = []
    for number in range(40):
        if number in said:
            pipeline.instruct(said[number])
        boxes = {"red": RED} if 10 < number < 14 else {"red": RED, "blue": BLUE}
        results.append(pipeline.process(painted(number, boxes)))
    pipeline.close()
    return results


def told(results: list[FrameResult]) -> list[object]:
    """All of a run that does not depend on the machine."""
    lines = [{**result_line(result), "timings_s": None} for result in results]
    return [lines, [replace(event) for result in results for event in result.groundings]]


def test_a_replay_with_recorded_answers_is_the_same_run_without_a_model(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "answers.jsonl"
    first = run(RecordingWorker(ReplayWorker(ColorGrounder(), latency_ns=LATENCY_NS), path))
    again = run(ReplayWorker(scripted(path), latency_ns=LATENCY_NS))
    assert told(again) == told(first)
    outcomes = {event.outcome for result in first for event in result.groundings}
    assert {"found", "confirmed", "failed"} <= outcomes, "the story tells enough to be compared"


def test_what_is_recorded_can_be_read_by_people(tmp_path: Path) -> None:
    item = GroundingItem("mug", score=0.25, box_xyxy=a_box((1, 2, 3, 4)))
    answer = Grounding(a_request(history=(Turn("the mug", "[]"),)), (item,), raw="words", latency_s=1.5)
    header, line = map(json.loads, written(tmp_path / "a.jsonl", answer).read_text().splitlines())
    assert header["format"] == "referent grounder answers"
    assert line["stamp_ns"] == painted(0, {}).stamp_ns
    assert (line["expression"], line["reason"], line["raw"]) == ("the red block", "new", "words")
    assert (line["latency_s"], line["history"]) == (1.5, [["the mug", "[]"]])
    assert line["items"][0]["box_xyxy"] == [1.0, 2.0, 3.0, 4.0]


masks = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9))
floats = arrays.arrays(np.float32, (3, 2), elements=st.floats(-1e6, 1e6, width=32))


@settings(deadline=None, max_examples=50)
@given(masks, floats, st.floats(0, 1), st.text(max_size=20))
def test_every_geometry_comes_back_digit_by_digit(
    tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray, points: np.ndarray, score: float, text: str
) -> None:
    items = (
        GroundingItem(text, score=score, mask=mask),
        GroundingItem(text, points_xy=points),
        GroundingItem(text, embedding=points),
        GroundingItem(text, box_xyxy=points.ravel()[:4]),
    )
    given = Grounding(a_request(), items, raw=text, notes=(text,), latency_s=score)
    path = written(tmp_path_factory.mktemp("answers") / "a.jsonl", given)
    back = scripted(path).ground(given.request)
    np.testing.assert_array_equal(back.items[0].mask, mask)
    np.testing.assert_array_equal(back.items[1].points_xy, points)
    np.testing.assert_array_equal(back.items[2].embedding, points)
    np.testing.assert_array_equal(back.items[3].box_xyxy, points.ravel()[:4])
    assert answer_line(back) == answer_line(given)


def test_nothing_matches_and_failures_are_given_again_as_what_they_were(tmp_path: Path) -> None:
    nothing = Grounding(a_request(0), (), "none in view", nothing_score=0.75)
    failure = GroundingFailure(a_request(1), "server said 500")
    grounder = scripted(written(tmp_path / "a.jsonl", nothing, failure))
    again = grounder.ground(a_request(0))
    assert (again.items, again.nothing_reason, again.nothing_score) == ((), "none in view", 0.75)
    with pytest.raises(GrounderUnavailable, match=r"^server said 500$"):
        grounder.ground(a_request(1))


def test_an_answer_is_for_its_own_picture_expression_and_kind_of_question(tmp_path: Path) -> None:
    answer = Grounding(a_request(3), (), "none in view")
    grounder = scripted(written(tmp_path / "a.jsonl", answer))
    with pytest.raises(GrounderUnavailable, match=r"no answer to 'the red block' .* was asked about the frames 13"):
        grounder.ground(a_request(4))
    with pytest.raises(GrounderUnavailable, match="'the bowl' was never asked"):
        grounder.ground(a_request(3, "the bowl"))
    with pytest.raises(GrounderUnavailable, match="no answer"):
        grounder.ground(a_request(3, kind="verify"))


def test_answers_to_the_same_question_come_in_their_order_and_the_last_one_stays(tmp_path: Path) -> None:
    answers = [Grounding(a_request(), (), f"reason {n}") for n in range(3)]
    grounder = scripted(written(tmp_path / "a.jsonl", *answers))
    told_again = [grounder.ground(a_request()).nothing_reason for _ in range(5)]
    assert told_again == ["reason 0", "reason 1", "reason 2", "reason 2", "reason 2"]


def test_what_was_thrown_away_is_not_recorded(tmp_path: Path) -> None:
    worker = RecordingWorker(ReplayWorker(ColorGrounder(), latency_ns=10**9), tmp_path / "a.jsonl")
    worker.submit(a_request())
    assert worker.busy
    worker.cancel()
    assert worker.poll(10**18) is None
    worker.close()
    assert read_answers(tmp_path / "a.jsonl") == ()


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    worker = RecordingWorker(ReplayWorker(ColorGrounder(), latency_ns=0), Path("/dev/full"))
    worker.submit(a_request())
    assert isinstance(worker.poll(10**18), Grounding)
    worker.close()
    assert "No space left" in worker.fault


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "holds no recorded answers"),
        ('{"format": "something else"}\n', "holds no recorded answers"),
        ("HEADER\n{", "line 2: ValueError: no JSON object; was the run cut short"),
        ('HEADER\n{"stamp_ns": 1}', "line 2: KeyError: 'history'"),
        ("HEADER\n[1]", "line 2: ValueError: no JSON object"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_line(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content.replace("HEADER", '{"format": "referent grounder answers", "version": 1}'))
    with pytest.raises(BadMessage, match=complaint):
        scripted(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match="cannot be read"):
        scripted(tmp_path / "absent.jsonl")
    with pytest.raises(ConfigError, match=r"grounder\.script"):
        backends.create(GrounderConfig(backend="scripted"))
