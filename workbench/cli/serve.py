"""`wb serve`: a trained model behind HTTP."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, say, show, show_json

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.predictor import Predictor
    from workbench.serve.served import Served


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("serve")(serve)


def serve(
    label_studio: Annotated[
        bool, typer.Option("--label-studio", help="Only be an ML backend: Label Studio asks for predictions.")
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            help="Training run: name, path, last or promoted. The promoted one where not given, or else the newest; it is "
            "then followed: after `wb models promote` or `rollback` the running server answers with the other model."
        ),
    ] = "",
    host: Annotated[str | None, typer.Option(help="Address to listen on; serve.host where not given.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one; serve.port where not given.")] = None,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Answer requests with a trained model until Ctrl-C, with a page to try it. It listens on 127.0.0.1."""
    from pathlib import Path

    from workbench.bench import Bench
    from workbench.flow.serve import run as flow

    given = {"host": host, "port": port}
    overrides = [*(settings or []), *(f"serve.{key}={value}" for key, value in given.items() if value is not None)]
    open_bench = Bench.find_or_bare if model and Path(model).is_dir() else Bench.find
    opened = open_bench(bench, overrides)
    with suppress(KeyboardInterrupt):  # the way it ends
        if label_studio:
            flow.serve_label_studio(opened, model, ready=lambda url, one: _connect(url, one, as_json), log=say)
        else:
            flow.serve(opened, model, ready=lambda url, one: _greet(url, one, opened, as_json), log=say)
    say("Stopped.")


def _connect(url: str, predictor: "Predictor", as_json: bool) -> None:
    """How Label Studio reaches the backend."""
    if as_json:
        _show_facts(url, predictor)
        return
    show(f"Serving {predictor.version} ({len(predictor.labels)} classes) on {url}")
    show("Connect it in Label Studio: Settings > Model > Connect Model.")
    show(f"  Backend URL: {url}\n  Name: {predictor.version} (this name exactly: scores and order hang on it)")
    say("Stop with Ctrl-C.")


def _greet(url: str, served: "Served", bench: "Bench", as_json: bool) -> None:
    """Where the page and the routes are, and who may ask."""
    from workbench.serve.doors import LOCAL, key_of

    config = bench.config.serve
    predictor = served.predictor
    locked = bool(key_of(config))
    if as_json:
        _show_facts(url, predictor)
    else:
        show(f"Serving {predictor.version} ({len(predictor.labels)} classes) on {url}")
        show(f"  Page to try it: {url}/\n  Routes: {url}/docs\n  Label Studio's backend URL: {url}/label-studio")
        if served.chat:
            show(f"  OpenAI's clients: base_url={url}/v1, model={predictor.version}")
    if locked:
        say(f"Requests need the key in {config.key_env}: Authorization: Bearer KEY")
    elif config.host not in LOCAL:
        say(
            f"There is no key: whoever reaches {url} may ask, and sees training rows on the page. Set {config.key_env}."
        )
    say("Stop with Ctrl-C.")


def _show_facts(url: str, predictor: "Predictor") -> None:
    show_json({"url": url, "model_version": predictor.version, "classes": len(predictor.labels)})
