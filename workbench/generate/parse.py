"""A model's reply to drafts and rejects. Replies are rarely as asked: fenced, numbered, cut, wrapped in chatter."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.records import SEP, Reject, Turn
from workbench.text import encodable, shorten

_FENCE = re.compile(r"```(?:\w+)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL)
_NUMBERED = re.compile(r"^\s*(?:\d{1,3}\s*[.、)）:：]|[-*•])\s*")
_ROLE = re.compile(r"^\s*(客服|坐席|话务员|客户|用户|顾客|agent|assistant|customer|user)\s*[:：]\s*", re.IGNORECASE)
_AGENT = {"客服", "坐席", "话务员", "agent", "assistant"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A row that a reply holds, before any gate. `position` is its place in the reply, from 0."""

    position: int
    turns: tuple[Turn, ...]


def parse_reply(reply: str, text: str, finish: str, roles: Sequence[str]) -> tuple[list[Draft], list[Reject]]:
    """Read the rows of a reply; every part that is not a row becomes a reject with a slug.

    Args:
        reply: id of the reply, for the rejects.
        text: what the model wrote.
        finish: why it stopped; `length` means that the last row may be cut.
        roles: role names of the real rows in order of speaking; one for single texts, two for dialogues.
    """
    if not text.strip():
        return [], [Reject(reply, 0, "empty_reply", "The reply is empty.", "")]
    items = _items(text)
    if items is None:
        return [], [Reject(reply, 0, "not_a_list", "The reply holds no list of rows.", text)]
    drafts: list[Draft] = []
    rejects: list[Reject] = []
    for position, item in enumerate(items):
        turns = _turns(item, roles)
        if turns is None:
            rejects.append(
                Reject(reply, position, "wrong_type", "The item is neither a text nor a dialogue.", _raw(item))
            )
        elif not any(turn.text for turn in turns):
            rejects.append(Reject(reply, position, "empty_item", "The item has no text.", _raw(item)))
        elif not all(encodable(turn.text) for turn in turns):
            rejects.append(Reject(reply, position, "broken_unicode", "The item has lone surrogates.", _raw(item)))
        elif finish == "length" and position == len(items) - 1:
            rejects.append(Reject(reply, position, "cut_off", "The reply was cut inside its last row.", _raw(item)))
        else:
            drafts.append(Draft(position, turns))
    if not items:
        rejects.append(Reject(reply, 0, "empty_list", "The reply is a list without rows.", shorten(text, 200)))
    return drafts, rejects


def _items(text: str) -> list[Any] | None:
    """The list that a reply holds: a JSON array (whole or cut), an object around one, or numbered lines."""
    fenced = _FENCE.search(text)
    body = fenced.group(1) if fenced else text
    start = min((i for i in (body.find("["), body.find("{")) if i >= 0), default=-1)
    if start >= 0 and not body.startswith(SEP, start):
        found = _json_items(body[start:])
        if found is not None:
            return found
    lines = [line for line in body.splitlines() if line.strip()]
    numbered = [_NUMBERED.sub("", line).strip() for line in lines if _NUMBERED.match(line)]
    return numbered or None


def _json_items(body: str) -> list[Any] | None:
    decoder = json.JSONDecoder(strict=False)
    try:
        value, _ = decoder.raw_decode(body)
    except json.JSONDecodeError:
        return list(_whole_items(body, decoder)) or None if body.startswith("[") else None
    if isinstance(value, dict):
        value = next((inner for inner in value.values() if isinstance(inner, list)), [value])
    return value if isinstance(value, list) else None


def _whole_items(body: str, decoder: json.JSONDecoder) -> Iterator[Any]:
    """The items of a JSON array that breaks off: all that are complete."""
    position = 1
    while position < len(body):
        while position < len(body) and body[position] in " \t\r\n,":
            position += 1
        try:
            value, position = decoder.raw_decode(body, position)
        except json.JSONDecodeError:
            return
        yield value


def _turns(item: Any, roles: Sequence[str]) -> tuple[Turn, ...] | None:
    """An item as turns: a string (turns joined by [SEP]), {"text": ...}, {"turns": [...]} or a list of turns."""
    if isinstance(item, dict):
        item = next((item[key] for key in ("turns", "messages", "dialogue", "text", "content") if key in item), None)
    if isinstance(item, str):
        parts: list[Any] = item.split(SEP) if SEP in item else [item]
    elif isinstance(item, list):
        parts = item
    else:
        return None
    turns: list[Turn] = []
    for number, part in enumerate(parts):
        role = roles[number % len(roles)]
        if isinstance(part, dict):
            role, part = str(part.get("role") or role), part.get("text", part.get("content"))
        if not isinstance(part, str):
            return None
        named = _ROLE.match(part) if len(roles) > 1 else None
        if named:
            role = roles[0 if (named.group(1).lower() in _AGENT) == (roles[0] in _AGENT) else 1]
        turns.append(Turn(role, part[named.end() :].strip() if named else part.strip()))
    return tuple(turns)


def _raw(item: Any) -> str:
    return (item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)).encode("utf-8", "replace").decode()
