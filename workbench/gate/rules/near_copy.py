"""Rows that repeat a real row with a word changed: they teach nothing and make results look better than they are."""

from typing import ClassVar, Literal

from workbench.gate.base import Floats, Rows, Score
from workbench.gate.closest import closest


class NearCopy(Score):
    """Highest character ratio (rapidfuzz indel, 0 to 1, blind to width and punctuation) to another real row.

    Sentence vectors find the four nearest real rows, their characters decide; an equal text goes whatever the threshold.
    """

    kind: Literal["near_copy"] = "near_copy"
    class_rows: int = 20
    """Real rows that a class needs for a threshold of its own."""
    floor: ClassVar[float] = 0.7

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] ratio to the most similar other row, infinite for an equal text; 0 where there is none."""
        return closest(rows, others).ratio

    def say(self, row: Rows, others: Rows) -> str:
        """The real row that it is most like."""
        found = closest(row, others)
        return f"most like the real row: {others.samples[int(found.index[0])].text}" if found.index[0] >= 0 else ""
