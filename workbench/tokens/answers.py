"""What a model answered when it was asked for tags: values of the vocabulary for places that were asked for, or nothing."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.text import encodable
from workbench.tokens.vocabulary import Values

Asked = tuple[int, str]
"""Turn (from 0, -1 for the whole dialogue) and field."""
WHOLE = -1
_THOUGHT = re.compile(r"^\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)
_MARKS = " \t\r\n\"'`.。「」()（）"


def read_values(text: str, places: Mapping[Asked, Values]) -> dict[Asked, tuple[str, str]]:
    """Value and reason for each place; a place with two different values, or with one of no vocabulary, is left out.

    Args:
        text: the reply; JSON objects in it that have `turn`, `field` and `value` are read, wherever they stand.
        places: what was asked for, with the values that it may take. A meaning stands for its value, where it is that of one only.
    """
    found: dict[Asked, tuple[str, str]] = {}
    torn: set[Asked] = set()
    for item in items(text) or ():
        place = _place(item, places)
        value = _value(item.get("value"), places[place]) if place is not None else None
        if place is None or value is None:
            continue
        if found.setdefault(place, (value, _why(item)))[0] != value:
            torn.add(place)
    return {place: answer for place, answer in found.items() if place not in torn}


def read_places(text: str, places: Mapping[Asked, Any]) -> dict[Asked, str] | None:
    """Places that the reply names, with the reason; None where it holds no JSON, so that it does not say `none` either."""
    found = items(text)
    if found is None:
        return None
    named = [(place, _why(item)) for item in found if (place := _place(item, places)) is not None]
    return dict(reversed(named))  # of two reasons the first


def items(text: str) -> list[dict[str, Any]] | None:
    """Objects with a turn and a field that stand in a reply; None where it holds no JSON at all."""
    body = _THOUGHT.sub("", text)
    values = list(_json(body))
    return [item for value in values for item in _inside(value)] if values else None


def _json(text: str) -> Iterator[Any]:
    """JSON objects and lists in a text, outermost first."""
    start = re.compile(r"[{\[]")
    found = start.search(text)
    while found:
        try:
            value, end = _DECODER.raw_decode(text, found.start())
        except (ValueError, RecursionError):  # broken, cut, a number of thousands of digits, or nested thousands deep
            end = found.start() + 1
        else:
            yield value
        found = start.search(text, end)


def _inside(value: Any) -> Iterator[dict[str, Any]]:
    """Objects with a turn and a field, at any depth; those deepest in a decoded value are few hundred levels away at most."""
    waiting = [value]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, dict) and "turn" in one and "field" in one:
            yield one
        elif isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one


def _place(item: Mapping[str, Any], places: Mapping[Asked, Any]) -> Asked | None:
    turn, field = item["turn"], item["field"]
    if isinstance(turn, bool) or not isinstance(field, str):
        return None
    text = str(turn).strip() if isinstance(turn, int | str) and len(str(turn)) < 12 else ""
    if not re.fullmatch(r"-?\d+", text, re.ASCII):
        return None
    place = (int(text), field.strip().rpartition(".")[2])
    return place if place in places else None


def _value(told: Any, values: Values) -> str | None:
    if not isinstance(told, str):
        return None
    name = _plain(told)
    by_name = [value for value in values if _plain(value) == name]
    meant = by_name or [value for value, meaning in values.items() if meaning and _plain(meaning) == name]
    return meant[0] if len(meant) == 1 else told if told in values else None


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip(_MARKS)


def _why(item: Mapping[str, Any]) -> str:
    why = item.get("why")
    return why.strip() if isinstance(why, str) and encodable(why) else ""
