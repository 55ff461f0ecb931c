"""Which texts are nearly the same, and which vectors are near: exact searches in blocks, no index to go stale."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.text import normal

Vectors = npt.NDArray[np.float32]
BLOCK = 1024


def ratio(left: str, right: str) -> float:
    """Character similarity of two texts, 0 to 1, blind to width, case, punctuation and space (rapidfuzz indel ratio)."""
    from rapidfuzz import fuzz

    return float(fuzz.ratio(normal(left), normal(right))) / 100


def near_duplicates(texts: Sequence[str], threshold: float = 0.9) -> list[tuple[int, int, float]]:
    """All pairs (i, j, score) with i < j whose character ratio is at least `threshold` (0 to 1).

    Exact: every pair whose lengths allow the ratio is compared; about 70 million pairs a second on two cores.
    """
    return [(min(i, j), max(i, j), score) for i, j, score in _pairs(texts, texts, threshold) if i < j]


def cross_duplicates(left: Sequence[str], right: Sequence[str], threshold: float = 0.9) -> list[tuple[int, int, float]]:
    """All pairs (index in left, index in right, score) whose character ratio is at least `threshold` (0 to 1)."""
    return list(_pairs(left, right, threshold))


def _pairs(left: Sequence[str], right: Sequence[str], threshold: float) -> Iterator[tuple[int, int, float]]:
    """Compare blocks of like length: a ratio of t needs the shorter text to have t / (2 - t) of the longer's length."""
    from rapidfuzz import fuzz, process

    a, order_a = _by_length(left)
    b, order_b = _by_length(right)
    lengths = np.array([len(text) for text in b])
    least = threshold / (2 - threshold)
    for start in range(0, len(a), BLOCK):
        block = a[start : start + BLOCK]
        low = int(np.searchsorted(lengths, len(block[0]) * least, "left"))
        high = int(np.searchsorted(lengths, len(block[-1]) / least, "right"))
        for first in range(low, high, 16 * BLOCK):
            some = b[first : min(high, first + 16 * BLOCK)]
            scores = process.cdist(
                block, some, scorer=fuzz.ratio, score_cutoff=threshold * 100, dtype=np.float32, workers=-1
            )
            for i, j in zip(*np.nonzero(scores), strict=True):
                yield order_a[start + i], order_b[first + j], float(scores[i, j]) / 100


def _by_length(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    forms = [normal(text) for text in texts]
    order = sorted(range(len(forms)), key=lambda i: len(forms[i]))
    return [forms[i] for i in order], order


def groups(pairs: Sequence[tuple[int, int, float]], n: int) -> list[int]:
    """Connected components: for each of `n` items the smallest index that it is linked to through `pairs`."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, columns = [i for i, _, _ in pairs], [j for _, j, _ in pairs]
    graph = coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    first: dict[int, int] = {}
    return [first.setdefault(int(c), i) for i, c in enumerate(component)]


def nearest(queries: Vectors, rows: Vectors, k: int = 1) -> tuple[npt.NDArray[np.int64], Vectors]:
    """The k nearest rows of each query by cosine: indices [q, k] and cosines [q, k], best first.

    Both arrays hold unit vectors, [q, d] and [n, d]; k is at most n. Memory is bounded by blocks of 1,024 queries.
    """
    k = min(k, len(rows))
    index = np.empty((len(queries), k), dtype=np.int64)
    cosine = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ rows.T
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(scores, top, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        index[start : start + BLOCK] = np.take_along_axis(top, order, axis=1)
        cosine[start : start + BLOCK] = np.take_along_axis(found, order, axis=1)
    return index, cosine


def centred(vectors: Vectors, mean: Vectors) -> Vectors:
    """Unit vectors after subtracting `mean` [d].

    Multilingual E5's cosines are squeezed (unrelated Chinese texts reach .9); without the mean they spread over -.2 to 1.
    """
    moved: Any = vectors - mean
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9), dtype=np.float32)
