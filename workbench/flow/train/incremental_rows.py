"""New rows, old rows and test rows of an incremental training: plain files, or what the ledger has learned of since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.data import Told, read
from workbench.errors import DataError
from workbench.flow.train.rows import training_rows
from workbench.records import Sample


@dataclass(frozen=True, slots=True)
class Given:
    """Plain files, where given."""

    new: Path | None = None
    old: Path | None = None
    """None: the rows of the parent's version in the ledger."""
    test: Path | None = None
    """None: the bench's test split, else old rows are held out in turn."""
    new_test: Path | None = None
    """None: new rows are held out in turn."""
    dev: Path | None = None
    """Rows for the early stopping of an encoder. None: the bench's dev split, or no early stopping."""
    text: str | None = None
    """Column of the text; None: find out."""
    label: str | None = None
    """Column of the class; None: find out."""


@dataclass(frozen=True, slots=True)
class IncrementalRows:
    """What an incremental training sees."""

    new: list[Sample]
    old: list[Sample]
    test: list[Sample]
    """Empty: old rows are held out in turn."""
    test_from: str
    """Where the test rows are from, as half a sentence."""
    new_test: list[Sample]
    """Empty: new rows are held out in turn."""
    dev: list[Sample]
    """Rows for early stopping; may be empty."""
    origin: str
    """`gated`, or the name of the file with the new rows."""
    stored: bool
    """The ledger has these rows."""
    by_dev: bool = False
    """The dev split judges, alone, while a loop goes round: `test` holds its rows, nothing is opened, no new row held out."""
    notes: list[str] = field(default_factory=list)
    """What was left out and why, in sentences."""


def rows_of_files(bench: Bench, given: Given, parent: Mapping[str, Any]) -> IncrementalRows:
    """Rows of plain files; the old ones of the parent's version where there is no file of them.

    Raises:
        DataError: a file has no usable row, or nothing is known of the old rows.
    """
    notes: list[str] = []
    new = _read(bench, given.new, given, notes)
    old = _read(bench, given.old, given, notes) if given.old else _of_version(bench, parent)
    test, new_test, dev = (_read(bench, path, given, notes) for path in (given.test, given.new_test, given.dev))
    if not old:
        raise DataError(
            "Nothing is known of the rows that the model was trained on.", "Give them with: --old-data FILE"
        )
    new, old = _disjoint(new, old, [*test, *new_test], notes)
    origin = given.new.name if given.new else ""
    where = given.test.name if given.test else ""
    return IncrementalRows(new, old, test, where, new_test, dev, origin, False, notes=notes)


def rows_of_ledger(bench: Bench, parent: Mapping[str, Any], *, by_dev: bool = False) -> IncrementalRows:
    """Everything approved since the parent's version as new rows, that version as old ones, and the split that judges.

    Args:
        bench: whose ledger.
        parent: manifest of the run to continue.
        by_dev: the dev split judges instead of the test split; no row is left for early stopping then.

    Raises:
        DataError: nothing is new, or the ledger does not have the parent's rows.
    """
    if bench.bare:
        raise DataError("There is no bench here to take new rows from.", "Give --new-data FILE and --old-data FILE.")
    old = _of_version(bench, parent)
    if not old:
        raise DataError(
            f"This bench does not have the rows of the version {parent['version']} that {parent['run']} was trained on.",
            "Continue a run of this bench, or give --new-data FILE and --old-data FILE.",
        )
    new = approved_since(bench, parent)
    if not new:
        raise DataError(
            f"Nothing was approved since the version {parent['version']} of {parent['run']}.",
            "Add rows with `wb data add FILE` or `wb generate`, or give --new-data FILE.",
        )
    test, dev = ([sample for sample in bench.ledger.samples(split=name) if sample.label] for name in ("test", "dev"))
    notes: list[str] = []
    new, old = _disjoint(new, old, [*test, *dev], notes)
    if by_dev:
        return IncrementalRows(new, old, dev, "the dev split", [], [], "gated", True, True, notes)
    return IncrementalRows(new, old, test, "the test split", [], dev, "gated", True, notes=notes)


def approved_since(bench: Bench, parent: Mapping[str, Any]) -> list[Sample]:
    """Training rows of the bench that the version of a run (its manifest) does not have."""
    known = bench.ledger.rows_of(parent["version"])
    return [sample for sample in training_rows(bench, "gated") if sample.id not in known]


def _of_version(bench: Bench, parent: Mapping[str, Any]) -> list[Sample]:
    if bench.bare:
        return []
    ids = bench.ledger.rows_of(parent["version"])
    return [sample for sample in bench.ledger.samples(source=None) if sample.id in ids and sample.label]


def _read(bench: Bench, path: Path | None, given: Given, notes: list[str]) -> list[Sample]:
    if path is None:
        return []
    batch = read(path, Told(text=given.text, label=given.label), bench.config.data.first_role)
    if batch.rejects:
        first = batch.rejects[0]
        notes.append(
            f"{path.name}: {len(batch.rejects)} rows are not used; the first is line {first.line}: {first.say}"
        )
    rows = [sample for sample in batch.samples if sample.label]
    if not rows:
        raise DataError(f"{path} has no usable row.", "Each row needs a text and a class.")
    # Two files may hold the same bytes: rows are told apart by their file too.
    return [replace(row, id=f"{path.stem}:{row.id}") for row in rows]


def _disjoint(
    new: Sequence[Sample], old: Sequence[Sample], test: Sequence[Sample], notes: list[str]
) -> tuple[list[Sample], list[Sample]]:
    """New rows that are in no test set, and old rows whose text no new row has."""
    tested, fresh = {sample.text_id for sample in test}, {sample.text_id: sample.label for sample in new}
    kept = [sample for sample in new if sample.text_id not in tested]
    if len(kept) < len(new):
        notes.append(f"{len(new) - len(kept)} new rows stand among the test rows and are not trained on")
    rest = [sample for sample in old if sample.text_id not in tested]
    if len(rest) < len(old):
        notes.append(f"{len(old) - len(rest)} old rows stand among the test rows and are not replayed")
    same = [sample for sample in rest if sample.text_id in fresh]
    if same:
        other = sum(fresh[sample.text_id] != sample.label for sample in same)
        notes.append(
            f"{len(same)} old rows have the text of a new row, {other} of them another class: the new row counts"
        )
    return kept, [sample for sample in rest if sample.text_id not in fresh]
