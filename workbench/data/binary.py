"""Parquet, Excel and Hugging Face datasets on disk."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from workbench.data.rows import Row, Table, record, table
from workbench.errors import DataError, need


def read_parquet(path: Path, fingerprint: str) -> Table:
    """A Parquet file.

    Raises:
        DataError: the file is damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as exc:
        raise DataError(f"{path} cannot be read as Parquet: {_short(exc)}.", "Check that the file is whole.") from exc
    return table([_plain(number, values) for number, values in enumerate(found, 1)], "Parquet", fingerprint)


def read_excel(path: Path, fingerprint: str) -> Table:
    """The first sheet of an Excel workbook; its first row names the columns.

    Raises:
        DataError: the file is damaged, or a column has no name.
        MissingExtra: openpyxl is not installed.
    """
    from zipfile import BadZipFile

    openpyxl = need("openpyxl", extra="excel", feature="Reading Excel files")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        cells = [list(row) for row in sheet.iter_rows(values_only=True)]
        others = len(book.worksheets) - 1
        book.close()
    except (BadZipFile, KeyError, OSError, ValueError, IndexError) as exc:
        raise DataError(f"{path} cannot be read as Excel: {_short(exc)}.", "Check that the file is whole.") from exc
    names = ["" if name is None else str(name).strip() for name in cells[0]] if cells else []
    while names and not names[-1]:
        names.pop()
    if not all(names) or len(set(names)) < len(names):
        raise DataError(f"{path}: two columns have the same name, or one has none.", "Name each in the first row.")
    rows = [
        _plain(number, dict(zip(names, row, strict=False)))
        for number, row in enumerate(cells[1:], 2)
        if any(cell is not None for cell in row)
    ]
    notes = [f"only the first sheet was read; {others} more are in the file"] if others else []
    return table(rows, "Excel", fingerprint, notes)


def read_dataset(path: Path) -> Table:
    """A Hugging Face dataset as `save_to_disk` writes it; the parts of a DatasetDict become the column `split`.

    Raises:
        DataError: the folder holds something else.
        MissingExtra: datasets is not installed.
    """
    if not any((path / name).exists() for name in ("dataset_info.json", "dataset_dict.json")):
        raise DataError(
            f"{path} is a folder, and not a Hugging Face dataset that `save_to_disk` wrote.", "Name a file in it."
        )
    datasets = need("datasets", extra="hf", feature="Reading a Hugging Face dataset")
    loaded = datasets.load_from_disk(str(path))
    parts = list(loaded.items()) if hasattr(loaded, "items") else [("", loaded)]
    rows: list[Row] = []
    seen = sha256()
    for split, part in parts:
        names = {key: f.names for key, f in part.features.items() if hasattr(f, "int2str")}
        for values in part:
            named = {key: _class_name(value, names.get(key)) for key, value in values.items()}
            rows.append(_plain(len(rows) + 1, named | ({"split": split} if split else {})))
            seen.update(json.dumps(rows[-1].values, ensure_ascii=False, sort_keys=True).encode())
    return table(rows, "Hugging Face dataset", seen.hexdigest())


def _class_name(value: Any, names: list[str] | None) -> Any:
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else ""  # -1 is that library's word for "no label"


def _plain(number: int, values: Mapping[str, Any]) -> Row:
    """A record with JSON values only: dates and the like become text, NaN becomes None."""
    return record(number, {key: _json_value(value) for key, value in values.items()})


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value == value else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [_json_value(item) for item in value]
    return str(value)


def _short(exc: Exception) -> str:
    return str(exc).partition("\n")[0].rstrip(".")
