"""Bring rows into the ledger, clean and split them there, give them out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.bench import Bench
from workbench.data import FORMATS, Told, card, export, read
from workbench.data import clean as clean_rows
from workbench.data import split as split_rows
from workbench.data.export import Layout, balanced
from workbench.data.formats import Columns
from workbench.errors import DataError, UsageError, one_of
from workbench.records import SPLITS, Reject, Sample
from workbench.runs import write_jsonl


@dataclass(frozen=True, slots=True)
class Added:
    """What an import did."""

    file: str
    format: str
    encoding: str
    text: str
    label: str
    new: int
    known: int
    """Rows that were in the bench already."""
    classes: int
    rejects: tuple[Reject, ...]
    rejects_file: Path | None

    @property
    def rejected(self) -> int:
        """Rows that could not be used."""
        return len(self.rejects)


@dataclass(frozen=True, slots=True)
class Changed:
    """What cleaning, splitting or reverting did."""

    operation: int | None
    """None for a dry run, or where nothing had to change."""
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    say: str


def add(
    bench: Bench,
    file: Path | str,
    *,
    text: str | None = None,
    label: str | None = None,
    label_id: str | None = None,
    split: str | None = None,
    dry_run: bool = False,
) -> Added:
    """Read a file into the ledger, in one transaction: a kill leaves nothing half-done.

    Raises:
        DataError: the file cannot be read, or its columns are not understood.
        UsageError: the split is unknown.
    """
    path = Path(file)
    place = next((name for name in SPLITS if name == split), None)
    if split and place is None:
        raise UsageError(f"There is no split {split!r}.", one_of(split, SPLITS))
    batch = read(path, Told(text, label, label_id, place), bench.config.data.first_role)
    new, rejects_file = 0, None
    if not dry_run:
        details = {
            "file": path.name,
            "columns": asdict(batch.columns),
            "order": batch.order,
            "rows": len(batch.samples),
        }
        with bench.ledger.write("data", "add", details) as writer:
            new = writer.samples(batch.samples)
            writer.label_ids(batch.label_ids)
            if new:
                writer.rejects(batch.rejects)
            operation = writer.operation
        if batch.rejects:
            rejects_file = bench.root / "rejects" / f"{operation:04d}-{path.name}.jsonl"
            rejects_file.parent.mkdir(exist_ok=True)
            write_jsonl(rejects_file, (asdict(reject) for reject in batch.rejects))
    return Added(
        path.name,
        batch.columns.format,
        batch.encoding,
        batch.columns.text,
        batch.columns.label,
        new,
        0 if dry_run else len(batch.samples) - new,
        len({sample.label for sample in batch.samples}),
        tuple(batch.rejects),
        rejects_file,
    )


def clean(bench: Bench, *, dry_run: bool = False) -> Changed:
    """Clean the human rows; every change is a fact of its own and can be reverted."""
    samples = _rows(bench)
    changes = clean_rows(samples, bench.config.data.clean)
    counts = Counter(change.reason for change in changes)
    dropped = sum(change.field == "dropped" for change in changes)
    touched = len({change.sample for change in changes if change.field != "dropped"})
    say = f"{touched} rows mended, {dropped} dropped, of {len(samples)}"
    operation = None
    if changes and not dry_run:
        with bench.ledger.write("data", "clean", {"counts": dict(counts)}) as writer:
            writer.changes(changes)
            operation = writer.operation
    return Changed(operation, counts, _conflicts(samples), say)


def _conflicts(samples: Sequence[Sample]) -> tuple[str, ...]:
    labels: dict[str, set[str]] = {}
    for sample in samples:
        labels.setdefault(sample.text_id, set()).add(sample.label)
    n = sum(len(some) > 1 for some in labels.values())
    return (f"{n} texts stand under several labels and were kept; `wb diagnose` lists them",) if n else ()


def split(bench: Bench, *, dry_run: bool = False) -> Changed:
    """Distribute the rows that are in train over train, dev and test."""
    samples = _rows(bench)
    found = split_rows(samples, bench.config.data.split, bench.config.seed)
    counts = Counter(str(change.value) for change in found.changes)
    stay = sum(sample.split == "train" for sample in samples) - len(found.changes)
    say = f"split: {stay} rows in train, {counts['dev']} moved to dev, {counts['test']} to test"
    operation = None
    if found.changes and not dry_run:
        with bench.ledger.write("data", "split", {"counts": dict(counts), "seed": bench.config.seed}) as writer:
            writer.changes(found.changes)
            operation = writer.operation
    return Changed(operation, counts, tuple(found.notes), say)


def revert(bench: Bench, operation: int | None) -> Changed:
    """Take back a cleaning or splitting: the one named, or the newest that still counts.

    Raises:
        DataError: there is none, or it cannot be reverted.
    """
    known = [
        o for o in bench.ledger.operations() if o.stage == "data" and o.kind in ("clean", "split") and not o.undone
    ]
    chosen = next((o for o in reversed(known) if operation in (None, o.id)), None)
    if chosen is None:
        ids = ", ".join(f"{o.id} ({o.kind})" for o in known) or "none"
        what = f"Operation {operation} cannot be reverted." if operation else "There is nothing to revert."
        raise DataError(what, f"Operations that can: {ids}")
    counts = bench.ledger.change_counts(chosen.id)
    with bench.ledger.write("data", "revert", {"counts": dict(counts)}, undoes=chosen.id) as writer:
        undo = writer.operation
    return Changed(undo, counts, (), f"reverted operation {chosen.id} ({chosen.kind}): {sum(counts.values())} changes")


def _rows(bench: Bench) -> list[Sample]:
    samples = bench.ledger.samples()
    if not samples:
        raise DataError("This bench has no rows yet.", "Add some with: wb data add FILE")
    return samples


def layout(bench: Bench) -> Layout:
    """How the first file that was added looked."""
    first = next((o for o in bench.ledger.operations() if o.stage == "data" and o.kind == "add"), None)
    if first is None:
        return Layout(Columns("table", "text", "label"), ("text", "label"), {})
    return Layout(Columns(**first.details["columns"]), tuple(first.details["order"]), bench.ledger.label_ids())


def give(
    bench: Bench, path: Path, form: str, *, split: str | None, synthetic: bool, even: bool
) -> tuple[list[Sample], Path]:
    """Export rows with a dataset card beside them. Returns the rows and the card's path.

    Raises:
        UsageError: the format or split is unknown.
        DataError: there are no rows.
    """
    if form not in FORMATS:
        raise UsageError(f"There is no format {form!r}.", one_of(form, FORMATS))
    if split and split not in SPLITS:
        raise UsageError(f"There is no split {split!r}.", one_of(split, SPLITS))
    rows = [*_rows(bench), *(bench.ledger.accepted() if synthetic else [])]
    rows = [row for row in rows if split is None or row.split == split]
    if not rows:
        raise DataError(f"The split {split!r} has no rows.", "`wb data show` tells which split has how many.")
    if even:
        rows = balanced(rows, bench.config.seed)
    export(rows, path, form, layout(bench))
    done = [o for o in bench.ledger.operations() if o.kind in ("clean", "split") and not o.undone]
    history = [f"{o.kind}: " + ", ".join(f"{k} {n}" for k, n in o.details.get("counts", {}).items()) for o in done]
    note = path.with_name(path.name + ".card.md")
    note.write_text(card(rows, path, history), encoding="utf-8")
    return rows, note
