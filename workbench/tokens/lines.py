"""Dialogues as JSON: the records of a file, and the lines of `wb tokens render`, from which the records come back as they were.

A record is `{"id", "topic", "turns": [{"role", "text", field: value, ...}]}` with any further columns; tags may also stand in
`tags` of a turn, and the topic in `label`. A line is `{"id", "text", further columns}`. What the rendered text cannot say (another
order of the keys, empty values, keys of a turn that are no tags) stands in `shape`, in lines that need one.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.errors import DataError
from workbench.records import Turn
from workbench.text import shorten
from workbench.tokens.grammar import Dialogue, parse, render
from workbench.tokens.vocabulary import TAKEN, TOPIC, Vocabulary

Record = Mapping[str, Any]
LABEL = "label"
_OWN = ("text", "shape")
"""Keys of a line that are ours."""
_BREAKS = re.compile("[\ud800-\udfff\x85\u2028\u2029]")
"""What no UTF-8 file can hold, and what some readers take for the end of a line; `json` escapes neither."""


def dumps(value: Any) -> str:
    """A JSON text of one line, in whatever way lines are told apart; lone surrogates are escaped."""
    return _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def topic_key(records: Iterable[Record], vocabulary: Vocabulary) -> str:
    """The column with the topics: `topic`, else `label` where some of its values are topics; empty where there is none."""
    some = list(records)
    if any(TOPIC in record for record in some):
        return TOPIC
    labels = {record[LABEL] for record in some if isinstance(record.get(LABEL), str)}
    return LABEL if labels & vocabulary.topics.keys() else ""


def to_dialogue(record: Record, id: str, key: str, vocabulary: Vocabulary, *, others: bool = False) -> Dialogue:
    """The dialogue of a record.

    Args:
        record: see the module.
        id: names the dialogue in errors and lists.
        key: column with the topic; empty for none.
        vocabulary: says which keys of a turn are tags.
        others: also take texts under other keys of a turn for tags, to count them.

    Raises:
        DataError: the record is no dialogue.
    """
    turns = record.get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        say = f"Dialogue {id} has no list of turns."
        raise DataError(say, 'A dialogue is {"turns": [{"role": "user", "text": "…"}, …]}; tags stand beside the text.')
    topic = record.get(key) if key else None
    return Dialogue(
        id,
        tuple(_turn(turn, f"Dialogue {id}, turn {n}", vocabulary, others) for n, turn in enumerate(turns)),
        _plain(topic),
    )


def _turn(turn: Mapping[str, Any], place: str, vocabulary: Vocabulary, others: bool) -> Turn:
    role, text = turn.get("role"), turn.get("text")
    if not isinstance(role, str) or not isinstance(text, str):
        missing = "role" if not isinstance(role, str) else "text"
        raise DataError(f"{place} has no {missing}.", 'A turn is {"role": "user", "text": "…"}; the text may be empty.')
    nested = turn.get("tags")
    given = dict(nested) if isinstance(nested, Mapping) else {}
    fields = vocabulary.fields(role)
    for name, value in turn.items():
        if name in TAKEN or not (name in fields or (others and isinstance(value, str))):
            continue
        if name in given:
            raise DataError(f"{place} has the tag {name!r} twice, also in `tags`.", "Remove one of the two.")
        given[name] = value
    tags = {name: _plain(value) for name, value in given.items() if name in fields or others}
    return Turn(role, text, {name: value for name, value in tags.items() if value})


def _plain(value: Any) -> str:
    """A tag as text: none is empty, other JSON values are written as JSON."""
    return "" if value is None else value if isinstance(value, str) else dumps(value)


def to_line(record: Record, id: str, key: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """The rendered line of a record.

    Raises:
        DataError: the record is no dialogue, or cannot be rendered.
    """
    dialogue = to_dialogue(record, id, key, vocabulary)
    _only_texts(record, id, key, vocabulary)
    line: dict[str, Any] = {"id": record["id"]} if "id" in record else {}
    line["text"] = render(dialogue, vocabulary)
    line |= {name: value for name, value in record.items() if name not in ("id", "turns", key, *_OWN)}
    if dumps(_restored(line, parse(line["text"], vocabulary))) == dumps(record):
        return line
    return line | {"shape": _shape(record, dialogue, key)}


def _only_texts(record: Record, id: str, key: str, vocabulary: Vocabulary) -> None:
    """A number would come back as a text."""
    found = [(f"Dialogue {id}", TOPIC, record.get(key))] if key else []
    for number, turn in enumerate(record["turns"]):
        names = vocabulary.fields(turn["role"])
        tags = turn.get("tags") if isinstance(turn.get("tags"), Mapping) else {}
        found += [(f"Dialogue {id}, turn {number}", n, v) for n, v in {**turn, **tags}.items() if n in names]
    for place, name, value in found:
        if value is not None and not isinstance(value, str):
            say = f"{place}: the value {shorten(dumps(value))} of {name} is not a text and cannot be part of a token."
            raise DataError(say, "Write one value, in quotes.")


def _shape(record: Record, dialogue: Dialogue, key: str) -> dict[str, Any]:
    """What the text does not say; null stands for what it does."""
    shape: dict[str, Any] = {"keys": list(record), "topic": key}
    if key and not dialogue.topic and key in record:
        shape["no_topic"] = record[key]
    shape["turns"] = [_skeleton(turn, said) for turn, said in zip(record["turns"], dialogue.turns, strict=True)]
    own = {name: record[name] for name in _OWN if name in record}
    return shape | ({"own": own} if own else {})


def _skeleton(turn: Mapping[str, Any], said: Turn) -> dict[str, Any]:
    told = {"role", "text", *said.tags}
    bones = {name: None if name in told else value for name, value in turn.items()}
    if isinstance(turn.get("tags"), Mapping):
        bones["tags"] = {name: None if name in said.tags else value for name, value in turn["tags"].items()}
    return bones


def from_line(line: Any, name: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """The record of a rendered line.

    Raises:
        DataError: the line is none, or its text is no rendered dialogue.
    """
    if not isinstance(line, Mapping) or not isinstance(line.get("text"), str):
        raise DataError(f"{name} is no rendered dialogue: it has no text.", "Give what `wb tokens render` printed.")
    dialogue = parse(line["text"], vocabulary, id=str(line.get("id", name)))
    shape = line.get("shape")
    if shape is None:
        return _restored(line, dialogue)
    try:
        return _reshaped(line, dialogue, shape)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise DataError(
            f"{name}: its `shape` does not fit its text of {len(dialogue.turns)} turns.",
            "Remove `shape` from the line where you changed the text: only the order of keys and empty values are lost.",
        ) from exc


def _restored(line: Record, dialogue: Dialogue) -> dict[str, Any]:
    """The record of a line without a shape."""
    record: dict[str, Any] = {"id": line["id"]} if "id" in line else {}
    if dialogue.topic:
        record[TOPIC] = dialogue.topic
    record["turns"] = [{"role": turn.role, "text": turn.text, **turn.tags} for turn in dialogue.turns]
    return record | {name: value for name, value in line.items() if name not in ("id", *_OWN)}


def _reshaped(line: Record, dialogue: Dialogue, shape: Mapping[str, Any]) -> dict[str, Any]:
    key = shape["topic"]
    values = {name: value for name, value in line.items() if name not in _OWN} | dict(shape.get("own", {}))
    values["turns"] = [_filled(bones, turn) for bones, turn in zip(shape["turns"], dialogue.turns, strict=True)]
    if dialogue.topic:
        values[key or TOPIC] = dialogue.topic
    elif "no_topic" in shape:
        values[key] = shape["no_topic"]
    keys = [name for name in shape["keys"] if name in values]
    return {name: values[name] for name in dict.fromkeys([*keys, *values])}


def _filled(bones: Mapping[str, Any], said: Turn) -> dict[str, Any]:
    rest = dict(said.tags)
    turn: dict[str, Any] = {}
    for name, value in bones.items():
        if name in ("role", "text"):
            turn[name] = getattr(said, name)
        elif name == "tags" and isinstance(value, Mapping):
            turn[name] = {inner: rest.pop(inner, old) for inner, old in value.items()}
        else:
            turn[name] = rest.pop(name, value)
    if isinstance(turn.get("tags"), dict):
        turn["tags"] |= rest
        return turn
    return turn | rest
