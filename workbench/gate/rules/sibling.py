"""Rows that repeat a synthetic row that was accepted before: of two like ones the first stays."""

from typing import ClassVar, Literal

from workbench.gate.base import Floats, Rows, Score
from workbench.gate.rules.near_copy import highest_ratio


class Sibling(Score):
    """Highest character ratio to an accepted synthetic row of the same class."""

    kind: Literal["sibling"] = "sibling"
    against: ClassVar[Literal["real", "siblings"]] = "siblings"
    floor: ClassVar[float] = 0.7

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] ratio to the most similar sibling; 0 where there is none."""
        return highest_ratio(rows, others, same_class=True)
