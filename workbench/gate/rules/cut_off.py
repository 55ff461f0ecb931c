"""Rows that break off in the middle, as replies do that hit a length limit."""

from typing import Any, ClassVar, Literal, cast

import numpy as np

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample, digest

CUTS = 5
"""Places in each real row that are shown to the model as examples of breaking off."""
FOLDS = 5
ROWS = 4000
"""Real rows that the model learns from, evenly spaced."""
_MARKS = frozenset("，。？！；：、,.?!;: ")


class CutOff(Score):
    """Log-odds that a row ends in the middle rather than at an end: by its last characters, its length and punctuation.

    A logistic regression learns from the real rows: their ends, and random places inside them. Real rows are scored by a
    model that had not seen them.
    """

    kind: Literal["cut_off"] = "cut_off"
    floor: ClassVar[float] = 0.0
    least: int = 30
    """Real rows needed to learn how rows end; with fewer the rule is silent."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] log-odds of the middle against the end; NaN with too few real rows."""
        if not len(others) or len(others) < self.least:
            return np.full(len(rows), np.nan, np.float32)
        real = others.once("cut_off.real", lambda: _out_of_fold(others))
        if rows is others:
            return real
        model = others.once("cut_off", lambda: _fit([_text(s) for s in others.samples[:: max(1, len(others) // ROWS)]]))
        found = _odds(model, [_text(sample) for sample in rows.samples])
        place = others.once("cut_off.place", lambda: {row: i for i, row in enumerate(others.ids)})
        for i, row in enumerate(rows.ids):  # one real row alone, as when it is explained
            if row in place:
                found[i] = real[place[row]]
        return found


def _text(sample: Sample) -> str:
    return "\n".join(turn.text.strip() for turn in sample.turns).strip()


def _out_of_fold(rows: Rows) -> Floats:
    texts = [_text(sample) for sample in rows.samples]
    # By text, so that copies of a row share a fold.
    fold = np.array([int(digest(text), 16) % FOLDS for text in texts])
    found = np.full(len(texts), np.nan, np.float32)
    for k in range(FOLDS):
        held, seen = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        if len(held) and len(seen):
            chosen = seen[:: max(1, len(seen) // ROWS)]
            found[held] = _odds(_fit([texts[i] for i in chosen]), [texts[i] for i in held])
    return found


def _fit(texts: list[str]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    cuts = [text[:at] for text in texts for at in _places(text)]
    model = LogisticRegression(C=1.0, max_iter=300, class_weight="balanced")
    if not cuts:
        return None
    with threadpool_limits(1):
        return model.fit(_features([*texts, *cuts]), [0] * len(texts) + [1] * len(cuts))


def _places(text: str) -> list[int]:
    """Places inside a text, drawn from its own hash: the same text is always cut alike."""
    if len(text) < 4:
        return []
    random = np.random.default_rng(int(digest(text), 16))
    return [int(at) for at in random.integers(1, len(text), size=CUTS)]


def _features(texts: list[str]) -> Any:
    from sklearn.feature_extraction import FeatureHasher

    return FeatureHasher(2**14, input_type="string").transform(_ending(text) for text in texts)


def _ending(text: str) -> list[str]:
    """The last characters, and whether the row ends as it is punctuated elsewhere: one that has commas ends with a stop."""
    *before, turn = text.split("\n")
    end = _form(turn[-1:])
    marks = sum(char in _MARKS for char in turn[:-1])
    return [f"{n}:{text[-n:]}" for n in range(1, 5)] + [
        f"end:{end}",
        f"before:{_form(before[-1][-1:]) if before else 'none'}:{end}",
        f"marks:{min(marks, 2)}:{end}",
        f"row marks:{min(sum(char in _MARKS for char in text[:-1]), 2)}:{end}",
        f"turn:{min(len(turn) // 10, 8)}:{end}",
        f"turns:{len(before)}",
        f"length:{int(2 * np.log2(len(text) + 1))}",
    ]


def _form(last: str) -> str:
    return "none" if not last else "letter" if last.isalpha() else "digit" if last.isdigit() else "mark"


def _odds(model: Any, texts: list[str]) -> Floats:
    if model is None or not texts:
        return np.full(len(texts), np.nan, np.float32)
    return cast(Floats, model.decision_function(_features(texts)).astype(np.float32))
