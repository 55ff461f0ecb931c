"""How synthetic rows differ from real ones: length, variety, likeness to each other, coverage."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.records import Sample
from workbench.similarity import Vectors, nearest


@dataclass(frozen=True, slots=True)
class TextStats:
    """One column of the comparison."""

    rows: int
    length: tuple[float, float, float]
    """Characters: 10 %, 50 % and 90 % quantile."""
    distinct_1: float
    """Different characters per character (Li et al. 2016), over equally many characters on both sides."""
    distinct_2: float
    """Different character pairs per pair, likewise."""
    self_similarity: float
    """Mean cosine to the nearest other row of the same group; high: the rows repeat each other."""
    coverage: float
    """Share of the other group's rows that have a row of this group as near as their own nearest neighbour's median."""


def compare_texts(
    real: Sequence[Sample], synthetic: Sequence[Sample], real_vectors: Vectors, synthetic_vectors: Vectors
) -> tuple[TextStats, TextStats]:
    """Statistics of real and of synthetic rows; vectors are [n, d] unit vectors, centred. Neither side may be empty."""
    budget = min(sum(len(s.text) for s in real), sum(len(s.text) for s in synthetic))
    radius = float(np.median(_own(real_vectors)))
    return (
        _stats(real, real_vectors, synthetic_vectors, budget, radius),
        _stats(synthetic, synthetic_vectors, real_vectors, budget, radius),
    )


def _stats(rows: Sequence[Sample], own: Vectors, other: Vectors, budget: int, radius: float) -> TextStats:
    lengths = [len(sample.text) for sample in rows]
    q10, q50, q90 = np.quantile(lengths, [0.1, 0.5, 0.9]).tolist()
    order = np.random.default_rng(0).permutation(len(rows))
    text = "\n".join(rows[i].text for i in order)[:budget]
    reached = nearest(other, own)[1][:, 0] if len(other) and len(own) else np.zeros(0)
    return TextStats(
        len(rows),
        (q10, q50, q90),
        _distinct(text, 1),
        _distinct(text, 2),
        float(_own(own).mean()),
        float((reached >= radius).mean()) if len(reached) else 0.0,
    )


def _own(vectors: Vectors) -> Vectors:
    """[n] cosine of each row to its nearest other row; 0 for a single row."""
    if len(vectors) < 2:
        return np.zeros(1, dtype=np.float32)
    return nearest(vectors, vectors, 2)[1][:, 1]


def _distinct(text: str, n: int) -> float:
    grams = Counter(text[i : i + n] for i in range(len(text) - n + 1))
    total = sum(grams.values())
    return len(grams) / total if total else 0.0
