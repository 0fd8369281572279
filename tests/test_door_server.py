"""The door to a server: what it may cost, and what it never sees or gives away."""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from questions import a_request
from scripted_server import ScriptedServer, forever, sends

from referent import cli
from referent.config import GrounderConfig, load_config
from referent.errors import ConfigError, GrounderUnavailable, UnreadableReply
from referent.grounding.backends.openai_server import OpenAIGrounder
from referent.sources.simulated_bag import write_simulated_bag

KEY = "sk-door-very-secret-0123456789"


def a_grounder(url: str, **changes: Any) -> OpenAIGrounder:
    return OpenAIGrounder(
        GrounderConfig(backend="openai_server", model="vlm", url=url, **{"timeout_s": 0.4, **changes})
    )


def outcome(grounder: OpenAIGrounder) -> str:
    """All that a person may ever see of a failed question: message, chain and traceback."""
    with closing(grounder), pytest.raises((GrounderUnavailable, UnreadableReply)) as caught:
        grounder.ground(a_request())
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "behave",
    [
        forever(b"X-Slow: 1\r\n", start=b"HTTP/1.0 200 OK\r\n", pause_s=0.05),  # headers that never end
        forever(b" ", pause_s=0.05),  # a body that never ends
        forever(b"H", start=b"H", pause_s=0.05),  # not even a status line
    ],
    ids=["headers", "body", "status"],
)
def test_a_slow_loris_is_hung_up_on_at_the_timeout(serve: Callable[..., ScriptedServer], behave: Any) -> None:
    started = time.perf_counter()
    assert "0.4 s" in outcome(a_grounder(serve(behave).url))
    assert time.perf_counter() - started < 4.5, "it would go on for 5 s"


def test_a_gigabyte_is_not_taken_in_plain_or_packed(serve: Callable[..., ScriptedServer]) -> None:
    assert "longer than 5000 bytes" in outcome(a_grounder(serve(forever(b"x" * 65536)).url, max_reply_bytes=5000))
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bomb.compress(b"[" * (64 << 20)) + bomb.flush()
    server = serve(sends(packed, Content_Encoding="gzip"))
    assert len(packed) < 100_000
    assert "compressed" in outcome(a_grounder(server.url))
    assert "Accept-Encoding: identity" in server.requests[0]


def test_neither_key_nor_picture_follows_a_redirect(
    serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFERENT_API_KEY", KEY)
    thief = serve(sends(b"{}"))
    for status in (301, 302, 303, 307, 308):
        assert "redirect" in outcome(a_grounder(serve(sends(b"", status, Location=thief.url)).url))
    assert thief.requests == []


def test_a_proxy_of_the_environment_sees_neither_key_nor_picture(
    serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(sends(b"{}")), serve(sends(b"{}"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    outcome(a_grounder(server.url))
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


def test_certificates_are_checked(serve: Callable[..., ScriptedServer]) -> None:
    """Not only by default: the context that is used demands them."""
    grounder = a_grounder("https://127.0.0.1:1/v1")
    with closing(grounder):
        context = grounder._client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


LEAKS = {
    "in a refusal": sends(f"wrong key {KEY}".encode(), 401),
    "in an answer that is none": sends(json.dumps({"headers": {"Authorization": f"Bearer {KEY}"}}).encode()),
    "in an answer without words": sends(json.dumps({"choices": [{"message": {"content": None}}], "k": KEY}).encode()),
    "in a status line": lambda handler: handler.wfile.write(f"HTTP/9 {KEY}\r\n\r\n".encode()),
    "in a header": lambda handler: handler.wfile.write(f"HTTP/1.1 200 OK\r\n{KEY} x\r\n\r\n".encode()),
}


@pytest.mark.parametrize("behave", LEAKS.values(), ids=LEAKS.keys())
def test_the_key_is_in_no_message_whatever_the_server_says(
    serve: Callable[..., ScriptedServer], behave: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REFERENT_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    server = serve(behave)
    said = outcome(a_grounder(server.url))
    assert f"Bearer {KEY}" in server.requests[0]
    assert KEY not in said
    assert KEY not in caplog.text


def test_the_key_is_in_no_answer_that_is_kept(
    serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFERENT_API_KEY", KEY)
    text = '[{"bbox_2d": [100, 200, 300, 400], "label": "' + KEY + '"}]'
    answer = sends(json.dumps({"choices": [{"message": {"content": text}}]}).encode())
    with closing(a_grounder(serve(answer).url)) as grounder:
        grounding = grounder.ground(a_request())
    assert KEY not in repr(grounding)


def test_settings_show_the_name_of_the_key_and_not_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFERENT_API_KEY", KEY)
    cli.main(["config", "show"])
    shown = capsys.readouterr().out
    assert "REFERENT_API_KEY" in shown
    assert KEY not in shown
    assert KEY not in repr(load_config())


@pytest.mark.parametrize(
    "changes",
    [{"url": f"http://host/v1?api_key={KEY}"}, {"url": f"http://host/v1#{KEY}"}, {"api_key_env": KEY}],
    ids=["query", "fragment", "key instead of its name"],
)
def test_a_key_in_the_settings_is_refused_and_not_repeated(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        OpenAIGrounder(GrounderConfig(backend="openai_server", **{"url": "http://host/v1", **changes}))
    assert KEY not in "".join(traceback.format_exception(refused.value))


def test_what_a_server_complains_of_cannot_steer_a_terminal(serve: Callable[..., ScriptedServer]) -> None:
    said = outcome(a_grounder(serve(sends(b"\x1b[2Jcleared\x07", 500)).url))
    assert "cleared" in said
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", said)


def test_the_key_is_in_nothing_that_a_run_leaves_behind(
    serve: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REFERENT_API_KEY", KEY)
    server = serve(sends(f"wrong key {KEY}".encode(), 401))
    bag, out = tmp_path / "bag", tmp_path / "out"
    write_simulated_bag("tabletop", 0, 0.3, bag, fps=10, width=160, height=120)
    settings = {
        "backend": "openai_server",
        "url": server.url,
        "calibrate": '"off"',
        "record": str(out / "answers.jsonl"),
    }
    given = [part for name, value in settings.items() for part in ("--set", f"grounder.{name}={value}")]
    done = cli.main(
        ["replay", str(bag), "--instruction", "the red mug", "--output", str(out), "--grounder-latency", "0", *given]
    )
    assert done == 0
    assert server.requests
    left = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert b"401" in left["summary.json"] + left["results.jsonl"] + left.get("answers.jsonl", b"")
    assert [name for name, content in left.items() if KEY.encode() in content] == []
    assert KEY not in "".join(capfd.readouterr())
