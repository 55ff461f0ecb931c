"""The questions to models about tags of dialogues, and what stored answers say of them.

A question is stored as a reply of which no rows were asked for; `parents` is the row, `draw` stands for it and its text:

fill         `against` lists the places asked for, as `3.technique 4.emotion` (turn -1 is the whole dialogue)
contradict   `against` lists places with the tags they had, as `0.emotion=calm`; `!` before one says that the tag was planted: not
             the row's own, but another one, to see whether the model finds it

What was said of a text that was changed since, or of a tag that is another one now, counts no more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from workbench.bench import Bench
from workbench.flow.gate.marks import number_of
from workbench.flow.tokens.dialogues import Dialogues, load
from workbench.ledger import Reply
from workbench.llm import Request
from workbench.prompts import Prompt
from workbench.prompts import load as load_prompt
from workbench.records import Sample, digest
from workbench.text import language, shorten
from workbench.tokens import TOPIC, Dialogue, Place, coverage
from workbench.tokens.answers import WHOLE, Asked, read_places, read_values
from workbench.tokens.vocabulary import Values

Question = Literal["fill", "contradict"]
QUESTIONS: tuple[Question, ...] = ("fill", "contradict")
PLANTED = "!"
LONGEST = 1000
"""Characters of a turn that a prompt shows."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A value for a tag that is missing or unknown."""

    sample: str
    """Id of the row in the bench."""
    turn: int | None
    """From 0; None for the topic of the dialogue."""
    field: str
    value: str
    why: str
    """The model's reason; may be empty."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A dialogue of the bench."""

    at: int
    sample: Sample
    dialogue: Dialogue
    open: Mapping[Asked, Values]
    """Places without a value of the vocabulary -> the values they may take."""


