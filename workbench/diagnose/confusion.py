"""Which classes are taken for which, by models that had not seen the rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.classify import OutOfFold

OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Confusion:
    """A directed pair: rows of `source` that look like `target`."""

    source: str
    target: str
    mass: float
    """Sum over rows of `source` of the probability of `target`: how many rows one expects to go wrong. Ranks the pairs."""
    rate: float
    """Share of the rows of `source` that are predicted as `target`."""
    n: int
    """Rows of `source`."""

    def json(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {"from": self.source, "to": self.target, "rate": self.rate, "n": self.n, "mass": self.mass}


@dataclass(frozen=True, slots=True)
class Confusions:
    """Confusion of all classes, counted and in probability mass."""

    labels: tuple[str, ...]
    mass: npt.NDArray[np.float64]
    """[classes, classes] sum of probabilities by true and other class; the diagonal is 0."""
    hits: npt.NDArray[np.int64]
    """[classes, classes] rows by true and predicted class."""

    @classmethod
    def of(cls, found: OutOfFold) -> "Confusions":
        """Count. A class of one row counts too: its row shows what would swallow it."""
        k = len(found.labels)
        mass = np.zeros((k, k))
        np.add.at(mass, found.truth, found.probabilities)
        np.fill_diagonal(mass, 0)
        hits = np.zeros((k, k), dtype=np.int64)
        np.add.at(hits, (found.truth, found.predicted), 1)
        return cls(found.labels, mass, hits)

    @property
    def rates(self) -> npt.NDArray[np.float64]:
        """[classes, classes] share of each true class's rows by predicted class."""
        shares: npt.NDArray[np.float64] = self.hits / self.hits.sum(axis=1, keepdims=True).clip(1)
        return shares

    def top(self, limit: int) -> list[Confusion]:
        """Pairs by confusion mass, most first."""
        order = np.argsort(-self.mass, axis=None, kind="stable")[:limit]
        pairs = zip(*np.unravel_index(order, self.mass.shape), strict=True)
        return [self._pair(int(i), int(j)) for i, j in pairs if self.mass[i, j] > 0]

    def strong(self, rate: float, rows: int) -> list[Confusion]:
        """Pairs of at least this rate, of classes with at least `rows` rows, by confusion mass."""
        marked = (self.rates >= rate) & (self.hits.sum(axis=1) >= rows)[:, None]
        np.fill_diagonal(marked, False)
        return sorted((self._pair(int(i), int(j)) for i, j in np.argwhere(marked)), key=lambda pair: -pair.mass)

    def part(self, labels: Sequence[str]) -> list[list[int]]:
        """Rows of these classes by predicted class, and in a last column those predicted as any other."""
        chosen = [self.labels.index(label) for label in labels]
        part = self.hits[np.ix_(chosen, chosen)]
        others = self.hits[chosen].sum(axis=1) - part.sum(axis=1)
        return [[*row, int(rest)] for row, rest in zip(part.tolist(), others, strict=True)]

    def _pair(self, i: int, j: int) -> Confusion:
        n = int(self.hits[i].sum())
        return Confusion(self.labels[i], self.labels[j], float(self.mass[i, j]), float(self.hits[i, j] / n), n)
