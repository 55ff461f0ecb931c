"""Serve the model of a run: load it, listen, answer until told to stop."""

import socket
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.bench import Bench
from workbench.encode import Cached, Encoder, open_encoder
from workbench.errors import ServiceError, need
from workbench.flow.train import load
from workbench.runs import MANIFEST, find_run, read_json
from workbench.serve import ServeConfig, label_studio_app

if TYPE_CHECKING:
    from fastapi import FastAPI

_STOPPING = 5
"""Seconds that requests in flight get when the server is stopped."""
_CHUNK = 16
"""Texts that are computed at a time."""
_REMEMBERED = 50_000
"""Texts whose probabilities are kept in memory."""


class RunPredictor:
    """The classifier of a training run behind the `Predictor` protocol; its version is the name of the run."""

    def __init__(self, run: Path, encoder: Encoder) -> None:
        self._model, self._encoder = load(run, encoder), encoder
        self._lock = Lock()  # the engines of encoders are not made for two threads
        self._recent: dict[str, npt.NDArray[np.float32]] = {}
        self.version = run.name
        self.labels = self._model.head.labels
        # What is loaded on first use is loaded now: Label Studio waits one second for /health and three for /setup.
        self.predict(["warm"])

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities [n, classes] of n texts; rows sum to 1.

        What was computed is remembered: a client that gave up waiting finds it done when it asks again.
        """
        found: dict[str, npt.NDArray[np.float32]] = {}
        wanted = list(dict.fromkeys(texts))
        for start in range(0, len(wanted), _CHUNK):
            # Held for one chunk only: a single text need not wait for thousands of others.
            with self._lock:
                found |= self._some(wanted[start : start + _CHUNK])
        return np.stack([found[text] for text in texts]) if texts else np.zeros((0, len(self.labels)), np.float32)

    def _some(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        found = {text: self._recent[text] for text in texts if text in self._recent}
        if new := [text for text in texts if text not in found]:
            rows = self._model.head.probabilities(self._model.features(new, self._encoder.encode(new)))
            found.update(zip(new, rows, strict=True))
            self._recent.update(zip(new, rows, strict=True))
            for old in list(islice(self._recent, max(0, len(self._recent) - _REMEMBERED))):
                del self._recent[old]
        return found


def servable(bench: Bench, encoder: Encoder) -> list[str]:
    """Runs whose model can be used with this encoder: those of gated rows first, each kind newest first."""
    names = [path.parent.name for path in bench.runs.glob(f"*/{MANIFEST}")]
    names.sort(key=lambda name: (name[:15], len(name), name), reverse=True)  # seconds, then number within the second
    facts = {name: read_json(bench.runs / name / MANIFEST) for name in names}
    fit = [
        name
        for name in names
        if facts[name]["kind"] == "train" and facts[name].get("fingerprint") == encoder.fingerprint
    ]
    return sorted(fit, key=lambda name: facts[name].get("rows_from") != "gated")


def open_model(bench: Bench, name: str = "") -> tuple[RunPredictor, list[str]]:
    """The model of the run called `name`, and all runs that could be served; without a name the first of those.

    Raises:
        DataError: there is no such run, or none of this bench's encoder.
    """
    run = find_run(bench.runs, name or "last", "train")  # says so, where there is none at all
    # The bench's vectors are read, since what is asked are mostly its own rows; texts from elsewhere are not kept on disk.
    encoder = Cached(open_encoder(bench.config.encoder), bench.root / "cache" / "vectors", store=False)
    known = servable(bench, encoder)
    if not name and known:
        run = bench.runs / known[0]
    return RunPredictor(run, encoder), known


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
        predictor, versions = open_model(bench, model)
        app = label_studio_app(predictor, config, versions=versions, log=log)
        ready(url_of(listening), predictor)
        run_app(app, listening)


def run_app(app: "FastAPI", listening: socket.socket) -> None:
    """Answer on a listening socket until SIGINT or SIGTERM; requests in flight are finished."""
    import uvicorn

    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_STOPPING)
    uvicorn.Server(settings).run(sockets=[listening])
