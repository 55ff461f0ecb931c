"""Dialogues and people: a dialogue with its tags -> task, annotation -> the dialogue as a person tagged it.

Turns are counted from 0. A place is a turn and a field; its turn is None for the topic, which belongs to the whole dialogue.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from workbench.records import Turn
from workbench.review.dialogue_page import (
    CHANGE,
    COMMENT,
    DIALOGUE,
    EDIT,
    NO,
    TOPIC,
    TURN,
    USABLE,
    YES,
    Vocabulary,
    config,
    controls,
    flag,
)
from workbench.text import shorten

__all__ = ["Dialogue", "Gap", "Place", "Reading", "Vocabulary", "config", "gaps", "read", "task"]

Place = tuple[int | None, str]
"""Turn, and field; None and `topic` for the topic."""
Result = Sequence[Mapping[str, Any]]
"""Of a prediction or an annotation, as Label Studio keeps it."""
_NAME = re.compile(r"(.+)_([0-9]{1,6})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue that is put to people."""

    turns: tuple[Turn, ...]
    topic: str = ""
    proposals: Mapping[Place, str] = field(default_factory=dict)
    """Values that a model or a rule proposes; those of the vocabulary are filled in where the dialogue has none of it."""
    doubts: Collection[Place] = ()
    """Places whose value is of the vocabulary and may be wrong all the same, as a phase that goes back."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A place that has no value of the vocabulary."""

    turn: int | None
    field: str
    kind: Literal["missing", "unknown_value"]
    value: str = ""
    """The foreign value, where there is one."""

    @property
    def place(self) -> Place:
        """Where."""
        return self.turn, self.field


@dataclass(frozen=True, slots=True)
class Reading:
    """What an annotation says."""

    turns: tuple[Turn, ...]
    topic: str
    usable: bool
    comment: str = ""


def gaps(dialogue: Dialogue, vocabulary: Vocabulary) -> list[Gap]:
    """Places that should have a value of the vocabulary and have none: the topic, then turn by turn."""
    found = []
    if vocabulary.topics and dialogue.topic not in vocabulary.topics:
        found.append(_gap(None, TOPIC, dialogue.topic))
    for n, turn in enumerate(dialogue.turns):
        for name, values in vocabulary.roles.get(turn.role, {}).items():
            if (value := turn.tags.get(name) or "") not in values:
                found.append(_gap(n, name, value))
    return found


def _gap(turn: int | None, name: str, value: str) -> Gap:
    return Gap(turn, name, "unknown_value" if value else "missing", value)


