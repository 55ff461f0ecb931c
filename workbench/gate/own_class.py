"""Cosines of rows to the nearest real row of their own class and of any other. Several rules ask for them."""

from collections import Counter

import numpy as np

from workbench.gate.base import Floats, Rows
from workbench.similarity import CELLS


def own_and_other(rows: Rows, others: Rows, class_rows: int) -> tuple[Floats, Floats]:
    """([n], [n]) highest cosine to another row of the own class, and to a row of any other class.

    NaN where the own class has fewer than `class_rows` rows among `others`, or where there is no other class.
    """
    return (
        others.once(("own_and_other", id(rows), class_rows), lambda: _compute(rows, others, class_rows))
        if (rows is others)
        else _compute(rows, others, class_rows)
    )


def _compute(rows: Rows, others: Rows, class_rows: int) -> tuple[Floats, Floats]:
    own = np.full(len(rows), np.nan, np.float32)
    other = np.full(len(rows), np.nan, np.float32)
    counts = Counter(others.names.tolist())
    step = max(1, CELLS // max(1, len(others)))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        cosines = rows.vectors[start:stop] @ others.vectors.T
        itself = rows.ids[start:stop, None] == others.ids[None, :]
        same = rows.names[start:stop, None] == others.names[None, :]
        enough = np.array([counts[name] >= class_rows for name in rows.names[start:stop]], dtype=bool)
        best = np.where(same & ~itself, cosines, -np.inf).max(axis=1, initial=-np.inf)
        rest = np.where(~same, cosines, -np.inf).max(axis=1, initial=-np.inf)
        own[start:stop] = np.where(enough & np.isfinite(best), best, np.nan)
        other[start:stop] = np.where(enough & np.isfinite(rest), rest, np.nan)
    return own, other
