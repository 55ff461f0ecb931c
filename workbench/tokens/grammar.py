r"""Dialogues as one string with special tokens, and back. `render` and `parse` are exact inverses.

    dialogue := "<|begin|>" [topic] turn* "<|end|>"
    topic    := "<|topic_" value "|>"
    turn     := "<|" role "|>" tag* text
    tag      := "<|" field "_" value "|>"       fields of the role, in the order of the vocabulary, each at most once
    value    := letters (of any script), digits, "_", "-", "."
    text     := any characters, with "<|" escaped

What is no token must never look like one. So a text is escaped where `<` and `|` follow each other, with any number of
backslashes between them: one backslash is put in more, and taken out again by `parse`.

    <|      is written  <\|
    <\|     is written  <\\|        and so on; every other text stands as it is

No escaped text holds `<|`, and none can end in a way that makes one with what follows. So no tokenizer finds a special token
in it, and every `<|` begins a token. A dialogue has one form: what `parse` accepts is what `render` makes of the result.
A tag that is missing is left out; a value that the vocabulary does not know is kept, as long as it fits `value`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from workbench.errors import DataError, one_of
from workbench.records import Turn
from workbench.text import shorten
from workbench.tokens.vocabulary import BEGIN, END, LETTERS, TOPIC, VALUE, Vocabulary, token

_PLAIN = re.compile(r"<(\\*)\|")
_ESCAPED = re.compile(r"<\\(\\*)\|")
OPEN, CLOSE = "<|", "|>"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue with its tags. `id` names it in errors and lists and is not rendered."""

    id: str
    turns: tuple[Turn, ...]
    topic: str = ""
    """Empty where none is given."""


def escape(text: str) -> str:
    r"""A text without `<|`: `<|` becomes `<\|`, `<\|` becomes `<\\|`."""
    return _PLAIN.sub(r"<\1\\|", text)


def unescape(text: str) -> str:
    """What `escape` was given."""
    return _ESCAPED.sub(r"<\1|", text)


def render(dialogue: Dialogue, vocabulary: Vocabulary) -> str:
    """The dialogue as one string.

    Raises:
        DataError: a role or field is not in the vocabulary, or a value cannot be part of a token.
    """
    parts = [token(BEGIN)]
    if dialogue.topic:
        if not VALUE.fullmatch(dialogue.topic):
            raise _no_token(f"Dialogue {dialogue.id}", TOPIC, dialogue.topic)
        parts.append(token(f"{TOPIC}_{dialogue.topic}"))
    for number, turn in enumerate(dialogue.turns):
        place = f"Dialogue {dialogue.id}, turn {number}"
        if turn.role not in vocabulary.roles:
            raise DataError(
                f"{place}: the role {shorten(turn.role)!r} is not in the vocabulary.",
                f"Add it to the tags, as {{}} where it has no fields. {one_of(turn.role, vocabulary.roles)}",
            )
        parts += [token(turn.role), *_tags(turn, vocabulary, place), escape(turn.text)]
    return "".join([*parts, token(END)])


def _tags(turn: Turn, vocabulary: Vocabulary, place: str) -> list[str]:
    """The tokens of a turn's tags, in the order of the vocabulary."""
    fields = vocabulary.fields(turn.role)
    strange = next((name for name in turn.tags if name not in fields), None)
    if strange is not None:
        hint = one_of(strange, fields)
        raise DataError(f"{place}: {turn.role} has no field {shorten(strange)!r} in the vocabulary.", hint)
    found = []
    for name in fields:
        value = turn.tags.get(name)
        if value is None:
            continue
        body = f"{name}_{value}"
        # The second: `a` = `b_c` would be read as `a_b` = `c` where there are both fields.
        if not VALUE.fullmatch(value) or vocabulary.split(turn.role, body) != (name, value):
            raise _no_token(place, name, value)
        found.append(token(body))
    return found


def _no_token(place: str, name: str, value: str) -> DataError:
    say = f"{place}: the value {shorten(value)!r} of {name} cannot be part of a token."
    return DataError(say, f"Values have {LETTERS}; `wb tokens coverage` lists those that the vocabulary does not know.")


