"""`wb train`: data in, a model in a run folder out."""

from typing import Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, show, show_json


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("train")(train)


def train(
    method: Annotated[
        str, typer.Option(help="classifier: linear head on sentence vectors and n-grams.")
    ] = "classifier",
    without_synthetic: Annotated[
        bool, typer.Option("--without-synthetic", help="Human rows only: the baseline.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Train on the human rows and the accepted synthetic ones; the model and its settings go into a run folder."""
    from workbench.flow.train import train as run

    opened = open_bench(bench, [*(settings or []), f"train.method={method}"])
    result = run(opened, "human" if without_synthetic else "gated")
    if as_json:
        facts = {
            "version": result.version,
            "rows": result.rows,
            "synthetic": result.synthetic,
            "classes": result.classes,
        }
        show_json({"run": result.run.name, **facts, "encoder": result.encoder})
        return
    show(f"Trained {result.run.name}: {result.rows} rows ({result.synthetic} synthetic), {result.classes} classes.")
    show(f"Encoder: {result.encoder}. Training set: version {result.version}.")
    show("Next: wb evaluate")
