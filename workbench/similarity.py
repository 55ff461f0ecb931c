"""Which texts are nearly the same, and which vectors are near: exact searches in blocks, no index to go stale."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from workbench.text import normal

Vectors = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Pair = tuple[int, int, float]
Found = tuple[Ints, Ints, npt.NDArray[np.float64]]
"""Pairs as three arrays: left index, right index, score (0 to 1)."""
ROWS, COLUMNS = 256, 2048
"""Texts compared at a time: what they leave behind stays in the processor's cache."""
CELLS = 1 << 24
"""Cosines held at once (64 MB)."""
LINKS = 1 << 20
"""Links between texts held at once."""


def ratio(left: str, right: str) -> float:
    """Character similarity of two texts, 0 to 1, blind to width, case, punctuation and space (rapidfuzz indel ratio)."""
    from rapidfuzz import fuzz

    return float(fuzz.ratio(normal(left), normal(right))) / 100


def near_duplicates(texts: Sequence[str], threshold: float = 0.9) -> list[Pair]:
    """All pairs (i, j, score) with i < j whose `ratio` is at least `threshold` (above 0, up to 1), in order.

    Exact, and as long as the answer: 1,000 copies of one text are half a million pairs. `near_groups` does not list them.
    """
    forms, members = _forms(texts)
    pairs = [(i, j, 1.0) for same in members for at, i in enumerate(same) for j in same[at + 1 :]]
    for a, b, scores in _join(forms, None, threshold):
        for left, right, score in zip(a.tolist(), b.tolist(), scores.tolist(), strict=True):
            pairs += [(min(i, j), max(i, j), score) for i in members[left] for j in members[right]]
    return sorted(pairs)


def near_groups(texts: Sequence[str], threshold: float = 0.9) -> list[int]:
    """For each text the smallest index that it hangs together with through pairs of at least `threshold` (above 0, up to 1).

    The same as `groups(near_duplicates(texts, threshold), len(texts))`, in memory that grows with the texts only.
    """
    forms, members = _forms(texts)
    component = np.arange(len(forms))
    found: list[tuple[Ints, Ints]] = []
    for a, b, _ in _join(forms, None, threshold):
        found.append((a, b))
        if sum(len(some) for some, _ in found) > LINKS:
            component, found = _merged(component, found), []
    component = _merged(component, found)
    first: dict[int, int] = {}
    answer = [0] * len(texts)
    for i, form in sorted((i, form) for form, same in enumerate(members) for i in same):
        answer[i] = first.setdefault(int(component[form]), i)
    return answer


def cross_duplicates(left: Sequence[str], right: Sequence[str], threshold: float = 0.9) -> list[Pair]:
    """All pairs (index in left, index in right, score) whose `ratio` is at least `threshold` (above 0, up to 1), in order."""
    forms_a, members_a = _forms(left)
    forms_b, members_b = _forms(right)
    pairs: list[Pair] = []
    for a, b, scores in _join(forms_a, forms_b, threshold):
        for one, other, score in zip(a.tolist(), b.tolist(), scores.tolist(), strict=True):
            pairs += [(i, j, score) for i in members_a[one] for j in members_b[other]]
    return sorted(pairs)


