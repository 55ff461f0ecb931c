"""Any file as rows of named values: CSV, TSV, JSON Lines, JSON, Parquet, Excel, Hugging Face datasets."""

from hashlib import sha256
from pathlib import Path

from workbench.data.binary import read_dataset, read_excel, read_parquet
from workbench.data.delimited import delimited_rows
from workbench.data.jsons import json_rows
from workbench.data.rows import Table, table
from workbench.errors import DataError

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".xlsx")
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_table(path: Path) -> Table:
    """Read a file into rows; a row that cannot be read carries its problem.

    Raises:
        DataError: the file is missing, empty, a folder without a dataset, or of an unknown kind.
        MissingExtra: Excel or Hugging Face datasets without their package.
    """
    if path.is_dir():
        return read_dataset(path)
    data = _bytes(path)
    suffix = path.suffix.lower()
    fingerprint = sha256(data).hexdigest()
    if suffix == ".parquet":
        return read_parquet(path, fingerprint)
    if suffix == ".xlsx":
        return read_excel(path, fingerprint)
    if suffix not in TEXT_SUFFIXES:
        kind = f"({suffix})" if suffix else "(its name has no ending)"
        raise DataError(f"{path} is of a kind that wb does not read {kind}.", f"Known endings: {' '.join(SUFFIXES)}")
    text, encoding = _decoded(path, data)
    del data
    is_json = suffix in (".jsonl", ".ndjson", ".json") or text.lstrip().startswith("{")
    rows = list(json_rows(path, text) if is_json else delimited_rows(path, text))
    line_end = "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
    return table(rows, encoding, fingerprint, line_end=line_end)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as exc:
        raise DataError(f"{path} does not exist.", "Check the path.") from exc
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}.", "Check the path and its permissions.") from exc
    if not data.strip():
        raise DataError(f"{path} is empty.", "Give a file with rows.")
    return data


def _decoded(path: Path, data: bytes) -> tuple[str, str]:
    binary = not data.startswith(UTF16) and data[:4096].count(0) * 10 > min(len(data), 4096)
    if binary or data.startswith((b"PK\x03\x04", b"PAR1", b"%PDF", b"\x1f\x8b")):
        raise DataError(f"{path} is a binary file, not text.", "Give text, or rename it to .xlsx or .parquet.")
    try:
        text, encoding = decode(data)
    except UnicodeDecodeError as exc:
        raise DataError(f"{path} is not whole UTF-16: {exc.reason}.", "Save it as UTF-8.") from exc
    if not text.strip():
        raise DataError(f"{path} is empty.", "Give a file with rows.")
    return text, encoding


def decode(data: bytes) -> tuple[str, str]:
    """Text and encoding: UTF-8 where it fits; GB18030 where UTF-8 fails on most lines that are not ASCII.

    Bytes that do not fit become lone surrogates (PEP 383), so that their rows can be named. One broken byte must not
    decide: short Chinese UTF-8 with one often passes for GB18030, and every row would turn into other characters.

    Raises:
        UnicodeDecodeError: the file begins like UTF-16, and is none.
    """
    if data.startswith(UTF16):
        return data.decode("utf-16"), "UTF-16"
    name = "UTF-8 with BOM" if data.startswith(b"\xef\xbb\xbf") else "UTF-8"
    try:
        return data.decode("utf-8-sig"), name
    except UnicodeDecodeError:
        pass
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    wrong = _misfits(lines, "utf-8")
    if name == "UTF-8" and wrong * 2 > len(lines) and _misfits(lines, "gb18030") < wrong:
        return data.decode("gb18030", "surrogateescape"), "GB18030"
    return data.decode("utf-8-sig", "surrogateescape"), name


def _misfits(lines: list[bytes], encoding: str) -> int:
    return sum(not _fits(line, encoding) for line in lines)


def _fits(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
