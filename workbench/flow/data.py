"""Bring rows into the ledger, clean and split them there, give them out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.data import CHAT_FORMATS, FORMATS, Batch, Columns, Layout, Told, balanced, card, export, read
from workbench.data import clean as clean_rows
from workbench.data import split as split_rows
from workbench.errors import DataError, UsageError, one_of
from workbench.ledger import Operation
from workbench.records import SEP, SPLITS, Change, Reject, Sample
from workbench.runs import write_jsonl


@dataclass(frozen=True, slots=True)
class Added:
    """What an import did."""

    file: str
    """The path as it was given."""
    format: str
    encoding: str
    text: str
    label: str
    """Column of the class; empty where the assistant's answer names it."""
    label_id: str
    """Column of the class's number; empty where there is none."""
    new: int
    known: int
    """Rows that were in the bench already."""
    classes: int
    splits: Mapping[str, int]
    """Rows of the file per split."""
    rejects: tuple[Reject, ...]
    rejects_file: Path | None
    notes: tuple[str, ...]
    dry_run: bool

    @property
    def rejected(self) -> int:
        """Rows that could not be used."""
        return len(self.rejects)


@dataclass(frozen=True, slots=True)
class Edit:
    """What a change does to a row, for people."""

    id: str
    reason: str
    before: str
    after: str
    """The new text; empty where the row is dropped."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What cleaning, splitting or reverting did."""

    operation: int | None
    """None for a dry run, or where nothing had to change."""
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    say: str
    edits: tuple[Edit, ...] = ()
    """Every change of a cleaning."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """What an export wrote."""

    file: Path
    card: Path
    rows: int
    synthetic: int
    notes: tuple[str, ...]


def add(
    bench: Bench, file: Path | str, told: Told | None = None, *, split: str | None = None, dry_run: bool = False
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
    told = replace(told or Told(), split=place)
    batch = read(path, told, bench.config.data.first_role)
    details = {
        "file": path.name,
        "fingerprint": batch.fingerprint,
        "columns": asdict(batch.columns),
        "order": batch.order,
        "encoding": batch.encoding,
        "line_end": batch.line_end,
        "system": batch.system,
        "rows": len(batch.samples),
        "rejected": len(batch.rejects),
    }
    earlier = [operation for operation in _adds(bench) if operation.details["fingerprint"] == batch.fingerprint]
    there = _there(bench, batch) if earlier else {}
    new, rejects_file = len(batch.samples) - len(there), None
    if not dry_run:
        same = next((o for o in earlier if _places(bench.ledger.rejects(o.id)) == _places(batch.rejects)), None)
        if new or same is None:
            new, operation = _store(bench, batch, details)
        else:
            operation, path = same.id, Path(same.details["file"])
        rejects_file = _keep_rejects(bench, f"{operation:04d}-{path.name}.jsonl", batch.rejects)
    others = Counter(name for name in there.values() if place and name != place)
    stay = "rows that were there already keep their split: " + ", ".join(f"{n} in {name}" for name, n in others.items())
    notes = (*batch.notes, *([stay] if others else []))
    return Added(
        str(file),
        _format_name(batch.columns),
        batch.encoding,
        batch.columns.text,
        batch.columns.label,
        batch.columns.label_id,
        new,
        len(batch.samples) - new,
        len({sample.label for sample in batch.samples if sample.label}),
        Counter(sample.split for sample in batch.samples),
        tuple(batch.rejects),
        rejects_file,
        notes,
        dry_run,
    )


def _store(bench: Bench, batch: Batch, details: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and rejects into the ledger. Returns how many rows were new, and the number of the operation."""
    with bench.ledger.write("data", "add", details) as writer:
        new = writer.samples(batch.samples)
        writer.label_ids(batch.label_ids)
        writer.rejects(batch.rejects)
    return new, writer.operation


def _keep_rejects(bench: Bench, name: str, rejects: Sequence[Reject]) -> Path | None:
    """Write the rejects to a file for people. The ledger has them already, so a kill here loses nothing."""
    if not rejects:
        return None
    file = bench.root / "rejects" / name
    file.parent.mkdir(exist_ok=True)
    write_jsonl(file, (asdict(reject) for reject in rejects))
    return file


