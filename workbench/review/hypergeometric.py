"""Exact probabilities of samples drawn without replacement: `drawn` rows of a lot of `size` rows, `bad` of which are defective."""

from bisect import bisect_left
from functools import lru_cache
from typing import Any

import numpy as np

from workbench.metrics import Floats, Ints


def log_choose(n: Any, k: Any) -> Floats:
    """[...] ln of the binomial coefficient of two whole numbers or arrays, -inf where there is no way to choose."""
    n, k = np.broadcast_arrays(np.asarray(n, dtype=np.int64), np.asarray(k, dtype=np.int64))
    possible = (k >= 0) & (k <= n)
    n, k = np.where(possible, n, 0), np.where(possible, k, 0)
    table = _log_factorials(1 << int(n.max(initial=1)).bit_length())
    found: Floats = np.where(possible, table[n] - table[k] - table[n - k], -np.inf)
    return found


@lru_cache(maxsize=8)
def _log_factorials(size: int) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1, dtype=np.float64)))])


def log_exactly(found: Any, size: Any, bad: Any, drawn: Any) -> Floats:
    """[...] ln of the probability that a sample holds exactly `found` defective rows; -inf where that cannot be."""
    ways = log_choose(bad, found) + log_choose(np.subtract(size, bad), np.subtract(drawn, found))
    return np.asarray(ways - log_choose(size, drawn))


def exactly(found: Any, size: Any, bad: Any, drawn: Any) -> Floats:
    """[...] probability that a sample holds exactly `found` defective rows."""
    return np.asarray(np.exp(log_exactly(found, size, bad, drawn)))


def at_most(found: int, size: int, bad: Any, drawn: Any) -> Floats:
    """[...] probability that a sample holds `found` defective rows or fewer."""
    each = np.arange(found + 1)
    return np.asarray(exactly(each, size, np.asarray(bad)[..., None], np.asarray(drawn)[..., None]).sum(axis=-1))


def most_bad(size: int, drawn: int, found: int, error: float) -> int:
    """The upper limit of the defective rows in the whole lot: the most that would show `found` or fewer with more than `error`.

    Inverts the exact test, so the limit is too low with a probability of at most `error` (Konijn 1973; Wright 1991, "Exact
    confidence bounds when sampling from small finite universes").
    """
    # One at a time: as the number of defective rows grows, few of them in the sample become less likely.
    possible = range(found, size - drawn + found + 1)
    return found + bisect_left(possible, True, key=lambda bad: bool(at_most(found, size, bad, drawn) <= error)) - 1


def most_bad_each(size: int, drawn: int, found: int, error: float) -> Ints:
    """[found + 1] `most_bad` of samples with 0, 1, ... `found` defective rows."""
    bad = np.arange(most_bad(size, drawn, found, error) + 2)
    each = np.arange(found + 1)
    likely = np.cumsum(exactly(each, size, bad[:, None], drawn), axis=1) > error
    # Counted from above, as the last number that is likely: rounding must not make a gap below it count.
    return np.asarray(len(bad) - 1 - np.argmax(likely[::-1], axis=0), dtype=np.int64)


def least_bad(size: int, drawn: int, found: int, error: float) -> int:
    """The lower limit: the fewest defective rows that would show `found` or more with a probability of more than `error`."""
    return size - most_bad(size, drawn, drawn - found, error)
