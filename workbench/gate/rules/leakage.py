"""Rows that repeat a row of dev or test: with them in training, the test would measure memory."""

from typing import ClassVar, Literal

from workbench.gate.base import Floats, Rows, Score
from workbench.gate.closest import closest


class Leakage(Score):
    """Highest character ratio to a row of dev or test. Equal texts go in any case, near copies above the threshold.

    The only rule that looks at held-out rows, and only to remove candidates; labels of held-out rows are not looked at.
    """

    kind: Literal["leakage"] = "leakage"
    against: ClassVar[Literal["real", "siblings", "held"]] = "held"
    floor: ClassVar[float] = 0.9

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] ratio to the most similar held-out row, infinite for an equal text; 0 where there is none."""
        return closest(rows, others).ratio