class Board:
    """The dialogues of a bench, what is to be asked about them, and what stored replies say of them."""

    def __init__(self, bench: Bench, tags: Path | None) -> None:
        self._bench, self._config = bench, bench.config.tokens
        self._found: Dialogues = load(bench, None, tags)
        self._known = self._found.vocabulary
        samples = {sample.id: sample for sample in bench.ledger.samples()}
        some = zip(self._found.entries, self._found.read(), strict=True)
        self._rows = {
            entry.sample: _Row(at, samples[entry.sample], dialogue, self._open(dialogue))
            for at, (entry, dialogue) in enumerate(some)
        }

    @property
    def open(self) -> int:
        """Places that are missing or unknown."""
        return sum(len(row.open) for row in self._rows.values())

    def _open(self, dialogue: Dialogue) -> dict[Asked, Values]:
        found = coverage([dialogue], self._known)
        places = {_asked(place) for place in (*found.missing, *found.unknown_value)}
        # In an order that is always the same: it is part of the prompts, and these tell what was asked before.
        order = [(WHOLE, TOPIC)]
        order += [(n, name) for n, turn in enumerate(dialogue.turns) for name in self._known.fields(turn.role)]
        return {place: self._values(dialogue, place) for place in order if place in places}

    def _values(self, dialogue: Dialogue, place: Asked) -> Values:
        turn, name = place
        return self._known.topics if turn == WHOLE else self._known.fields(dialogue.turns[turn].role)[name]

    def proposals(self) -> list[Proposal]:
        """Newest answer for each place that is open, in the order of rows and turns."""
        answers: dict[tuple[str, Asked], tuple[str, str]] = {}
        for row, reply in self._replies("fill"):
            asked = set(reply.against.split())
            places = {place: values for place, values in row.open.items() if f"{place[0]}.{place[1]}" in asked}
            for place, answer in read_values(reply.text, places).items():
                answers[row.sample.id, place] = answer
        return [
            Proposal(key, None if place[0] == WHOLE else place[0], place[1], *answers[key, place])
            for key, row in self._rows.items()
            for place in row.open
            if (key, place) in answers
        ]

    def judged(self) -> dict[tuple[str, Asked], bool]:
        """Row and tag -> whether the text contradicts it, for tags that have not changed; the newest answer counts."""
        said: dict[tuple[str, Asked], bool] = {}
        for row, reply in self._replies("contradict"):
            if PLANTED in reply.against:
                continue
            now = {f"{turn}.{name}={value}": (turn, name) for (turn, name), value in self._doubted(row).items()}
            asked = {now[told]: None for told in reply.against.split() if told in now}
            named = read_places(reply.text, asked)
            if named is not None:
                said |= {(row.sample.id, place): place in named for place in asked}
        return said

    def found(self) -> list[bool]:
        """Whether the model named the planted tag, for each answer about one."""
        found = []
        for _, reply in self._replies("contradict"):
            told = next((told[1:] for told in reply.against.split() if told.startswith(PLANTED)), "")
            if not told:
                continue
            turn, _, name = told.partition("=")[0].partition(".")
            named = read_places(reply.text, {(int(turn), name): None})
            found.append(bool(named))
        return found

    def contradicted(self) -> list[Place]:
        """Tags that the text contradicts, in the order of rows and turns."""
        said = self.judged()
        return [
            Place(row.dialogue.id, place[0], place[1], row.at)
            for key, row in self._rows.items()
            for place in self._doubted(row)
            if said.get((key, place))
        ]

    def _replies(self, question: Question) -> Iterator[tuple[_Row, Reply]]:
        """Stored answers about texts that are still the same, oldest first."""
        for reply in self._bench.ledger.replies(strategy=question):
            row = self._rows.get(reply.parents[0] if reply.parents else "")
            if not reply.rows and row is not None and reply.draw == number_of(row.sample):
                yield row, reply

    def requests(self, *, gaps: bool, contradictions: bool) -> Iterator[Request]:
        """What is to be asked: places without a proposal, tags without a judgement; never the same prompt twice."""
        stored = [reply for question in QUESTIONS for reply in self._bench.ledger.replies(strategy=question)]
        before = {_print(reply.messages) for reply in stored if not reply.rows}
        made: list[Iterator[Request]] = []
        if gaps:
            there = {(one.sample, WHOLE if one.turn is None else one.turn, one.field) for one in self.proposals()}
            made.append(self._gaps(self._prompt("fill"), there))
        if contradictions:
            made.append(self._doubts(self._prompt("contradict")))
        yield from (request for some in made for request in some if _print(request.messages) not in before)

    def _prompt(self, question: Question) -> Prompt:
        tongue = self._bench.config.generate.language
        if tongue == "auto":
            tongue = language(turn.text for row in self._rows.values() for turn in row.sample.turns)
        return load_prompt(f"{question}.{tongue}.j2", [self._bench.root])

    def _gaps(self, prompt: Prompt, there: set[tuple[str, int, str]]) -> Iterator[Request]:
        for row in self._rows.values():
            places = [place for place in row.open if (row.sample.id, *place) not in there]
            for some in _parts(places, self._config.places):
                kinds = dict.fromkeys((self._role(row, place), place[1]) for place in some)
                options = {
                    (role, name): row.open[place]
                    for place in some
                    for role, name in [(self._role(row, place), place[1])]
                }
                values = self._shown(row) | {
                    "places": [{"turn": turn, "field": name, "was": self._was(row, turn, name)} for turn, name in some],
                    "fields": [
                        {"role": role, "field": name, "options": _options(options[role, name])} for role, name in kinds
                    ],
                }
                said = list(dict.fromkeys(value for place in some for value in row.open[place]))
                against = " ".join(f"{turn}.{name}" for turn, name in some)
                yield self._request("fill", row, against, prompt.messages(values), prompt, _schema(some, "tags", said))

    def _doubts(self, prompt: Prompt) -> Iterator[Request]:
        """Planted tags first: what the model is worth."""
        yield from self._planted(prompt)
        for row in self._rows.values():
            doubted = self._doubted(row)
            for some in _parts(list(doubted), self._config.places):
                yield self._doubt(prompt, row, {place: doubted[place] for place in some})

    def _planted(self, prompt: Prompt) -> Iterator[Request]:
        """Some dialogues, chosen by seed, each with one tag that is not its own."""
        seed = str(self._bench.config.seed)
        rows = [row for row in self._rows.values() if self._doubted(row)]
        for row in sorted(rows, key=lambda row: digest(seed, row.sample.id))[: self._config.planted]:
            chance = Random(digest(seed, row.sample.id))
            doubted = self._doubted(row)
            place = chance.choice(list(doubted))
            others = [value for value in self._values(row.dialogue, place) if value != doubted[place]]
            if others:
                parts = _parts(list(doubted), self._config.places)
                some = next(part for part in parts if place in part)
                shown = {one: doubted[one] for one in some} | {place: chance.choice(others)}
                yield self._doubt(prompt, row, shown, planted=place)

    def _doubt(self, prompt: Prompt, row: _Row, tags: Mapping[Asked, str], planted: Asked | None = None) -> Request:
        shown = [
            {"turn": turn, "field": name, "value": value}
            | {"meaning": self._known.meaning(self._role(row, (turn, name)), name, value)}
            for (turn, name), value in tags.items()
        ]
        told = [
            f"{PLANTED if (turn, name) == planted else ''}{turn}.{name}={value}" for (turn, name), value in tags.items()
        ]
        messages = prompt.messages(self._shown(row) | {"places": shown})
        schema = _schema(list(tags), "contradictions", ())
        return self._request("contradict", row, " ".join(told), messages, prompt, schema)

    def _doubted(self, row: _Row) -> dict[Asked, str]:
        """Tags with a value of the vocabulary, of the fields that are compared with the text."""
        return {
            (number, name): turn.tags[name]
            for number, turn in enumerate(row.dialogue.turns)
            for name in self._known.fields(turn.role)
            if name in self._config.doubted and name in turn.tags and (number, name) not in row.open
        }

    def _role(self, row: _Row, place: Asked) -> str:
        return "" if place[0] == WHOLE else row.dialogue.turns[place[0]].role

    def _was(self, row: _Row, turn: int, name: str) -> str:
        return row.dialogue.topic if turn == WHOLE else row.dialogue.turns[turn].tags.get(name, "")

    def _shown(self, row: _Row) -> dict[str, Any]:
        """The dialogue as prompts show it: tags of the vocabulary only, long texts cut."""
        topic = "" if (WHOLE, TOPIC) in row.open else row.dialogue.topic
        turns = []
        for number, turn in enumerate(row.dialogue.turns):
            names = [n for n in self._known.fields(turn.role) if n in turn.tags and (number, n) not in row.open]
            tags = ", ".join(f"{name}={turn.tags[name]}" for name in names)
            turns.append({"number": number, "role": turn.role, "text": shorten(turn.text, LONGEST), "tags": tags})
        return {"topic": self._known.meaning("", TOPIC, topic) or topic, "turns": turns}

    def _request(
        self,
        question: Question,
        row: _Row,
        against: str,
        messages: Sequence[Mapping[str, str]],
        prompt: Prompt,
        schema: Mapping[str, Any],
    ) -> Request:
        sample = row.sample
        seed, made = self._bench.config.seed, tuple(messages)
        return Request(
            sample.label, against, question, 0, number_of(sample), seed, prompt.fingerprint, (sample.id,), made, schema
        )


