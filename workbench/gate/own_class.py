"""Cosines of rows to the nearest real row of their own class and of any other. Several rules ask for them."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from workbench.gate.base import Floats, Rows
from workbench.similarity import CELLS

Ints = npt.NDArray[np.int64]


def own_and_other(rows: Rows, others: Rows, class_rows: int) -> tuple[Floats, Floats]:
    """([n], [n]) highest cosine to another row of the own class, and to a row of any other class.

    NaN where the own class has fewer than `class_rows` rows among `others`, or where there is no other class.
    """
    if rows is others:
        return others.once(("own_and_other", class_rows), lambda: _compute(rows, others, class_rows))
    return _compute(rows, others, class_rows)


def _compute(rows: Rows, others: Rows, class_rows: int) -> tuple[Floats, Floats]:
    own = np.full(len(rows), np.nan, np.float32)
    other = np.full(len(rows), np.nan, np.float32)
    counts = Counter(others.names.tolist())
    # Numbers are compared in bulk, names and ids one by one.
    mine, theirs = _codes(rows.names, others.names)
    my_id, their_id = _codes(rows.ids, others.ids)
    step = max(1, CELLS // max(1, len(others)))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        cosines = rows.vectors[start:stop] @ others.vectors.T
        itself = my_id[start:stop, None] == their_id[None, :]
        same = mine[start:stop, None] == theirs[None, :]
        enough = np.array([counts[name] >= class_rows for name in rows.names[start:stop]], dtype=bool)
        best = np.where(same & ~itself, cosines, -np.inf).max(axis=1, initial=-np.inf)
        rest = np.where(~same, cosines, -np.inf).max(axis=1, initial=-np.inf)
        own[start:stop] = np.where(enough & np.isfinite(best), best, np.nan)
        other[start:stop] = np.where(enough & np.isfinite(rest), rest, np.nan)
    return own, other


def _codes(left: npt.NDArray[np.object_], right: npt.NDArray[np.object_]) -> tuple[Ints, Ints]:
    """Numbers for the values of both, equal where the values are."""
    known: dict[object, int] = {}
    return (
        np.array([known.setdefault(value, len(known)) for value in left], dtype=np.int64),
        np.array([known.setdefault(value, len(known)) for value in right], dtype=np.int64),
    )
