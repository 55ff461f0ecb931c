"""Any file as rows of named values, each with its line: CSV, TSV, JSON Lines, JSON, Parquet, Excel, Hugging Face datasets."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from workbench.errors import DataError, need

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".txt", ".parquet", ".xlsx")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file. Where `problem` (a slug) is set, `values` is empty and `say` explains it."""

    line: int
    values: dict[str, Any]
    raw: str = ""
    problem: str = ""
    say: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The records of a file, and how it was read."""

    rows: list[Row]
    columns: tuple[str, ...]
    """Names in order of first appearance."""
    encoding: str
    fingerprint: str
    """Hash of the file's bytes."""


def read_table(path: Path) -> Table:
    """Read a file into rows; a row that cannot be read carries its problem.

    Raises:
        DataError: the file is missing, empty, a folder without a dataset, or of an unknown kind.
        MissingExtra: Excel or Hugging Face datasets without their package.
    """
    if path.is_dir():
        return _dataset(path)
    if not path.exists():
        raise DataError(f"{path} does not exist.", "Check the path.")
    data = path.read_bytes()
    if not data.strip():
        raise DataError(f"{path} is empty.", "Give a file with rows.")
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".xlsx"):
        return _frame(path, suffix, data)
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path} is of a kind that wb does not read ({suffix or 'no suffix'}).", f"Known: {' '.join(SUFFIXES)}"
        )
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is a binary file, not text.", f"Known: {' '.join(SUFFIXES)}")
    text, encoding = decode(data)
    is_json = suffix in (".jsonl", ".json", ".ndjson") or text.lstrip()[:1] in ("{",)
    rows = list(_json_rows(path, text) if is_json else _delimited(text, suffix))
    return _table(rows, encoding, data)


def _table(rows: list[Row], encoding: str, data: bytes) -> Table:
    columns = dict.fromkeys(key for row in rows for key in row.values)
    return Table(rows, tuple(columns), encoding, sha256(data).hexdigest())


def decode(data: bytes) -> tuple[str, str]:
    """Text and encoding. Bytes that fit neither UTF-8 nor GB18030 become lone surrogates, so that their rows can be named."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16"), "UTF-16"
    name = "UTF-8 with BOM" if data.startswith(b"\xef\xbb\xbf") else "UTF-8"
    try:
        return data.decode("utf-8-sig"), name
    except UnicodeDecodeError:
        pass
    utf8 = data.decode("utf-8-sig", "surrogateescape")
    gb = data.decode("gb18030", "surrogateescape")
    return (gb, "GB18030") if _bad_lines(gb) < _bad_lines(utf8) else (utf8, name)


def _bad_lines(text: str) -> int:
    return sum(undecodable(line) for line in text.split("\n"))


def undecodable(text: str) -> bool:
    """Whether the text holds bytes that could not be decoded."""
    return any("\udc80" <= char <= "\udcff" for char in text)


def _delimited(text: str, suffix: str) -> Iterator[Row]:
    head = text[:65536]
    first = head.splitlines()[0]
    delimiter = "\t" if suffix == ".tsv" or first.count("\t") > first.count(",") else ","
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter)
    columns = [name.strip() for name in next(reader)]
    line = reader.line_num + 1
    try:
        for fields in reader:
            if fields:
                yield _csv_row(line, columns, fields)
            line = reader.line_num + 1
    except csv.Error as exc:
        yield Row(line, {}, "", "broken_csv", f"The file cannot be read as CSV from here on: {exc}.")


def _csv_row(line: int, columns: list[str], fields: list[str]) -> Row:
    raw = ",".join(fields)
    if undecodable(raw):
        shown = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return Row(line, {}, shown, "undecodable", "The row has bytes that are neither UTF-8 nor GB18030.")
    if len(fields) != len(columns):
        say = f"The row has {len(fields)} fields, the header {len(columns)}."
        return Row(line, {}, raw, "wrong_columns", say)
    return Row(line, dict(zip(columns, fields, strict=True)), raw)


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        yield from _json_array(path, text)
        return
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if path.suffix.lower() == ".json":
        try:
            whole = json.loads(text)
        except json.JSONDecodeError:
            whole = None
        if isinstance(whole, dict):
            inner = next((value for value in whole.values() if isinstance(value, list)), [whole])
            yield from (_json_row(number, value, "") for number, value in enumerate(inner, 1))
            return
    for number, line in lines:
        if undecodable(line):
            shown = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            yield Row(number, {}, shown, "undecodable", "The line has bytes that are neither UTF-8 nor GB18030.")
            continue
        try:
            yield _json_row(number, json.loads(line), line)
        except json.JSONDecodeError as exc:
            yield Row(number, {}, line, "broken_json", f"The line is not JSON: {exc.msg} at column {exc.colno}.")


def _json_array(path: Path, text: str) -> Iterator[Row]:
    """A JSON array, also where the file is named .jsonl; every element keeps the line on which it begins."""
    decoder = json.JSONDecoder()
    position, line, counted = text.index("[") + 1, 1, 0
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if position >= len(text) or text[position] == "]":
            return
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as exc:
            rest = text[position : position + 200]
            yield Row(line, {}, rest, "broken_json", f"The array cannot be read from here on: {exc.msg}.")
            return
        yield _json_row(line, value, text[position:end])
        position = end


def _json_row(line: int, value: Any, raw: str) -> Row:
    if not isinstance(value, dict):
        return Row(line, {}, raw or str(value), "not_an_object", "The record is not a JSON object.")
    return Row(line, {str(key): _storable(item) for key, item in value.items()}, raw)


def _storable(value: Any) -> Any:
    """JSON escapes can spell lone surrogates, which no UTF-8 file can hold: they become U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _frame(path: Path, suffix: str, data: bytes) -> Table:
    import pandas as pd

    try:
        if suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            need("openpyxl", extra="excel", feature="Reading Excel files")
            frame = pd.read_excel(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError, KeyError) as exc:
        raise DataError(f"{path} cannot be read as {suffix[1:]}: {exc}.", "Check that the file is whole.") from exc
    rows = [Row(i + 2, record) for i, record in enumerate(_records(frame))]
    return _table(rows, "binary", data)


def _records(frame: Any) -> list[dict[str, Any]]:
    """Rows of a data frame as plain JSON values; missing ones become None."""
    return [dict(record) for record in json.loads(frame.to_json(orient="records", force_ascii=False))]


def _dataset(path: Path) -> Table:
    if not (path / "dataset_info.json").exists() and not (path / "dataset_dict.json").exists():
        raise DataError(f"{path} is a folder, not a file or a Hugging Face dataset.", "Name a file in it.")
    datasets = need("datasets", extra="hf", feature="Reading a Hugging Face dataset")
    loaded = datasets.load_from_disk(str(path))
    parts = loaded.items() if hasattr(loaded, "items") else [("", loaded)]
    rows: list[Row] = []
    for split, part in parts:
        names = {n: f.names for n, f in part.features.items() if hasattr(f, "names") and hasattr(f, "int2str")}
        for record in part:
            values = {k: names[k][v] if k in names and isinstance(v, int) and v >= 0 else v for k, v in record.items()}
            rows.append(Row(len(rows) + 1, values | ({"split": split} if split else {})))
    return _table(rows, "binary", json.dumps([row.values for row in rows], default=str).encode())
