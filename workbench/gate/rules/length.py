"""Rows far shorter or longer than the real rows of their class."""

from typing import ClassVar, Literal

import numpy as np

from workbench.gate.base import POOLED, Floats, Rows, Score
from workbench.records import Sample, by_label


class Length(Score):
    """Distance of the log length (characters) from the class's median; small classes share the median of all rows.

    Up to half or twice the median is fine, however alike the real rows are.
    """

    kind: Literal["length"] = "length"
    floor: ClassVar[float] = float(np.log(2)) + 1e-6  # scores are float32: twice the median is not above
    min_chars: int = 2
    """Shorter rows go in any case."""
    max_chars: int = 0
    """Longer rows go in any case; 0 for no bound, as dialogues may be long."""
    own_median: int = 20
    """Real rows that a class needs for a median of its own."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] absolute difference of log lengths; infinite outside the hard bounds."""
        medians = self._medians(others)
        lengths = np.array([_log_length(sample) for sample in rows.samples])
        middle = np.array([medians.get(sample.label, medians[POOLED]) for sample in rows.samples])
        most = np.log(self.max_chars) if self.max_chars > 0 else np.inf
        outside = (lengths < np.log(max(1, self.min_chars))) | (lengths > most)
        return np.where(outside, np.inf, np.abs(lengths - middle)).astype(np.float32)

    def why(self, sample: Sample, others: Rows) -> str:
        """`too_short` or `too_long`."""
        medians = self._medians(others)
        return "too_short" if _log_length(sample) < medians.get(sample.label, medians[POOLED]) else "too_long"

    def _medians(self, others: Rows) -> dict[str, float]:
        groups = {label: rows for label, rows in by_label(others.samples).items() if len(rows) >= self.own_median}
        groups[POOLED] = list(others.samples)
        return {
            label: float(np.median([_log_length(s) for s in rows])) if rows else np.nan
            for label, rows in groups.items()
        }


def _log_length(sample: Sample) -> float:
    return float(np.log(max(1, sum(len(turn.text) for turn in sample.turns))))
