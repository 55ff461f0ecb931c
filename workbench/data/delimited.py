"""CSV and TSV, read strictly, so that one stray quote costs one row and not the rest of the file."""

import csv
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import Path

from workbench.data.rows import BROKEN_BYTES, Row, shown, undecodable
from workbench.errors import DataError

LONGEST_FIELD = 2**31 - 1


def delimited_rows(path: Path, text: str) -> Iterator[Row]:
    """The records below the header line.

    Raises:
        DataError: the header cannot be read, or names a column twice.
    """
    # The csv module's own idea of lines, so that its line numbers are ours.
    lines = list(StringIO(text, newline=""))
    delimiter = _delimiter(path, lines[0])
    previous = csv.field_size_limit(LONGEST_FIELD)
    try:
        columns, start = _header(path, lines, delimiter)
        yield from _records(lines, start, columns, delimiter)
    finally:
        csv.field_size_limit(previous)


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",\t;", key=header.count)


def _header(path: Path, lines: list[str], delimiter: str) -> tuple[list[str], int]:
    """Names of the columns, and how many lines the header takes."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = [name.strip() for name in next(row for row in reader if row)]
    except (csv.Error, StopIteration) as exc:
        raise DataError(
            f"{path}:1: the header cannot be read as CSV: {exc or 'no names'}.", "Mend the first line."
        ) from exc
    twice = [name for name, n in Counter(columns).items() if n > 1]
    if twice:
        raise DataError(f"{path} has {twice[0]!r} twice among its columns.", "Rename one of them in the first line.")
    return columns, reader.line_num


def _records(lines: list[str], start: int, columns: list[str], delimiter: str) -> Iterator[Row]:
    """A row that cannot be parsed is given up with its first line, and reading starts anew on the next."""
    while start < len(lines):
        reader = csv.reader(islice(lines, start, None), delimiter=delimiter, strict=True)
        first, begun = start, start
        try:
            for fields in reader:
                first, begun = begun, start + reader.line_num
                if fields:
                    yield _record(first + 1, lines[first:begun], columns, fields)
            return
        except csv.Error as exc:
            line = lines[begun].rstrip("\r\n")
            problem = "undecodable" if undecodable(line) else "broken_csv"
            quote = " (is a quote not closed?)" if line.count('"') % 2 else ""
            say = BROKEN_BYTES if undecodable(line) else f"The line cannot be read as CSV: {exc}{quote}."
            yield Row(begun + 1, {}, shown(line), problem, say)
            start = begun + 1


def _record(line: int, raw: list[str], columns: list[str], fields: list[str]) -> Row:
    if any(undecodable(field) for field in fields):
        return Row(line, {}, shown("".join(raw).rstrip("\r\n")), "undecodable", BROKEN_BYTES)
    if len(fields) != len(columns):
        say = f"The row has {len(fields)} fields, the header has {len(columns)}."
        return Row(line, {}, "".join(raw).rstrip("\r\n"), "wrong_columns", say)
    return Row(line, dict(zip(columns, fields, strict=True)))
