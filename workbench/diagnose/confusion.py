"""Which classes are taken for which, by models that had not seen the rows."""

from dataclasses import dataclass

import numpy as np

from workbench.classify import OutOfFold


@dataclass(frozen=True, slots=True)
class Confusion:
    """A directed pair: rows of `source` that look like `target`."""

    source: str
    target: str
    mass: float
    """Sum over rows of `source` of the probability of `target`: what ranks the pairs."""
    rate: float
    """Share of the rows of `source` that are predicted as `target`."""
    n: int
    """Rows of `source`."""

    def json(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {"from": self.source, "to": self.target, "rate": self.rate, "n": self.n, "mass": self.mass}


def confusions(found: OutOfFold, limit: int) -> list[Confusion]:
    """Pairs by confusion mass, most first. A class of one row counts too: its row shows what would swallow it."""
    classes = len(found.labels)
    mass = np.zeros((classes, classes))
    np.add.at(mass, found.truth, found.probabilities)
    hard = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(hard, (found.truth, found.predicted), 1)
    rows = np.bincount(found.truth, minlength=classes)
    np.fill_diagonal(mass, 0)
    order = np.argsort(-mass, axis=None, kind="stable")[:limit]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, mass.shape), strict=True)]
    return [
        Confusion(found.labels[i], found.labels[j], float(mass[i, j]), float(hard[i, j] / rows[i]), int(rows[i]))
        for i, j in pairs
        if mass[i, j] > 0
    ]
