"""Records to samples: which columns hold what, and the formats that intent data come in."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.errors import DataError, one_of
from workbench.records import SEP, Source, Split, Turn
from workbench.text import shorten

TEXT = (
    "sentence_sep",
    "text",
    "user_input",
    "sentence",
    "utterance",
    "query",
    "question",
    "content",
    "input",
    "对话",
    "文本",
)  # fmt: skip
LABEL = (
    "label_raw", "label", "intent_code", "intent", "category", "class", "topic", "target", "意图", "标签", "类别",
)  # fmt: skip
LABEL_ID = ("c_numerical", "label_id", "class_id", "intent_id")
SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "labeled": "train",
    "labelled": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "test": "test",
    "pool": "pool",
    "unlabeled": "pool",
    "unlabelled": "pool",
}
SOURCE_NAMES: Mapping[str, Source] = {"human": "human", "synthetic": "synthetic", "pseudo": "pseudo"}
USER = ("user", "human")
ASSISTANT = ("assistant", "gpt")
ROLE = ("role", "from", "speaker")
SAID = ("text", "content", "value", "utterance")
Format = Literal["table", "chat", "turns", "sharegpt", "alpaca"]
_ANSWER = re.compile(r"^\s*意图\s*[：:]\s*(?:(\d+)\s*[：:]\s*)?(.*?)\s*$", re.DOTALL)
_ASKED = re.compile(r"^\s*对话\s*[：:]")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the parts of a sample are. Empty names: the format has no such part."""

    format: Format
    text: str
    label: str
    label_id: str = ""
    speakers: str = ""
    sep: str = SEP
    """What joins the turns of a dialogue inside the text."""

    @property
    def used(self) -> frozenset[str]:
        """Columns that become parts of the sample; all others are the user's own and kept as they are."""
        prompt = {"sharegpt": "system", "alpaca": "instruction"}.get(self.format, "")
        return frozenset(name for name in (self.text, self.label, self.label_id, prompt) if name)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a record holds."""

    turns: tuple[Turn, ...]
    label: str
    label_id: str
    system: str = ""
    """The system prompt of a chat record."""


def recognise(
    columns: Sequence[str], text: str | None = None, label: str | None = None, label_id: str | None = None
) -> Columns:
    """Which columns hold what, found by name where not told; `label` stays empty where none looks like one.

    Raises:
        DataError: a told column is missing, or none looks like a text.
    """
    for told in (text, label, label_id):
        if told and told not in columns:
            raise DataError(f"There is no column {told!r}.", one_of(told, columns))
    if not text:
        if "messages" in columns:
            return Columns("chat", "messages", label or "", label_id or "")
        if "conversations" in columns:
            return Columns("sharegpt", "conversations", label or "", label_id or "")
        if {"instruction", "output"} <= set(columns):
            return Columns("alpaca", "input" if "input" in columns else "instruction", label or "output")
    turns = text == "turns" or (not text and "turns" in columns)
    found = "turns" if turns else text or _first(TEXT, columns)
    if not found:
        listed = shorten(", ".join(columns), 200)
        raise DataError(
            f"No column looks like a text; there are: {listed}.",
            "Name it: --text COLUMN. The first line of a CSV must name the columns.",
        )
    rest = [name for name in columns if name not in (found, label_id)]
    number = label_id or _first(LABEL_ID, [name for name in rest if name != label])
    name = label or _first(LABEL, [name for name in rest if name != number]) or number
    speakers = _first(("speakers",), columns)
    return Columns("turns" if turns else "table", found, name, "" if number == name else number, speakers)


def _first(names: Sequence[str], columns: Sequence[str]) -> str:
    by_name = {column.casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), "")


def parts_of(values: Mapping[str, Any], columns: Columns, first_role: str) -> Parts:
    """Turns and label of a record.

    Raises:
        ValueError: with a slug and a sentence, where a part is missing or of the wrong type.
    """
    if columns.text not in values:
        raise ValueError("missing_column", f"The row has no {columns.text!r}.")
    found = values[columns.text]
    label = _string(values.get(columns.label), columns.label).strip() if columns.label else ""
    number = _string(values.get(columns.label_id), columns.label_id).strip() if columns.label_id else ""
    if columns.format in ("chat", "sharegpt"):
        said = _chat(found, columns.sep, first_role)
        system = said.system or str(values.get("system") or "")
        return Parts(said.turns, label or said.label, number or said.label_id, system)
    if columns.format == "turns":
        return Parts(_role_tagged(found), label, number)
    if columns.format == "alpaca":
        return _alpaca(values, _string(found, columns.text), label, columns.sep, first_role)
    text = _string(found, columns.text)
    speakers = _string(values.get(columns.speakers), columns.speakers) if columns.speakers else ""
    return Parts(split_turns(text, speakers, first_role, columns.sep), label, number)


def split_turns(text: str, speakers: str, first_role: str, sep: str = SEP) -> tuple[Turn, ...]:
    """Turns of a text joined by `sep`; roles from `speakers` (joined by |), else `first_role` and customer in turn.

    The turns hold the text as it came: joined again they are the text.
    """
    texts = text.split(sep)
    roles = [role.strip() for role in speakers.split("|")] if speakers else []
    if len(roles) != len(texts):
        other = "customer" if first_role != "customer" else "agent"
        roles = [first_role if i % 2 == 0 else other for i in range(len(texts))] if len(texts) > 1 else ["user"]
    return tuple(Turn(role, part) for role, part in zip(roles, texts, strict=True))


def answer(text: str) -> tuple[str, str]:
    """Number and name in an answer such as `意图：32：办理缴费`; the number may be missing, the whole may be the name."""
    match = _ANSWER.match(text)
    return (match.group(1) or "", match.group(2)) if match else ("", text.strip())


def _chat(messages: Any, sep: str, first_role: str) -> Parts:
    """GLM-4 or ShareGPT messages: the last assistant message is the label, what was said before it the text."""
    said = [(_role(message), _said(message, "not_messages")) for message in _objects(messages, "not_messages")]
    system = "\n".join(text for role, text in said if role == "system")
    rest = [(role, text) for role, text in said if role != "system"]
    number, label = answer(rest.pop()[1]) if rest and rest[-1][0] in ASSISTANT else ("", "")
    if not any(role in USER for role, _ in rest):
        raise ValueError("no_user_message", "The messages have no user message.")
    if len(rest) == 1:
        return Parts(split_turns(_ASKED.sub("", rest[0][1]), "", first_role, sep), label, number, system)
    return Parts(tuple(Turn(role, _ASKED.sub("", text)) for role, text in rest), label, number, system)


def _alpaca(values: Mapping[str, Any], text: str, label: str, sep: str, first_role: str) -> Parts:
    """Where `input` is empty the instruction is the text, else it is the system prompt."""
    instruction = _string(values.get("instruction"), "instruction")
    number, name = answer(label)
    turns = split_turns(_ASKED.sub("", text or instruction), "", first_role, sep)
    return Parts(turns, name, number, instruction if text else "")


def _role_tagged(turns: Any) -> tuple[Turn, ...]:
    return tuple(Turn(_role(turn), _said(turn, "not_turns"), _tags(turn)) for turn in _objects(turns, "not_turns"))


def _objects(value: Any, slug: str) -> list[Mapping[str, Any]]:
    if isinstance(value, str) and value.lstrip().startswith("["):  # a list inside a CSV cell
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        raise ValueError(slug, "The row has no list of objects, each with a role and a text.")
    return value


def _role(turn: Mapping[str, Any]) -> str:
    return next((str(turn[key]) for key in ROLE if turn.get(key)), "user")


def _said(turn: Mapping[str, Any], slug: str) -> str:
    text = next((turn[key] for key in SAID if isinstance(turn.get(key), str)), None)
    if text is None:
        raise ValueError(slug, f"An object among them has no text; it has: {', '.join(turn) or 'nothing'}.")
    return str(text)


def _tags(turn: Mapping[str, Any]) -> dict[str, str]:
    """What a turn has beside role and text: its `tags`, and any further keys, with values that are no text as JSON."""
    role = next((key for key in ROLE if turn.get(key)), "")
    said = next(key for key in SAID if isinstance(turn.get(key), str))
    others = {key: value for key, value in turn.items() if key not in (role, said, "tags")}
    own = json_object(turn.get("tags"))
    return {key: _tag(value) for key, value in (others | own).items() if value is not None}


def json_object(value: Any) -> dict[str, Any]:
    """A mapping, also where a table holds it as JSON text; empty where it is something else."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return {}
    return dict(value) if isinstance(value, Mapping) else {}


def _tag(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _string(value: Any, column: str) -> str:
    """A cell as text; whole numbers that a table stored as floats lose their `.0`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool | int | float):
        return str(value)
    raise ValueError("wrong_type", f"The row has a {type(value).__name__} under {column!r}, not a text.")
