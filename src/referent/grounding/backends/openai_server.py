"""A multimodal LLM behind an OpenAI-compatible server (vLLM, SGLang, Ollama, llama.cpp, hosted) as a grounder.

The key is read from the environment variable the configuration names and appears in no message. Answers are bounded in
size and time and taken unpacked only; redirects are refused, and plain http goes past proxies of the environment: both
could carry the picture and the key to another host. Certificates are checked (by httpx).
"""

from __future__ import annotations

import base64
import json
import logging
import math
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import httpx
import numpy as np

from referent.config import GrounderConfig
from referent.errors import ConfigError, GrounderUnavailable, UnreadableReply
from referent.grounding.coordinates import PAD_GREY, pixels_per_unit
from referent.grounding.prompts import Message, messages_from_request, tracks_note
from referent.grounding.replies import locate, with_scores
from referent.grounding.token_scores import Token, nothing_score, region_score
from referent.types import Array, Grounding, GroundingRequest, RegroundReason

PIXEL_SIDE_STEP = 224  # lcm(28, 32): a multiple of the patch sizes of Qwen2.5-VL and Qwen3-VL
_SHOWN = 200  # characters of a server's complaint that are passed on


class OpenAIGrounder:
    """Asks a server's /chat/completions; `config.url` is the part before it."""

    def __init__(self, config: GrounderConfig, transport: httpx.BaseTransport | None = None) -> None:
        self._address = _address(config.url)
        key = os.environ.get(_variable(config.api_key_env), "")
        if not key.isascii() or not key.isprintable():
            raise ConfigError(
                f"grounder.api_key_env: the key in {config.api_key_env} holds characters no header may hold"
            )
        self._config = config
        self._key = key
        self._line = _Line()
        logging.getLogger("httpcore").setLevel(logging.INFO)  # its DEBUG repeats what a server says, a quoted key too
        self._client = httpx.Client(
            timeout=httpx.Timeout(config.timeout_s),
            limits=httpx.Limits(max_connections=1),  # so that the newest connection is the one in use
            headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})},
            follow_redirects=False,
            trust_env=self._address.startswith("https:"),  # a proxy would read what goes to plain http
            transport=transport,
        )

    def ground(self, request: GroundingRequest) -> Grounding:
        """Where the request's expression is in its frame. Raises UnreadableReply or GrounderUnavailable."""
        started = time.perf_counter()
        rgb = request.frame.rgb
        size = (rgb.shape[1], rgb.shape[0])
        shown = _padded_to_steps(rgb) if self._config.coordinate_space == "px_model" else rgb
        scale = pixels_per_unit(self._config.coordinate_space, size=(shown.shape[1], shown.shape[0]))
        body = self._body(shown, self._messages(request, scale))
        text, tokens = _choice(self._post(body, started + self._config.timeout_s))
        located = locate(
            text,
            scale=scale,
            size=size,
            order=self._config.coordinate_order,
            max_items=self._config.max_items,
            label=request.expression,
        )
        agree = "".join(token for token, _ in tokens).startswith(text)
        return Grounding(
            request=request,
            items=with_scores(located.items, [region_score(tokens, s) if agree else None for s in located.spans]),
            nothing_reason=located.nothing,
            raw=text,
            notes=located.notes,
            nothing_score=nothing_score(tokens, located.spans) if agree else None,
            latency_s=time.perf_counter() - started,
        )

    def cancel(self) -> None:
        """Hang up, from another thread: the server learns that nobody waits, and the question fails."""
        self._line.hang_up()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _messages(self, request: GroundingRequest, scale: tuple[float, float]) -> list[Message]:
        """The question; new words are asked about with what is followed already, which they may speak of.

        Not where a track is to be verified: the answer must not lean on it.
        """
        messages = messages_from_request(request)
        if request.reason in (RegroundReason.NEW, RegroundReason.CORRECTED) and request.kind == "ground":
            note = tracks_note(request.tracks, scale=scale, order=self._config.coordinate_order)
            messages[-1]["content"] += [{"type": "text", "text": note}] if note else []
        return messages

    def _body(self, rgb: Array, messages: Sequence[Message]) -> dict[str, Any]:
        return {
            "model": self._config.model,
            "messages": [_with_picture(message, rgb) for message in messages],
            "max_tokens": self._config.max_new_tokens,
            "temperature": 0,
            "logprobs": True,
        }

    def _post(self, body: Mapping[str, Any], deadline_s: float) -> bytes:
        """The body of the server's answer, without the key. Raises GrounderUnavailable."""
        address = self._address
        try:
            with (
                self._line.until(deadline_s),
                self._client.stream("POST", address, json=body, extensions={"trace": self._line.notice}) as reply,
            ):
                content = self._read(reply)
        except httpx.HTTPError as error:
            if isinstance(error, httpx.TimeoutException) or time.perf_counter() >= deadline_s:
                raise self._late() from None
            said = f"{type(error).__name__}: {self._without_key(str(error))}"
            raise GrounderUnavailable(f"{address} cannot be used ({said})") from None  # it may quote what was sent
        if time.perf_counter() >= deadline_s:  # to be hung up on looks like the end of an answer without a length
            raise self._late()
        if reply.is_redirect:
            raise GrounderUnavailable(f"{address} redirects elsewhere; set grounder.url to the server's own address")
        if reply.status_code != httpx.codes.OK:
            said = _shown(self._without_key(content.decode("utf-8", "replace")))
            raise GrounderUnavailable(f"{address} answered {reply.status_code}{_advice(reply.status_code)}: {said}")
        return content.replace(self._key.encode(), b"***") if self._key else content

    def _read(self, reply: httpx.Response) -> bytes:
        """At most `max_reply_bytes`, which packed bytes could exceed a thousandfold before anybody looks."""
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise GrounderUnavailable(f"{self._address} answers compressed though it was asked not to")
        content = bytearray()
        for block in reply.iter_bytes():
            content += block
            if len(content) > self._config.max_reply_bytes:
                raise GrounderUnavailable(f"the server's answer is longer than {self._config.max_reply_bytes} bytes")
        return bytes(content)

    def _late(self) -> GrounderUnavailable:
        return GrounderUnavailable(f"{self._address} did not answer within {self._config.timeout_s:g} s")

    def _without_key(self, text: str) -> str:
        """Some servers quote a wrong key."""
        return text.replace(self._key, "***") if self._key else text