@dataclass
class _Open:
    """The turn that is being read."""

    role: str
    tags: dict[str, str] = field(default_factory=dict)
    text: str = ""


def parse(text: str, vocabulary: Vocabulary, *, id: str = "") -> Dialogue:
    """The dialogue that was rendered.

    Args:
        text: what `render` made.
        vocabulary: the one it was rendered with.
        id: of the dialogue; also names it in errors.

    Raises:
        DataError: the string is not of the grammar; the sentence says where, in characters from 0.
    """
    return _Parser(vocabulary, id).read(text)


class _Parser:
    def __init__(self, vocabulary: Vocabulary, id: str) -> None:
        self._vocabulary, self._id = vocabulary, id
        self._topic = ""
        self._turns: list[Turn] = []
        self._turn: _Open | None = None
        self._at = 0

    def read(self, text: str) -> Dialogue:
        """Piece by piece: each begins with a token and goes on with what stands behind it."""
        first, *pieces = text.split(OPEN)
        if first or not pieces:
            raise self._wrong(f"it begins with {shorten(text, 20)!r}, not with {token(BEGIN)}")
        for number, piece in enumerate(pieces):
            body, close, rest = piece.partition(CLOSE)
            if not close or not VALUE.fullmatch(body):
                raise self._wrong(f"`<|` begins no token: {shorten(OPEN + piece, 30)!r}")
            self._piece(number, body, rest, last=number == len(pieces) - 1)
            self._at += len(OPEN) + len(piece)
        return Dialogue(self._id, tuple(self._turns), self._topic)

    def _piece(self, number: int, body: str, rest: str, *, last: bool) -> None:
        if (number == 0) != (body == BEGIN) or last != (body == END):
            other = token(END) if last else "a role, topic or tag"
            want = token(BEGIN) if number == 0 and body != BEGIN else other
            raise self._wrong(f"the token that stands there is {token(body)}, not {want}")
        if body in (BEGIN, END):
            self._close()
            self._text_free(rest, body)
        elif body in self._vocabulary.roles:
            self._close()
            self._turn = _Open(body, text=rest)
        elif self._turn is None:
            self._dialogue_tag(number, body, rest)
        else:
            self._tag(self._turn, body, rest)

    def _close(self) -> None:
        if self._turn is not None:
            self._turns.append(Turn(self._turn.role, unescape(self._turn.text), self._turn.tags))
            self._turn = None

    def _dialogue_tag(self, number: int, body: str, rest: str) -> None:
        if number != 1 or not body.startswith(f"{TOPIC}_") or body == f"{TOPIC}_":
            raise self._wrong(f"{token(body)} stands before the first turn and is no topic, or a second one")
        self._topic = body.removeprefix(f"{TOPIC}_")
        self._text_free(rest, body)

    def _tag(self, turn: _Open, body: str, rest: str) -> None:
        found = self._vocabulary.split(turn.role, body)
        if found is None:
            hint = _listed(self._vocabulary.fields(turn.role))
            raise self._wrong(f"{token(body)} is neither a role nor a tag of {turn.role} (its fields: {hint})")
        if turn.text:
            raise self._wrong(f"{token(body)} stands inside the text of a turn")
        order = list(self._vocabulary.fields(turn.role))
        if turn.tags and order.index(found[0]) <= order.index(list(turn.tags)[-1]):
            raise self._wrong(f"{token(body)} stands too late or twice; the order is {_listed(order)}")
        turn.tags[found[0]] = found[1]
        turn.text = rest

    def _text_free(self, rest: str, body: str) -> None:
        if rest:
            raise self._wrong(f"text stands behind {token(body)}: {shorten(rest, 20)!r}")

    def _wrong(self, what: str) -> DataError:
        name = f"Dialogue {self._id}" if self._id else "The text"
        return DataError(
            f"{name} is no rendered dialogue at character {self._at}: {what}.",
            r"Render it anew with `wb tokens render`; in texts `<|` is written `<\|`.",
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
