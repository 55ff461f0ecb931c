"""Words that a model leans on: over-used in its accepted rows compared with the real rows of the class (Cegin et al., ACL 2024)."""

from collections import Counter
from collections.abc import Sequence
from math import log, sqrt

from workbench.text import words

CERTAIN = 2.0
"""Standard errors by which the log odds of a word must differ: a few rows forbid nothing."""
LEAST = 5
"""Rows that must have the word."""
ORDINARY = 0.2
"""A word that this share of the real rows has belongs to the class, however often the model says it."""


def taboo_words(synthetic: Sequence[str], real: Sequence[str], most: int) -> list[str]:
    """At most `most` words, most over-used first.

    What is compared is the share of rows with the word, by the z score of the log odds ratio with one half added to every count
    (Haldane and Anscombe), so that a word which no real row has can be judged too. A word that is part of a listed one is left out.
    """
    if not most or not synthetic:
        return []
    ours, theirs = _rows_with(synthetic), _rows_with(real)
    scores = {
        word: _z(n, len(synthetic), theirs[word], len(real))
        for word, n in ours.items()
        if n >= LEAST and theirs[word] <= ORDINARY * len(real)
    }
    kept: list[str] = []
    for word in sorted(scores, key=lambda word: (-scores[word], -len(word), word)):
        if scores[word] < CERTAIN or len(kept) == most:
            break
        if not any(word in other or other in word for other in kept):
            kept.append(word)
    return kept


def _rows_with(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in set(words(text)))


def _z(ours: int, our_rows: int, theirs: int, their_rows: int) -> float:
    cells = [n + 0.5 for n in (ours, our_rows - ours, theirs, their_rows - theirs)]
    return log(cells[0] * cells[3] / (cells[1] * cells[2])) / sqrt(sum(1 / n for n in cells))
