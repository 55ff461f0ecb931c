"""Rows that a classifier, trained on the real rows only, takes for another class."""

from collections import Counter
from typing import Literal

import numpy as np

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample


class LabelAgreement(Score):
    """Log-odds of the best other class against the asked one; out of fold for real rows, so both are judged alike."""

    kind: Literal["label_agreement"] = "label_agreement"

    class_rows: int = 2
    """Real rows that a class needs before the classifier's opinion of it counts: of one row it learns next to nothing."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] log p(best other) - log p(asked); NaN where the class has too few real rows."""
        known = Counter(sample.label for sample in others.samples)
        column = {label: i for i, label in enumerate(rows.labels) if known[label] >= self.class_rows}
        found = np.full(len(rows), np.nan, dtype=np.float32)
        for i, sample in enumerate(rows.samples):
            own = column.get(sample.label)
            if own is None or rows.probabilities[i, own] <= 0:
                continue
            rest = np.delete(rows.probabilities[i], own)
            found[i] = np.log(rest.max() + 1e-9) - np.log(rows.probabilities[i, own] + 1e-9)
        return found

    def why(self, sample: Sample, others: Rows) -> str:
        """Always the same."""
        return "other_class"
