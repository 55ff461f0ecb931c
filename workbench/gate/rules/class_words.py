"""Rows without any of the words that set their class apart: mined from the real rows."""

from typing import Literal

import numpy as np
from pydantic import Field

from workbench.gate.base import Floats, Rows, Score
from workbench.keywords import keywords
from workbench.text import normal


class ClassWords(Score):
    """1 / (1 + how many of the class's telling words the row has), 1 where it has none.

    The words are those of the diagnosis (log-odds with a Dirichlet prior, Monroe et al. 2008). Where many real rows have none
    of them either, calibration leaves the threshold at 1 and the rule drops nothing.
    """

    kind: Literal["class_words"] = "class_words"
    top: int = Field(default=12, ge=1)
    """Most telling words of each class."""
    known_rows: int = Field(default=10, ge=1)
    """Real rows that a class needs before its words are trusted."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] between 0 and 1; NaN where the class has too few real rows."""
        mined = others.once(("words", self.top, self.known_rows), lambda: self._mined(others))
        found = np.full(len(rows), np.nan, np.float32)
        for i, (name, text) in enumerate(zip(rows.names, rows.texts, strict=True)):
            if words := mined.get(name):
                found[i] = 1 / (1 + sum(word in text for word in words))
        return found

    def _mined(self, others: Rows) -> dict[str, list[str]]:
        labels, counts = np.unique(others.names.astype(str), return_counts=True)
        enough = {str(label) for label, n in zip(labels, counts, strict=True) if n >= self.known_rows}
        mined = keywords(others.samples, self.top)
        return {label: [normal(word) for word in words] for label, words in mined.items() if label in enough}
