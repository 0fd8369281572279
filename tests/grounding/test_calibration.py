"""Squares at known places: boxes that mean something else than they are taken for are refused by name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import cv2
import httpx
import numpy as np
import pytest
from awaiting import wait_for
from painted import painted

from referent.cli import main
from referent.config import GrounderConfig
from referent.errors import ConfigError, GrounderUnavailable
from referent.grounding import backends
from referent.grounding.backends.openai_server import OpenAIGrounder
from referent.grounding.calibration import SIZE, SQUARES, calibrate, calibration_note, expected_of
from referent.grounding.worker_choice import live_worker_from, replay_worker_from
from referent.grounding.workers import health_of
from referent.ports import GroundingFailure
from referent.types import Grounding, GroundingItem, GroundingRequest, RegroundReason, Target

WIDTH, HEIGHT = SIZE
Box = tuple[float, float, float, float]
Writer = Callable[[Box], object]


def seen(question: dict[str, object]) -> tuple[str, Box]:
    """What a model that sees well makes of a question: which color is asked for, and where that is, in pixels."""
    text = json.dumps(question)
    color = re.search(r"the (\w+) square", text)[1]  # type: ignore[index]
    png = re.search(r"base64,([^\"]+)", text)[1]  # type: ignore[index]
    rgb = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]  # type: ignore[index]
    rows, columns = np.nonzero((rgb == SQUARES[color][0]).all(axis=2))
    return color, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def served(write: Writer, *, space: str = "rel1000", order: str = "xyxy") -> OpenAIGrounder:
    """A served model that sees well and writes in its own way."""

    def answer(request: httpx.Request) -> httpx.Response:
        _, box = seen(json.loads(request.content))
        said = write(tuple(float(v) for v in box))  # type: ignore[arg-type]
        text = said if isinstance(said, str) else json.dumps([{"bbox_2d": said, "label": "square"}])
        return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})

    config = GrounderConfig(
        backend="openai_server", url="http://server/v1", coordinate_space=space, coordinate_order=order
    )
    return OpenAIGrounder(config, httpx.MockTransport(answer))


def scaled(box: Box, width: float, height: float, digits: int = 0) -> Box:
    sides = (width / WIDTH, height / HEIGHT) * 2
    return tuple(round(v * s, digits) for v, s in zip(box, sides, strict=True))  # type: ignore[return-value]


def swapped(box: Box) -> Box:
    return box[1], box[0], box[3], box[2]


def with_size(box: Box) -> Box:
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def refusal(write: Writer, space: str = "rel1000", order: str = "xyxy") -> str:
    grounder = served(write, space=space, order=order)
    with pytest.raises(ConfigError) as caught:
        calibration_note(grounder, expected=expected_of(space, order), refuse=True)
    return str(caught.value)


RIGHT = {
    ("rel1000", "xyxy"): lambda box: scaled(box, 1000, 1000),
    ("norm1", "xyxy"): lambda box: scaled(box, 1, 1, 3),
    ("pct100", "xyxy"): lambda box: scaled(box, 100, 100),
    ("px_model", "xyxy"): lambda box: box,
    ("rel1000", "yxyx"): lambda box: swapped(scaled(box, 1000, 1000)),
    ("rel1000", "xywh"): lambda box: with_size(scaled(box, 1000, 1000)),
    ("px_model", "yxyx"): swapped,
}


@pytest.mark.parametrize(("space", "order"), RIGHT)
def test_boxes_written_as_the_settings_say_are_where_they_should_be(space: str, order: str) -> None:
    found = calibrate(served(RIGHT[space, order], space=space, order=order), expected=expected_of(space, order))
    assert found.fits is True, found.text
    assert "4 of 4" in found.text


@pytest.mark.parametrize(("space", "order"), RIGHT)
@pytest.mark.parametrize(("written_space", "written_order"), RIGHT)
def test_every_setting_taken_for_another_is_refused_with_the_settings_that_mend_it(
    space: str, order: str, written_space: str, written_order: str
) -> None:
    if (space, order) == (written_space, written_order):
        return
    text = refusal(RIGHT[written_space, written_order], space, order)
    way_out = text.split(". Set ")[1]
    assert (f"grounder.coordinate_space to {written_space}" in way_out) == (space != written_space), text
    assert (f"grounder.coordinate_order to {written_order}" in way_out) == (order != written_order), text


def test_a_refusal_names_what_was_found_what_was_expected_and_what_to_set() -> None:
    text = refusal(lambda box: swapped(scaled(box, 1000, 1000)))
    assert text == (
        "grounder: boxes are written as y1, x1, y2, x2 in thousandths of the picture, but taken as x1, y1, x2, y2 in "
        "thousandths of the picture. Set grounder.coordinate_order to yxyx"
    )
    assert "pixels of the picture, but taken as x1, y1, x2, y2 in thousandths" in refusal(lambda box: box)


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda b: (WIDTH - b[2], b[1], WIDTH - b[0], b[3]), "mirrored left to right"),
        (lambda b: (b[0], HEIGHT - b[3], b[2], HEIGHT - b[1]), "mirrored top to bottom"),
        (lambda b: ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]), "center x, center y"),
    ],
)
def test_what_no_setting_can_mend_is_said_so(write: Writer, found: str) -> None:
    text = refusal(write, "px_model")
    assert found in text
    assert "No setting mends that" in text


def test_pixels_of_a_picture_that_the_server_made_smaller_are_recognised() -> None:
    text = refusal(lambda box: scaled(box, 504, 252), "px_model")
    assert "pixels of a picture of 504 x 252" in text
    assert "max_pixels" in text


def test_a_grounder_without_words_is_judged_by_its_boxes() -> None:
    class Opaque:
        def __init__(self, change: Callable[[Box], Box]) -> None:
            self.change = change

        def ground(self, request: GroundingRequest) -> Grounding:
            box = SQUARES[request.expression.split()[1]][1]
            item = GroundingItem("square", box_xyxy=np.array(self.change(box), np.float32))
            return Grounding(request, (item,))

        def close(self) -> None:
            """Nothing to free."""

    assert calibrate(Opaque(lambda box: box)).fits is True
    found = calibrate(Opaque(swapped))
    assert found.fits is False
    assert "y1, x1, y2, x2 in pixels" in found.text
    assert "No setting mends that" in found.text


def test_masks_are_judged_as_well() -> None:
    class Painter:
        def ground(self, request: GroundingRequest) -> Grounding:
            color = SQUARES[request.expression.split()[1]][0]
            return Grounding(request, (GroundingItem("square", mask=(request.frame.rgb == color).all(axis=2)),))

        def close(self) -> None:
            """Nothing to free."""

    assert calibrate(Painter()).fits is True


def one_box_for_all(box: Box) -> Box:
    return 250.0, 250.0, 750.0, 750.0


@pytest.mark.parametrize("write", [lambda _: "[]", lambda _: "I am only a language model.", one_box_for_all])
def test_answers_that_say_nothing_prove_nothing(write: Writer) -> None:
    grounder = served(write)
    note = calibration_note(grounder, expected=expected_of("rel1000", "xyxy"), refuse=True)
    assert note.startswith("the coordinates could not be calibrated")
    assert "red: " in note


def test_a_model_that_sees_poorly_is_not_accused_of_another_convention() -> None:
    rng = np.random.default_rng(0)

    def poorly(box: Box) -> Box:
        return tuple(scaled(box, 1000, 1000) + rng.normal(0, 60, 4))  # type: ignore[return-value]

    assert [calibrate(served(poorly), expected=expected_of("rel1000", "xyxy")).fits for _ in range(30)] == [None] * 30
    found = calibrate(served(lambda box: scaled(box, 1045, 1045)), expected=expected_of("rel1000", "xyxy"))
    assert found.fits is None
    assert "the boxes are off" in found.text


def test_one_square_that_is_not_found_is_forgiven_and_two_are_not() -> None:
    def blind_to(*colors: str) -> Writer:
        true = {SQUARES[color][1] for color in colors}
        return lambda box: "[]" if tuple(int(v) for v in box) in true else scaled(box, 1000, 1000)

    expected = expected_of("rel1000", "xyxy")
    assert calibrate(served(blind_to("red")), expected=expected).fits is True
    assert calibrate(served(blind_to("red", "blue")), expected=expected).fits is None


def test_where_only_a_warning_is_wanted_wrong_boxes_are_a_note() -> None:
    note = calibration_note(served(swapped), expected=expected_of("rel1000", "xyxy"), refuse=False)
    assert note.endswith("Set grounder.coordinate_order to yxyx and grounder.coordinate_space to px_model")


@pytest.fixture
def upside_down(monkeypatch: pytest.MonkeyPatch) -> GrounderConfig:
    """A configuration whose server writes y before x."""
    monkeypatch.setattr(backends, "create", lambda config: served(lambda box: swapped(scaled(box, 1000, 1000))))
    return GrounderConfig(backend="openai_server", url="http://server/v1")


def test_a_live_worker_refuses_a_server_with_wrong_boxes_and_says_why_when_asked(upside_down: GrounderConfig) -> None:
    with closing(live_worker_from(upside_down)) as worker:
        worker.submit(GroundingRequest((Target("1", "the red square"),), painted(0, {}), RegroundReason.NEW))
        answer = wait_for(worker)
        assert isinstance(answer, GroundingFailure)
        assert "Set grounder.coordinate_order to yxyx" in answer.message
        health = health_of(worker)
        assert health is not None
        assert (health.state, health.note) == ("refused", answer.message)


def test_a_replay_does_not_start_with_a_server_with_wrong_boxes(upside_down: GrounderConfig) -> None:
    with pytest.raises(ConfigError, match=r"Set grounder\.coordinate_order to yxyx"):
        replay_worker_from(upside_down, latency_ns=0)
    replay_worker_from(replace(upside_down, calibrate="warn"), latency_ns=0).close()


def test_the_command_line_tells_whether_boxes_are_right_wrong_or_unclear(
    upside_down: GrounderConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ground", "--calibrate", "--grounder", "openai_server", "--set", "grounder.url=http://server/v1"]
    assert main(command) == 2
    assert "Set grounder.coordinate_order to yxyx" in capsys.readouterr().err
    monkeypatch.setattr(backends, "create", lambda config: served(RIGHT["rel1000", "xyxy"]))
    assert main(command) == 0
    assert "boxes are where they should be" in capsys.readouterr().out
    monkeypatch.setattr(backends, "create", lambda config: served(lambda box: "[]"))
    assert main(command) == 2
    assert "could not be calibrated" in capsys.readouterr().err


def test_a_server_that_is_down_cannot_be_asked() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    grounder = OpenAIGrounder(GrounderConfig(url="http://server/v1"), httpx.MockTransport(down))
    with pytest.raises(GrounderUnavailable):
        calibrate(grounder, expected=expected_of("rel1000", "xyxy"))
