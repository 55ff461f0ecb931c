"""Words that set a class apart: log-odds with an informative Dirichlet prior (Monroe et al. 2008)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from workbench.records import Sample, by_label
from workbench.text import words

Floats = npt.NDArray[np.float64]
ROWS = 1000
"""Rows of a class that are looked at, evenly spaced: the words of a large class do not need more."""


def keywords(samples: Sequence[Sample], top: int = 8) -> dict[str, list[str]]:
    """Class -> its most telling words, best first.

    Of words that are part of one another one is listed. Words that occur once count only in classes of three rows or fewer.

    The z score of the log-odds of a word (rows that have it) in the class against all other rows; the prior is the word's
    share in all rows, with as much weight as one row has words, so that a rare word of a small class does not lead.
    """
    chosen = {label: rows[:: -(-len(rows) // ROWS)] for label, rows in by_label(samples).items()}
    counts = {label: _counts(rows) for label, rows in chosen.items()}
    whole: Counter[str] = Counter()
    for some in counts.values():
        whole.update(some)
    tiny = {word for label, rows in chosen.items() if len(rows) <= 3 for word in counts[label]}
    names = [word for word, n in whole.items() if n > 1 or word in tiny]
    if not names:
        return {label: [] for label in counts}
    total = np.array([whole[word] for word in names], dtype=np.float64)
    prior = total / total.sum() * max(10.0, total.sum() / sum(len(rows) for rows in chosen.values()))
    found: dict[str, list[str]] = {}
    for label, some in counts.items():
        own = np.array([some[word] for word in names], dtype=np.float64)
        z = _z_scores(own, total - own, prior)
        best = (names[i] for i in np.argsort(-z, kind="stable") if own[i] > 0 and z[i] > 0)
        found[label] = _apart(best, top, some)
    return found


def _counts(rows: Sequence[Sample]) -> Counter[str]:
    return Counter(word for row in rows for word in set(words(row.text)))


def _z_scores(own: Floats, rest: Floats, prior: Floats) -> Floats:
    """[words] log-odds of `own` against `rest` counts, divided by their standard deviation (Monroe et al. 2008, eq. 16-22)."""
    weight = prior.sum()
    # Where there is a single word, nothing else is left to divide by.
    odds = np.log((own + prior) / np.maximum(own.sum() + weight - own - prior, 1e-9))
    odds -= np.log((rest + prior) / np.maximum(rest.sum() + weight - rest - prior, 1e-9))
    z: Floats = odds / np.sqrt(1 / (own + prior) + 1 / (rest + prior))
    return z


def _apart(words_by_score: Iterator[str], top: int, counts: Mapping[str, int]) -> list[str]:
    """The first words that are not part of one another; a longer form that is as frequent takes the shorter's place."""
    kept: list[str] = []
    for word in words_by_score:
        at = next((i for i, other in enumerate(kept) if word in other or other in word), None)
        if at is None:
            if len(kept) == top:
                break
            kept.append(word)
        elif len(word) > len(kept[at]) and counts[word] >= 0.9 * counts[kept[at]]:
            kept = (
                [other for other in kept[:at] if other not in word]
                + [word]
                + [o for o in kept[at + 1 :] if o not in word]
            )
    return kept
