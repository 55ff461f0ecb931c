"""What annotated dialogues have: how often each value, what is missing, unknown or out of order, and what disagrees."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any

from workbench.errors import DataError, one_of
from workbench.records import Turn
from workbench.text import normal, shorten
from workbench.tokens.grammar import Dialogue
from workbench.tokens.vocabulary import TOPIC, Values, Vocabulary


@dataclass(frozen=True, slots=True)
class Place:
    """A tag of a turn, or the topic of a dialogue."""

    id: str
    turn: int | None
    """From 0; None for what is said of the whole dialogue."""
    field: str
    at: int = 0
    """Position of the dialogue among those that were given, from 0: ids may be the same."""

    def json(self) -> dict[str, Any]:
        """As `wb tokens coverage --json` prints it."""
        return {"id": self.id, "turn": self.turn, "field": self.field}


@dataclass(slots=True)
class FieldCount:
    """One field of one role; of topics the role is empty."""

    role: str
    field: str
    places: int = 0
    """Turns of the role, or dialogues."""
    missing: int = 0
    counts: dict[str, int] = made(default_factory=dict)
    """Value of the vocabulary -> how often, in the vocabulary's order; also those that never occur."""
    unknown: Counter[str] = made(default_factory=Counter)
    """Other values -> how often."""

    @property
    def given(self) -> int:
        """Places with a value of the vocabulary."""
        return sum(self.counts.values())

    @property
    def name(self) -> str:
        """As `user.emotion`, or `topic`."""
        return f"{self.role}.{self.field}" if self.role else self.field

    def add(self, value: str) -> None:
        """Count a place."""
        self.places += 1
        if not value:
            self.missing += 1
        elif value in self.counts:
            self.counts[value] += 1
        else:
            self.unknown[value] += 1


@dataclass(slots=True)
class TopicCount:
    """How whole the tags are in dialogues of one topic."""

    topic: str
    dialogues: int = 0
    turns: int = 0
    wanted: int = 0
    """Tags that the vocabulary asks for."""
    given: int = 0
    """Those that have a value of the vocabulary."""
    fields: dict[str, Counter[str]] = made(default_factory=dict)
    """`user.emotion` -> value -> how often."""


@dataclass(frozen=True, slots=True)
class Inconsistent:
    """The same text, tagged differently in different places."""

    role: str
    text: str
    field: str
    values: Mapping[str, tuple[Place, ...]]
    """Value -> where."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What `coverage` found. Lists are in the order of the dialogues."""

    dialogues: int
    turns: int
    fields: tuple[FieldCount, ...]
    topics: tuple[TopicCount, ...]
    """Largest first; those of the vocabulary that have no dialogue are not among them."""
    missing: tuple[Place, ...]
    unknown_value: tuple[Place, ...]
    order: tuple[Place, ...]
    contradiction: tuple[Place, ...]
    """What a person or model says the text contradicts; nothing here finds these."""
    inconsistent: tuple[Inconsistent, ...]
    other: Mapping[str, int]
    """Tags that are no field of their role, as `user.tone` -> how often."""

    @property
    def unused(self) -> tuple[tuple[str, str, str], ...]:
        """Values of the vocabulary that never occur: role (empty for topics), field, value."""
        return tuple((one.role, one.field, value) for one in self.fields for value, n in one.counts.items() if not n)


def coverage(dialogues: Iterable[Dialogue], vocabulary: Vocabulary, contradictions: Collection[Place] = ()) -> Coverage:
    """Count and list.

    A turn is to have a value for each field of its role, and a dialogue a topic where the vocabulary has topics. An empty value
    is a missing one.

    Args:
        dialogues: their tags may hold anything.
        vocabulary: what they should hold.
        contradictions: places that someone else found, by position; those that have a value are passed on.

    Raises:
        DataError: a role is not in the vocabulary.
    """
    rows = list(dialogues)
    counting = _Counting(vocabulary)
    for at, dialogue in enumerate(rows):
        counting.add(at, dialogue)
    known = {
        (at, n): {name for name, value in turn.tags.items() if value}
        for at, dialogue in enumerate(rows)
        for n, turn in enumerate(dialogue.turns)
    }
    return Coverage(
        len(rows),
        sum(len(dialogue.turns) for dialogue in rows),
        tuple(counting.fields.values()),
        tuple(sorted(counting.topics.values(), key=lambda one: -one.dialogues)),
        tuple(counting.missing),
        tuple(counting.unknown),
        tuple(place for at, dialogue in enumerate(rows) for place in _order(at, dialogue, vocabulary)),
        tuple(place for place in contradictions if place.field in known.get((place.at, place.turn or 0), ())),
        tuple(_inconsistent(rows, vocabulary)),
        dict(counting.other),
    )


