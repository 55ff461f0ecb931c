"""Serve the model of a run: load it, listen, answer until told to stop."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.bench import Bench
from workbench.encode import Encoder
from workbench.errors import ServiceError, need
from workbench.flow.predictors import fits, open_predictor
from workbench.predictor import Predictor
from workbench.runs import MANIFEST, find_run, read_json
from workbench.serve import ServeConfig, label_studio_app

if TYPE_CHECKING:
    from fastapi import FastAPI

_STOPPING = 5
"""Seconds that requests in flight get when the server is stopped."""


def servable(bench: Bench, encoder: Encoder) -> list[str]:
    """Runs whose model can be used with this encoder: those of gated rows first, each kind newest first."""
    names = [path.parent.name for path in bench.runs.glob(f"*/{MANIFEST}")]
    names.sort(key=lambda name: (name[:15], len(name), name), reverse=True)  # seconds, then number within the second
    facts = {name: read_json(bench.runs / name / MANIFEST) for name in names}
    fit = [name for name in names if facts[name]["kind"] == "train" and fits(facts[name], encoder)]
    return sorted(fit, key=lambda name: facts[name].get("rows_from") != "gated")


def open_model(bench: Bench, name: str = "") -> tuple[Predictor, list[str]]:
    """The model of the run called `name`, and all runs that could be served; without a name the first of those.

    Raises:
        DataError: there is no such run, or none of this bench's encoder.
    """
    run = find_run(bench.runs, name or "last", "train")  # says so, where there is none at all
    known = servable(bench, bench.engine)
    if not name and known:
        run = bench.runs / known[0]
    return open_predictor(bench, run), known


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a port in use is found before a model is loaded.

    Raises:
        ServiceError: the port is in use or not allowed, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
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


def serve_label_studio(
    bench: Bench,
    model: str = "",
    *,
    ready: Callable[[str, Predictor], None],
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """Be Label Studio's ML backend until SIGINT or SIGTERM.

    Args:
        bench: where the runs are; its settings say where to listen.
        model: name of a run; the best where empty.
        ready: told the address and the model, once requests are answered.
        log: gets a line for every call that does something.

    Raises:
        ServiceError: the port cannot be had.
        DataError: there is no model to serve.
        MissingExtra: FastAPI or uvicorn is not installed.
    """
    config: ServeConfig = bench.config.serve
    need("fastapi", extra="serve", feature="`wb serve`")
    need("uvicorn", extra="serve", feature="`wb serve`")
    with listen(config.host, config.port) as listening:
        predictor, versions = open_model(bench, model)
        app = label_studio_app(predictor, config, versions=versions, log=log)
        ready(url_of(listening), predictor)
        run_app(app, listening)


def run_app(app: "FastAPI", listening: socket.socket) -> None:
    """Answer on a listening socket until SIGINT or SIGTERM; requests in flight are finished."""
    import uvicorn

    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_STOPPING)
    uvicorn.Server(settings).run(sockets=[listening])
