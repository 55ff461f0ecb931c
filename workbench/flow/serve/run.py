"""Serve the model of a run: load it, listen, answer until told to stop."""

from collections.abc import Callable

from workbench.bench import Bench
from workbench.errors import need
from workbench.flow.models.choose import PROMOTED, choose, servable
from workbench.flow.models.predictors import open_predictor
from workbench.flow.serve.listen import listen, run_app, url_of
from workbench.flow.serve.served import Follower, ServingBench, find_neighbours, open_served
from workbench.predictor import Predictor
from workbench.runs import find_run
from workbench.serve import ServeConfig, label_studio_app
from workbench.serve.app import serving_app
from workbench.serve.doors import hosts_of, key_of
from workbench.serve.served import Served, Slot

__all__ = ["listen", "open_model", "run_app", "servable", "serve", "serve_label_studio", "url_of"]


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
    config = _ready_to_serve(bench)
    with listen(config.host, config.port) as listening:
        predictor, versions = open_model(bench, model)
        app = label_studio_app(predictor, config, versions=versions, log=log)
        ready(url_of(listening), predictor)
        run_app(app, listening)


def serve(
    bench: Bench,
    model: str = "",
    *,
    ready: Callable[[str, Served], None],
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer requests with a model until SIGINT or SIGTERM.

    Without a name, and as `promoted`, the server follows: it loads what is promoted later, and swaps between two requests.

    Args:
        bench: where the runs are; its settings say where to listen.
        model: see `choose`.
        ready: told the address and the model, once requests are answered.
        log: gets a line for every exchange of the model, and for what Label Studio asks.

    Raises:
        ServiceError: the port cannot be had.
        DataError: there is no model to serve.
        ConfigError: the variable of the key is set, but empty.
        MissingExtra: FastAPI or uvicorn is not installed.
    """
    config = _ready_to_serve(bench)
    own = ServingBench.of(bench)
    with listen(config.host, config.port) as listening:
        run = choose(own, model)
        slot = Slot(open_served(own, run))
        find_neighbours(own, slot, log)
        # Names of others are only told where the encoder, which decides what fits, was needed anyhow.
        versions = servable(own, own.engine) if "engine" in vars(own) else ()
        app = serving_app(slot, config, hosts=hosts_of(config, config.host), versions=versions, log=log)
        follower = Follower(own, slot, run, log)
        if model in ("", PROMOTED) and not bench.bare:
            follower.start()
        ready(url_of(listening), slot.now)
        try:
            run_app(app, listening)
        finally:
            follower.stop()


def _ready_to_serve(bench: Bench) -> ServeConfig:
    """The settings, where everything that serving needs is there."""
    need("fastapi", extra="serve", feature="`wb serve`")
    need("uvicorn", extra="serve", feature="`wb serve`")
    key_of(bench.config.serve)
    return bench.config.serve
