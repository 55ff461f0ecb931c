"""Diagnose what the ledger holds, or a file of counts; write the page."""

from pathlib import Path
from typing import Any

from workbench import page
from workbench.bench import Bench
from workbench.data import read_table
from workbench.diagnose import Diagnosis, Imbalance, imbalance
from workbench.diagnose import diagnose as examine
from workbench.diagnose.imbalance import ImbalanceConfig
from workbench.errors import DataError
from workbench.flow.signals import out_of_fold, vectors
from workbench.similarity import centred

__all__ = ["Diagnosis", "count_file", "diagnose", "write_page"]


def diagnose(bench: Bench) -> Diagnosis:
    """Diagnose the human rows of the bench.

    Raises:
        DataError: there are no training rows, or fewer than two classes.
    """
    samples = bench.ledger.samples()
    train = [sample for sample in samples if sample.split == "train"]
    if not train:
        raise DataError("This bench has no training rows.", "Add some with: wb data add FILE")
    found = out_of_fold(bench, train)
    raw = vectors(bench, train)
    dev = [sample.label for sample in samples if sample.split == "dev" and sample.label]
    names = sorted({*bench.config.labels, *dev})
    return examine(samples, found, centred(raw, raw.mean(axis=0)), names, bench.config.diagnose)


def count_file(path: Path, config: ImbalanceConfig) -> Imbalance:
    """Imbalance of a table of label and count; needs no bench.

    Raises:
        DataError: no column holds whole numbers, or a row is broken.
    """
    table = read_table(path)
    bad = next((row for row in table.rows if row.problem), None)
    if bad:
        raise DataError(f"{path}:{bad.line}: {bad.say}", "Mend the row.")
    count = _count_column(table.columns)
    names = [name for name in table.columns if name != count]
    if not count or not names:
        listed = ", ".join(table.columns)
        raise DataError(f"{path} has no columns label and count; there are: {listed}.", "Give a CSV of label,count.")
    label = next(
        (name for name in ("label", "class", "name", "label_raw", "intent", "类别") if name in names), names[0]
    )
    try:
        counts = {str(row.values[label]): int(row.values[count]) for row in table.rows}
    except ValueError as exc:
        raise DataError(f"{path}: the column {count!r} holds something else than whole numbers.", str(exc)) from exc
    return imbalance(counts, config)


def _count_column(columns: tuple[str, ...]) -> str:
    exact = [name for name in columns if name.lower() in ("count", "n", "rows", "train_count", "数量")]
    return next(iter(exact), "") or next((name for name in columns if "count" in name.lower()), "")


def counts_json(found: Imbalance) -> dict[str, Any]:
    """The form that `wb diagnose --counts FILE --json` prints: that of a diagnosis without what rows would tell."""
    return Diagnosis(found, (), (), (), (), {}, ()).json()


def write_page(diagnosis: Diagnosis, path: Path) -> None:
    """Write the diagnosis as a self-contained HTML page."""
    i = diagnosis.imbalance
    bars = [(label, float(n), float(i.targets.get(label, 0))) for label, n in i.counts.items()]
    facts = [
        ("rows", sum(i.counts.values())),
        ("classes", len(i.counts)),
        ("largest : smallest", f"{i.ratio:g} : 1"),
        ("Gini of the class counts", f"{i.gini:.3f}"),
        ("effective classes (exp. entropy)", f"{i.effective_classes:.1f}"),
        ("minority classes", len(i.minority)),
        ("of them with very few rows", len(i.ultra_minority)),
    ]
    parts = [
        page.section("", page.paragraph(diagnosis.say, "lead")),
        page.section("What hurts", page.table(["", "finding"], [(x.kind, x.say) for x in diagnosis.findings])),
        page.section("Classes", page.bars(bars, names=("rows", "rows to add")), page.table(["", ""], facts, right=[1])),
    ]
    pairs = [(p.source, p.target, f"{p.rate:.1%}", p.n, f"{p.mass:.1f}") for p in diagnosis.confusions]
    if pairs:
        columns = ["rows of", "taken for", "rate", "n", "probability mass"]
        parts.append(page.section("Confused pairs (cross-fitted)", page.table(columns, pairs, right=[2, 3, 4])))
    if diagnosis.issues:
        rows = [
            (x.sample.id, x.sample.label, x.suggested, f"{x.score:.2f}", x.sample.text) for x in diagnosis.issues[:50]
        ]
        columns = ["id", "label", "looks like", "score", "text"]
        parts.append(page.section("Labels that may be wrong", page.table(columns, rows, right=[3])))
    if diagnosis.leaks:
        rows = [(x.train.id, x.held.split, f"{x.score:.2f}", x.train.text, x.held.text) for x in diagnosis.leaks[:50]]
        columns = ["training row", "repeats", "ratio", "text", "held-out text"]
        parts.append(page.section("Leakage", page.table(columns, rows, right=[2])))
    if diagnosis.keywords:
        words = [(label, " ".join(some)) for label, some in diagnosis.keywords.items()]
        parts.append(page.section("Words that set classes apart", page.table(["class", "words"], words)))
    path.write_text(page.page("Diagnosis", parts), encoding="utf-8")
