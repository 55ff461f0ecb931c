"""What every app of ours does alike: a limit to bodies, and errors as two sentences in JSON that repeat nothing of the request."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError, need
from workbench.serve.batching import Busy
from workbench.serve.config import ServeConfig
from workbench.serve.doors import Hosts, Key, key_of, refusal

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


_DRAINED = 16
"""How many times the limit is read and thrown away before the connection is cut."""


class BodyLimit:
    """ASGI middleware: 413 for bodies of more than `limit` bytes, whether announced or counted while they come in."""

    def __init__(self, app: "ASGIApp", limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Hand on what is not too long."""
        from fastapi import HTTPException

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"")
        read = int(announced) if announced.isdigit() else 0

        seen = 0

        # Raised where the route reads the body, so that both kinds of excess get the same answer; read to the end before,
        # because a client that is still sending when the connection closes does not see the answer.
        async def counted() -> "Message":
            nonlocal seen
            while True:
                message = await receive()
                seen += len(message.get("body", b""))
                if max(seen, read) <= self.limit:
                    return message
                if not message.get("more_body") or seen > _DRAINED * self.limit:
                    raise HTTPException(413, f"The request body is larger than {self.limit / 1e6:g} MB.")

        await self.app(scope, counted, send)


def new_app(title: str, config: ServeConfig, *, hosts: Sequence[str] = ()) -> "FastAPI":
    """An empty app with limit, key and error answers, without the documentation pages that load scripts from elsewhere.

    Args:
        title: its name in the OpenAPI description.
        config: limits, and where the key is.
        hosts: names that requests may call this machine by; any where empty.

    Raises:
        MissingExtra: FastAPI is not installed.
        ConfigError: the variable of the key is set, but empty.
    """
    fastapi = need("fastapi", extra="serve", feature="`wb serve`")
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    from workbench import __version__

    app: FastAPI = fastapi.FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, limit=int(config.max_body_mb * 1e6))
    if key := key_of(config):  # the last one added is asked first
        app.add_middleware(Key, key=key)
    if hosts and not key:  # who has the key is no web page that was led here
        app.add_middleware(Hosts, names=hosts)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(WorkbenchError, _unusable)
    app.add_exception_handler(Exception, _failed)
    return app


_HINTS = {
    0: "Send a JSON object as UTF-8.",
    404: "Check the path; /openapi.json lists those that there are.",
    405: "Check the method; /openapi.json lists those that there are.",
    413: "Send fewer or shorter texts at a time, or raise serve.max_body_mb.",
}


def _refused(request: "Request", exc: Exception) -> "Response":
    status, said = getattr(exc, "status_code", 500), str(getattr(exc, "detail", ""))
    said = {404: "There is nothing at this path.", 405: "This path does not take this method."}.get(status, said)
    return answer(request, status, said, _HINTS.get(status, "Send a JSON object as UTF-8."))


def _malformed(request: "Request", exc: Exception) -> "Response":
    """Names the field and what is wrong, never its value: a body may hold a token."""
    first: dict[str, Any] = next(iter(getattr(exc, "errors", list)()), {})
    place = ".".join(str(part) for part in first.get("loc", ())[1:])
    if first.get("type") == "json_invalid":
        return answer(request, 400, f"The request body is not JSON (character {place}).", _HINTS[0])
    said = str(first.get("msg", "not usable")).removeprefix("Value error, ").rstrip(".")
    if first.get("type") in ("model_attributes_type", "missing") and not place:
        hint = "Send a JSON object with the header Content-Type: application/json."
        return answer(request, 422, "The request body is not a JSON object.", hint)
    if first.get("type") == "extra_forbidden":
        return answer(request, 422, f"There is no field {place!r} here.", "/docs lists the fields that there are.")
    hint = "Mend that field of the request and send it again."
    return answer(request, 422, f"{place}: {said}." if place else f"{said}.", hint)


def _unusable(request: "Request", exc: Exception) -> "Response":
    assert isinstance(exc, WorkbenchError)
    if isinstance(exc, Busy):
        return answer(request, 503, exc.message, exc.hint, {"Retry-After": str(exc.seconds)})
    return answer(request, 422, exc.message, exc.hint)


def _failed(request: "Request", exc: Exception) -> "Response":
    """What nobody foresaw: the terminal of the server has it in full, the client only that it was not its fault."""
    hint = "The terminal of `wb serve` says more; other requests are answered."
    return answer(request, 500, f"The server failed on this request ({type(exc).__name__}).", hint)


def answer(
    request: "Request", status: int, error: str, hint: str, headers: Mapping[str, str] | None = None
) -> "Response":
    """An error: what is wrong, and what to do, in the form that clients of this path expect."""
    return refusal(request.url.path, status, error, hint, headers)
