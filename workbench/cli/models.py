"""`wb models`: the trained runs of a bench, and small models that can be fetched."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.flow.models.shelf import Trained
    from workbench.models import Model

app = typer.Typer(
    no_args_is_help=True,
    help="List, compare, promote and export trained runs; fetch and remove small models that run on this machine.",
)

NameArgument = Annotated[str, typer.Argument(help="As `wb models list` names it.")]
RunArgument = Annotated[str, typer.Argument(help="A training run: name, path, or last.")]


def register(root: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    root.add_typer(app, name="models")


@app.command("get")
def get(name: NameArgument, as_json: JsonOption = False) -> None:
    """Fetch a model: its package by pip, without dependencies; the file is checked by its sha256."""
    from workbench.flow.models.shelf import get as run

    model, new = run(name, say)
    if as_json:
        show_json({**_row(model), "new": new})
        return
    show(
        f"{'Fetched' if new else 'Already here'}: {model.path} ({_size(model)}, {model.known.licence}, sha256 as expected)"
    )
    show(model.known.about)
    show(model.known.use)


@app.command("list")
def list_(as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None) -> None:
    """The runs of the bench, if there is one here, then what can be fetched and what was."""
    from workbench.bench import Bench
    from workbench.flow.models.shelf import everything, runs

    opened = Bench.find_or_bare(bench, settings or ())
    trained, models = [] if opened.bare else runs(opened), everything()
    if as_json:
        show_json([*(_trained(run) for run in trained), *(_row(model) for model in models)])
        return
    if trained:
        columns = ["", "run", "method", "from", "classes", "rows", "synthetic", "dev macro-F1", "size"]
        show_table("Runs (* in use)", columns, [_cells(run) for run in trained], right=[4, 5, 6, 7, 8])
    rows = [
        (model.known.name, _size(model) if model.fetched else "not fetched", model.path if model.fetched else "", about)
        for model in models
        for about in [model.known.about]
    ]
    show_table("Models to fetch", ["name", "size", "where", "what to expect"], rows, right=[1])


def _trained(run: "Trained") -> dict[str, object]:
    return {
        "kind": "run",
        "name": run.name,
        "path": str(run.path),
        "method": run.method,
        "base": run.base,
        "classes": run.classes,
        "rows": run.rows,
        "synthetic": run.synthetic,
        "macro_f1": run.macro_f1,
        "promoted": run.promoted,
        "size": run.size,
    }


def _cells(run: "Trained") -> tuple[object, ...]:
    score = "-" if run.macro_f1 is None else f"{run.macro_f1:.3f}"
    size = f"{run.size / 1e6:.1f} MB"
    mark = "*" if run.promoted else ""
    return mark, run.name, run.method, run.base, run.classes, run.rows, run.synthetic, score, size


@app.command("compare")
def compare(
    before: RunArgument,
    after: RunArgument,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Compare two runs on the dev rows, paired and with intervals; the test split stays closed."""
    from workbench.cli.evaluate import show_evaluation
    from workbench.flow.models.shelf import compare as run

    found = run(open_bench(bench, settings), before, after)
    show_json(found.json()) if as_json else show_evaluation(found)


@app.command("promote")
def promote(
    run: RunArgument, as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None
) -> None:
    """Make a run the one in use: `wb predict` and `wb serve` take it, and a running `wb serve` swaps to it."""
    from workbench.flow.models import promotion as flow

    opened = open_bench(bench, settings)
    former = flow.promoted(opened)
    now = flow.promote(opened, run)
    if as_json:
        show_json({"promoted": now, "former": former if former != now else None})
        return
    show(f"In use: {now}" + (f" (before: {former})" if former and former != now else ""))
    show("A running `wb serve` that follows loads it now. `wb models rollback` takes it back.")


@app.command("rollback")
def rollback(as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None) -> None:
    """Bring back the run that was in use before the newest promotion."""
    from workbench.flow.models import promotion as flow

    opened = open_bench(bench, settings)
    former = flow.promoted(opened)
    now = flow.rollback(opened)
    show_json({"promoted": now, "former": former}) if as_json else show(f"In use again: {now} (before: {former})")


@app.command("export")
def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", help="Folder to make; for gguf a file.")],
    form: Annotated[
        str,
        typer.Option(
            "--form",
            help="classifier: head. encoder: merged, onnx. qlora: merged, 4bit, gguf. The first where not given.",
        ),
    ] = "",
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Write a model in a form that other programs read: safetensors with the adapter merged in, 4 bit, GGUF, ONNX."""
    from workbench.bench import Bench
    from workbench.flow.models.checkpoint import find_model
    from workbench.flow.models.export import export as write

    opened = Bench.find_or_bare(bench, settings or ())
    done = write(find_model(opened, run), to, form)
    if as_json:
        show_json({"form": done.form, "path": str(done.path), "size": done.size})
        return
    show(f"Wrote {done.path} ({done.form}, {done.size / 1e6:.1f} MB).")


@app.command("remove")
def remove(name: NameArgument, as_json: JsonOption = False) -> None:
    """Delete a fetched model and what was made of it."""
    from workbench.flow.models.shelf import drop

    freed = drop(name)
    if as_json:
        show_json({"name": name, "removed": freed > 0, "freed": freed})
    else:
        show(f"Removed {name}: {freed / 1e6:.0f} MB." if freed else f"{name} was not here.")


def _row(model: "Model") -> dict[str, object]:
    return {
        "kind": "package",
        "name": model.known.name,
        "fetched": model.fetched,
        "path": str(model.path) if model.fetched else None,
        "size": model.size,
        "package": model.known.package,
        "sha256": model.known.sha256,
        "licence": model.known.licence,
        "about": model.known.about,
    }


def _size(model: "Model") -> str:
    return f"{model.size / 1e6:.0f} MB"
