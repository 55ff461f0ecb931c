"""A model's reply to drafts and rejects. Replies are rarely as asked: fenced, numbered, cut, wrapped in chatter.

Every form is read by `parts`: first JSON values wherever they stand, else numbered lines. What is no row keeps a slug.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.generate.parts import Broken, json_parts, numbered_parts
from workbench.generate.speakers import turns_of
from workbench.records import Reject, Turn
from workbench.text import encodable, shorten

# Models that think aloud draft rows there, which come again in the answer.
_THOUGHT = re.compile(r"^\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


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
        finish: why it stopped; `length` means that the last of several numbered lines may be cut.
        roles: role names of the real rows in order of speaking; one for single texts, two for dialogues.
    """
    body = _THOUGHT.sub("", text)
    if not body.strip():
        return [], [Reject(reply, 0, "empty_reply", "The reply is empty.", _raw(text.strip()))]
    parts = _parts(body, finish, spoken=len(roles) > 1)
    if parts is None:
        return [], [Reject(reply, 0, "not_a_list", "The reply holds no list of rows.", _raw(text))]
    drafts: list[Draft] = []
    rejects: list[Reject] = []
    for position, part in enumerate(parts):
        read = part if isinstance(part, Broken) else _read(part, roles)
        if isinstance(read, Broken):
            rejects.append(Reject(reply, position, read.reason, read.say, _raw(read.raw)))
        else:
            drafts.append(Draft(position, read))
    if not parts:
        rejects.append(Reject(reply, 0, "empty_list", "The reply is a list without rows.", _raw(shorten(text, 200))))
    return drafts, rejects


def _parts(text: str, finish: str, *, spoken: bool) -> list[Any] | None:
    """Rows and broken parts in order; None where the reply holds neither JSON nor numbered lines."""
    found = json_parts(text, spoken=spoken)
    if found is not None and any(isinstance(part, str | list | dict) for part in found):
        return found
    # A bracket in a sentence, as in "see [1]", is JSON too: rows that are numbered go before it.
    return numbered_parts(text, cut=finish == "length", spoken=spoken) or found


def _read(item: Any, roles: Sequence[str]) -> tuple[Turn, ...] | Broken:
    turns = turns_of(item, roles)
    if turns is None:
        return Broken("wrong_type", "The item is neither a text nor a dialogue.", item)
    if not any(turn.text for turn in turns):
        return Broken("empty_item", "The item has no text.", item)
    if not all(encodable(turn.text) for turn in turns):
        return Broken("broken_unicode", "The item has lone surrogates.", item)
    return turns


def _raw(item: Any) -> str:
    try:
        text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    except RecursionError:  # read by the C scanner, but too deep for the writer
        text = "(nested too deeply to be shown)"
    return text.encode("utf-8", "replace").decode()
