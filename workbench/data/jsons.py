"""JSON Lines, JSON arrays (also where the file is named .jsonl) and a JSON object that holds a list of records."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.data.rows import BROKEN_BYTES, Row, record, shown, undecodable

_BROKEN = (json.JSONDecodeError, RecursionError)
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
"""NaN and Infinity are no JSON, but pandas writes them where a value is missing."""
_SPACE = re.compile(r"[ \t\r\n,]*")


def json_rows(path: Path, text: str) -> Iterator[Row]:
    """The records of a JSON text."""
    if text.lstrip().startswith("["):
        yield from _array(text, text.index("["))
        return
    start = _list_inside(text) if path.suffix.lower() == ".json" else -1
    yield from _array(text, start) if start >= 0 else _lines(text)


def _list_inside(text: str) -> int:
    """Where the first list of a JSON object begins, as in `{"data": [...]}`; -1 where the text is something else."""
    try:
        whole = json.loads(text)
    except _BROKEN:
        return -1
    key = next((key for key, value in whole.items() if isinstance(value, list)), None) if whole else None
    found = re.search(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:\s*\[", text) if key else None
    return found.end() - 1 if found else -1


def _lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if undecodable(line):
            yield Row(number, {}, shown(line), "undecodable", BROKEN_BYTES)
            continue
        try:
            value = _DECODER.decode(line)
        except _BROKEN as exc:
            yield Row(number, {}, line, "broken_json", f"The line is not JSON: {_why(exc)}.")
        else:
            yield record(number, value, line)


def _array(text: str, start: int) -> Iterator[Row]:
    """The elements of an array, each with the line on which it begins; reading goes on behind a broken one."""
    position, line, counted = start + 1, 1, 0
    indent: str | None = None
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]  # the pattern matches nothing too
        if position >= len(text) or text[position] == "]":
            return
        line += text.count("\n", counted, position)
        counted = position
        if indent is None:
            indent = text[text.rfind("\n", 0, position) + 1 : position]
        try:
            value, end = _DECODER.raw_decode(text, position)
        except _BROKEN as exc:
            end = _next_element(text, position, indent)
            rest = "" if end < len(text) else " from here to the end of the file"
            yield Row(line, {}, shown(text[position:end].rstrip()), "broken_json", f"Not JSON{rest}: {_why(exc)}.")
        else:
            yield _element(line, value, text, position, end)
        position = end


def _element(line: int, value: Any, text: str, position: int, end: int) -> Row:
    raw = text[position:end]
    return Row(line, {}, shown(raw), "undecodable", BROKEN_BYTES) if undecodable(raw) else record(line, value, raw)


def _next_element(text: str, position: int, indent: str) -> int:
    """Where an element begins that is indented as the first one; the end of the text where there is none."""
    found = text.find(f"\n{indent}{{", position) if not indent.strip() else -1
    return found + 1 if found >= 0 else len(text)


def _why(exc: Exception) -> str:
    return f"{exc.msg} at column {exc.colno}" if isinstance(exc, json.JSONDecodeError) else "nested too deeply"
