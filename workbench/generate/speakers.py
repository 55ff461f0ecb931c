"""Items of a reply to turns: strings, lists and objects; who speaks is one of the bench's own roles."""

import re
from collections.abc import Sequence
from typing import Any

from workbench.records import SEP, Sample, Turn

_SIDES = dict.fromkeys(("agent", "assistant", "service", "客服", "坐席", "话务员"), "agent")
_SIDES |= dict.fromkeys(("customer", "user", "client", "客户", "用户", "顾客"), "customer")
_NAMED = re.compile(rf"^\s*({'|'.join(_SIDES)})\s*[:：]\s*", re.IGNORECASE)
DIALOGUE_KEYS = ("turns", "messages", "dialogue")
TEXT_KEYS = ("text", "content")
ROLE_KEYS = ("role", "speaker")


def roles_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Role names in order of speaking, at most two: those of the longest dialogue; `user` where there is none."""
    spoken: Sequence[Turn] = max((sample.turns for sample in samples), key=len, default=())
    return tuple(dict.fromkeys(turn.role for turn in spoken))[:2] or ("user",)


def speaker(line: str) -> re.Match[str] | None:
    """The speaker's name and colon that a line begins with."""
    return _NAMED.match(line)


def turns_of(item: Any, roles: Sequence[str]) -> tuple[Turn, ...] | None:
    """An item as turns: a string (turns joined by [SEP]), {"text": ...}, {"turns": [...]} or a list of turns.

    Returns:
        None where the item is none of these.
    """
    if isinstance(item, dict):
        item = next((item[key] for key in (*DIALOGUE_KEYS, *TEXT_KEYS) if key in item), None)
    if isinstance(item, str):
        parts: list[Any] = _spoken(item) if len(roles) > 1 else item.split(SEP)
    elif isinstance(item, list):
        parts = item
    else:
        return None
    turns: list[Turn] = []
    for number, part in enumerate(parts):
        said = ""
        if isinstance(part, dict):
            said = str(next((part[key] for key in ROLE_KEYS if key in part), ""))
            part = next((part[key] for key in TEXT_KEYS if key in part), None)
        if not isinstance(part, str):
            return None
        named = speaker(part) if len(roles) > 1 else None
        if named:
            said, part = named.group(1), part[named.end() :]
        turns.append(Turn(_role(said, roles, number), part.strip()))
    return tuple(turns)


def _spoken(text: str) -> list[str]:
    """A dialogue's turns: divided by [SEP], or one a line where every line names its speaker."""
    lines = [line for line in text.splitlines() if line.strip()]
    if SEP not in text and len(lines) > 1 and all(speaker(line) for line in lines):
        return lines
    return text.split(SEP)


def _role(said: str, roles: Sequence[str], number: int) -> str:
    """The bench's role for a speaker's name; by position where the name says nothing."""
    if said in roles:
        return said
    side = _SIDES.get(said.lower())
    meant = [role for role in roles if side and _SIDES.get(role.lower()) == side]
    return meant[0] if len(meant) == 1 else roles[number % len(roles)]
