"""Which texts are nearly the same, and which vectors are near: exact searches in blocks, no index to go stale."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.text import normal

Vectors = npt.NDArray[np.float32]
Pair = tuple[int, int, float]
BLOCK = 1024
CELLS = 1 << 24
"""Scores held at once (64 MB of 4 bytes)."""
SLACK = 1e-4
"""By how much blocks are searched more widely than asked (their scores are float32); each pair found is then scored exactly."""


def ratio(left: str, right: str) -> float:
    """Character similarity of two texts, 0 to 1, blind to width, case, punctuation and space (rapidfuzz indel ratio)."""
    from rapidfuzz import fuzz

    return float(fuzz.ratio(normal(left), normal(right))) / 100


def near_duplicates(texts: Sequence[str], threshold: float = 0.9) -> list[Pair]:
    """All pairs (i, j, score) with i < j whose `ratio` is at least `threshold` (above 0, up to 1), in order.

    Exact: every pair whose lengths allow the ratio is compared. There are n (n - 1) / 2 pairs of n equal texts; where only
    the groups are wanted, `near_groups` does without them.
    """
    rows, forms = _by_form(texts)
    equal = ((i, j, 1.0) for some in rows for at, i in enumerate(some) for j in some[at + 1 :])
    close = ((i, j, s) for a, b, s in _pairs(forms, forms, threshold, same=True) for i in rows[a] for j in rows[b])
    return sorted((min(i, j), max(i, j), score) for some in (equal, close) for i, j, score in some)


def near_groups(texts: Sequence[str], threshold: float = 0.9) -> list[int]:
    """`groups(near_duplicates(texts, threshold), len(texts))`, in memory that equal texts do not blow up."""
    rows, forms = _by_form(texts)
    close = ((rows[a][0], rows[b][0]) for a, b, _ in _pairs(forms, forms, threshold, same=True))
    equal = ((some[0], i) for some in rows for i in some[1:])
    return _components([*close, *equal], len(texts))


def cross_duplicates(left: Sequence[str], right: Sequence[str], threshold: float = 0.9) -> list[Pair]:
    """All pairs (index in left, index in right, score) whose `ratio` is at least `threshold` (above 0, up to 1), in order."""
    left_rows, left_forms = _by_form(left)
    right_rows, right_forms = _by_form(right)
    close = _pairs(left_forms, right_forms, threshold, same=False)
    return sorted((i, j, score) for a, b, score in close for i in left_rows[a] for j in right_rows[b])


def _by_form(texts: Iterable[str]) -> tuple[list[list[int]], list[str]]:
    """Numbers of the texts of each normal form, and the forms, shortest first."""
    rows: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        rows.setdefault(normal(text), []).append(i)
    forms = sorted(rows, key=len)
    return [rows[form] for form in forms], forms


def _pairs(a: Sequence[str], b: Sequence[str], threshold: float, *, same: bool) -> Iterator[Pair]:
    """Compare blocks of like length: a ratio of t needs the shorter text to have t / (2 - t) of the longer's length.

    `a` and `b` are distinct normal forms, shortest first. With `same` they are one list, and each pair is given once.
    """
    from rapidfuzz import fuzz, process

    lengths = np.array([len(text) for text in b])
    least = threshold / (2 - threshold) - SLACK
    for start in range(0, len(a), BLOCK):
        block = a[start : start + BLOCK]
        low = start if same else int(np.searchsorted(lengths, len(block[0]) * least, "left"))
        high = int(np.searchsorted(lengths, len(block[-1]) / max(least, SLACK), "right"))
        for first in range(low, high, CELLS // BLOCK):
            some = b[first : min(high, first + CELLS // BLOCK)]
            cutoff = max(0.0, threshold - SLACK) * 100
            scores = process.cdist(block, some, scorer=fuzz.ratio, score_cutoff=cutoff, dtype=np.float32, workers=-1)
            for at in np.flatnonzero(scores).tolist():
                i, j = divmod(at, len(some))
                if same and start + i >= first + j:
                    continue
                score = float(fuzz.ratio(block[i], some[j])) / 100
                if score >= threshold:
                    yield start + i, first + j, score


def groups(pairs: Sequence[Pair], n: int) -> list[int]:
    """Connected components: for each of `n` items the smallest index that it is linked to through `pairs`."""
    return _components([(i, j) for i, j, _ in pairs], n)


def _components(links: Sequence[tuple[int, int]], n: int) -> list[int]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, columns = [i for i, _ in links], [j for _, j in links]
    graph = coo_matrix((np.ones(len(links)), (rows, columns)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    first: dict[int, int] = {}
    return [first.setdefault(int(c), i) for i, c in enumerate(component)]


def nearest(queries: Vectors, rows: Vectors, k: int = 1) -> tuple[npt.NDArray[np.int64], Vectors]:
    """The k nearest rows of each query by cosine: indices [q, k] and cosines [q, k], best first.

    Both arrays hold unit vectors, [q, d] and [n, d]; where there are fewer than k rows, all of them are given. Memory is
    bounded: queries are taken in blocks of at most 16 million cosines.
    """
    k = min(k, len(rows))
    index = np.empty((len(queries), k), dtype=np.int64)
    cosine = np.empty((len(queries), k), dtype=np.float32)
    step = max(1, CELLS // max(1, len(rows)))
    for start in range(0, len(queries) if k else 0, step):
        scores = queries[start : start + step] @ rows.T
        top = _highest(scores, k)
        found = np.take_along_axis(scores, top, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        index[start : start + step] = np.take_along_axis(top, order, axis=1)
        cosine[start : start + step] = np.take_along_axis(found, order, axis=1)
    return index, cosine


FOLD = 64
"""Columns of scores that are looked at together."""


def _highest(scores: Vectors, k: int) -> npt.NDArray[np.int64]:
    """[q, k] columns of the k highest scores of each row, in no order.

    Sorting through all columns would take longer than the matrix product that made them. The k highest of a row lie in the
    k groups of columns with the highest maxima, so one pass for the maxima and a look into k groups will do.
    """
    n = scores.shape[1]
    groups = n // FOLD
    if groups <= 4 * k:
        return np.argpartition(scores, n - k, axis=1)[:, -k:]
    # Group g holds the columns g, g + groups, g + 2 groups, ...; the few columns behind them are looked at in any case.
    maxima = scores[:, : groups * FOLD].reshape(len(scores), FOLD, groups).max(axis=1)
    best = np.argpartition(maxima, groups - k, axis=1)[:, -k:]
    inside = (best[:, :, None] + groups * np.arange(FOLD)).reshape(len(scores), -1)
    rest = np.broadcast_to(np.arange(groups * FOLD, n), (len(scores), n - groups * FOLD))
    columns = np.hstack([inside, rest])
    found = np.take_along_axis(scores, columns, axis=1)
    top = np.argpartition(found, found.shape[1] - k, axis=1)[:, -k:]
    return np.take_along_axis(columns, top, axis=1)


def centred(vectors: Vectors, mean: Vectors) -> Vectors:
    """Unit vectors after subtracting `mean` [d].

    Multilingual E5's cosines are squeezed (unrelated Chinese texts reach .9); without the mean they spread over -.2 to 1.
    """
    moved: Any = vectors - mean
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9), dtype=np.float32)
