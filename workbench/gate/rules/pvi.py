"""Rows that tell little about their label: pointwise V-information."""

from collections import Counter
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.gate.base import Floats, Rows, Score


class Pvi(Score):
    """Minus the pointwise V-information in bits: log2 p(class) - log2 p(class | row) (Ethayarajh et al. 2022, eq. 4).

    p(class) is what a model says that sees no row: the class's share of the real rows. Rows are compared within their class
    only, as ICDA does (Lin et al. 2023); classes with fewer than `known_rows` real rows have no threshold of their own.
    """

    kind: Literal["pvi"] = "pvi"
    uses_classifier: ClassVar[bool] = True
    class_rows: int = 20
    """Real rows that a class needs for a threshold of its own."""
    known_rows: int = Field(default=20, ge=1)
    """Real rows that a class needs; fewer do not say what is usual in it."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] -PVI in bits; NaN where the class has too few real rows."""
        counts = Counter(others.names.tolist())
        column = {label: i for i, label in enumerate(rows.labels)}
        found = np.full(len(rows), np.nan, np.float32)
        for i, name in enumerate(rows.names):
            if name in column and counts[name] >= self.known_rows:
                prior = counts[name] / len(others)
                found[i] = np.log2(prior) - np.log2(rows.probabilities[i, column[name]] + 1e-9)
        return found
