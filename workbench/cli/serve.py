"""`wb serve`: a trained model behind HTTP."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json

if TYPE_CHECKING:
    from workbench.predictor import Predictor


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("serve")(serve)


def serve(
    label_studio: Annotated[
        bool, typer.Option("--label-studio", help="Be an ML backend: Label Studio asks for predictions.")
    ] = False,
    model: Annotated[
        str, typer.Option(help="Name of a training run; the newest of gated rows, or else the newest, where not given.")
    ] = "",
    host: Annotated[str | None, typer.Option(help="Address to listen on; serve.host where not given.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one; serve.port where not given.")] = None,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Answer requests with the model of a training run until Ctrl-C. There is no password: it listens on 127.0.0.1."""
    from workbench.errors import UsageError
    from workbench.flow.serve import serve_label_studio

    if not label_studio:
        raise UsageError("wb serve does not know whom to serve.", "Give --label-studio.")
    given = {"host": host, "port": port}
    overrides = [f"serve.{key}={value}" for key, value in given.items() if value is not None]

    def ready(url: str, predictor: "Predictor") -> None:
        if as_json:
            show_json({"url": url, "model_version": predictor.version, "classes": len(predictor.labels)})
            return
        show(f"Serving {predictor.version} ({len(predictor.labels)} classes) on {url}")
        show("Connect it in Label Studio: Settings > Model > Connect Model.")
        show(f"  Backend URL: {url}\n  Name: {predictor.version} (this name exactly: scores and order hang on it)")
        say("Stop with Ctrl-C.")

    opened = open_bench(bench, [*(settings or []), *overrides])
    with suppress(KeyboardInterrupt):  # the way it ends
        serve_label_studio(opened, model, ready=ready, log=say)
    say("Stopped.")
