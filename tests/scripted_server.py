"""A real HTTP server on this machine with one scripted behaviour; keeps what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[[BaseHTTPRequestHandler], None]


class ScriptedServer:
    """Answers every request in one way."""

    def __init__(self, behave: Behaviour) -> None:
        self.questions: list[dict[str, Any]] = []  # bodies
        self.headers: list[dict[str, str]] = []
        self.requests: list[str] = []  # heads, as they came
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.questions.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.do_GET()

            def do_GET(self) -> None:
                server.headers.append(dict(self.headers))
                server.requests.append(f"{self.requestline}\n{self.headers}")
                try:
                    behave(self)
                except OSError:
                    self.close_connection = True  # the client hung up, as it may

            def log_message(self, *_: object) -> None:
                """Say nothing on the test's terminal."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def keep_connections(self) -> None:
        """Answer several questions per connection, as real servers do."""
        self._http.RequestHandlerClass.protocol_version = "HTTP/1.1"  # type: ignore[attr-defined]

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def sends(body: bytes, status: int = 200, **headers: str) -> Behaviour:
    """An answer with these headers, whose names have _ for -."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def forever(block: bytes, *, start: bytes = b"", pause_s: float = 0.0) -> Behaviour:
    """Blocks without an end, which is after 5 s."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start or b"HTTP/1.0 200 OK\r\n\r\n")
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            handler.wfile.write(block)
            time.sleep(pause_s)

    return behave
