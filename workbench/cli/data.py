"""`wb data`: bring rows in, clean, split, look at them, give them out."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.flow.data import Added, Changed, Edit
    from workbench.records import Sample

data = typer.Typer(help="Bring rows in, clean and split them, look at them, give them out.", no_args_is_help=True)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]
EXAMPLES = 2
"""Changes of each kind that `wb data clean` prints."""


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
        str | None,
        typer.Option(help="train, dev, test or pool (unlabelled); else as the file's column `split` says, or train."),
    ] = None,
    sep: Annotated[str | None, typer.Option(help="What joins the turns of a dialogue, if not [SEP].")] = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Read files into the bench. Rows that cannot be used are listed and kept in a rejects file; the rest goes in."""
    from workbench.data import Told
    from workbench.flow import data as flow

    opened = open_bench(bench, settings)
    told = Told(text, label, label_id, sep=sep)
    for file in files:
        done = flow.add(opened, file, told, split=split, dry_run=dry_run)
        show_json(added_json(done)) if as_json else show_added(done)
    say("Nothing was stored." if dry_run else "Next: wb data show, wb data clean, wb data split, or wb diagnose.")


def added_json(done: "Added") -> dict[str, object]:
    """An import as JSON."""
    return {
        "file": done.file,
        "format": done.format,
        "encoding": done.encoding,
        "columns": {"text": done.text, "label": done.label, "label_id": done.label_id},
        "new": done.new,
        "known": done.known,
        "classes": done.classes,
        "splits": dict(done.splits),
        "rejected": done.rejected,
        "rejects": [{"line": r.line, "reason": r.reason, "say": r.say} for r in done.rejects],
        "rejects_file": str(done.rejects_file) if done.rejects_file else None,
        "notes": list(done.notes),
        "dry_run": done.dry_run,
    }


def show_added(done: "Added") -> None:
    """An import for people."""
    new = f"{done.new} rows would be added" if done.dry_run else f"{done.new} new rows"
    there = f", {done.known} were there already" if done.known else ""
    show(f"{done.file}: {new}{there}, {done.classes} classes.")
    where = [("text", done.text), ("class", done.label), ("its number", done.label_id)]
    columns = ", ".join(f"{part} from {name!r}" for part, name in where if name)
    show(f"  read as {done.format}, {done.encoding}: {columns}")
    show("  " + ", ".join(f"{name} {n}" for name, n in done.splits.items()))
    for note in done.notes:
        show(f"  note: {note}")
    if done.rejects:
        reasons = Counter(reject.reason for reject in done.rejects)
        show(f"  {done.rejected} rows rejected: " + ", ".join(f"{reason} {n}" for reason, n in reasons.most_common()))
        for reject in done.rejects[:5]:
            show(f"    {done.file}:{reject.line}  {reject.reason}: {reject.say}")
        if done.rejects_file:
            show(f"  all of them: {done.rejects_file}")


@data.command()
def clean(
    dry_run: DryRun = False, as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None
) -> None:
    """Mend characters, cut over-long texts, drop duplicates. Every change is counted and can be reverted."""
    from workbench.flow import data as flow

    show_changed(flow.clean(open_bench(bench, settings), dry_run=dry_run), as_json)


