"""`wb diagnose`: find where it hurts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.diagnose import Diagnosis, Imbalance


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("diagnose")(diagnose)


def diagnose(
    counts: Annotated[Path | None, typer.Option(help="Only a histogram: a CSV of label,count. Needs no bench.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the page goes; diagnosis.html in the bench.")] = None,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Say which classes are too small, which get mixed up, and which labels, duplicates and leaks need a look."""
    from workbench.bench import Bench
    from workbench.flow import diagnose as flow

    if counts is not None:
        config = Bench.find_or_bare(bench, settings or ()).config.diagnose.imbalance
        found = flow.count_file(counts, config)
        show_json(flow.counts_json(found)) if as_json else show_imbalance(found)
        return
    opened = open_bench(bench, settings)
    diagnosis = flow.diagnose(opened)
    target = html or opened.root / "diagnosis.html"
    flow.write_page(diagnosis, target)
    if as_json:
        show_json(diagnosis.json())
        return
    show_imbalance(diagnosis.imbalance)
    show_details(diagnosis)
    show(f"Page: {target}")


def show_imbalance(found: "Imbalance") -> None:
    """The histogram and its figures."""
    top = max(found.counts.values()) or 1
    rows = []
    for label, n in found.counts.items():
        mark = "ultra-minority" if label in found.ultra_minority else "minority" if label in found.minority else ""
        rows.append((label, n, "█" * max(1 if n else 0, round(30 * n / top)), mark, found.targets.get(label, "")))
    show_table("Classes", ["class", "rows", "", "", "rows to add"], rows, right=[1, 4])
    show(
        f"{sum(found.counts.values())} rows, {len(found.counts)} classes, largest to smallest {found.ratio:g}:1, "
        f"Gini {found.gini:.3f}, as varied as {found.effective_classes:.1f} equal classes."
    )


def show_details(diagnosis: "Diagnosis") -> None:
    """Confused pairs, what hurts, and what to do next."""
    pairs = [(p.source, p.target, f"{p.rate:.0%}", p.n) for p in diagnosis.confusions[:10]]
    show_table("\nMost confused (cross-fitted)", ["rows of", "taken for", "rate", "n"], pairs, right=[2, 3])
    for finding in diagnosis.findings:
        if finding.kind != "minority":
            show(f"- {finding.say}")
    for issue in diagnosis.issues[:5]:
        show(f"    {issue.sample.id}  {issue.sample.label} looks like {issue.suggested}: {issue.sample.text[:50]}")
    if diagnosis.imbalance.minority:
        show("\nNext: wb generate --minority (or --class NAME, --pair A:B)")
