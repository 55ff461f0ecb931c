"""Rows that language models put into another class: several models vote."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample


class LlmLabel(Score):
    """Share of the models in `llm.endpoints` that vote for another class than the row's: `wb gate --ask` asks them.

    Each model chooses among the nearest classes of the row, shown with one real row each in random order, without being told
    the class that the row was written for (PromptMix, Sahu et al. 2023). A model that gives known rows no better labels than
    chance is not heard (see `llm_judge`). Rows that were not asked about, and ties, pass.
    """

    kind: Literal["llm_label"] = "llm_label"
    floor: ClassVar[float] = 0.5

    weight: float = Field(default=4.0, gt=0)
    known: int = Field(default=60, ge=1)
    """Real rows that each model is asked about."""
    near: int = Field(default=5, ge=2)
    """Classes to choose among: the row's own and the nearest others."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] share of the votes that are for another class (0 to 1); NaN where no model voted that is worth hearing."""
        marks = rows.marks.get("llm_label", {})
        return np.array([marks.get(sample.id, np.nan) for sample in rows.samples], dtype=np.float32)

    def why(self, sample: Sample, others: Rows) -> str:
        """Always the same."""
        return "voted_out"

    def say(self, row: Rows, others: Rows) -> str:
        """The share of votes against the class."""
        mark = row.marks.get("llm_label", {}).get(row.samples[0].id)
        return "" if mark is None else f"{mark:.0%} of the models vote for another class"
