"""`wb data`: bring rows in, clean, split, look at them, give them out."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.flow.data import Added, Changed

data = typer.Typer(help="Bring rows in, clean and split them, look at them, give them out.", no_args_is_help=True)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    app.add_typer(data, name="data")


@data.command()
def add(
    files: Annotated[
        list[Path], typer.Argument(help="CSV, TSV, JSON, JSON Lines, Parquet, Excel, or a dataset folder.")
    ],
    text: Annotated[str | None, typer.Option(help="Column with the text; found by name where not given.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class.")] = None,
    label_id: Annotated[str | None, typer.Option(help="Column with the number of the class.")] = None,
    split: Annotated[
        str | None, typer.Option(help="train, dev, test or pool (unlabelled); else as the file says.")
    ] = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Read files into the bench. Rows that cannot be used are listed and kept in a rejects file; the rest goes in."""
    from workbench.flow import data as flow

    opened = open_bench(bench, settings)
    for file in files:
        done = flow.add(opened, file, text=text, label=label, label_id=label_id, split=split, dry_run=dry_run)
        show_json(added_json(done)) if as_json else show_added(done)


def added_json(done: "Added") -> dict[str, object]:
    """An import as JSON."""
    return {
        "file": done.file,
        "format": done.format,
        "encoding": done.encoding,
        "columns": {"text": done.text, "label": done.label},
        "new": done.new,
        "known": done.known,
        "classes": done.classes,
        "rejected": done.rejected,
        "rejects": [{"line": r.line, "reason": r.reason, "say": r.say} for r in done.rejects],
        "rejects_file": str(done.rejects_file) if done.rejects_file else None,
    }


def show_added(done: "Added") -> None:
    """An import for people."""
    there = f", {done.known} were there already" if done.known else ""
    show(f"{done.file}: {done.new} new rows{there}, {done.classes} classes.")
    show(
        f"  read as {done.format} in {done.encoding}, text from {done.text!r}, class from {done.label or 'the answer'!r}"
    )
    if done.rejects:
        reasons = Counter(reject.reason for reject in done.rejects)
        show(f"  {done.rejected} rows rejected: " + ", ".join(f"{reason} {n}" for reason, n in reasons.most_common()))
        for reject in done.rejects[:5]:
            show(f"    {reject.place}:{reject.line}  {reject.reason}: {reject.say}")
        show(f"  all of them: {done.rejects_file}")


@data.command()
def clean(
    dry_run: DryRun = False, as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None
) -> None:
    """Drop duplicates, mend characters, cut over-long texts. Every change is counted and can be reverted."""
    from workbench.flow import data as flow

    show_changed(flow.clean(open_bench(bench, settings), dry_run=dry_run), as_json)


@data.command()
def split(
    dry_run: DryRun = False, as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None
) -> None:
    """Distribute the rows of train over train, dev and test: stratified, seeded, duplicates on one side."""
    from workbench.flow import data as flow

    show_changed(flow.split(open_bench(bench, settings), dry_run=dry_run), as_json)


@data.command()
def revert(
    operation: Annotated[
        int | None, typer.Argument(help="Number of a clean or split; the newest where not given.")
    ] = None,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Take back a cleaning or splitting."""
    from workbench.flow import data as flow

    show_changed(flow.revert(open_bench(bench, settings), operation), as_json)


def show_changed(done: "Changed", as_json: bool) -> None:
    """What cleaning, splitting or reverting did."""
    if as_json:
        show_json({"operation": done.operation, "counts": dict(done.counts), "notes": list(done.notes)})
        return
    show(done.say[0].upper() + done.say[1:] + ".")
    for reason, n in sorted(done.counts.items(), key=lambda item: -item[1]):
        show(f"  {reason} {n}")
    for note in done.notes:
        show(f"  note: {note}")
    if done.operation is not None:
        show(f"  as operation {done.operation}; `wb data revert {done.operation}` takes it back")


@data.command("show")
def show_rows(
    label: Annotated[str | None, typer.Option(help="Only this class, by name or number.")] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    source: Annotated[str | None, typer.Option(help="human or synthetic.")] = None,
    limit: Annotated[int, typer.Option(help="Most rows to list; 0 for the summary only.", min=0)] = 0,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Show how many rows each class has, or with --limit the rows themselves with their ids."""
    from workbench.flow import show as flow

    opened = open_bench(bench, settings)
    if limit:
        rows = flow.rows(opened, label=label, split=split, source=source)[:limit]
        if as_json:
            for row in rows:
                show_json(
                    {"id": row.id, "label": row.label, "split": row.split, "source": row.source, "text": row.text}
                )
            return
        show_table("", ["id", "class", "split", "source", "text"], [flow.line(row) for row in rows])
        return
    table = flow.summary(opened)
    if as_json:
        show_json(table.json())
        return
    show_table(table.title, table.columns, table.rows, right=list(range(2, len(table.columns))))
    say("`wb data show --limit 20` lists rows; `wb why ID` tells the story of one.")


@data.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write; a dataset card goes beside it.")],
    form: Annotated[
        str, typer.Option("--format", help="csv (your own columns), jsonl, parquet, glm4, sharegpt, alpaca.")
    ],
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic/--no-synthetic", help="With accepted synthetic rows.")] = True,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="As many rows of each class as the smallest has.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Write rows to a file, with a dataset card that says how many of them are synthetic."""
    from workbench.flow import data as flow

    opened = open_bench(bench, settings)
    rows, card = flow.give(opened, file, form, split=split, synthetic=synthetic, even=balanced)
    made = sum(row.source != "human" for row in rows)
    if as_json:
        show_json({"file": str(file), "rows": len(rows), "synthetic": made, "card": str(card)})
    else:
        show(f"Wrote {len(rows)} rows ({made} synthetic) to {file}; card: {card}")
