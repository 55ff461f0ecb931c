"""How `wb` speaks: data to stdout, progress and errors to stderr, JSON where asked. Also the options that verbs share."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from workbench.bench import Bench

BenchOption = Annotated[
    Path | None, typer.Option("--bench", help="Folder with wb.yaml; the nearest parent that has one where not given.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: gate.budget=0.05. May be given several times.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables for people.")]


def open_bench(bench: Path | None, settings: Sequence[str] | None) -> "Bench":
    """The bench that a command works on, with `--set` laid over its settings."""
    from workbench.bench import Bench

    return Bench.find(bench, settings or ())


def say(message: str) -> None:
    """A line for people, on stderr, so that stdout stays data."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def show(text: str) -> None:
    """A line of the answer, on stdout."""
    print(text)  # noqa: T201


def show_json(value: Any, *, indent: int | None = None) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)  # noqa: T201


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """A table on stdout; `right` names the columns of numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(soft_wrap=False, width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    console.print(table)


def report_error(message: str, hint: str) -> None:
    """The two sentences of an error, on stderr."""
    say(f"Error: {message}")
    if hint:
        say(f"  What to do: {hint}")
