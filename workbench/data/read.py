"""A file to samples and rejects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.data.formats import SPLIT_NAMES, Columns, parts_of, recognise
from workbench.data.table import Row, Table, read_table
from workbench.errors import DataError
from workbench.records import Reject, Sample, Split, digest


@dataclass(frozen=True, slots=True)
class Told:
    """What the user says of a file; None: find out."""

    text: str | None = None
    label: str | None = None
    label_id: str | None = None
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a file came to."""

    samples: list[Sample]
    rejects: list[Reject]
    label_ids: Mapping[str, str]
    """Label -> the number that the file gives it."""
    columns: Columns
    order: tuple[str, ...]
    """All columns of the file, in order."""
    encoding: str


def read(path: Path, told: Told, first_role: str = "agent") -> Batch:
    """Read a file of any known format; rows that cannot be used become rejects.

    Raises:
        DataError: the file cannot be read, or its columns are not understood.
    """
    table = read_table(path)
    if not table.columns:
        raise DataError(f"{path} has no readable row.", _first_problem(table))
    columns = recognise(table.columns, told.text, told.label, told.label_id)
    if not columns.label and columns.format in ("table", "turns") and told.split != "pool":
        names = ", ".join(table.columns)
        raise DataError(
            f"No column looks like a label; there are: {names}.", "Name it: --label COLUMN, or --split pool"
        )
    samples: list[Sample] = []
    rejects: list[Reject] = []
    label_ids: dict[str, str] = {}
    for number, row in enumerate(table.rows):
        found = _sample(row, columns, told.split, first_role, digest(table.fingerprint, str(number)))
        if isinstance(found, Sample):
            samples.append(found)
            given = str(row.values.get(columns.label_id) or "") if columns.label_id else ""
            if given or columns.format in ("chat", "sharegpt", "alpaca"):
                given = given or parts_of(row.values, columns, first_role).label_id
            if given:
                label_ids.setdefault(found.label, given.removesuffix(".0"))
        else:
            slug, say = found
            rejects.append(Reject(path.name, row.line, slug, say, row.raw or str(row.values)))
    return Batch(samples, rejects, label_ids, columns, table.columns, table.encoding)


def _sample(row: Row, columns: Columns, split: Split | None, first_role: str, key: str) -> Sample | tuple[str, str]:
    if row.problem:
        return row.problem, row.say
    try:
        parts = parts_of(row.values, columns, first_role)
    except ValueError as exc:
        slug, say = exc.args
        return slug, say
    own = str(row.values.get(columns.split) or "").strip().lower() if columns.split else ""
    place = split or SPLIT_NAMES.get(own, "train")
    if not any(turn.text for turn in parts.turns):
        return "empty_text", "The row has no text."
    if not parts.label and place != "pool":
        return "no_label", "The row has no label."
    kept = {name: value for name, value in row.values.items() if name not in columns.used}
    return Sample(key, parts.turns, parts.label, place, meta=kept)


def _first_problem(table: Table) -> str:
    return table.rows[0].say if table.rows else "Give a file with rows."
