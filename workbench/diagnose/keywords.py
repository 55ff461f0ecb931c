"""Words that set a class apart: log-odds with an informative Dirichlet prior (Monroe et al. 2008)."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from workbench.records import Sample, by_label
from workbench.text import han_share

_WORD = re.compile(r"[^\W_]+(?:'\w+)?")


def keywords(samples: Sequence[Sample], top: int = 8) -> dict[str, list[str]]:
    """Class -> its most telling words, best first: jieba words for Chinese, else what stands between spaces.

    The z score of the log-odds of a word in the class against all other rows; the prior is the word's share in all rows,
    with as much weight as one row has words, so that a rare word of a small class does not lead.
    """
    counts = {
        label: Counter(w for row in rows for w in set(words(row.text))) for label, rows in by_label(samples).items()
    }
    whole: Counter[str] = Counter()
    for some in counts.values():
        whole.update(some)
    names = [word for word, n in whole.items() if n > 1]
    if not names:
        return {label: [] for label in counts}
    total = np.array([whole[word] for word in names], dtype=np.float64)
    prior = total / total.sum() * max(10.0, total.sum() / len(samples))
    found: dict[str, list[str]] = {}
    for label, some in counts.items():
        own = np.array([some[word] for word in names], dtype=np.float64)
        rest = total - own
        odds = np.log((own + prior) / (own.sum() + prior.sum() - own - prior))
        odds -= np.log((rest + prior) / (rest.sum() + prior.sum() - rest - prior))
        z = odds / np.sqrt(1 / (own + prior) + 1 / (rest + prior))
        found[label] = [names[i] for i in np.argsort(-z, kind="stable")[:top] if own[i] > 0 and z[i] > 0]
    return found


def words(text: str) -> list[str]:
    """Words of at least two characters (Chinese) or letters."""
    if han_share(text) > 0.3:
        import jieba

        jieba.setLogLevel(60)
        return [word for word in jieba.cut(text) if len(word) > 1 and _WORD.fullmatch(word)]
    return [word.lower() for word in _WORD.findall(text) if len(word) > 1]
