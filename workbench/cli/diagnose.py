"""`wb diagnose`: find where it hurts."""

import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.diagnose import Diagnosis

LISTED = 10
"""Pairs and findings that the terminal shows; the page and --json have all."""
ROWS = 5
BESIDE = 44
"""Columns of the terminal that a histogram needs beside names and bars."""


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("diagnose")(diagnose)


def diagnose(
    file: Annotated[Path | None, typer.Argument(help="Rows in a file instead of those of the bench.")] = None,
    counts: Annotated[Path | None, typer.Option(help="Only a histogram: a CSV of label,count. Needs no bench.")] = None,
    text: Annotated[
        str | None, typer.Option(help="Column of FILE with the text; found by name where not given.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column of FILE with the class.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Where the page goes; diagnosis.html in the bench, no page without one.")
    ] = None,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Say which classes are too small, which get mixed up, and which labels, duplicates and leaks need a look."""
    from workbench.bench import Bench
    from workbench.errors import UsageError
    from workbench.flow import diagnose as flow

    if file and counts:
        raise UsageError("Both FILE and --counts are given.", "Give one of them.")
    if (text or label) and not file:
        raise UsageError(
            "--text and --label name columns of a file, but there is none.", "Write: wb diagnose FILE --text ..."
        )
    if counts or file:
        opened = Bench.find_or_bare(bench, settings or ())
    else:
        opened = Bench.find(bench, settings or ())
        html = html or opened.root / "diagnosis.html"
    if counts:
        found = flow.diagnose_counts(counts, opened.config.diagnose)
    elif file:
        found, notes = flow.diagnose_file(opened, file, text, label)
        for note in notes:
            say(f"{file.name}: {note}")
    else:
        found = flow.diagnose(opened)
    if html:
        flow.write_page(found, html)
    show_json(found.json()) if as_json else show_diagnosis(found)
    if html:
        say(f"Page: {html}")


def show_diagnosis(found: "Diagnosis") -> None:
    """Histogram, confused pairs, and what hurts with the command that helps."""
    show_histogram(found)
    if found.confusions:
        pairs = [(p.source, p.target, f"{p.mass:.1f}", f"{p.rate:.0%}", p.n) for p in found.confusions[:LISTED]]
        columns = ["rows of", "taken for", "expected rows", "rate", "n"]
        show_table("Most confused, out-of-fold", columns, pairs, right=[2, 3, 4])
    show(found.say)
    show_findings(found)


def show_histogram(found: "Diagnosis") -> None:
    """One bar for each class; numbers of classes where the data have them."""
    from rich.cells import cell_len

    i, ids = found.imbalance, found.label_ids
    top = max(i.counts.values()) or 1
    widest = max(cell_len(label) for label in i.counts)
    room = max(6, min(24, (get_terminal_size().columns if sys.stdout.isatty() else 120) - widest - BESIDE))
    numbered = any(ids.values())
    rows = []
    for label, n in i.counts.items():
        bar = "█" * max(min(n, 1), round(room * n / top))
        mark = "ultra-minority" if label in i.ultra_minority else "minority" if label in i.minority else ""
        rows.append((*([ids.get(label, "")] if numbered else []), label, n, bar, mark, i.targets.get(label, "")))
    columns = [*(["id"] if numbered else []), "class", "rows", "", "", "to add"]
    show_table("Classes", columns, rows, right=[len(columns) - 4, len(columns) - 1])


def show_findings(found: "Diagnosis") -> None:
    """What hurts, worst first: small classes in one line, everything else one by one, with the next command."""
    from workbench.diagnose import advice

    i = found.imbalance
    lines: list[tuple[str, str]] = []
    if i.minority:
        named = ", ".join(i.minority[:4]) + (f" and {len(i.minority) - 4} more" if len(i.minority) > 4 else "")
        total = (
            f"; {sum(i.targets.values()):,} accepted synthetic rows would bring them near the others"
            if i.targets
            else ""
        )
        lines.append((f"Too small: {named}{total}.", "wb generate --minority --dry-run"))
    others = [finding for finding in found.findings if finding.kind != "minority"]
    lines += [(finding.say, advice(finding, found.label_ids)) for finding in others[:LISTED]]
    if not lines:
        show("Nothing stands out.")
        return
    show("\nWhat hurts, worst first")
    for n, (sentence, command) in enumerate(lines, 1):
        show(f"{n:3}. {sentence}\n     > {command}")
        if sentence.endswith("mislabelled."):
            show_issues(found)


def show_issues(found: "Diagnosis") -> None:
    """The rows whose label is most suspicious."""
    from workbench.text import shorten

    for issue in found.issues[:ROWS]:
        show(f"       {issue.sample.id}  {issue.sample.label} > {issue.suggested}?  {shorten(issue.sample.text, 48)}")
