"""`wb predict`: the rows of a file, in their order, with what a model says of each; a row without text keeps its place."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from workbench.data import parts_of, read_table, recognise
from workbench.data.formats import Columns
from workbench.data.rows import Row, Table
from workbench.errors import DataError, UsageError
from workbench.flow.models.model import Model
from workbench.records import SEP
from workbench.text import encodable, shorten

CHUNK = 256
"""Rows that are asked for at a time, so that answers come while the model works."""
_LISTS = ("messages", "conversations", "turns")
"""Columns that hold dialogues as lists, by the names that chat formats give them."""
ADDED = ("predicted", "predicted_probability", "predicted_top", "predicted_reason")
"""Columns that a CSV gets behind the file's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A row of a file, or why there is nothing to ask of it."""

    row: Row
    text: str
    """Turns joined as in training; empty where the row has no text."""
    reason: str = ""
    """A slug: `empty_text`, or what was wrong with the row."""
    say: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model says of one row."""

    asked: Asked
    top: tuple[tuple[str, float], ...]
    """The likeliest classes with their probabilities, best first; none where there was nothing to ask."""

    @property
    def label(self) -> str | None:
        """The likeliest class."""
        return self.top[0][0] if self.top else None

    @property
    def probability(self) -> float | None:
        """The probability of the likeliest class."""
        return self.top[0][1] if self.top else None

    def json(self) -> dict[str, Any]:
        """The form that `wb predict --json` prints."""
        found = {"label": self.label, "probability": self.probability, "top": [list(pair) for pair in self.top]}
        return found if self.top else found | {"reason": self.asked.reason, "say": self.asked.say}


def rows_of(path: Path, text: str | None, sep: str | None, first_role: str) -> tuple[Table, list[Asked]]:
    """The rows of a file, one for one, as texts.

    Args:
        path: any kind of file that `wb data add` reads.
        text: column with the text or the dialogue; found by name where None.
        sep: what joins the turns of a dialogue, if not [SEP].
        first_role: see `data.first_role`.

    Raises:
        DataError: the file cannot be read, or its columns are not understood.
    """
    table = read_table(path)
    if not table.columns:
        say = f" {table.rows[0].say}" if table.rows else ""
        raise DataError(f"{path} has no row that can be read.{say}", "Check what kind of file it is.")
    if text is not None and text not in table.columns:
        names = ", ".join(table.columns)
        raise DataError(f"{path} has no column {text!r}; there are: {shorten(names, 200)}.", "Name it: --text COLUMN.")
    try:
        found = recognise(table.columns, None if text in _LISTS else text)
    except DataError as exc:
        raise DataError(f"{path}: {exc.message}", exc.hint) from exc
    # What the file says of classes is not looked at: it is no part of the question, and need not be of any form.
    columns = replace(found, label="", label_id="", sep=sep or found.sep)
    return table, [_asked(row, columns, first_role) for row in table.rows]


def _asked(row: Row, columns: Columns, first_role: str) -> Asked:
    if row.problem:
        return Asked(row, "", row.problem, row.say)
    try:
        turns = parts_of(row.values, columns, first_role).turns
    except ValueError as exc:
        return Asked(row, "", *(str(arg) for arg in exc.args[:2]))
    text = SEP.join(turn.text for turn in turns)
    if not any(turn.text.strip() for turn in turns):
        return Asked(row, "", "empty_text", "The row has no text.")
    return Asked(row, text)


def answers(model: Model, asked: Sequence[Asked], top: int) -> Iterator[Answered]:
    """One answer for each row, in their order, as the model goes along."""
    for start in range(0, len(asked), CHUNK):
        some = asked[start : start + CHUNK]
        found = iter(model.top([one.text for one in some if not one.reason], top))
        for one in some:
            yield Answered(one, () if one.reason else tuple(next(found)))


def write(path: Path, source: Path, table: Table, found: Sequence[Answered]) -> None:
    """Write answers to a file, whole or not at all: `.jsonl` as `--json` prints them, `.csv` behind the file's own columns.

    Raises:
        UsageError: the ending is another, or the file is the one that was read.
        DataError: the file cannot be written.
    """
    check_out(path, source)
    rows = _csv(table, found) if path.suffix.lower() == ".csv" else _jsonl(found)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(rows, encoding="utf-8-sig" if path.suffix.lower() == ".csv" else "utf-8", newline="")
        partial.replace(path)
    except OSError as exc:
        raise DataError(f"{path} cannot be written: {exc.strerror}.", "Name another file.") from exc


def check_out(path: Path, source: Path) -> None:
    """Refuse a file that could not be written, before the model works.

    Raises:
        UsageError: the ending is another than `.csv` or `.jsonl`, or the file is the one that was read.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise UsageError(f"--out {path} ends neither in .csv nor in .jsonl.", "Give one of these endings.")
    if path.exists() and path.samefile(source):
        raise UsageError(f"--out {path} is the file that is read.", "Name another file.")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"The folder of --out {path} does not exist.", "Make it, or name another file.")


def _jsonl(found: Sequence[Answered]) -> str:
    return "".join(_plain(one.json()) + "\n" for one in found)


def _csv(table: Table, found: Sequence[Answered]) -> str:
    """The file's own columns, then ours; a column that an earlier prediction left is replaced."""
    own = [name for name in table.columns if name not in ADDED]
    file = StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([*own, *ADDED])
    for one in found:
        values = one.asked.row.values
        # A row that could not be read has no columns: it stands whole in the first one.
        cells = [_cell(values.get(name)) for name in own] if values else [one.asked.row.raw, *[""] * (len(own) - 1)]
        top = _plain([list(pair) for pair in one.top]) if one.top else ""
        writer.writerow(
            [*cells, one.label or "", "" if one.probability is None else one.probability, top, one.asked.reason]
        )
    return file.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False, default=str)
    return line if encodable(line) else json.dumps(value, default=str)


def tally(found: Sequence[Answered]) -> Mapping[str, int]:
    """How many rows got no answer, by reason."""
    counts: dict[str, int] = {}
    for one in found:
        if not one.top:
            counts[one.asked.reason] = counts.get(one.asked.reason, 0) + 1
    return counts