def task(
    uid: str, title: str, dialogue: Dialogue, vocabulary: Vocabulary
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Data of the task, and the result of its prediction: the values of the vocabulary that are there or proposed.

    `todo` in the data is the number of places to look at, `places` lists them; views sort by it. Values that are not of the
    vocabulary are named in a note and not filled in.

    Args:
        uid: names the task.
        title: names the dialogue to people.
        dialogue: its text stands in the data as it is.
        vocabulary: what the label config was built from.
    """
    found = gaps(dialogue, vocabulary)
    filled, foreign = _proposed(found, dialogue, vocabulary)
    doubts = [place for place in dialogue.doubts if place not in {gap.place for gap in found}]
    notes = _notes(found, doubts, filled, foreign)
    todo = [*(gap.place for gap in found), *doubts]
    above = "".join(f" · {note}" for note in notes.get(None, ()))
    data = {
        "uid": uid,
        "title": f"{title}{above}",
        "topic": dialogue.topic,
        "todo": len(todo),
        "places": ", ".join(name if n is None else f"{n + 1} {name}" for n, name in todo),
        "turns": [_shown(n, turn, notes.get(n, ()), vocabulary) for n, turn in enumerate(dialogue.turns)],
    }
    return data, _prediction(dialogue, filled, vocabulary)


def _proposed(
    found: Sequence[Gap], dialogue: Dialogue, vocabulary: Vocabulary
) -> tuple[dict[Place, str], dict[Place, str]]:
    """What is proposed for the gaps: values of the vocabulary, and others."""
    proposed = {gap.place: dialogue.proposals[gap.place] for gap in found if dialogue.proposals.get(gap.place)}
    known = {place for place, value in proposed.items() if value in _values(place, dialogue, vocabulary)}
    return (
        {place: value for place, value in proposed.items() if place in known},
        {place: value for place, value in proposed.items() if place not in known},
    )


def _values(place: Place, dialogue: Dialogue, vocabulary: Vocabulary) -> Mapping[str, str]:
    n, name = place
    if n is None:
        return vocabulary.topics
    return vocabulary.roles[dialogue.turns[n].role][name]


def _notes(
    found: Sequence[Gap], doubts: Sequence[Place], filled: Mapping[Place, str], foreign: Mapping[Place, str]
) -> dict[int | None, list[str]]:
    """Turn (None for the dialogue) -> what to look at there, a line for each kind."""
    lines: dict[int | None, dict[str, list[str]]] = {}

    def add(place: Place, kind: str, value: str = "") -> None:
        what = f"{place[1]} = {shorten(value)}" if value else place[1]
        lines.setdefault(place[0], {}).setdefault(kind, []).append(what)

    for gap in found:
        add(gap.place, "不在词表 unknown" if gap.value else "缺 missing", gap.value)
    for place, value in filled.items():
        add(place, "建议 proposed", value)
    for place, value in foreign.items():
        add(place, "建议不在词表 proposed, but unknown", value)
    for place in doubts:
        add(place, "请核对 check")
    return {n: [f"⚠ {kind}: {', '.join(what)}" for kind, what in kinds.items()] for n, kinds in lines.items()}


def _shown(n: int, turn: Turn, notes: Sequence[str], vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "head": f"{n + 1} · {turn.role}",
        "text": turn.text.replace("\r\n", "\n"),  # Label Studio shows two line ends; `read` knows them for one
        "notes": [{"text": note} for note in notes],
        **{flag(role): [1] if role == turn.role else [] for role, fields in vocabulary.roles.items() if fields},
    }


def _prediction(dialogue: Dialogue, filled: Mapping[Place, str], vocabulary: Vocabulary) -> list[dict[str, Any]]:
    topic = filled.get((None, TOPIC), dialogue.topic)
    found = [_choice(TOPIC, DIALOGUE, topic)] if topic in vocabulary.topics else []
    for n, turn in enumerate(dialogue.turns):
        for name, values in vocabulary.roles.get(turn.role, {}).items():
            value = filled.get((n, name), turn.tags.get(name, ""))
            if value in values:
                found.append(_choice(f"{turn.role}_{name}_{n}", f"{TURN}_{n}", value))
    return found


def _choice(control: str, about: str, value: str) -> dict[str, Any]:
    return {"from_name": control, "to_name": about, "type": "choices", "value": {"choices": [value]}}


def read(result: Result, turns: Sequence[Turn], topic: str, vocabulary: Vocabulary) -> Reading:
    """The dialogue as the annotation has it: a field of the vocabulary that was left empty has no value any more.

    Tags that are no field of the vocabulary, turns of roles without fields, texts that were not corrected, and a topic in whose
    place none was chosen stay as they are. Where `usable` was not answered, the dialogue is usable.

    Args:
        result: of the annotation.
        turns: of the dialogue that it is about, as it is now.
        topic: likewise.
        vocabulary: what the label config was built from.

    Raises:
        ValueError: slug and sentence, where the annotation says something that cannot be.
    """
    said = _Said(turns, vocabulary)
    for item in result:
        said.take(str(item.get("from_name", "")), item.get("value") or {})
    return Reading(
        tuple(said.turn(n, turn) for n, turn in enumerate(turns)),
        said.topic or topic,
        said.usable,
        said.comment,
    )


class _Said:
    """What the items of an annotation come to."""

    def __init__(self, turns: Sequence[Turn], vocabulary: Vocabulary) -> None:
        self._turns, self._vocabulary, self._controls = turns, vocabulary, controls(vocabulary)
        self._tags: dict[int, dict[str, str]] = {}
        self._texts: dict[int, str] = {}
        self.topic, self.usable, self.comment = "", True, ""

    def take(self, name: str, value: Mapping[str, Any]) -> None:
        """One item."""
        if name == TOPIC:
            self.topic = _one(name, value, self._vocabulary.topics)
        elif name == USABLE:
            self.usable = _one(name, value, (YES, NO)) == YES
        elif name == COMMENT:
            self.comment = "\n".join(_texts(value))
        else:
            self._of_turn(name, value)

    def _of_turn(self, name: str, value: Mapping[str, Any]) -> None:
        match = _NAME.fullmatch(name)
        kind, n = (match[1], int(match[2])) if match else ("", -1)
        if kind not in self._controls and kind not in (EDIT, CHANGE):
            raise ValueError("unknown_control", f"The annotation has {name!r}, which is no control of this vocabulary.")
        if n >= len(self._turns):
            raise ValueError("no_such_turn", f"The annotation has {name!r}; the dialogue has {len(self._turns)} turns.")
        if kind == EDIT:
            self._texts[n] = _corrected(name, value, self._turns[n].text)
        elif kind != CHANGE:
            role, field = self._controls[kind]
            if role != self._turns[n].role:
                say = f"The annotation has {name!r}, and turn {n} is of {self._turns[n].role!r}."
                raise ValueError("other_role", say)
            self._tags.setdefault(n, {})[field] = _one(name, value, self._vocabulary.roles[role][field])

    def turn(self, n: int, turn: Turn) -> Turn:
        """A turn as the annotation has it."""
        fields, said = self._vocabulary.roles.get(turn.role, {}), self._tags.get(n, {})
        kept = {name: value for name, value in turn.tags.items() if name not in fields or name in said}
        return replace(turn, text=self._texts.get(n, turn.text), tags=kept | said)


def _one(name: str, value: Mapping[str, Any], known: Collection[str]) -> str:
    chosen = value.get("choices")
    if not isinstance(chosen, list) or len(chosen) != 1:
        raise ValueError("not_one_value", f"{name} holds {chosen!r}; it takes one value.")
    if chosen[0] not in known:
        raise ValueError("unknown_value", f"{name} holds {chosen[0]!r}, which is no value of it.")
    return str(chosen[0])


def _texts(value: Mapping[str, Any]) -> list[str]:
    found = value.get("text")
    return [str(text) for text in found] if isinstance(found, list) else [str(found or "")]


def _corrected(name: str, value: Mapping[str, Any], text: str) -> str:
    """The corrected text; the old one where they differ only in what browsers do to line ends and half characters."""
    found = "\n".join(_texts(value))
    if not found.strip():
        raise ValueError("empty_edit", f"{name} leaves no text of the turn.")
    return text if _as_browsers(found) == _as_browsers(text) else found


def _as_browsers(text: str) -> str:
    plain = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return plain.replace("\r\n", "\n").replace("\r", "\n")