def _places(rejects: Sequence[Reject]) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason) for reject in rejects]


def _adds(bench: Bench) -> list[Operation]:
    return [o for o in bench.ledger.operations() if o.stage == "data" and o.kind == "add"]


def _there(bench: Bench, batch: Batch) -> dict[str, str]:
    """Rows of the file that the bench has already, and their split."""
    ours = {sample.id for sample in batch.samples}
    stored = bench.ledger.samples(source=None, everything=True)
    return {row.id: row.split for row in stored if row.id in ours}


def _format_name(columns: Columns) -> str:
    if columns.format == "table":
        return "CMCC-34 table" if columns.text == "sentence_sep" else "table"
    names = {
        "chat": "chat messages (GLM-4)",
        "turns": "dialogues with roles",
        "sharegpt": "ShareGPT",
        "alpaca": "Alpaca",
    }
    return names[columns.format]


def clean(bench: Bench, *, dry_run: bool = False) -> Changed:
    """Clean the human rows; every change is a fact of its own and can be reverted.

    Raises:
        DataError: there are no rows.
    """
    samples = human_rows(bench)
    found = clean_rows(samples, bench.config.data.clean)
    counts = Counter(change.reason for change in found.changes)
    dropped = {change.sample for change in found.changes if change.field == "dropped"}
    touched = {change.sample for change in found.changes if change.field != "dropped"} - dropped
    would = "would be " if dry_run else ""
    say = f"{len(touched)} rows {would}mended, {len(dropped)} {would}dropped, of {len(samples)}"
    operation = None
    if found.changes and not dry_run:
        with bench.ledger.write("data", "clean", {"counts": dict(counts)}) as writer:
            writer.changes(found.changes)
            operation = writer.operation
    return Changed(operation, counts, tuple(found.notes), say, _edits(samples, found.changes), dry_run)


def _edits(samples: Sequence[Sample], changes: Sequence[Change]) -> tuple[Edit, ...]:
    now = {sample.id: sample.text for sample in samples}
    edits = []
    for change in changes:
        after = SEP.join(turn.text for turn in change.value) if change.field == "turns" else ""
        edits.append(Edit(change.sample, change.reason, now[change.sample], after))
        now[change.sample] = after
    return tuple(edits)


def split(bench: Bench, *, redo: bool = False, dry_run: bool = False) -> Changed:
    """Fill dev and test from train; with `redo` draw anew what is there.

    Raises:
        DataError: there are no rows, or none has the column to group by.
    """
    config = bench.config.data.split
    found = split_rows(human_rows(bench), config, bench.config.seed, redo=redo)
    counts = Counter(str(change.value) for change in found.changes)
    would = "would move" if dry_run else "moved"
    moved = ", ".join(f"{counts[name]} {would} to {name}" for name in ("train", "dev", "test") if counts[name])
    now = ", ".join(f"{name} {n}" for name, n in found.counts.items() if n)
    say = f"split: {moved or 'no row moves'}; {'then' if dry_run else 'now'} {now}"
    operation = None
    if found.changes and not dry_run:
        details = {"counts": dict(counts), "seed": bench.config.seed, "redo": redo, **config.model_dump()}
        with bench.ledger.write("data", "split", details) as writer:
            writer.changes(found.changes)
            operation = writer.operation
    return Changed(operation, counts, tuple(found.notes), say, dry_run=dry_run)


def revert(bench: Bench, operation: int | None) -> Changed:
    """Take back a cleaning or splitting: the one named, or the newest that still counts.

    Raises:
        DataError: there is none, or it cannot be reverted.
    """
    known = {o.id: o for o in bench.ledger.operations() if _changes_rows(o) and not o.undone}
    chosen = known.get(max(known, default=0) if operation is None else operation)
    if chosen is None:
        listed = ", ".join(f"{o.id} ({o.kind})" for o in known.values()) or "none"
        what = "There is nothing to revert." if operation is None else f"Operation {operation} cannot be reverted."
        raise DataError(what, f"Cleanings and splittings that can be: {listed}")
    counts = bench.ledger.change_counts(chosen.id)
    with bench.ledger.write("data", "revert", {"counts": dict(counts)}, undoes=chosen.id):
        pass
    n = sum(counts.values())
    return Changed(None, counts, (), f"operation {chosen.id} ({chosen.kind}) is taken back with its {n} changes")