def _asked(place: Place) -> Asked:
    return (WHOLE if place.turn is None else place.turn, place.field)


def _parts(places: Sequence[Asked], size: int) -> Iterator[Sequence[Asked]]:
    yield from (places[start : start + size] for start in range(0, len(places), size))


def _options(values: Values) -> list[dict[str, str]]:
    return [{"value": value, "meaning": meaning} for value, meaning in values.items()]


def _schema(places: Sequence[Asked], key: str, values: Sequence[str]) -> dict[str, Any]:
    """The form of a reply: a list of objects, in an object."""
    told: dict[str, Any] = {
        "turn": {"type": "integer", "enum": sorted({turn for turn, _ in places})},
        "field": {"type": "string", "enum": list(dict.fromkeys(name for _, name in places))},
    }
    if values:
        told["value"] = {"type": "string", "enum": list(values)}
    told["why"] = {"type": "string"}
    closed = {"type": "object", "additionalProperties": False}
    item = {**closed, "properties": told, "required": list(told)}
    return {**closed, "properties": {key: {"type": "array", "items": item}}, "required": [key]}


def _print(messages: Sequence[Mapping[str, str]]) -> str:
    """What tells prompts apart."""
    return digest(*(f"{message['role']}\x1e{message['content']}" for message in messages))