class _Line:
    """The connection to the server, so that another thread can hang up: waiting for an answer is one blocking call."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._deadline_s = math.inf

    @contextmanager
    def until(self, deadline_s: float) -> Iterator[None]:
        """Hang up at the deadline (perf_counter): a server that drips bytes, or headers, must not hold the worker."""
        self._deadline_s = deadline_s
        timer = threading.Timer(max(0.0, deadline_s - time.perf_counter()), self.hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def notice(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpcore tells of its doings (its extension "trace"): keep the socket of a connection it has opened."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete", "proxy.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if time.perf_counter() >= self._deadline_s:  # it came about too late for the timer
                self.hang_up()

    def hang_up(self) -> None:
        """End the connection in both directions, which wakes whoever waits at it."""
        if self._socket is None:
            return
        try:
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # below TLS, whose own farewell would wait
        except OSError:  # it is closed already
            self._socket = None


def data_uri(rgb: Array) -> str:
    """(H, W, 3) uint8 as a PNG data URI: lossless, so that a server sees the frame itself."""
    done, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise GrounderUnavailable(f"a picture of shape {rgb.shape} cannot be written as PNG")
    return "data:image/png;base64," + base64.b64encode(np.asarray(png).tobytes()).decode("ascii")


def _with_picture(message: Message, rgb: Array) -> Message:
    """The message as the API wants it: the picture as a data URI; text alone as a plain string."""
    parts = message["content"]
    if all(part["type"] == "text" for part in parts):
        return {"role": message["role"], "content": "".join(part["text"] for part in parts)}
    picture = {"type": "image_url", "image_url": {"url": data_uri(rgb)}}
    return {"role": message["role"], "content": [picture if part["type"] == "image" else part for part in parts]}


def _padded_to_steps(rgb: Array) -> Array:
    """`rgb` with a border so that both sides are multiples of 224: the model's own resize then leaves it alone."""
    height, width = rgb.shape[:2]
    high, wide = (math.ceil(side / PIXEL_SIDE_STEP) * PIXEL_SIDE_STEP for side in (height, width))
    border = (0, high - height, 0, wide - width)
    return np.asarray(cv2.copyMakeBorder(rgb, *border, cv2.BORDER_CONSTANT, value=(PAD_GREY,) * 3))


def _choice(content: bytes) -> tuple[str, list[Token]]:
    """The answer's text and its tokens with probabilities, as far as given. Raises UnreadableReply."""
    try:
        choice = json.loads(content)["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise UnreadableReply(f"the server's answer is no chat completion: {content[:_SHOWN]!r}") from error
    if not isinstance(text, str):
        raise UnreadableReply(f"the server's answer holds no text: {content[:_SHOWN]!r}")
    return text, _tokens(choice)


def _tokens(choice: Mapping[str, Any]) -> list[Token]:
    """Tokens and probabilities; empty when the server gives none or gives them otherwise."""
    logprobs = choice.get("logprobs")
    listed = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = []
    for token in listed if isinstance(listed, list) else []:
        if not isinstance(token, Mapping):
            return []
        text, logprob = token.get("token"), token.get("logprob")
        if not isinstance(text, str) or not isinstance(logprob, int | float):
            return []
        tokens.append((text, math.exp(min(0.0, logprob))))
    return tokens


def _address(url: str) -> str:
    """Where to send questions. Raises ConfigError for what is no address."""
    try:
        parsed = httpx.URL(url.rstrip("/") + "/chat/completions")
    except httpx.InvalidURL as error:
        raise ConfigError(f"grounder.url: {url!r} is no address ({error})") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"grounder.url: {url!r} is no http(s) address, such as http://localhost:8000/v1")
    if parsed.query or parsed.fragment:
        raise ConfigError(
            "grounder.url: ends in ?... or #...; a key belongs into the environment (grounder.api_key_env)"
        )
    if parsed.userinfo:
        raise ConfigError("grounder.url: holds a password; put it into the variable that grounder.api_key_env names")
    return str(parsed)


def _variable(name: str) -> str:
    """The name of an environment variable. Raises ConfigError for anything else, such as the key itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError("grounder.api_key_env: not the name of an environment variable; a key belongs into its value")
    return name


def _shown(text: str) -> str:
    """The beginning of what a server says, on one line and without what would steer a terminal."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))[:_SHOWN]


def _advice(status: int) -> str:
    if status in (401, 403):
        return " (is the key in the environment variable that grounder.api_key_env names?)"
    if status == 404:
        return " (do grounder.url and grounder.model fit the server?)"
    return " (the server is busy)" if status == 429 else ""
