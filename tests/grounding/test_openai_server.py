"""The server backend against a real HTTP server on this machine that behaves well, badly and not at all."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import cv2
import numpy as np
import pytest
from questions import a_request
from scripted_server import ScriptedServer, sends

from referent.config import GrounderConfig
from referent.errors import ConfigError, GrounderUnavailable, UnreadableReply
from referent.grounding import backends
from referent.grounding.backends.openai_server import OpenAIGrounder
from referent.types import LiveTrack, RegroundReason, Turn

ANSWER = '[{"bbox_2d": [500, 500, 750, 750], "label": "red mug"}]'
KEY = "sk-very-secret"


def says(text: str | None, logprobs: object = None) -> Callable[[BaseHTTPRequestHandler], None]:
    choice = {"message": {"role": "assistant", "content": text}, "logprobs": logprobs}
    return sends(json.dumps({"choices": [choice]}).encode())


def a_grounder(server: ScriptedServer, **changes: Any) -> OpenAIGrounder:
    config = replace(
        GrounderConfig(backend="openai_server", model="some-vlm", url=server.url, timeout_s=5.0), **changes
    )
    grounder = backends.create(config)
    assert isinstance(grounder, OpenAIGrounder)
    return grounder


def picture_of(question: dict[str, Any]) -> np.ndarray:
    parts = [part for message in question["messages"] for part in message["content"] if isinstance(part, dict)]
    url = next(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
    data = np.frombuffer(base64.b64decode(url.removeprefix("data:image/png;base64,")), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def test_an_answer_becomes_boxes_and_the_server_saw_the_frame_itself(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(says(ANSWER))
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    request = a_request("pick up the red mug", noise)
    grounding = a_grounder(server).ground(request)
    np.testing.assert_allclose(grounding.items[0].box_xyxy, [32, 24, 48, 36])
    assert (grounding.items[0].label, grounding.items[0].score, grounding.raw) == ("red mug", None, ANSWER)
    np.testing.assert_array_equal(picture_of(server.questions[0]), request.frame.rgb)
    assert 'description "pick up the red mug"' in json.dumps(server.questions[0]).replace('\\"', '"')
    assert server.questions[0]["model"] == "some-vlm"


def test_nothing_is_an_answer(serve: Callable[..., ScriptedServer]) -> None:
    grounding = a_grounder(serve(says("[]"))).ground(a_request())
    assert (grounding.items, bool(grounding.nothing_reason)) == ((), True)


def test_earlier_turns_are_sent_as_text_with_one_picture(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(says("[]"))
    a_grounder(server).ground(a_request(history=(Turn("the mug", ANSWER),)))
    roles = [message["role"] for message in server.questions[0]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert json.dumps(server.questions[0]).count("image_url") == 2  # the part's type and its field: one picture


def test_probabilities_of_naming_a_box_and_of_its_numbers_become_the_score(
    serve: Callable[..., ScriptedServer],
) -> None:
    pieces = ['[{"bbox_2d": [', "500", ", ", "500", ", ", "750", ", ", "750", '], "label": "red mug"}]']
    sure = np.log([0.8, 0.9, 1.0, 0.7, 1.0, 0.5, 1.0, 0.9, 1.0])
    content = [{"token": piece, "logprob": float(p)} for piece, p in zip(pieces, sure, strict=True)]
    grounding = a_grounder(serve(says(ANSWER, {"content": content}))).ground(a_request())
    assert grounding.items[0].score == pytest.approx(0.8 * (0.9 * 0.7 * 0.5 * 0.9) ** 0.25)
    assert grounding.nothing_score == pytest.approx(0.2)


def test_nothing_is_as_sure_as_its_token(serve: Callable[..., ScriptedServer]) -> None:
    content = [{"token": "[]", "logprob": float(np.log(0.6))}]
    assert a_grounder(serve(says("[]", {"content": content}))).ground(a_request()).nothing_score == pytest.approx(0.6)
    assert a_grounder(serve(says("[]"))).ground(a_request()).nothing_score is None


@pytest.mark.parametrize("logprobs", [{"content": None}, {"content": [{"token": 3}]}, [], {"content": ["x"]}])
def test_odd_probabilities_are_no_fault(serve: Callable[..., ScriptedServer], logprobs: object) -> None:
    assert a_grounder(serve(says(ANSWER, logprobs))).ground(a_request()).items[0].score is None


def test_pixels_of_the_models_picture_are_true_because_the_frame_is_padded(
    serve: Callable[..., ScriptedServer],
) -> None:
    server = serve(says("[10, 20, 30, 40]"))
    grounding = a_grounder(server, coordinate_space="px_model").ground(a_request())
    np.testing.assert_allclose(grounding.items[0].box_xyxy, [10, 20, 30, 40])
    assert picture_of(server.questions[0]).shape == (224, 224, 3)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_refusal_is_unavailability_and_names_the_status(serve: Callable[..., ScriptedServer], status: int) -> None:
    with pytest.raises(GrounderUnavailable, match=str(status)):
        a_grounder(serve(sends(b"no", status))).ground(a_request())


GARBAGE = (b"", b"<html>busy</html>", b'{"choices": []}', b'{"choices": [{"message": {', b"\xff\xfe", b"[" * 100_000)


@pytest.mark.parametrize("body", GARBAGE)
def test_garbage_is_an_unreadable_reply(serve: Callable[..., ScriptedServer], body: bytes) -> None:
    with pytest.raises(UnreadableReply):
        a_grounder(serve(sends(body))).ground(a_request())


@pytest.mark.parametrize("text", ["", "Of course!", None])
def test_words_without_an_answer_are_unreadable(serve: Callable[..., ScriptedServer], text: str | None) -> None:
    with pytest.raises(UnreadableReply):
        a_grounder(serve(says(text))).ground(a_request())


def test_a_body_that_stops_halfway_is_unavailability(serve: Callable[..., ScriptedServer]) -> None:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"choices": [')
        handler.close_connection = True

    with pytest.raises(GrounderUnavailable):
        a_grounder(serve(behave)).ground(a_request())


def test_a_silent_server_and_a_dripping_one_end_at_the_timeout(serve: Callable[..., ScriptedServer]) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(1.0)

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(40):
            try:
                handler.wfile.write(b" ")
            except OSError:  # the client hung up, as it should
                return
            time.sleep(0.05)

    for behave in (silent, dripping):
        started = time.perf_counter()
        with pytest.raises(GrounderUnavailable, match=r"0\.3 s"):
            a_grounder(serve(behave), timeout_s=0.3).ground(a_request())
        assert time.perf_counter() - started < 0.9


def test_a_cancelled_question_hangs_up_on_the_server_which_goes_on_to_be_used(
    serve: Callable[..., ScriptedServer],
) -> None:
    hung_up = threading.Event()

    def behave(handler: BaseHTTPRequestHandler) -> None:
        if len(server.questions) == 2:  # the second question on a connection kept from the first
            handler.connection.settimeout(20)
            if handler.connection.recv(1) == b"":
                hung_up.set()
            return
        says(ANSWER)(handler)

    server = serve(behave)
    server.keep_connections()
    grounder = a_grounder(server, timeout_s=20.0)
    grounder.ground(a_request())
    grounder.cancel()  # between questions: nothing to leave off
    threading.Timer(0.3, grounder.cancel).start()
    started = time.perf_counter()
    with pytest.raises(GrounderUnavailable):
        grounder.ground(a_request())
    assert time.perf_counter() - started < 5
    assert hung_up.wait(5)
    assert grounder.ground(a_request()).items
    grounder.close()


def test_too_long_an_answer_is_refused(serve: Callable[..., ScriptedServer]) -> None:
    with pytest.raises(GrounderUnavailable, match="longer than 2000"):
        a_grounder(serve(says("x" * 5000)), max_reply_bytes=2000).ground(a_request())


def test_a_redirect_is_not_followed(serve: Callable[..., ScriptedServer]) -> None:
    other = serve(says(ANSWER))
    server = serve(sends(b"", 307, Location=other.url + "/chat/completions"))
    with pytest.raises(GrounderUnavailable, match="redirect"):
        a_grounder(server).ground(a_request())
    assert other.questions == []


def test_nobody_there_is_unavailability(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(says(ANSWER))
    server.stop()
    with pytest.raises(GrounderUnavailable, match=r"127\.0\.0\.1"):
        a_grounder(server).ground(a_request())


def test_the_key_comes_from_the_environment_and_is_never_repeated(
    serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFERENT_API_KEY", KEY)
    server = serve(sends(f"wrong key {KEY}".encode(), 401))
    with pytest.raises(GrounderUnavailable) as refused:
        a_grounder(server).ground(a_request())
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(refused.value)
    monkeypatch.setenv("REFERENT_API_KEY", KEY + "\n")
    with pytest.raises(ConfigError) as odd:
        a_grounder(server)
    assert KEY not in str(odd.value)


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://", "http://user:secret@host/v1"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match=r"grounder\.url") as refused:
        backends.create(GrounderConfig(backend="openai_server", url=url))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("space", "order", "numbers"),
    [
        ("rel1000", "xyxy", "[250, 500, 500, 1000]"),
        ("pct100", "yxyx", "[50, 25, 100, 50]"),
        ("norm1", "xywh", "[0.250, 0.500, 0.250, 0.500]"),
        ("px_model", "xyxy", "[112, 224, 224, 448]"),
    ],
)
def test_new_words_are_asked_about_with_what_is_followed_in_the_coordinates_of_the_model(
    serve: Callable[..., ScriptedServer], space: str, order: str, numbers: str
) -> None:
    server = serve(says("[]"))
    grounder = a_grounder(server, coordinate_space=space, coordinate_order=order)
    width, height = 448, 448  # multiples of what pixel-writing models want
    box = np.array([0.25 * width, 0.5 * height, 0.5 * width, height], np.float32)
    request = a_request(rgb=np.zeros((height, width, 3), np.uint8), tracks=(LiveTrack("7", 'the "big" box', box),))
    grounder.ground(request)
    grounder.ground(replace(request, reason=RegroundReason.UNCERTAIN))
    first, second = (
        [p["text"] for p in asked["messages"][-1]["content"] if p["type"] == "text"] for asked in server.questions
    )
    assert f"7 \"the 'big' box\" {numbers}." in "".join(first)
    assert "follows" not in "".join(second), "an answer that is to verify a track must not lean on it"
