"""Who may ask: the key, and the names that this machine is called by. Also how a refusal looks."""

import os
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING

from workbench.errors import ConfigError
from workbench.serve.config import ServeConfig

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/", "/docs", "/health", "/label-studio/health"})
"""Paths that need no key: the pages, which hold nothing themselves, and what asks whether the server lives."""
LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names of this machine that no other machine's name server can give away."""


def key_of(config: ServeConfig) -> str:
    """The key that requests must carry; empty where none is set.

    Raises:
        ConfigError: the variable is set, but empty: a key was meant, and nothing would be locked.
    """
    key = os.environ.get(config.key_env)
    if key is None:
        return ""
    if not key.strip():
        raise ConfigError(
            f"The environment variable {config.key_env} is set, but empty.",
            f"Put the key into it, or take it away: unset {config.key_env}",
        )
    return key.strip()


def hosts_of(config: ServeConfig, host: str) -> tuple[str, ...]:
    """Names that requests may call this machine by, where it listens on `host`; empty for any."""
    if host not in LOCAL or "*" in config.allowed_hosts:
        return ()
    return (*LOCAL, *config.allowed_hosts)


class Key:
    """ASGI middleware: 401 without the key, as bearer, in `X-API-Key`, or as password of Basic (what Label Studio can send)."""

    def __init__(self, app: "ASGIApp", key: str) -> None:
        self.app, self._key = app, key.encode()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Hand on what has the key or needs none."""
        if scope["type"] != "http" or scope["path"] in OPEN or self._fits(dict(scope["headers"])):
            await self.app(scope, receive, send)
            return
        response = refusal(
            scope["path"],
            401,
            "The request has no key, or not the right one.",
            "Send the header Authorization: Bearer KEY with the key that the server was started with.",
            {"WWW-Authenticate": "Bearer"},
        )
        await response(scope, receive, send)

    def _fits(self, headers: Mapping[bytes, bytes]) -> bool:
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"basic":
            try:
                given = b64decode(given.strip(), validate=True).partition(b":")[2]
            except (Error, ValueError):
                given = b""
        elif kind.lower() != b"bearer":
            given = headers.get(b"x-api-key", b"")
        return compare_digest(given.strip(), self._key)


class Hosts:
    """ASGI middleware: 403 for names that are not this machine's: a page of another site that had its name lead here."""

    def __init__(self, app: "ASGIApp", names: Sequence[str]) -> None:
        self.app, self._names = app, frozenset(name.lower() for name in names)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Hand on what calls this machine by a known name."""
        host = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1").lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if scope["type"] != "http" or name.strip("[]") in self._names:
            await self.app(scope, receive, send)
            return
        response = refusal(
            scope["path"],
            403,
            "This server does not go by the name in the header Host.",
            "Call it as 127.0.0.1 or localhost, or add the name to serve.allowed_hosts.",
        )
        await response(scope, receive, send)


def refusal(path: str, status: int, error: str, hint: str, headers: Mapping[str, str] | None = None) -> "Response":
    """An error: what is wrong, and what to do; under /v1 in the form that OpenAI's clients read."""
    from fastapi.responses import JSONResponse

    if path.startswith("/v1/"):
        kind = "invalid_request_error" if status < 500 else "server_error"
        told = {"message": f"{error} {hint}", "type": kind, "param": None, "code": None}
        return JSONResponse({"error": told}, status_code=status, headers=headers)
    return JSONResponse({"error": error, "hint": hint}, status_code=status, headers=headers)
