"""What a strategy is: its settings and one method. What it is given, and what requests have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from workbench.config import Strict
from workbench.generate.attributes import attribute_lines
from workbench.generate.rotation import rotation
from workbench.llm import Request
from workbench.prompts import Prompt
from workbench.records import Need, Sample, Turn

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"samples": {"type": "array", "items": {"type": "string"}}},
    "required": ["samples"],
    "additionalProperties": False,
}
"""The reply: one string a row, also for dialogues, whose turns are joined by [SEP].

Strings and not objects of turns: rows then look like the examples above them, with a schema, as a JSON object and as plain
text alike; a turn as an object would add about ten tokens of names and brackets to a turn of some fifteen; and of a reply
that is cut, one row is lost. Replies of objects with roles are read all the same.
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What prompts of one need may show: real rows of the class and its partner, and what is known of both."""

    rows: Sequence[Sample]
    partner_rows: Sequence[Sample]
    about: Mapping[str, str]
    likeness: Mapping[str, float] = field(default_factory=dict)
    """Id of a real row -> out-of-fold probability of the other class of the pair."""
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Attribute -> its values; each new row is given one of each."""
    taboo: Sequence[str] = ()
    """Words that the accepted synthetic rows over-use."""
    hints: Sequence[str] = ()
    """What people say of the rows to be written: from the settings, and reasons for which reviewers rejected rows."""
    outliers: Sequence[str] = ()
    """Accepted synthetic rows that lie farthest from the real ones."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Which request for a need it is. The same draw gives the same request; another one shows other examples."""

    number: int
    seed: int
    rows: int
    """Rows to ask for."""
    examples: int
    """Most real rows to show of each side."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy chose for one request."""

    own: Sequence[Sample]
    """Real rows of the class to show."""
    other: Sequence[Sample] = ()
    """Real rows of the partner to show."""
    rows: int = 0
    """Rows to ask for; 0 for those of the draw."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the prompt."""


class Strategy(Strict):
    """Base of all strategies. The name in `generate.strategies` is the kind, unless `kind:` says another one."""

    kind: str


class Prompted(Strategy):
    """A strategy that asks a model: a prompt file, and what is shown in it."""

    paired: ClassVar[bool] = False
    """Whether it writes rows of one class at its boundary with another."""
    rewrites: ClassVar[bool] = False
    """Whether it cannot do without real rows of the class."""

    prompt: str = ""
    """Name of the prompt file, as `mine` for `mine.zh.j2` and `mine.en.j2`; the kind where not given."""
    attributes: bool = True
    """Give each row that is asked for its own values of `generate.attributes`."""

    @abstractmethod
    def request(self, need: Need, shown: Shown, prompt: Prompt, draw: Draw) -> Request:
        """The request of this draw: the same arguments always give the same one."""

    def ask(self, need: Need, shown: Shown, prompt: Prompt, draw: Draw, choice: Choice) -> Request:
        """Render the prompt file with what was chosen; every variable has a value, whatever the strategy."""
        count = choice.rows or draw.rows
        slots = range(draw.number * count, (draw.number + 1) * count)
        attributes = shown.attributes if self.attributes else {}
        values: dict[str, Any] = {
            "label": need.label,
            "against": need.against,
            "about": shown.about.get(need.label, ""),
            "about_against": shown.about.get(need.against, ""),
            "count": count,
            "examples": [sample.text for sample in choice.own],
            "against_examples": [sample.text for sample in choice.other],
            "dialogue": any(len(sample.turns) > 1 for sample in shown.rows),
            "attributes": attribute_lines(attributes, key(need, draw), slots),
            "taboo": list(shown.taboo),
            "hints": list(shown.hints),
            "outliers": list(shown.outliers),
            "alpha": 100,
        }
        messages = tuple(prompt.messages(values | dict(choice.values)))
        return Request(
            label=need.label,
            against=need.against,
            strategy=need.strategy,
            rows=count,
            draw=draw.number,
            seed=draw.seed,
            prompt=prompt.fingerprint,
            parents=tuple(sample.id for sample in (*choice.own, *choice.other)),
            messages=messages,
            # An answer that the prompt began is a list in plain text.
            schema=None if messages[-1]["role"] == "assistant" else SCHEMA,
        )


@dataclass(frozen=True, slots=True)
class Desk:
    """What a strategy without a model works with."""

    root: Path
    """The bench: the user's files are named relative to it."""
    roles: Sequence[str]
    """Role names of the real rows in order of speaking."""
    seed: int
    label: Callable[[str], str]
    """A class by its name or number."""
    table: Callable[[str, str | None, str | None], Sequence[tuple[str, tuple[Turn, ...]]]]
    """Reads a file of rows, given the columns of text and class where they are known: (class, turns) for each row."""


class Handmade(Strategy):
    """A strategy without a model: the rows are the user's own, or follow from what the user wrote."""

    @abstractmethod
    def rows(self, need: Need, desk: Desk) -> Iterator[tuple[Turn, ...]]:
        """The rows of a class, in an order that the seed decides; the same content is stored once, however often it comes."""


def key(need: Need, draw: Draw) -> str:
    """What drives the choices for a need, without the number of the draw."""
    return f"{draw.seed}/{need.label}/{need.against}/{need.strategy}"


def rotated(rows: Sequence[Sample], name: str, size: int, draw: int) -> list[Sample]:
    """`size` of the rows for this draw: each row takes its turn, and no set comes again while others are left."""
    return [rows[i] for i in rotation(name, len(rows), size).pick(draw)]
