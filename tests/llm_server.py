"""A scripted OpenAI-compatible server on 127.0.0.1: answers and faults come from a queue, then from a default."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Step:
    """One answer. Without `body` it is a chat completion of `text`; `close` drops the connection instead."""

    text: str = '["你好"]'
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    finish: str = "stop"
    usage: Mapping[str, int] | None = field(default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 20})
    close: bool = False
    echo_key: bool = False
    """Repeat the Authorization header in the error text, as careless proxies do."""
    wait: threading.Event | None = None
    """Answer only after this is set."""


def rate_limited(seconds: float = 0.01) -> Step:
    return Step(status=429, headers={"Retry-After": str(seconds)}, body=b'{"error": {"message": "too many requests"}}')


def broken(status: int = 500) -> Step:
    # The SDK waits half a second before its first further try, unless the server says how long.
    return Step(status=status, headers={"retry-after-ms": "10"}, body=b'{"error": {"message": "server on fire"}}')


def closed() -> Step:
    return Step(close=True)


def cut(text: str = '["aaa", "bbb", "cc') -> Step:
    return Step(text=text, finish="length")


def garbage(body: bytes = b"<html>Bad gateway</html>", content_type: str = "text/html") -> Step:
    return Step(body=body, content_type=content_type)


class LlmServer:
    """What tests set (`steps`, `default`, `models`) and read (`requests`: the bodies, in order of arrival; `peak`)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.steps: deque[Step] = deque()
        self.default: Step | Callable[[dict[str, Any]], Step] = Step()
        self.models = ["scripted"]
        self.requests: list[dict[str, Any]] = []
        self.flying = self.peak = 0
        self.lock = threading.Lock()

    def next(self, request: dict[str, Any]) -> Step:
        with self.lock:
            self.requests.append(request)
            if self.steps:
                return self.steps.popleft()
        return self.default(request) if callable(self.default) else self.default


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: LlmServer

    def do_GET(self) -> None:
        listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.script.models]}
        self._send(200, json.dumps(listed).encode(), "application/json", {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        step = self.script.next(request)
        with self.script.lock:
            self.script.flying += 1
            self.script.peak = max(self.script.peak, self.script.flying)
        if step.wait is not None:
            step.wait.wait(10)
        with self.script.lock:
            self.script.flying -= 1
        if step.close:
            self.close_connection = True
            self.connection.close()
            return
        body = step.body if step.body is not None else completion(step, request.get("model", ""))
        if step.echo_key:
            body = json.dumps({"error": {"message": f"bad header: {self.headers['Authorization']}"}}).encode()
        self._send(step.status, body, step.content_type, step.headers)

    def _send(self, status: int, body: bytes, kind: str, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""


def completion(step: Step, model: str) -> bytes:
    """The body of a chat completion."""
    choice = {
        "index": 0,
        "finish_reason": step.finish,
        "message": {"role": "assistant", "content": step.text},
    }
    body: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
    }
    if step.usage is not None:
        body["usage"] = dict(step.usage)
    return json.dumps(body).encode()


@contextmanager
def llm_server() -> Iterator[LlmServer]:
    """A running server; `url` ends in /v1."""
    server = _Server(("127.0.0.1", 0), _Handler)
    script = LlmServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"script": script})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
