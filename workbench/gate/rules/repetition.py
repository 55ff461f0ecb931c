"""Rows that run in circles: a phrase over and over, or the same turn again and again."""

import re
from typing import ClassVar, Literal

import numpy as np

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample

_AGAIN = re.compile(r"(.{1,40}?)\1{2,}", re.DOTALL)
GRAM = 8
"""Characters of a run that counts as said before."""


class Repetition(Score):
    """Share of the text that repeats what it said before (0 to 1): the largest of three measures.

    Characters in a unit that stands three times in a row or more; turns that were said before; runs of eight characters that
    occurred before. Up to a fifth is fine.
    """

    kind: Literal["repetition"] = "repetition"
    floor: ClassVar[float] = 0.2

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] share that is repetition."""
        return np.array([_repeated(sample) for sample in rows.samples], dtype=np.float32)


def _repeated(sample: Sample) -> float:
    text = "\n".join(turn.text for turn in sample.turns)[:4000]
    in_a_row = sum(
        len(found.group(0)) - len(found.group(1))
        for found in _AGAIN.finditer(text)
        # 1000000 and a row of dots are no loop; "hello hello hello" in a telephone call is none either.
        if any(char.isalpha() for char in found.group(1))
    )
    turns = [turn.text.strip() for turn in sample.turns if len(turn.text.strip()) >= GRAM]
    grams = [text[i : i + GRAM] for i in range(len(text) - GRAM + 1)]
    return max(
        in_a_row / max(2 * GRAM, len(text)),
        1 - len(set(turns)) / len(turns) if len(turns) > 2 else 0.0,
        1 - len(set(grams)) / len(grams) if grams else 0.0,
    )
