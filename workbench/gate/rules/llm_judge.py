"""Rows that language models score low: only models that tell known right from known wrong labels are heard."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.gate.answers import HIGHEST
from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample


class LlmJudge(Score):
    """10 minus the mean score (1 to 10) that the models in `llm.endpoints` gave the row: `wb gate --ask` asks them.

    Each model is first asked about real rows under their right and under a wrong label. One whose scores do not tell these
    apart (lower end of the AUC's 95 % interval below 0.6) is not heard. Rows that were not asked about pass.
    """

    kind: Literal["llm_judge"] = "llm_judge"
    floor: ClassVar[float] = 2.0

    weight: float = Field(default=4.0, gt=0)
    known: int = Field(default=60, ge=1)
    """Real rows that each model is asked about, under their right and under a wrong label."""
    examples: int = Field(default=3, ge=0)
    """Real rows of the class in the question, the most similar ones."""
    near: int = Field(default=2, ge=0)
    """Nearest other classes in the question, with one real row each."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] 10 - mean score (0 to 9); NaN where no model was asked that is worth hearing."""
        marks = rows.marks.get("llm_judge", {})
        return np.array([HIGHEST - marks.get(sample.id, np.nan) for sample in rows.samples], dtype=np.float32)

    def why(self, sample: Sample, others: Rows) -> str:
        """Always the same."""
        return "low_score"

    def say(self, row: Rows, others: Rows) -> str:
        """The mean score."""
        mark = row.marks.get("llm_judge", {}).get(row.samples[0].id)
        return "" if mark is None else f"the models give it {mark:.3g} of 10"
