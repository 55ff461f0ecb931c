"""Scores of a classifier with their intervals: arrays in, numbers out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Z = 1.959964
"""Two-sided 95 %."""
DRAWS = 2000
"""Bootstrap samples behind an interval."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What is needed of (weighted) rows to score them; every array is [..., classes]."""

    hits: Floats
    true: Floats
    predicted: Floats

    @property
    def f1(self) -> Floats:
        """[..., classes] 2 hits / (true + predicted), 0 where a class neither occurs nor is predicted."""
        return ratio(2 * self.hits, self.true + self.predicted)

    @property
    def recall(self) -> Floats:
        """[..., classes]."""
        return ratio(self.hits, self.true)

    @property
    def precision(self) -> Floats:
        """[..., classes]."""
        return ratio(self.hits, self.predicted)

    @property
    def accuracy(self) -> Floats:
        """[...] share of rows that are right."""
        return ratio(self.hits.sum(axis=-1), self.true.sum(axis=-1))

    def macro_f1(self, classes: Ints) -> Floats:
        """[...] mean F1 over the named classes."""
        return np.asarray(self.f1[..., classes].mean(axis=-1)) if len(classes) else np.zeros(self.hits.shape[:-1])

    @property
    def weighted_f1(self) -> Floats:
        """[...] mean F1 weighted by true rows."""
        return ratio((self.f1 * self.true).sum(axis=-1), self.true.sum(axis=-1))


def ratio(top: Any, bottom: Any) -> Floats:
    """Elementwise top / bottom, 0 where bottom is 0."""
    top, bottom = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
    found: Floats = np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom > 0)
    return found


def tally(true: Ints, predicted: Ints, classes: int, weights: Floats | None = None) -> Tally:
    """Count hits, true and predicted rows per class.

    Args:
        true: [n] class of each row, 0 to classes - 1.
        predicted: [n] likewise.
        classes: how many classes there are.
        weights: [draws, n] how often each row counts in each bootstrap draw; once where not given.
    """
    eye = np.eye(classes)
    w = np.ones((1, len(true))) if weights is None else weights
    counts = Tally(w @ (eye[true] * (true == predicted)[:, None]), w @ eye[true], w @ eye[predicted])
    return Tally(counts.hits[0], counts.true[0], counts.predicted[0]) if weights is None else counts


def cells(*columns: Ints) -> tuple[Ints, Ints]:
    """The distinct rows of equally long columns: [columns, kinds], and how many rows [kinds] are of each kind."""
    kinds, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    return kinds.astype(np.int64), counts.astype(np.int64)


def resamples(counts: Ints, draws: int = DRAWS, seed: int = 0) -> Floats:
    """[draws, kinds] how many rows of each kind are in a bootstrap sample of all rows.

    Rows of one kind score alike, so drawing kinds is drawing rows, in the memory of the kinds: 100,000 rows are no matter.
    """
    n = int(counts.sum())
    return np.random.default_rng(seed).multinomial(n, counts / n, size=draws).astype(np.float64)


def wilson(hits: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    p, z2 = hits / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # Exactly 0 and 1 at the ends, where rounding would leave out the very value that was seen.
    return 0.0 if hits == 0 else float(middle - half), 1.0 if hits == n else float(middle + half)


def f1_interval(hits: float, union: float) -> tuple[float, float]:
    """Interval of an F1: J = hits / (true or predicted rows) is a proportion, and F1 = 2 J / (1 + J) grows with it."""
    low, high = wilson(hits, union)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def mean_interval(draws: Floats, scores: Floats, weights: Floats, n: int) -> tuple[float, float]:
    """Interval of a weighted mean of class scores, within 0 and 1.

    Each half is the wider of two. The bootstrap's 1.96 standard errors know of rows that move two classes at once, but
    nothing of errors that did not happen: of a model without any they are 0. The classes' own intervals put together as if
    independent (MOVER, Zou & Donner 2008) know that. F1 of few rows is too low on average, as it is concave: the upper
    end goes up by the bootstrap's bias, where percentiles would go down.

    Args:
        draws: [draws] the mean in each bootstrap sample.
        scores: [3, classes] value, low, high of each class.
        weights: [classes] they sum to 1.
        n: rows behind it.
    """
    value, low, high = scores
    mean = float(weights @ value)
    freedom = n / max(1, n - int((weights > 0).sum()))
    half = Z * float(draws.std(ddof=1)) * float(np.sqrt(freedom))
    down, up = (float(np.sqrt(((weights * side) ** 2).sum())) for side in (value - low, high - value))
    bias = max(0.0, mean - float(draws.mean()))
    return max(0.0, mean - max(half, down)), min(1.0, mean + max(half, up) + bias)


def roc_area(higher: Floats, lower: Floats) -> Floats:
    """[...] AUC: probability that a row of one kind scores higher than one of another, ties counting half.

    Args:
        higher: [..., scores] rows (or their weights) of one kind at each distinct score, in rising order of the scores.
        lower: [..., scores] the same of the other.
    """
    below = np.cumsum(lower, axis=-1) - lower / 2
    return np.asarray((higher * below).sum(axis=-1) / (higher.sum(axis=-1) * lower.sum(axis=-1)))


def roc_area_interval(auc: float, good: float, bad: float) -> tuple[float, float]:
    """Score-like interval of an AUC (Newcombe 2006, method 5): the values that lie within 1.96 of their own standard errors.

    The variance is Hanley and McNeil's for exponential scores, of samples of equal size; at 0 and 1 the interval has a width.
    """
    extra = (good + bad) / 2 - 1

    def within(value: float) -> bool:
        spread = 1 + extra * (1 - value) / (2 - value) + extra * value / (1 + value)
        return abs(auc - value) <= Z * float(np.sqrt(value * (1 - value) * spread / (good * bad)))

    return _edge(within, auc, 0.0), _edge(within, auc, 1.0)


def _edge(within: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `within` ends between two values, by bisection."""
    for _ in range(50):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if within(middle) else (inside, middle)
    return inside


def expected_calibration_error(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """Mean distance of confidence and accuracy over equal-width bins, weighted by rows (Guo et al. 2017)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        inside = place == b
        if inside.any():
            error += abs(float(confidence[inside].mean()) - float(right[inside].mean())) * float(inside.mean())
    return error
