"""`wb train`: data in, a model in a run folder out."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, say, show, show_json

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.flow.train.incremental_rows import Given
    from workbench.flow.train.run import Trained

_FILES = "Plain files"
_CONTINUE = "Method incremental"


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("train")(train)


def train(
    method: Annotated[
        str | None,
        typer.Option(
            help="classifier: linear head on sentence vectors and n-grams. encoder: fine-tune a transformers encoder. "
            "qlora: adapters on a language model. incremental: continue a model. train.method where not given."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to start from: a folder, a name of `wb models list`, or a hub's name.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Pipeline file laid over the settings; yours or a shipped one.")
    ] = None,
    without_synthetic: Annotated[
        bool, typer.Option("--without-synthetic", help="Human rows only: the baseline.")
    ] = False,
    fraction: Annotated[
        float | None, typer.Option(help="Share of each class's rows to train on: 0.1 for a pilot.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say what memory and time it would take; nothing is loaded.")
    ] = False,
    train_file: Annotated[
        Path | None,
        typer.Option("--train", help="Train on this file instead of the bench's rows.", rich_help_panel=_FILES),
    ] = None,
    dev_file: Annotated[
        Path | None, typer.Option("--dev", help="Rows for early stopping.", rich_help_panel=_FILES)
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the text.", rich_help_panel=_FILES)] = None,
    label: Annotated[str | None, typer.Option(help="Column of the class.", rich_help_panel=_FILES)] = None,
    new_data: Annotated[
        Path | None,
        typer.Option(help="New rows; those approved since the last version if not given.", rich_help_panel=_CONTINUE),
    ] = None,
    old_data: Annotated[Path | None, typer.Option(help="Rows to replay.", rich_help_panel=_CONTINUE)] = None,
    model_path: Annotated[
        str | None, typer.Option(help="Run to continue: a folder or a name.", rich_help_panel=_CONTINUE)
    ] = None,
    test_file: Annotated[
        Path | None,
        typer.Option(
            "--test", help="Old test rows; the test split, else held-out rows if not given.", rich_help_panel=_CONTINUE
        ),
    ] = None,
    new_test: Annotated[
        Path | None, typer.Option(help="New test rows; held-out new rows if not given.", rich_help_panel=_CONTINUE)
    ] = None,
    output_path: Annotated[
        Path | None, typer.Option(help="The run folder to make; a new one under runs/ where not given.")
    ] = None,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Train on the human rows and the accepted synthetic ones; the model and its settings go into a run folder."""
    from workbench.flow.train.incremental_rows import Given
    from workbench.flow.train.run import Files
    from workbench.flow.train.run import estimate as look
    from workbench.flow.train.run import train as run

    plain = train_file is not None or new_data is not None
    overrides = [*([f"train.method={method}"] if method else []), *([f"train.fraction={fraction}"] if fraction else [])]
    opened = _open(bench, [*(settings or []), *overrides], preset=preset, model=model, plain=plain)
    files = Files(train_file, dev_file, text, label) if train_file else None
    continued = {"--new-data": new_data, "--old-data": old_data, "--model-path": model_path}
    _check(opened, files, None if new_data else dev_file, continued | {"--test": test_file, "--new-test": new_test})
    if opened.config.train.method == "incremental":
        given = Given(new_data, old_data, test_file, new_test, dev_file, text, label)
        _show(_continue(opened, given, model_path or "", output_path), as_json)
        return
    rows: Any = "human" if without_synthetic else "gated"
    if estimate:
        _show_estimate(look(opened, rows, files), as_json)
        return
    result = run(opened, rows, files=files, output=output_path, resume=resume, progress=_tell)
    _show(result, as_json)


def _open(bench: Path | None, settings: list[str], *, preset: str | None, model: str | None, plain: bool) -> "Bench":
    """The bench with what the options say laid over its settings."""
    from workbench.assets import find
    from workbench.bench import Bench
    from workbench.flow.train.methods import METHODS

    pipeline = None
    if preset:
        pipeline = Path(preset) if Path(preset).is_file() else find("pipelines", preset)
    opener = Bench.find_or_bare if plain else Bench.find
    opened = opener(bench, settings, pipeline=pipeline)
    method = METHODS.get(opened.config.train.method)
    if model is None or method is None:
        return opened
    return opener(bench, [*settings, f"{method.model}={model}"], pipeline=pipeline)


def _continue(opened: "Bench", given: "Given", parent: str, output: Path | None) -> "Trained":
    """Method incremental: its files are new rows, old rows, and test rows of either."""
    from workbench.errors import UsageError
    from workbench.flow.train.incremental import continue_run

    if given.new is None and (given.old or given.test or given.new_test):
        raise UsageError("--old-data, --test and --new-test go with --new-data FILE.", "Give all as files, or none.")
    return continue_run(opened, given, parent, output=output, progress=_tell)


def _check(opened: "Bench", files: Any, dev: Path | None, continued: Mapping[str, Any]) -> None:
    """Options that do not belong together are an error, not ignored."""
    from workbench.errors import UsageError

    given = [name for name, value in continued.items() if value is not None]
    if given and opened.config.train.method != "incremental":
        raise UsageError(f"{given[0]} is for --method incremental.", "Plain files for other methods: --train FILE.")
    if dev is not None and files is None:
        raise UsageError("--dev FILE goes with --train FILE.", "The bench's own dev split is used without it.")


def _tell(row: Mapping[str, Any]) -> None:
    """A line of progress."""
    if "say" in row:
        say(str(row["say"]))
        return
    say("  ".join(f"{key} {_figure(value)}" for key, value in row.items() if isinstance(value, int | float)))


def _figure(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_estimate(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    for key, value in found.items():
        show(f"{key}: {_figure(value) if isinstance(value, float) else value}")


def _show(result: "Trained", as_json: bool) -> None:
    """The answer; a model that was judged and not promoted is an exit code."""
    if as_json:
        show_json(result.json())
    else:
        show(f"Trained {result.run.name}: {result.rows} rows ({result.synthetic} synthetic), {result.classes} classes.")
        show(f"Encoder: {result.encoder}. Training set: version {result.version}.")
        for name in ("old_test", "new_test"):
            if result.metrics and name in result.metrics:
                found = result.metrics[name]["macro_f1"]
                say_of = f"macro-F1 {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}], {found['n']} rows"
                show(f"{name.replace('_', ' ').capitalize()}: {say_of}.")
        if result.metrics and "macro_f1" in result.metrics:
            found = result.metrics["macro_f1"]
            show(f"Dev macro-F1 {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}], {found['n']} rows.")
        if result.verdict:
            show(str(result.verdict["say"]))
        show("Next: wb evaluate")
    if result.promoted is False:
        raise typer.Exit(1)