class _Counting:
    """Counts, place by place."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.fields: dict[tuple[str, str], FieldCount] = {}
        if vocabulary.topics:
            self._field("", TOPIC, vocabulary.topics)
        for role, fields in vocabulary.roles.items():
            for name, values in fields.items():
                self._field(role, name, values)
        self.topics: dict[str, TopicCount] = {}
        self.missing: list[Place] = []
        self.unknown: list[Place] = []
        self.other: Counter[str] = Counter()

    def _field(self, role: str, name: str, values: Values) -> None:
        self.fields[role, name] = FieldCount(role, name, counts=dict.fromkeys(values, 0))

    def add(self, at: int, dialogue: Dialogue) -> None:
        """Count a dialogue."""
        topic = self.topics.setdefault(dialogue.topic, TopicCount(dialogue.topic))
        topic.dialogues += 1
        topic.turns += len(dialogue.turns)
        if self._vocabulary.topics:
            self._place(self.fields["", TOPIC], dialogue.topic, Place(dialogue.id, None, TOPIC, at))
        for number, turn in enumerate(dialogue.turns):
            if turn.role not in self._vocabulary.roles:
                raise DataError(
                    f"Dialogue {dialogue.id}, turn {number}: the role {shorten(turn.role)!r} is not in the vocabulary.",
                    f"Add it to the tags, as {{}} where it has no fields. {one_of(turn.role, self._vocabulary.roles)}",
                )
            fields = self._vocabulary.fields(turn.role)
            for name in fields:
                value = turn.tags.get(name) or ""
                one = self.fields[turn.role, name]
                known = self._place(one, value, Place(dialogue.id, number, name, at))
                topic.wanted += 1
                topic.given += known
                if known:
                    topic.fields.setdefault(one.name, Counter())[value] += 1
            self.other.update(f"{turn.role}.{name}" for name in turn.tags if name not in fields)

    def _place(self, one: FieldCount, value: str, place: Place) -> bool:
        """Count a place; whether it holds a value of the vocabulary."""
        one.add(value)
        if not value:
            self.missing.append(place)
        elif value not in one.counts:
            self.unknown.append(place)
        return value in one.counts


def _order(at: int, dialogue: Dialogue, vocabulary: Vocabulary) -> Iterator[Place]:
    """Turns whose ordered fields go back: the fewest without which the rest is in order, the later ones where that leaves a choice.

    A turn before which the dialogue is further on than after it is wrong itself; a single early `closing`, too, is one
    mistake and not one of every turn behind it. Values that are missing or unknown say nothing.
    """
    for role, fields in vocabulary.roles.items():
        for name in vocabulary.ordered:
            ranks = {value: rank for rank, value in enumerate(fields.get(name, {}))}
            said = [(n, ranks[v]) for n, turn in enumerate(dialogue.turns) if (v := _value(turn, role, name)) in ranks]
            kept = _longest_in_order([rank for _, rank in said])
            yield from (Place(dialogue.id, n, name, at) for i, (n, _) in enumerate(said) if i not in kept)


def _value(turn: Turn, role: str, name: str) -> str:
    return turn.tags.get(name, "") if turn.role == role else ""


def _longest_in_order(ranks: Sequence[int]) -> set[int]:
    """Positions of the longest part that never goes back; of several, the one that keeps the earliest positions."""
    longest = [1] * len(ranks)
    """Length of the longest such part that begins at a position."""
    for i in reversed(range(len(ranks))):
        longest[i] += max((longest[j] for j in range(i + 1, len(ranks)) if ranks[j] >= ranks[i]), default=0)
    kept: set[int] = set()
    left, last = max(longest, default=0), -1
    for i, rank in enumerate(ranks):
        if longest[i] == left and rank >= last:
            kept.add(i)
            left, last = left - 1, rank
    return kept


def _inconsistent(rows: Sequence[Dialogue], vocabulary: Vocabulary) -> Iterator[Inconsistent]:
    """Texts that occur more than once (but for case, width and punctuation) and have more than one value of a field.

    Ordered fields are left out: where a turn stands decides them, not its text.
    """
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for at, dialogue in enumerate(rows):
        for number, turn in enumerate(dialogue.turns):
            if key := normal(turn.text):
                places.setdefault((turn.role, key), []).append((at, number))
    for (role, _), some in places.items():
        for name in vocabulary.fields(role) if len(some) > 1 else ():
            values: dict[str, list[Place]] = {}
            for at, number in some:
                if value := rows[at].turns[number].tags.get(name):
                    values.setdefault(value, []).append(Place(rows[at].id, number, name, at))
            if len(values) > 1 and name not in vocabulary.ordered:
                first, number = some[0]
                yield Inconsistent(role, rows[first].turns[number].text, name, {v: tuple(p) for v, p in values.items()})
