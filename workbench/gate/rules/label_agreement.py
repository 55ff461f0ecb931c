"""Rows that a classifier takes for another class."""

from collections import Counter
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample


class LabelAgreement(Score):
    """Log-odds of the best other class against the asked one, of a classifier that had not seen the row.

    The classifier is cross-fitted on the real rows and, with little weight each, on the other candidates: what most rows of
    a class agree on tells more of a class of one real row than that row does (Northcutt et al. 2021, confident learning).
    """

    kind: Literal["label_agreement"] = "label_agreement"
    uses_classifier: ClassVar[bool] = True
    weight: float = Field(default=4.0, gt=0)
    """How much of the shared budget the rule may use, beside the other rules."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] log p(best other) - log p(asked); NaN where the classifier does not know the class."""
        found = np.full(len(rows), np.nan, dtype=np.float32)
        column = {label: i for i, label in enumerate(rows.labels)}
        for i, name in enumerate(rows.names):
            own = column.get(name)
            if own is None or rows.probabilities[i, own] <= 0:
                continue
            rest = np.delete(rows.probabilities[i], own)
            found[i] = np.log(rest.max() + 1e-9) - np.log(rows.probabilities[i, own] + 1e-9)
        return found

    def why(self, sample: Sample, others: Rows) -> str:
        """Always the same."""
        return "other_class"

    def say(self, row: Rows, others: Rows) -> str:
        """The three most probable classes."""
        chances = Counter({name: float(p) for name, p in zip(row.labels, row.probabilities[0], strict=True)})
        return "the classifier says: " + ", ".join(f"{name} {p:.0%}" for name, p in chances.most_common(3))
