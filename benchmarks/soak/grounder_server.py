"""The process `soak.grounder_server`: the bundled grounder behind an OpenAI-compatible address, as vLLM would serve it.

python -m soak.grounder_server --port 8123       then grounder.backend openai_server, grounder.url http://127.0.0.1:8123/v1
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import sys
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import cv2
import numpy as np

from referent.config import GrounderConfig
from referent.grounding.backends.qwen3_vl import load_model, picture_for_model, speak
from referent.types import Array
from referent.weights import resolve

ADDRESS = "/v1/chat/completions"


class Server(HTTPServer):
    """One question at a time, as on one small GPU."""

    def __init__(self, port: int) -> None:
        entry = resolve(GrounderConfig().model)
        self.model, self.processor = load_model(entry.folder, "cpu")
        self.picture_sizes = [tuple(size) for size in getattr(self.model.config, "picture_sizes", None) or ()]
        super().__init__(("127.0.0.1", port), _Answers)

    def completion(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to the body of a request."""
        rgb, messages = read(body["messages"])
        shown, _ = picture_for_model(rgb, self.picture_sizes)
        tokens = speak(self.model, self.processor, shown, messages, max_new_tokens=int(body["max_tokens"]))
        told = [{"token": text, "logprob": math.log(max(sure, 1e-9))} for text, sure in tokens]
        message = {"role": "assistant", "content": "".join(text for text, _ in tokens)}
        return {"choices": [{"index": 0, "message": message, "logprobs": {"content": told}}]}


class _Answers(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        if self.path != ADDRESS:
            self.send_error(404)
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = json.dumps(self.server.completion(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def read(messages: Sequence[Mapping[str, Any]]) -> tuple[Array, list[dict[str, Any]]]:
    """The picture (H, W, 3) uint8 of a chat, and the chat as the processor wants it."""
    pictures: list[Array] = []
    chat = []
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        pictures += [_picture(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
        read_parts = [{"type": "image"} if part["type"] == "image_url" else part for part in parts]
        chat.append({"role": message["role"], "content": read_parts})
    return pictures[0], chat


def _picture(uri: str) -> Array:
    data = base64.b64decode(uri.split(",", 1)[1])
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


def main() -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    Server(parser.parse_args().port).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
