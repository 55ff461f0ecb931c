"""Rows on the wrong side of the boundary with the class that theirs is most often taken for."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.gate.base import Floats, Rows, Score


class PairMargin(Score):
    """Log-odds of the partner class against the asked one; the partner is the class that real rows are most taken for."""

    kind: Literal["pair_margin"] = "pair_margin"
    uses_classifier: ClassVar[bool] = True
    known_rows: int = Field(default=5, ge=1)
    """Real rows that a class needs before its partner is known."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] log p(partner) - log p(asked); NaN where the class has no known partner."""
        partners = others.once(("partners", self.known_rows), lambda: self._partners(others))
        column = {label: i for i, label in enumerate(rows.labels)}
        found = np.full(len(rows), np.nan, np.float32)
        for i, name in enumerate(rows.names):
            if name in partners and name in column:
                p = rows.probabilities[i]
                found[i] = np.log(p[column[partners[name]]] + 1e-9) - np.log(p[column[name]] + 1e-9)
        return found

    def _partners(self, others: Rows) -> dict[str, str]:
        found: dict[str, str] = {}
        for i, label in enumerate(others.labels):
            own = others.names == label
            if own.sum() >= self.known_rows and len(others.labels) > 1:
                mean = others.probabilities[own].mean(axis=0)
                mean[i] = -1
                found[label] = others.labels[int(mean.argmax())]
        return found
