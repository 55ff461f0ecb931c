"""What every app of ours does alike: a limit to bodies, and errors as two sentences in JSON that repeat nothing of the request."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from workbench.config import Strict
from workbench.errors import WorkbenchError, need

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ServeConfig(Strict):
    """Settings of `wb serve`."""

    host: str = "127.0.0.1"
    """Address to listen on. There is no password: on another address than this machine's own, whoever reaches the port may ask."""
    port: int = Field(default=9090, ge=0, le=65535)
    """Port to listen on; 0 takes a free one, which is printed."""
    max_body_mb: float = Field(default=64, gt=0)
    """Largest request body, in megabytes (10^6 bytes); a larger one is answered with 413."""


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


def new_app(title: str, config: ServeConfig) -> "FastAPI":
    """An empty app with the limit and the error answers, without the documentation pages that load scripts from elsewhere.

    Raises:
        MissingExtra: FastAPI is not installed.
    """
    fastapi = need("fastapi", extra="serve", feature="`wb serve`")
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    from workbench import __version__

    app: FastAPI = fastapi.FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, limit=int(config.max_body_mb * 1e6))
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(WorkbenchError, _unusable)
    return app


_HINTS = {
    404: "Check the path; /openapi.json lists those that there are.",
    405: "Check the method; /openapi.json lists those that there are.",
    413: "Send fewer or shorter texts at a time, or raise serve.max_body_mb.",
}


def _refused(_: "Request", exc: Exception) -> "Response":
    status, said = getattr(exc, "status_code", 500), str(getattr(exc, "detail", ""))
    said = {404: "There is nothing at this path.", 405: "This path does not take this method."}.get(status, said)
    return answer(status, said, _HINTS.get(status, "Send a JSON object as UTF-8."))


def _malformed(_: "Request", exc: Exception) -> "Response":
    """Names the field and what is wrong, never its value: a body may hold a token."""
    first: dict[str, Any] = next(iter(getattr(exc, "errors", list)()), {})
    place = ".".join(str(part) for part in first.get("loc", ())[1:])
    if first.get("type") == "json_invalid":
        return answer(400, f"The request body is not JSON (character {place}).", "Send a JSON object as UTF-8.")
    if not place:
        hint = "Send a JSON object with the header Content-Type: application/json."
        return answer(422, "The request body is not a JSON object.", hint)
    return answer(
        422, f"{place}: {first.get('msg', 'not usable')}.", "Mend that field of the request and send it again."
    )


def _unusable(_: "Request", exc: Exception) -> "Response":
    assert isinstance(exc, WorkbenchError)
    return answer(422, exc.message, exc.hint)


def answer(status: int, error: str, hint: str) -> "Response":
    """An error: what is wrong, and what to do."""
    from fastapi.responses import JSONResponse

    return JSONResponse({"error": error, "hint": hint}, status_code=status)
