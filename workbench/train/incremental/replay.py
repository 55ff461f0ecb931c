"""Which old rows are gone over again: some of every class, and those that are nearly taken for another class."""

from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt

from workbench.classify import Floats, Ints, OutOfFold
from workbench.train.incremental.config import IncrementalConfig

Doubles = npt.NDArray[np.float64]


def replayed(config: IncrementalConfig, fitted: OutOfFold, new: int, near: AbstractSet[str], seed: int) -> Ints:
    """Row numbers of the old rows to replay, rising.

    Args:
        config: share of replayed rows, and how many of them are drawn by confusability.
        fitted: what models that had not seen them say of the old rows.
        new: how many new rows there are.
        near: classes of the new rows.
        seed: drives the draw; the same seed draws the same rows.
    """
    rows = len(fitted.ids)
    wanted = min(rows, round(new * config.replay / (1 - config.replay)))
    random = np.random.default_rng([seed, 5])
    by_doubt = round(wanted * config.confusable)
    # Gumbel noise on log weights draws without replacement, in proportion to the weights (Efraimidis & Spirakis 2006).
    keys = np.log(doubt(fitted) * closeness(fitted, near)[fitted.truth] + 1e-9) + random.gumbel(size=rows)
    first = np.argsort(-keys, kind="stable")[:by_doubt]
    even = _even(fitted.truth, first, wanted - by_doubt, random)
    return np.sort(np.concatenate([first, even])).astype(np.int64)


def doubt(fitted: OutOfFold) -> Doubles:
    """[n] highest probability of a class that is not the row's own."""
    others = fitted.probabilities.astype(np.float64)
    others[np.arange(len(others)), fitted.truth] = 0
    return np.asarray(others.max(axis=1) if others.size else np.zeros(0))


def closeness(fitted: OutOfFold, near: AbstractSet[str]) -> Doubles:
    """[classes] 1 for classes of the new rows; of others their greatest mean probability, either way, with one of these."""
    confusion = _confusion(fitted.probabilities, fitted.truth, len(fitted.labels))
    both = confusion + confusion.T
    columns = [i for i, label in enumerate(fitted.labels) if label in near]
    found = both[:, columns].max(axis=1) if columns else np.ones(len(fitted.labels))
    found[columns] = 1
    return np.asarray(np.minimum(found, 1.0))


def _confusion(probabilities: Floats, truth: Ints, classes: int) -> Doubles:
    """[classes, classes] mean probability of each class (across) over the rows of each class (down)."""
    sums = np.zeros((classes, classes))
    np.add.at(sums, truth, probabilities.astype(np.float64))
    return np.asarray(sums / np.maximum(np.bincount(truth, minlength=classes), 1)[:, None])


def _even(truth: Ints, taken: Ints, wanted: int, random: np.random.Generator) -> Ints:
    """Row numbers beside those taken: one of each class in turn, the classes with the fewest rows taken first."""
    order = random.permutation(len(truth))
    left: dict[int, list[int]] = {}
    for row in order[~np.isin(order, taken)]:
        left.setdefault(int(truth[row]), []).append(int(row))
    have = dict.fromkeys(left, 0) | {
        int(c): int(n) for c, n in zip(*np.unique(truth[taken], return_counts=True), strict=True)
    }
    chosen: list[int] = []
    while len(chosen) < wanted and any(left.values()):
        label = min((c for c, rows in left.items() if rows), key=lambda c: (have[c], c))
        chosen.append(left[label].pop())
        have[label] += 1
    return np.array(chosen, dtype=np.int64)
