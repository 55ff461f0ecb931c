"""`wb init` makes a bench, `wb config` prints its settings."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, show, show_json


def register(app: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    app.command("init")(init)
    app.command("config")(config)


def init(
    folder: Annotated[Path, typer.Argument(help="Where the bench goes.")] = Path(),
    preset: Annotated[str, typer.Option(help="basic, or telecom: Chinese customer service.")] = "basic",
) -> None:
    """Make a bench: a folder with a commented wb.yaml. Ledger, runs and cache join it as you work."""
    from workbench.flow.init import init as run

    show(f"Wrote {run(folder, preset)}")
    show("Next: wb data add FILE, then wb diagnose")


def config(
    schema: Annotated[
        bool, typer.Option("--schema", help="JSON schema of wb.yaml, for completion in editors.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Print every setting that is in force, as YAML."""
    import yaml

    from workbench.bench import Config

    if schema:
        show_json(Config.model_json_schema(), indent=2)
        return
    values = open_bench(bench, settings).config.model_dump(mode="json")
    show_json(values) if as_json else show(yaml.safe_dump(values, allow_unicode=True, sort_keys=False).rstrip())