@data.command()
def split(
    redo: Annotated[bool, typer.Option("--redo", help="Draw dev and test anew, also where they have rows.")] = False,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Fill dev and test from the rows of train: stratified, seeded, duplicates and dialogues on one side."""
    from workbench.flow import data as flow

    show_changed(flow.split(open_bench(bench, settings), redo=redo, dry_run=dry_run), as_json)


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
        edits = [{"id": e.id, "reason": e.reason, "before": e.before, "after": e.after} for e in done.edits]
        facts = {"operation": done.operation, "say": done.say, "counts": dict(done.counts), "notes": list(done.notes)}
        show_json(facts | {"changes": edits, "dry_run": done.dry_run})
        return
    show(done.say[0].upper() + done.say[1:] + ".")
    if done.edits:
        for reason, n in sorted(done.counts.items(), key=lambda item: -item[1]):
            show(f"  {reason} {n}")
            for edit in [edit for edit in done.edits if edit.reason == reason][:EXAMPLES]:
                show(f"    {edit.id}  {edit_line(edit)}")
    for note in done.notes:
        show(f"  note: {note}")
    if done.dry_run:
        say("Nothing was changed.")
    if done.operation is not None:
        show(f"Operation {done.operation}; `wb data revert {done.operation}` takes it back.")


def edit_line(edit: "Edit") -> str:
    """A change in one line; what changed stands in the middle, with characters that cannot be seen escaped."""
    if not edit.after:
        return visible(edit.before)
    start = next((i for i, (a, b) in enumerate(zip(edit.before, edit.after, strict=False)) if a != b), len(edit.after))
    start = max(0, min(start, len(edit.before) - 1) - 10)
    dots = "…" if start else ""
    return f"{dots}{visible(edit.before[start:], 40)}  ->  {dots}{visible(edit.after[start:], 40)}"


def visible(text: str, width: int = 60) -> str:
    """At most `width` characters of a text; those that cannot be seen are escaped."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:width])
    return shown + "…" if len(text) > width else shown


@data.command("show")
def show_rows(
    label: Annotated[str | None, typer.Option(help="List rows of this class, by name or number.")] = None,
    split: Annotated[str | None, typer.Option(help="List rows of this split.")] = None,
    source: Annotated[str | None, typer.Option(help="List human or synthetic rows.")] = None,
    limit: Annotated[int | None, typer.Option(help="Most rows to list; 20 where not given.", min=1)] = None,
    row: Annotated[str | None, typer.Option("--id", help="Show one row whole; a unique beginning will do.")] = None,
    diversity: Annotated[
        bool, typer.Option("--diversity", help="How varied the accepted synthetic rows are, beside the real ones.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Show how many rows each class has; with an option, rows with their ids."""
    from workbench.flow import show as flow

    opened = open_bench(bench, settings)
    if diversity:
        show_diversity(opened, as_json)
    elif row:
        show_row(opened.ledger.sample(row), as_json)
    elif label or split or source or limit:
        show_list(flow.rows(opened, label=label, split=split, source=source), limit or 20, as_json)
    else:
        found = flow.summary(opened)
        if as_json:
            classes = [dict(zip(found.columns, values, strict=True)) for values in found.classes]
            show_json({"rows": found.rows, "accepted": found.accepted, "classes": classes})
            return
        title = f"{found.rows} rows, {len(found.classes)} classes, {found.accepted} accepted synthetic rows"
        show_table(title, found.columns, found.classes, right=[0, *range(2, len(found.columns))])
        say("`wb data show --limit 20` lists rows; `wb why ID` tells the story of one.")


def show_diversity(bench: "Bench", as_json: bool) -> None:
    """How varied the rows of each class are: real ones, then as many accepted synthetic ones."""
    from workbench.flow.diversity import diversity

    found = diversity(bench)
    if as_json:
        show_json([one.json() for one in found])
        return

    def both(real: float | None, synthetic: float | None) -> str:
        return " / ".join("-" if value is None else f"{value:.2f}" for value in (real, synthetic))

    names = ("distinct_1", "distinct_2", "likeness", "vendi")
    rows = []
    for one in found:
        pairs = [both(getattr(one.real, name), getattr(one.synthetic, name)) for name in names]
        rows.append((one.label, one.real.rows, *pairs, "-" if one.coverage is None else f"{one.coverage:.0%}"))
    columns = ["class", "rows", "distinct 1", "distinct 2", "likeness", "Vendi score", "coverage"]
    show_table("Real / synthetic, as many rows of each", columns, rows, right=[1, 2, 3, 4, 5, 6])


def show_list(rows: "list[Sample]", limit: int, as_json: bool) -> None:
    """Rows, one a line."""
    if as_json:
        for row in rows[:limit]:
            show_row(row, as_json)
        return
    table = [(row.id, row.label, row.split, row.source, visible(row.text)) for row in rows[:limit]]
    show_table("", ["id", "class", "split", "source", "text"], table)
    say(f"{min(limit, len(rows))} of {len(rows)} rows.")


def show_row(row: "Sample", as_json: bool) -> None:
    """One row whole."""
    if as_json:
        turns = [{"role": turn.role, "text": turn.text, "tags": dict(turn.tags)} for turn in row.turns]
        facts = {"id": row.id, "label": row.label, "split": row.split, "source": row.source, "text": row.text}
        show_json(facts | {"turns": turns, "meta": dict(row.meta)})
        return
    show(f"{row.id}  {row.label or '(no label)'}  ({row.source}, {row.split})")
    for turn in row.turns:
        tags = "  " + ", ".join(f"{key}={value}" for key, value in turn.tags.items()) if turn.tags else ""
        show(f"  {turn.role}: {turn.text}{tags}")
    for key, value in row.meta.items():
        show(f"  [{key}] {value}")


@data.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write; a dataset card goes beside it.")],
    form: Annotated[
        str, typer.Option("--format", help="csv (your own columns), jsonl, parquet, glm4, sharegpt, alpaca.")
    ],
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    synthetic: Annotated[
        bool, typer.Option("--with-synthetic/--no-synthetic", help="With the accepted synthetic rows, or without.")
    ] = True,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="As many rows of each class as the smallest has, human ones first.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Write rows to a file, with a dataset card that says how many of them are synthetic."""
    from workbench.flow import data as flow

    opened = open_bench(bench, settings)
    done = flow.give(opened, file, form, split=split, synthetic=synthetic, even=balanced)
    if as_json:
        facts = {"file": str(done.file), "rows": done.rows, "synthetic": done.synthetic, "card": str(done.card)}
        show_json(facts | {"notes": list(done.notes)})
        return
    show(f"Wrote {done.rows} rows ({done.synthetic} synthetic) to {done.file}; card: {done.card}")
    for note in done.notes:
        show(f"  note: {note}")
