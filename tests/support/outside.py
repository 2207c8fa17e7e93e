"""The external systems that the examples call: one HTTP server on loopback with set answers that records requests."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    body: Any
    key: str | None


@dataclass
class Outside:
    """Answers by `METHOD /path`, one after the other; the last one answers all that follow. A number is a status that
    refuses, `HANGS` an answer that comes when the server closes; what has no answer is 404."""

    port: int = 0
    answers: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    calls: list[Call] = field(default_factory=list[Call])
    is_over: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self, *names: str) -> dict[str, str]:
        """The address under each of these names."""
        return dict.fromkeys(names, self.url)

    def called(self, method: str) -> list[str]:
        """The paths that were called with a method, in order."""
        return [call.path for call in self.calls if call.method == method]

    def answer(self, call: Call) -> tuple[int, Any]:
        self.calls.append(call)
        listed = self.answers.get(f"{call.method} {call.path}", [404])
        found = listed.pop(0) if len(listed) > 1 else listed[0]
        if found is HANGS:
            self.is_over.wait(60)
            return 503, {}
        return (found, {}) if isinstance(found, int) else (200, found)


HANGS = object()


@contextmanager
def outside(answers: dict[str, list[Any]]) -> Generator[Outside]:
    """A server with these answers, as `{"POST /patients": [{"id": "P-1"}]}`."""
    systems = Outside(answers={name: [*listed] for name, listed in answers.items()})

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(size)
            path = self.path.partition("?")[0]
            body = json.loads(text) if text else None
            key = self.headers.get("Idempotency-Key")
            status, value = systems.answer(Call(method=self.command, path=path, body=body, key=key))
            answered = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        do_GET = do_POST = do_DELETE = respond  # noqa: N815  (names of the standard library)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    systems.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield systems
    finally:
        systems.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()
