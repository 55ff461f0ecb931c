"""A port to listen on, and an app that answers there until it is told to stop."""

import socket
from typing import TYPE_CHECKING

from workbench.errors import ServiceError

if TYPE_CHECKING:
    from fastapi import FastAPI

_STOPPING = 5
"""Seconds that requests in flight get when the server is stopped."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a port in use is found before a model is loaded.

    Raises:
        ServiceError: the port is in use or not allowed, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as exc:
        why = str(exc.strerror or exc).partition(" (while")[0]
        raise ServiceError(
            f"Cannot listen on {host}, port {port}: {why}.",
            "Choose another port with --port (0 takes a free one), or end what listens there.",
        ) from exc


def url_of(listening: socket.socket) -> str:
    """Where a listening socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_app(app: "FastAPI", listening: socket.socket) -> None:
    """Answer on a listening socket until SIGINT or SIGTERM; requests in flight are finished."""
    import uvicorn

    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_STOPPING)
    uvicorn.Server(settings).run(sockets=[listening])
