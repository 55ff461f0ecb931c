"""Rows in another language than the real rows, in the same script: French among English, pinyin among English words."""

from collections import Counter
from typing import ClassVar, Literal

import numpy as np

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample

ROWS = 500
"""Real rows that are asked for their language, evenly spaced."""


class Language(Score):
    """Log-odds of the most likely other language against that of most real rows (py3langid, 97 languages)."""

    kind: Literal["language"] = "language"
    floor: ClassVar[float] = 0.0

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] log-odds in nats; NaN where a row has no letters."""
        usual = others.once("language", lambda: _usual(others))
        return np.array([_odds(sample, usual) for sample in rows.samples], dtype=np.float32)


def _usual(others: Rows) -> str:
    some = others.samples[:: max(1, len(others) // ROWS)]
    votes = Counter(_ranked(sample)[0][0] for sample in some if _has_letters(sample))
    return votes.most_common(1)[0][0] if votes else ""


def _odds(sample: Sample, usual: str) -> float:
    if not usual or not _has_letters(sample):
        return float("nan")
    ranked = _ranked(sample)
    own = next(score for name, score in ranked if name == usual)
    return float(next(score for name, score in ranked if name != usual) - own)


def _ranked(sample: Sample) -> list[tuple[str, float]]:
    import py3langid

    text = " ".join(turn.text for turn in sample.turns)
    return [(str(name), float(score)) for name, score in py3langid.rank(text.encode("utf-8", "replace").decode())]


def _has_letters(sample: Sample) -> bool:
    return any(char.isalpha() for turn in sample.turns for char in turn.text)
