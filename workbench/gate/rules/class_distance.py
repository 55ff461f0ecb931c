"""Rows that are like no real row of their class: another topic, or no row at all."""

from typing import Literal

import numpy as np
from pydantic import Field

from workbench.gate.base import Floats, Rows, Score
from workbench.gate.own_class import own_and_other


class ClassDistance(Score):
    """1 - cosine to the nearest real row of the class (0 to 2), in sentence vectors centred on the real rows."""

    kind: Literal["class_distance"] = "class_distance"
    known_rows: int = Field(default=3, ge=1)
    """Real rows that a class needs: of fewer, nobody knows how far apart its rows lie."""

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] 1 - cosine; NaN where the class has too few real rows."""
        own, _ = own_and_other(rows, others, self.known_rows)
        return (1 - own).astype(np.float32)
