"""What every kind of file is read into: rows of named values, each with its place in the file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BROKEN_BYTES = "The line has bytes that do not fit the encoding of the file."


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file. Where `problem` (a slug) is set, `values` is empty and `say` explains it."""

    line: int
    """The line on which the record begins, from 1; in files without lines the number of the record."""
    values: dict[str, Any]
    raw: str = ""
    """The record as it stands in the file; kept only where there is a problem."""
    problem: str = ""
    say: str = ""
    mended: bool = False
    """Half characters (lone surrogates) in it were replaced by U+FFFD."""


@dataclass(frozen=True, slots=True)
class Table:
    """The records of a file, and how it was read."""

    rows: list[Row]
    columns: tuple[str, ...]
    """Names in order of first appearance."""
    encoding: str
    fingerprint: str
    """SHA-256 of the file's bytes."""
    notes: tuple[str, ...] = ()
    """What a person should know of the reading."""
    line_end: str = "\n"


def table(rows: list[Row], encoding: str, fingerprint: str, notes: Sequence[str] = (), line_end: str = "\n") -> Table:
    """Rows as a table; its columns are those of the rows."""
    columns: dict[str, None] = {}
    for row in rows:
        if not columns.keys() >= row.values.keys():
            columns |= dict.fromkeys(row.values)
    mended = sum(row.mended for row in rows)
    half = [f"{mended} rows had half characters (lone surrogates); each is now U+FFFD"] if mended else []
    return Table(rows, tuple(columns), encoding, fingerprint, (*notes, *half), line_end)


def undecodable(text: str) -> bool:
    """Whether the text holds bytes that could not be decoded (see `decode`)."""
    return not text.isascii() and any("\udc80" <= char <= "\udcff" for char in text)


def shown(text: str) -> str:
    """A text with undecodable bytes in a form that can be stored."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def record(line: int, value: Any, raw: str = "") -> Row:
    """A JSON value as a row."""
    if not isinstance(value, Mapping):
        return Row(line, {}, raw or json.dumps(value, ensure_ascii=False), "not_an_object", "This is no JSON object.")
    plain = {str(key): storable(item) for key, item in value.items()}
    return Row(line, plain, mended=plain != value)


def storable(value: Any) -> Any:
    """The value without lone surrogates: JSON escapes can spell them, but no UTF-8 file or database can hold them."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value
