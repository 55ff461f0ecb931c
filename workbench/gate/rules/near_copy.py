"""Rows that repeat a real row with a word changed: they teach nothing and make results look better than they are."""

from typing import ClassVar, Literal

import numpy as np

from workbench.gate.base import Floats, Rows, Score
from workbench.text import normal


class NearCopy(Score):
    """Highest character ratio (rapidfuzz indel, 0 to 1, blind to width and punctuation) to another real row."""

    kind: Literal["near_copy"] = "near_copy"
    floor: ClassVar[float] = 0.7

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] ratio to the most similar other row; 0 where there is none."""
        return highest_ratio(rows, others)


def highest_ratio(rows: Rows, others: Rows, *, same_class: bool = False) -> Floats:
    """[n] the highest character ratio of each row to one of `others` with another id."""
    from rapidfuzz import fuzz, process

    best = np.zeros(len(rows), dtype=np.float32)
    if not len(others):
        return best
    theirs = [normal(sample.text) for sample in others.samples]
    ids = np.array([sample.id for sample in others.samples])
    labels = np.array([sample.label for sample in others.samples], dtype=object)
    for start in range(0, len(rows), 256):
        some = rows.samples[start : start + 256]
        ours = [normal(sample.text) for sample in some]
        ratios = process.cdist(ours, theirs, scorer=fuzz.ratio, dtype=np.float32, workers=-1) / 100
        ratios[np.array([sample.id for sample in some])[:, None] == ids[None, :]] = 0
        if same_class:
            ratios[np.array([sample.label for sample in some], dtype=object)[:, None] != labels[None, :]] = 0
        best[start : start + 256] = ratios.max(axis=1)
    return best
