"""How varied rows are, and how much of the real rows they cover. Texts and vectors in, numbers out.

Distinct-n, pair likeness and the Vendi score depend on the number of rows: compare sets of the same size.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from workbench.similarity import Vectors, nearest
from workbench.text import normal

PAIRED = 2000
"""Rows whose pairs are compared character by character, evenly spaced where there are more."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """Measures of one set of rows. Where there are too few rows for a measure it is None."""

    rows: int
    distinct_1: float | None
    """Different units over all units: characters of Chinese rows, words of others (Li et al. 2016)."""
    distinct_2: float | None
    """The same of two in succession within a row."""
    likeness: float | None
    """Mean character ratio over all pairs of rows (rapidfuzz, indel): 0 for nothing in common, 1 for copies."""
    vendi: float | None
    """As how many rows that have nothing in common they are varied (Friedman and Dieng 2023, Vendi score of the cosine)."""

    def json(self) -> dict[str, float | int | None]:
        """The form that `--json` prints."""
        return asdict(self)


def diversity(texts: Sequence[str], vectors: Vectors, language: str) -> Diversity:
    """Measure rows.

    Args:
        texts: the rows.
        vectors: [n, d] their unit vectors.
        language: `zh` for characters, anything else for words.
    """
    units = [_units(text, language) for text in texts]
    return Diversity(len(texts), distinct(units, 1), distinct(units, 2), likeness(texts), vendi(vectors))


def distinct(rows: Sequence[Sequence[str]], n: int) -> float | None:
    """Different n-grams of units over all of them; none reaches beyond its row."""
    grams = Counter(tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1))
    return len(grams) / grams.total() if grams else None


def likeness(texts: Sequence[str]) -> float | None:
    """Mean character ratio of all pairs, blind to width, case, punctuation and space."""
    from rapidfuzz import fuzz, process

    forms = [normal(text) for text in texts[:: -(-len(texts) // PAIRED) or 1]]
    if len(forms) < 2:
        return None
    total = 0.0
    for i in range(0, len(forms), 256):
        total += float(process.cdist(forms[i : i + 256], forms, scorer=fuzz.ratio, dtype=np.float32).sum())
    itself = 100.0 * len(forms)
    return (total - itself) / 100 / (len(forms) * (len(forms) - 1))


def vendi(vectors: Vectors) -> float | None:
    """Exponential of the entropy of the eigenvalues of K / n, where K [n, n] holds the cosines of unit vectors [n, d].

    The eigenvalues are those of the d x d matrix X'X / n, which is the smaller one for many rows.
    """
    n, d = vectors.shape
    if not n:
        return None
    rows = vectors.astype(np.float64)
    matrix = (rows.T @ rows if d < n else rows @ rows.T) / n
    values = np.linalg.eigvalsh(matrix)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def coverage(vectors: Vectors, real: Vectors) -> float | None:
    """Share of real rows whose nearest row of `vectors` is within the median distance of a real row to its nearest other one.

    Both hold unit vectors, [n, d] and [m, d]; distance is one minus cosine. None where there are fewer than two real rows.
    """
    if len(real) < 2:
        return None
    if not len(vectors):
        return 0.0
    among = nearest(real, real, k=2)[1][:, 1]  # the best is the row itself, or a copy of it
    found = nearest(real, vectors)[1][:, 0]
    return float((found >= np.median(among) - 1e-6).mean())


def _units(text: str, language: str) -> list[str]:
    return list(normal(text)) if language == "zh" else text.casefold().split()
