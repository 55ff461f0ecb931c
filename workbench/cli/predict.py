"""`wb predict`: what a trained model says of a text, or of the rows of a file."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, say, show, show_json

if TYPE_CHECKING:
    from workbench.flow.models.model import Model
    from workbench.flow.models.predict import Answered

_BAR = 24
"""Characters of a probability of 1."""


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("predict")(predict)


def predict(
    file: Annotated[
        Path | None, typer.Argument(help="A file as `wb data add` reads it; lines that are typed where not given.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Column with the text or the dialogue; found by name where not given.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Training run: name, path, last or promoted. The promoted one where not given, or the newest."
        ),
    ] = "",
    top: Annotated[int, typer.Option(help="Classes to name with their probabilities.", min=1)] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file: .jsonl, or .csv with the file's own columns.")
    ] = None,
    sep: Annotated[str | None, typer.Option(help="What joins the turns of a dialogue, if not [SEP].")] = None,
    batch_size: Annotated[int, typer.Option(help="Texts computed at a time; 0: the model's choice.", min=0)] = 0,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Classify the rows of a file, one answer for each in their order, or texts as they are typed."""
    from workbench.bench import Bench
    from workbench.errors import UsageError
    from workbench.flow.models import predict as flow
    from workbench.flow.models.model import open_model

    if file is None and (out or text):
        raise UsageError(f"{'--out' if out else '--text'} is for a file.", "Name the file: wb predict FILE")
    if file is not None and out is not None:
        flow.check_out(out, file)
    opener = Bench.find_or_bare if model and Path(model).is_dir() else Bench.find
    opened = opener(bench, settings or ())
    if file is None:
        _typed(open_model(opened, model, batch_size=batch_size), top, as_json)
        return
    table, asked = flow.rows_of(file, text, sep, opened.config.data.first_role)
    loaded = open_model(opened, model, batch_size=batch_size)
    found: list[Answered] = []
    try:
        for one in flow.answers(loaded, asked, top):
            found.append(one)
            if out is None:
                show_json(one.json()) if as_json else show(_line(one))
        sys.stdout.flush()
    except BrokenPipeError:  # as `| head` leaves it: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if out is not None:
        flow.write(out, file, table, found)
    _summary(loaded, found, out, as_json)


def _summary(model: "Model", found: "list[Answered]", out: Path | None, as_json: bool) -> None:
    from workbench.flow.models.predict import tally

    without = tally(found)
    rows = "1 row" if len(found) == 1 else f"{len(found)} rows"
    told = f", written to {out}" if out else ""
    missing = "; without an answer: " + ", ".join(f"{reason} {n}" for reason, n in without.items()) if without else ""
    say(f"{rows}, {model.version}{told}{missing}.")
    if out is not None and as_json:
        show_json({"out": str(out), "rows": len(found), "model": model.version, "without_answer": dict(without)})


def _line(one: "Answered") -> str:
    """A row in one line: probability, class, the beginning of the text."""
    from workbench.text import shorten

    if not one.top:
        return f"    -  ({one.asked.reason})  {shorten(one.asked.row.raw or one.asked.say, 60)}"
    return f"{one.probability:5.3f}  {one.label}  {shorten(one.asked.text, 60)}"


def _typed(model: "Model", top: int, as_json: bool) -> None:
    """Answer lines until `exit`, Ctrl-D or Ctrl-C; turns of a dialogue are joined by [SEP]."""
    people = sys.stdin.isatty()
    say(f"{model.version}, {len(model.labels)} classes. Type a text; [SEP] between turns; exit ends.")
    while True:
        if people:
            print("> ", end="", file=sys.stderr, flush=True)  # noqa: T201
        try:
            line = sys.stdin.readline()
        except KeyboardInterrupt:  # the other way to leave
            say("")
            return
        if not line or line.strip().lower() in ("exit", "quit"):
            return
        if not line.strip():
            continue
        (ranked,) = model.top([line.strip()], top)
        if as_json:
            show_json({"label": ranked[0][0], "probability": ranked[0][1], "top": [list(pair) for pair in ranked]})
            continue
        for label, probability in ranked:
            show(f"  {probability:5.3f}  {'█' * round(_BAR * probability):<{_BAR}}  {label}")
        sys.stdout.flush()
