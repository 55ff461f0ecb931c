"""Records to samples: which columns hold what, and the formats that intent data come in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import DataError, one_of
from workbench.records import SEP, Split, Turn

TEXT = (
    "sentence_sep",
    "text",
    "user_input",
    "sentence",
    "utterance",
    "query",
    "question",
    "content",
    "对话",
    "文本",
    "input",
)
LABEL = ("label_raw", "label", "intent_code", "intent", "category", "class", "topic", "target", "意图", "标签", "类别")
LABEL_ID = ("c_numerical", "label_id", "class_id", "intent_id")
SPEAKERS = "speakers"
SPLIT = "split"
SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "pool": "pool",
    "unlabeled": "pool",
    "unlabelled": "pool",
}
_ANSWER = re.compile(r"^\s*意图\s*[：:]\s*(?:(\d+)\s*[：:]\s*)?(.*?)\s*$", re.DOTALL)
_ASKED = re.compile(r"^\s*对话\s*[：:]\s*")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the parts of a sample are. Empty names: the format has no such part."""

    format: str
    """`table`, `chat`, `turns`, `sharegpt` or `alpaca`."""
    text: str
    label: str
    label_id: str = ""
    speakers: str = ""
    split: str = ""

    @property
    def used(self) -> frozenset[str]:
        """Columns that become parts of the sample; all others are the user's own and kept as they are."""
        return frozenset(name for name in (self.text, self.label, self.label_id, self.speakers, self.split) if name)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a record holds."""

    turns: tuple[Turn, ...]
    label: str
    label_id: str


def recognise(columns: Sequence[str], text: str | None, label: str | None, label_id: str | None) -> Columns:
    """Which columns hold what, found by name where not told.

    Raises:
        DataError: a told column is missing, or none looks like a text or label.
    """
    for told in (text, label, label_id):
        if told and told not in columns:
            raise DataError(f"There is no column {told!r}.", one_of(told, columns))
    split = SPLIT if SPLIT in columns else ""
    found_id = label_id or _first(LABEL_ID, columns)
    if not text:
        if "messages" in columns:
            return Columns("chat", "messages", label or "", "", "", split)
        if "conversations" in columns:
            return Columns("sharegpt", "conversations", label or "", "", "", split)
        if {"instruction", "output"} <= set(columns):
            return Columns("alpaca", "input" if "input" in columns else "instruction", "output", "", "", split)
    turns = "turns" if not text and "turns" in columns else ""
    found_text = text or turns or _first(TEXT, columns)
    rest = [name for name in columns if name != found_text]
    found_label = label or _first(LABEL, rest)
    if not found_text:
        raise DataError(f"No column looks like a text; there are: {', '.join(columns)}.", "Name it: --text COLUMN")
    speakers = SPEAKERS if SPEAKERS in columns else ""
    return Columns("turns" if turns else "table", found_text, found_label, found_id, speakers, split)


def _first(names: Sequence[str], columns: Sequence[str]) -> str:
    return next((name for name in names if name in columns), "")


def parts_of(values: Mapping[str, Any], columns: Columns, first_role: str) -> Parts:
    """Turns and label of a record.

    Raises:
        ValueError: with a slug and a sentence, where a part is missing or of the wrong type.
    """
    if columns.format in ("chat", "sharegpt"):
        parts = _chat(values.get(columns.text), first_role)
        return parts if not columns.label else Parts(parts.turns, _string(values.get(columns.label)), "")
    label = _string(values.get(columns.label)) if columns.label else ""
    number = _string(values.get(columns.label_id)) if columns.label_id else ""
    if columns.format == "alpaca":
        answer = _ANSWER.match(label)
        if answer:
            number, label = answer.group(1) or "", answer.group(2)
        return Parts(split_turns(_ASKED.sub("", _string(values.get(columns.text))), "", first_role), label, number)
    if columns.format == "turns":
        return Parts(_role_tagged(values.get(columns.text)), label, number)
    speakers = _string(values.get(columns.speakers)) if columns.speakers else ""
    return Parts(split_turns(_string(values.get(columns.text)), speakers, first_role), label, number)


def split_turns(text: str, speakers: str, first_role: str) -> tuple[Turn, ...]:
    """Turns of a text joined by [SEP]; roles from `speakers` (joined by |), else `first_role` and customer in turn."""
    if SEP not in text:
        return (Turn(speakers if speakers and "|" not in speakers else "user", text.strip()),)
    texts = [part.strip() for part in text.split(SEP)]
    roles = speakers.split("|") if speakers else []
    if len(roles) != len(texts):
        other = "customer" if first_role != "customer" else "agent"
        roles = [first_role if i % 2 == 0 else other for i in range(len(texts))]
    return tuple(Turn(role, part) for role, part in zip(roles, texts, strict=True))


def _chat(messages: Any, first_role: str) -> Parts:
    """GLM-4 or ShareGPT messages: the last assistant message is the label, what the user says before is the text."""
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ValueError("not_messages", "The messages are not a list of objects.")
    said = [(str(m.get("role", m.get("from", ""))), _string(m.get("content", m.get("value")))) for m in messages]
    asked = [text for role, text in said if role in ("user", "human")]
    answers = [text for role, text in said if role in ("assistant", "gpt")]
    if not asked:
        raise ValueError("no_user_message", "The messages have no user message.")
    match = _ANSWER.match(answers[-1]) if answers else None
    label, number = (match.group(2), match.group(1) or "") if match else (answers[-1].strip() if answers else "", "")
    return Parts(split_turns(_ASKED.sub("", asked[-1]), "", first_role), label, number)


def _role_tagged(turns: Any) -> tuple[Turn, ...]:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("not_turns", "The turns are not a list of objects with role and text.")
    return tuple(
        Turn(_string(turn.get("role")), _string(turn.get("text", turn.get("content"))), turn.get("tags") or {})
        for turn in turns
    )


def _string(value: Any) -> str:
    """A cell as text; whole numbers that a table stored as floats lose their `.0`."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