def _changes_rows(operation: Operation) -> bool:
    return operation.stage == "data" and operation.kind in ("clean", "split")


def human_rows(bench: Bench) -> list[Sample]:
    """The human rows as they are now.

    Raises:
        DataError: there are none.
    """
    samples = bench.ledger.samples()
    if not samples:
        raise DataError("This bench has no rows yet.", "Add some with: wb data add FILE")
    return samples


def layout(bench: Bench) -> Layout:
    """How the files that were added looked: names and order of columns from the first, further columns after them."""
    adds = _adds(bench)
    if not adds:
        return Layout(Columns("table", "text", "label"), ("text", "label"), {})
    first = adds[0].details
    return Layout(
        Columns(**first["columns"]),
        tuple(first["order"]),
        bench.ledger.label_ids(),
        bench.config.data.first_role,
        next((o.details["system"] for o in adds if o.details["system"]), ""),
        first["line_end"],
        first["encoding"] == "UTF-8 with BOM",
    )


def give(
    bench: Bench, path: Path, form: str, *, split: str | None = None, synthetic: bool = True, even: bool = False
) -> Given:
    """Export rows, with a dataset card beside them.

    Raises:
        UsageError: the format or split is unknown.
        DataError: there are no rows, or the file cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"There is no format {form!r}.", one_of(form, FORMATS))
    if split and split not in SPLITS:
        raise UsageError(f"There is no split {split!r}.", one_of(split, SPLITS))
    _refuse(bench, path)
    human = human_rows(bench)
    rows = [*human, *(bench.ledger.accepted() if synthetic else [])]
    rows = [row for row in rows if split is None or row.split == split]
    rows, notes = _selected(rows, form, bench.config.seed, even=even)
    if not rows:
        raise DataError(
            f"There is no row to export{f' in split {split!r}' if split else ''}.", "`wb data show` counts them."
        )
    export(rows, path, form, layout(bench))
    note = path.with_name(path.name + ".card.md")
    note.write_text(card(rows, path, [*_history(bench), *notes]), encoding="utf-8")
    return Given(path, note, len(rows), sum(row.source != "human" for row in rows), tuple(notes))


def _refuse(bench: Bench, path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path} is a folder.", "Name a file in it.")
    if path.is_file():
        print_of = sha256(path.read_bytes()).hexdigest()
        if any(operation.details.get("fingerprint") == print_of for operation in _adds(bench)):
            raise DataError(f"{path} is a file that rows of this bench came from.", "Export to another name.")


def _selected(rows: list[Sample], form: str, seed: int, *, even: bool) -> tuple[list[Sample], list[str]]:
    """The rows that such a file can hold, and what was left out."""
    notes = []
    labelled = [row for row in rows if row.label]
    if (form in CHAT_FORMATS or even) and len(labelled) < len(rows):
        notes.append(f"{len(rows) - len(labelled)} rows without a label were left out")
        rows = labelled
    parts = [name for name in SPLITS if any(row.split == name for row in rows)]
    if form in CHAT_FORMATS and len(parts) > 1:
        notes.append(
            f"{form} has no place for the split: rows of {', '.join(parts)} are mixed; --split takes one of them"
        )
    if even and rows:
        label, size = min(Counter(row.label for row in rows).items(), key=lambda item: item[1])
        kept = balanced(rows, seed)
        notes.append(
            f"balanced: {size} of each class, as many as the smallest has ({label}); {len(rows) - len(kept)} rows left out"
        )
        rows = kept
    return rows, notes


def _history(bench: Bench) -> list[str]:
    lines = []
    for operation in bench.ledger.operations():
        if operation.stage != "data" or operation.undone or operation.kind == "revert":
            continue
        details = operation.details
        if operation.kind == "add":
            lines.append(f"add {details['file']}: {details['rows']} rows, {details['rejected']} rejected")
        else:
            lines.append(f"{operation.kind}: " + ", ".join(f"{key} {n}" for key, n in details["counts"].items()))
    return lines
