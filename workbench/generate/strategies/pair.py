"""Rows at the boundary of two classes that get mixed up."""

import random
from collections.abc import Mapping, Sequence
from math import ceil
from typing import ClassVar, Literal

from pydantic import Field

from workbench.generate.base import Choice, Draw, Prompted, Shown, key, rotated
from workbench.llm import Request
from workbench.prompts import Prompt
from workbench.records import Need, Sample


class Pair(Prompted):
    """Ask for rows of a class that come near to another one: both definitions, and the hard real rows of both sides.

    Each request says by how much a row may lean to the other side (alpha, as in PromptMix, Sahu et al. 2023). Examples rotate
    among the real rows that models which had not seen them take most for the other class. Where no partner is named, it is
    the class with which the class is confused most.
    """

    kind: Literal["pair"] = "pair"
    paired: ClassVar[bool] = True
    alpha: float | None = Field(default=None, gt=0.5, le=1)
    """Share of the own class in a row, above one half; drawn for each request, as 0.5 + 0.5 Beta(5, 2), where not given."""
    hard: float = Field(default=0.5, gt=0, le=1)
    """Share of the real rows of a side that examples are taken from, those most like the other side first."""
    doubtful: float = Field(default=0.9, gt=0, le=1)
    """Real rows with a higher probability of the other side are not shown: they are more likely mislabelled than hard."""

    def request(self, need: Need, shown: Shown, prompt: Prompt, draw: Draw) -> Request:
        """Hard rows of both sides by rotation, and alpha in steps of five per cent."""
        name = key(need, draw)
        own = self._hard(shown.rows, shown.likeness, draw.examples)
        other = self._hard(shown.partner_rows, shown.likeness, draw.examples)
        choice = Choice(
            rotated(own, f"{name}/own", draw.examples, draw.number),
            rotated(other, f"{name}/other", draw.examples, draw.number),
            values={"alpha": round(self._alpha(f"{name}/{draw.number}") * 100)},
        )
        return self.ask(need, shown, prompt, draw, choice)

    def _alpha(self, name: str) -> float:
        if self.alpha is not None:
            return self.alpha
        return round((0.5 + 0.5 * random.Random(name).betavariate(5, 2)) * 20) / 20

    def _hard(self, rows: Sequence[Sample], likeness: Mapping[str, float], least: int) -> Sequence[Sample]:
        """The rows most like the other side; all of them where nothing is known, and at least `least`."""
        if not likeness:
            return rows
        ranked = sorted(rows, key=lambda row: -likeness.get(row.id, 0.0))
        clear = [row for row in ranked if likeness.get(row.id, 0.0) <= self.doubtful] or ranked
        return clear[: max(least, ceil(self.hard * len(clear)))]