def _forms(texts: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Different normal forms, shortest first, and the indices of the texts that have each."""
    members: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        members.setdefault(normal(text), []).append(i)
    forms = sorted(members, key=len)
    return forms, [members[form] for form in forms]


def _join(left: list[str], right: list[str] | None, threshold: float) -> Iterator[Found]:
    """Pairs of forms at least `threshold` alike, block by block; without `right` pairs within `left`, each once.

    Exact. A ratio of t allows (1 - t)(m + n) insertions and deletions between texts of m and n characters, so that

    - the shorter has at least t / (2 - t) of the longer's length: blocks of like length are compared;
    - no more bits of their signatures differ: one exclusive-or and count, a nanosecond or so, stands before the real comparison.
    """
    others = left if right is None else right
    lengths = np.array([len(form) for form in others])
    least = threshold / (2 - threshold)
    for start in range(0, len(left), ROWS):
        rows = left[start : start + ROWS]
        low = start if right is None else int(np.searchsorted(lengths, len(rows[0]) * least - 1e-6, "left"))
        high = int(np.searchsorted(lengths, len(rows[-1]) / least + 1e-6, "right"))
        words = 1 if len(rows[-1]) <= 16 else 4 if len(rows[-1]) <= 80 else 16
        signs = _signatures(rows, words)
        most = np.array([(1 - threshold) * (len(form) + len(form) / least) for form in rows]) + 1e-6
        for first in range(low, high, COLUMNS):
            columns = others[first : min(high, first + COLUMNS)]
            i, j = np.nonzero(_differing(signs, _signatures(columns, words)) <= most[:, None])
            if right is None:
                ahead = first + j > start + i
                i, j = i[ahead], j[ahead]
            scores = _ratios([rows[at] for at in i], [columns[at] for at in j], threshold)
            kept = scores > 0
            if kept.any():
                yield start + i[kept], first + j[kept], scores[kept]


def _ratios(left: list[str], right: list[str], threshold: float) -> npt.NDArray[np.float64]:
    """Ratio (0 to 1) of each pair, 0 where it is below the threshold."""
    from rapidfuzz import fuzz, process

    cutoff = threshold * 100 - 1e-6  # a little less, so that rounding loses no pair on the border
    found = process.cpdist(left, right, scorer=fuzz.ratio, score_cutoff=cutoff, dtype=np.float64) / 100
    return cast(npt.NDArray[np.float64], np.where(found >= threshold, found, 0.0))


def _signatures(forms: Sequence[str], words: int) -> npt.NDArray[np.uint64]:
    """[n, words]: a bit for each character, told from its repetitions, at a hashed place.

    Adding or removing one character of a text changes at most one bit.
    """
    chars = np.frombuffer("".join(forms).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    rows = np.repeat(np.arange(len(forms), dtype=np.uint64), [len(form) for form in forms])
    keys = np.sort(rows << np.uint64(21) | chars)
    at = np.arange(len(keys), dtype=np.uint64)
    begins = np.r_[True, keys[1:] != keys[:-1]] if len(keys) else np.zeros(0, bool)
    nth = at - np.maximum.accumulate(np.where(begins, at, np.uint64(0)))
    char = keys & np.uint64((1 << 21) - 1)
    place = ((char + nth * np.uint64(0x9E37_79B1)) * np.uint64(0x85EB_CA6B) >> np.uint64(12)) % np.uint64(64 * words)
    bits = np.zeros((len(forms), 64 * words), dtype=bool)
    bits[keys >> np.uint64(21), place] = True
    return np.packbits(bits, axis=1).view(np.uint64)


def _differing(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    """[m, n] bits that differ."""
    total = np.zeros((len(left), len(right)), dtype=np.uint16)
    for word in range(left.shape[1]):
        total += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return total


def groups(pairs: Sequence[Pair], n: int) -> list[int]:
    """Connected components: for each of `n` items the smallest index that it is linked to through `pairs`."""
    links = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    component = _merged(np.arange(n), [(links[:, 0], links[:, 1])])
    first: dict[int, int] = {}
    return [first.setdefault(int(c), i) for i, c in enumerate(component)]


def _merged(component: Ints, links: Sequence[tuple[Ints, Ints]]) -> Ints:
    """Numbers of components after joining those that the links connect."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(component)
    if not n or not links:
        return component
    rows = np.concatenate([component[a] for a, _ in links])
    columns = np.concatenate([component[b] for _, b in links])
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    _, joined = connected_components(graph, directed=False)
    return cast(Ints, joined.astype(np.int64)[component])


def nearest(queries: Vectors, rows: Vectors, k: int = 1) -> tuple[Ints, Vectors]:
    """The k nearest rows of each query by cosine: indices [q, k] and cosines [q, k], best first.

    Both arrays hold unit vectors, [q, d] and [n, d]; k is at most n. Memory is bounded: 16 million cosines at a time.
    """
    k = min(k, len(rows))
    index = np.empty((len(queries), k), dtype=np.int64)
    cosine = np.empty((len(queries), k), dtype=np.float32)
    if not k:
        return index, cosine
    block = max(1, CELLS // len(rows))
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ rows.T
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(scores, top, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        index[start : start + block] = np.take_along_axis(top, order, axis=1)
        cosine[start : start + block] = np.take_along_axis(found, order, axis=1)
    return index, cosine


def centred(vectors: Vectors, mean: Vectors) -> Vectors:
    """Unit vectors after subtracting `mean` [d].

    Multilingual E5's cosines are squeezed (unrelated Chinese texts reach .9); without the mean they spread over -.2 to 1.
    """
    moved: Any = vectors - mean
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9), dtype=np.float32)
