"""Rows whose nearest real row is of another class."""

from typing import Literal

import numpy as np
from pydantic import Field

from workbench.gate.base import Floats, Rows, Score
from workbench.gate.own_class import own_and_other


class Neighbours(Score):
    """Cosine to the nearest real row of another class minus that to the nearest of its own (-2 to 2).

    A second opinion beside the classifier, from the real rows alone (DDAIR, arXiv 2601.11234, asks this of every row).
    """

    kind: Literal["neighbours"] = "neighbours"
    known_rows: int = Field(default=3, ge=2)
    """Real rows that a class needs: a row cannot be near to a class that is hardly there."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] difference of cosines; NaN where the class has too few real rows."""
        own, other = own_and_other(rows, others, self.known_rows)
        return (other - own).astype(np.float32)

    def say(self, row: Rows, others: Rows) -> str:
        """The nearest real row, and its class."""
        if not len(others):
            return ""
        best = int((others.vectors @ row.vectors[0]).argmax())
        return f"nearest real row: {others.names[best]}: {others.samples[best].text}"
