"""Rows that repeat a synthetic row that was accepted before: of two like ones the first stays."""

from typing import ClassVar, Literal

from workbench.gate.base import Floats, Rows, Score
from workbench.gate.closest import closest


class Sibling(Score):
    """Highest character ratio to an accepted synthetic row of the same class; real rows of a class set the threshold."""

    kind: Literal["sibling"] = "sibling"
    class_rows: int = 20
    """Real rows that a class needs for a threshold of its own."""
    against: ClassVar[Literal["real", "siblings", "held"]] = "siblings"
    floor: ClassVar[float] = 0.7

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] ratio to the most similar sibling, infinite for an equal text; 0 where there is none."""
        return closest(rows, others, same_class=True).ratio

    def say(self, row: Rows, others: Rows) -> str:
        """The sibling that it is most like."""
        found = closest(row, others, same_class=True)
        return (
            f"most like the row accepted before: {others.samples[int(found.index[0])].text}"
            if found.index[0] >= 0
            else ""
        )
