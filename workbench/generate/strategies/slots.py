"""Templates with slots."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from math import prod
from typing import Any, Literal

from pydantic import ConfigDict, Field

from workbench.config import Strict, read_yaml
from workbench.errors import ConfigError, one_of
from workbench.generate.base import Desk, Handmade
from workbench.generate.speakers import turns_of
from workbench.records import Need, Turn

_SLOT = re.compile(r"\{(\w+)\}")
SHUFFLED = 100_000
"""Up to so many combinations are shuffled as a list; of more, numbers are drawn until one is new."""


class SlotTable(Strict):
    """What a file of templates holds: the same keys as the strategy."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    templates: Mapping[str, tuple[str, ...]] = {}
    values: Mapping[str, tuple[str, ...]] = {}


class Slots(Handmade):
    """Fill templates of yours with values of yours; no model is asked.

    Templates take turns, each goes through all combinations of its values in an order that the seed decides, and each
    combination is made at most once. What the combinations yield is gated like anything else.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)  # 14 in YAML is a number, and the name of class 14

    kind: Literal["slots"] = "slots"
    templates: Mapping[str, tuple[str, ...]] = Field(
        default={}, examples=[{"card_fee": ["how much is {card} a {time}"]}]
    )
    """Class, by name or number, -> its templates; turns of a dialogue are joined by [SEP]."""
    values: Mapping[str, tuple[str, ...]] = Field(
        default={}, examples=[{"card": ["a second card", "the gold one"], "time": ["month", "year"]}]
    )
    """Slot -> its values."""
    file: str = ""
    """A YAML file with `templates` and `values`, relative to the bench; what stands here is laid over it."""

    def rows(self, need: Need, desk: Desk) -> Iterator[tuple[Turn, ...]]:
        """Combinations of one class, templates in turn.

        Raises:
            ConfigError: the class has no template, or a template names a slot that has no values.
        """
        told = self._table(desk)
        by_class = {desk.label(name): texts for name, texts in told.templates.items()}
        templates = by_class.get(need.label, ())
        if not templates:
            place = f"generate.strategies.{need.strategy}.templates"
            raise ConfigError(
                f"{place} has none for the class {need.label!r}.",
                f"Write some; there are templates for: {', '.join(by_class) or '(none)'}",
            )
        order = [self._texts(text, told.values, f"{desk.seed}/{need.label}/{text}") for text in templates]
        random.Random(f"{desk.seed}/{need.label}").shuffle(order)
        seen: set[str] = set()
        while order:
            for texts in list(order):
                text = next((text for text in texts if text not in seen), None)
                if text is None:
                    order.remove(texts)
                    continue
                seen.add(text)
                yield turns_of(text, desk.roles) or ()

    def _table(self, desk: Desk) -> SlotTable:
        if not self.file:
            return SlotTable(templates=self.templates, values=self.values)
        path = desk.root / self.file
        told = SlotTable.read(read_yaml(path), where=str(path))
        return SlotTable(templates={**told.templates, **self.templates}, values={**told.values, **self.values})

    def _texts(self, template: str, values: Mapping[str, Sequence[str]], key: str) -> Iterator[str]:
        """The template with every combination of values, each once."""
        names = list(dict.fromkeys(_SLOT.findall(template)))
        missing = next((name for name in names if not values.get(name)), None)
        if missing is not None:
            raise ConfigError(
                f"The template {template!r} has a slot {missing!r} without values.", one_of(missing, values)
            )
        sizes = [len(values[name]) for name in names]
        return (self._fill(template, names, values, number) for number in shuffled(prod(sizes), key))

    def _fill(self, template: str, names: Sequence[str], values: Mapping[str, Sequence[str]], number: int) -> str:
        chosen: dict[str, Any] = {}
        for name in names:
            number, at = divmod(number, len(values[name]))
            chosen[name] = values[name][at]
        return _SLOT.sub(lambda slot: chosen[slot.group(1)], template)


def shuffled(n: int, key: str) -> Iterator[int]:
    """The numbers below `n`, each once, in an order that the key decides; begun again, it begins the same."""
    choice = random.Random(key)
    if n <= SHUFFLED:
        numbers = list(range(n))
        choice.shuffle(numbers)
        yield from numbers
        return
    seen: set[int] = set()
    for _ in count():
        number = choice.randrange(n)
        if number not in seen:
            seen.add(number)
            yield number
        if len(seen) == n:
            return
