"""The parts of a reply, before anyone asks whether they are rows: JSON values wherever they stand, or numbered lines."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.generate.speakers import DIALOGUE_KEYS, ROLE_KEYS, TEXT_KEYS, speaker

_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_MARK = r"(?:\*\*)?(?:对话|样本|dialogue\s|sample\s)?\s*[(（]?\d{1,3}\s*[.、)）:：](?:\*\*)?|[-•]|\*(?!\*)"
_NUMBERED = re.compile(rf"^(\s*)(?:{_MARK})\s*", re.IGNORECASE)
_BRACKET = re.compile(r"[\[{]")
# What begins like JSON and cannot be read is a broken row; any other bracket is part of a sentence, as in [SEP].
_LIKE_LIST = re.compile(r'\[\s*(?:["\[{]|\Z)')
_LIKE_OBJECT = re.compile(r'\{\s*(?:"|\Z)')
_LIST_INSIDE = re.compile(r'\{[^\[\]{}]*?"(\w+)"\s*:\s*(?=\[)')
_NEXT_ITEM = re.compile(r'(?<=["\]}])\s*[,\n]\s*(?=["\[{])')
_NEXT_VALUE = re.compile(r"\n\s*(?=[\[{])")
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """A part that is no row, why, and its text."""

    reason: str
    say: str
    raw: Any
    """The text that it was, or the JSON value."""


def _cut(raw: str) -> Broken:
    return Broken("cut_off", "The reply breaks off here.", raw)


def _garbled(raw: str) -> Broken:
    return Broken("broken_json", "The item is not valid JSON.", raw)


def json_parts(text: str, *, spoken: bool) -> list[Any] | None:
    """Items and broken parts of all JSON values in the text; None where it has none.

    Args:
        text: the reply; what stands between the values is chatter.
        spoken: rows are dialogues, so that a list of turns is one row.
    """
    parts: list[Any] = []
    found, position = False, 0
    while bracket := _BRACKET.search(text, position):
        start = bracket.start()
        line = text.rfind("\n", 0, start) + 1
        if _NUMBERED.match(text[line:start]):  # a numbered row that holds a bracket
            end = text.find("\n", start)
            position = end if end >= 0 else len(text)
            continue
        value, position = _decode(text, start)
        if position > start:
            parts += _rows(value, spoken=spoken)
            found = True
            continue
        more, position = _broken_value(text, start, spoken=spoken)
        parts += more
        found = found or bool(more)
    return parts if found else None


def _decode(text: str, start: int) -> tuple[Any, int]:
    """The JSON value at `start` and its end; the end is `start` where it cannot be read."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):  # broken, a number of thousands of digits, or nested thousands deep
        return None, start


def _rows(value: Any, *, spoken: bool) -> list[Any]:
    """The rows of a whole JSON value: a list, an object around a list, or one row."""
    if isinstance(value, list):
        return [value] if spoken and _is_dialogue(value) else value
    if any(key in value for key in (*TEXT_KEYS, *(DIALOGUE_KEYS if spoken else ()))):
        return [value]
    lists = [inner for inner in value.values() if isinstance(inner, list)]
    if not lists:
        return [value]
    say = "The object holds a list already; what this one has is not known."
    return [*_rows(lists[0], spoken=spoken), *(Broken("second_list", say, other) for other in lists[1:])]


def _is_dialogue(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) and any(key in item for key in ROLE_KEYS) for item in items)


def _broken_value(text: str, start: int, *, spoken: bool) -> tuple[list[Any], int]:
    """What can be saved of a value that cannot be read, and where to go on."""
    if _LIKE_LIST.match(text, start):
        parts, end = _broken_list(text, start + 1)
        whole = [part for part in parts if not isinstance(part, Broken)]
        return ([_cut(text[start:end])] if spoken and _is_dialogue(whole) else parts), end
    if not _LIKE_OBJECT.match(text, start):
        return [], start + 1
    inside = _LIST_INSIDE.match(text, start)
    if inside and not (spoken and inside.group(1) in DIALOGUE_KEYS):
        return [], inside.end()
    further = _NEXT_VALUE.search(text, start)
    raw = text[start : further.start() if further else len(text)]
    return [_garbled(raw) if further else _cut(raw)], start + len(raw)


def _broken_list(text: str, position: int) -> tuple[list[Any], int]:
    """Items of a list that is cut or has a broken item, from behind its bracket, and where it ends."""
    parts: list[Any] = []
    while True:
        position = _skip(text, position, ",")
        if text.startswith("]", position):
            return parts, position + 1
        value, end = _decode(text, position)
        behind = _skip(text, end)
        if end > position and behind == len(text):
            return [*parts, value, _cut("")], len(text)
        if end > position and (text[behind] in ",]" or "\n" in text[end:behind]):
            parts.append(value)
            position = behind
            continue
        further = _NEXT_ITEM.search(text, position)
        if further is None:
            return [*parts, *_last(text, position)], len(text)
        parts.append(_garbled(text[position : further.start()]))
        position = further.end()


def _last(text: str, position: int) -> Iterator[Broken]:
    """The rest of a list whose end cannot be found."""
    rest = text[position:].rstrip()
    yield _garbled(rest) if rest.endswith("]") else _cut(rest)


def _skip(text: str, position: int, also: str = "") -> int:
    """The next place that is neither space nor one of `also`."""
    while position < len(text) and (text[position].isspace() or text[position] in also):
        position += 1
    return position


def numbered_parts(text: str, *, cut: bool, spoken: bool) -> list[Any]:
    """Items of numbered or bulleted lines; other lines belong to the item above, up to an empty line.

    After an empty line only what is indented, or said by a speaker, still belongs to it.

    Args:
        text: the reply; where it has fences, only what is inside them counts.
        cut: the last item was cut by the length limit.
        spoken: rows are dialogues, so that a list of turns is one row.
    """
    blocks: list[list[str]] = []
    strays: list[Broken] = []
    indent, open_block = -1, False
    for line in "\n".join(_FENCE.findall(text) or [text]).splitlines():
        mark = _NUMBERED.match(line)
        if mark and (indent < 0 or len(mark.group(1)) < indent + 2):
            indent = len(mark.group(1)) if indent < 0 else indent
            blocks.append([line[mark.end() :].strip()])
            open_block = True
        elif not line.strip():
            open_block = False
        elif open_block or (blocks and (line.startswith(" " * (indent + 2)) or (spoken and speaker(line)))):
            blocks[-1].append(line[mark.end() if mark else 0 :].strip())
        elif blocks:
            strays.append(Broken("stray_text", "The text belongs to no numbered item.", line))
    texts = ["\n".join(lines).strip() for lines in blocks]
    last = [_cut(texts.pop())] if texts and cut else []
    return [item for text in texts for item in _items(text, spoken=spoken)] + last + strays


def _items(block: str, *, spoken: bool) -> list[Any]:
    """A numbered item: its text, or the JSON value that it consists of."""
    if block.startswith(("{", "[", '"')):
        value, end = _decode(block, 0)
        if end and not block[end:].strip(" ,"):
            return [value] if spoken or not value or isinstance(value, str) else _rows(value, spoken=spoken)
    return [block]
