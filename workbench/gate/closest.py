"""The most similar other row of each row: sentence vectors find it, characters verify it. Several rules ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.gate.base import Floats, Rows
from workbench.similarity import nearest

MANY = 10_000
FINDS = 4
"""Neighbours by cosine whose characters are compared."""


@dataclass(frozen=True, slots=True)
class Closest:
    """The most similar other row of each row."""

    ratio: Floats
    """[n] character ratio (rapidfuzz indel, 0 to 1, blind to width, case and punctuation), infinite for an equal text, 0
    where there is no other row."""
    index: npt.NDArray[np.int64]
    """[n] which of the others; -1 where there is none."""


def closest(rows: Rows, others: Rows, *, same_class: bool = False) -> Closest:
    """The most similar of `others` with another id, for each row; of the same class only, where asked."""
    ratio, index = np.zeros(len(rows), np.float32), np.full(len(rows), -1, np.int64)
    if not same_class:
        _fill(rows, others, np.arange(len(rows)), np.arange(len(others)), ratio, index)
        return Closest(ratio, index)
    for label in dict.fromkeys(rows.names):
        _fill(rows, others, np.flatnonzero(rows.names == label), np.flatnonzero(others.names == label), ratio, index)
    return Closest(ratio, index)


def _fill(rows: Rows, others: Rows, mine: Any, theirs: Any, ratio: Floats, index: npt.NDArray[np.int64]) -> None:
    """Write ratio and index of the rows `mine`, compared with the others `theirs`."""
    from rapidfuzz import fuzz, process

    if not len(theirs) or not len(mine):
        return
    everything = len(theirs) == len(others)
    found, _ = nearest(rows.vectors[mine], others.vectors if everything else others.vectors[theirs], FINDS)
    near = np.asarray(theirs)[found]  # [mine, FINDS]
    ours = [rows.texts[i] for i in mine for _ in range(near.shape[1])]
    others_texts = [others.texts[j] for j in near.ravel()]
    # Threads cost more than the few comparisons of a single row.
    workers = -1 if len(ours) > MANY else 1
    scores = process.cpdist(ours, others_texts, scorer=fuzz.ratio, dtype=np.float32, workers=workers)
    scores = scores.reshape(near.shape) / 100
    scores[others.ids[near] == rows.ids[mine][:, None]] = -1  # never with itself
    best = scores.argmax(axis=1)
    at = np.arange(len(mine))
    known = scores[at, best] >= 0
    ratio[mine] = np.where(known, scores[at, best], 0)
    index[mine] = np.where(known, near[at, best], -1)
    if len(mine) == 1:  # an index of the others is not worth its time for one row
        text = rows.texts[mine[0]]
        equal = {text: [int(j) for j in theirs if others.texts[j] == text]}
    else:
        equal = others.once(("equal", "" if everything else others.names[theirs[0]]), lambda: _by_text(others, theirs))
    for row in mine:
        twins = equal.get(rows.texts[row])
        twin = next((j for j in twins if others.ids[j] != rows.ids[row]), -1) if twins else -1
        if twin >= 0:
            ratio[row], index[row] = np.inf, twin


def _by_text(others: Rows, theirs: Sequence[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for j in theirs:
        found.setdefault(others.texts[j], []).append(int(j))
    return found
