"""Serve the model of a run: load it, listen, answer until told to stop."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.bench import Bench
from workbench.encode import open_encoder
from workbench.errors import DataError, ServiceError, need
from workbench.flow.train import load
from workbench.runs import MANIFEST, find_run, read_json
from workbench.serve import ServeConfig, label_studio_app

if TYPE_CHECKING:
    from fastapi import FastAPI

_STOPPING = 5
"""Seconds that requests in flight get when the server is stopped."""


class RunPredictor:
    """The classifier of a training run behind the `Predictor` protocol; its version is the name of the run."""

    def __init__(self, bench: Bench, run: Path) -> None:
        self._model = load(bench, run)
        # Not the bench's own: its cache would keep every text that was ever asked.
        self._encoder = open_encoder(bench.config.encoder)
        self._lock = Lock()  # the engines of encoders are not made for two threads
        self.version = run.name
        self.labels = self._model.head.labels
        # What is loaded on first use is loaded now: Label Studio waits one second for /health and three for /setup.
        self.predict(["warm"])

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities [n, classes] of n texts; rows sum to 1."""
        with self._lock:
            features = self._model.features(texts, self._encoder.encode(texts))
        return self._model.head.probabilities(features)


def servable(bench: Bench) -> list[str]:
    """Runs whose model this bench can use now, newest first, those of gated rows before all others."""
    if not bench.runs.is_dir():
        return []
    names = [path.parent.name for path in bench.runs.glob(f"*/{MANIFEST}")]
    names.sort(key=lambda name: (name[:15], len(name), name), reverse=True)  # seconds, then number within the second
    facts = {name: read_json(bench.runs / name / MANIFEST) for name in names}
    fit = [
        name
        for name in names
        if facts[name]["kind"] == "train" and facts[name].get("fingerprint") == bench.encoder.fingerprint
    ]
    return sorted(fit, key=lambda name: facts[name].get("rows_from") != "gated")


def open_model(bench: Bench, name: str = "") -> RunPredictor:
    """The model of the run called `name`; without a name that of the newest run of gated rows, or else of the newest.

    Raises:
        DataError: there is no such run, or none of this bench's encoder.
    """
    if name:
        return RunPredictor(bench, find_run(bench.runs, name, "train"))
    known = servable(bench)
    if not known:
        find_run(bench.runs, "last", "train")  # says so, where there is none at all
        raise DataError(
            f"No training run in {bench.runs} was made with the encoder that this bench has now ({bench.encoder.name}).",
            "Set encoder.name back, or train again with: wb train",
        )
    return RunPredictor(bench, bench.runs / known[0])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a port in use is found before a model is loaded.

    Raises:
        ServiceError: the port is in use or not allowed, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise ServiceError(
            f"Cannot listen on {host}, port {port}: {exc.strerror or exc}.",
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
    ready: Callable[[str, RunPredictor], None],
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
        predictor = open_model(bench, model)
        app = label_studio_app(predictor, config, versions=servable(bench), log=log)
        ready(url_of(listening), predictor)
        run_app(app, listening)


def run_app(app: "FastAPI", listening: socket.socket) -> None:
    """Answer on a listening socket until SIGINT or SIGTERM; requests in flight are finished."""
    import uvicorn

    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_STOPPING)
    uvicorn.Server(settings).run(sockets=[listening])
