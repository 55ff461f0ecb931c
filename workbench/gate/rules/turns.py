"""Rows with far fewer or more turns than the real rows: one utterance is no dialogue, and a dialogue no utterance."""

from typing import ClassVar, Literal

import numpy as np

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample


class Turns(Score):
    """Distance of the log number of turns from the median of the real rows; up to half or twice as many is fine."""

    kind: Literal["turns"] = "turns"
    floor: ClassVar[float] = float(np.log(2)) + 1e-6  # scores are float32: twice the median is not above

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] absolute difference of logs."""
        middle = _median(others)
        return np.array([abs(np.log(max(1, len(s.turns))) - middle) for s in rows.samples], dtype=np.float32)

    def why(self, sample: Sample, others: Rows) -> str:
        """`too_few_turns` or `too_many_turns`."""
        return "too_few_turns" if np.log(max(1, len(sample.turns))) < _median(others) else "too_many_turns"


def _median(others: Rows) -> float:
    counts = [len(sample.turns) for sample in others.samples] or [1]
    return others.once("turns", lambda: float(np.log(max(1.0, float(np.median(counts))))))
