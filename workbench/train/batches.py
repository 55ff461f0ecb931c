"""Which rows make a step: a pure function of seed and epoch, so that a resumed training sees the same batches."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Balance = Literal["none", "weights", "sampling"]
_POOL = 50
"""Batches among which rows are sorted by length: enough for even lengths, too few to order an epoch."""


def batches(
    lengths: Sequence[int], columns: Sequence[int], size: int, seed: Sequence[int], *, balanced: bool, grouped: bool
) -> list[Ints]:
    """Row numbers of each step of an epoch.

    Args:
        lengths: tokens of each row.
        columns: class of each row.
        size: rows of a step; the last step of an epoch may have fewer.
        seed: drives the order, as bench seed and epoch.
        balanced: draw classes equally often (rows of small ones repeat, some of large ones wait for another epoch);
            else each row occurs once.
        grouped: rows of like length share a step.
    """
    random = np.random.default_rng([*seed])
    order = _balanced(columns, random) if balanced else random.permutation(len(columns))
    if grouped:
        long = np.asarray(lengths, dtype=np.int64)
        pools = [order[start : start + size * _POOL] for start in range(0, len(order), size * _POOL)]
        order = np.concatenate([pool[np.argsort(-long[pool], kind="stable")] for pool in pools])
    cut = [order[start : start + size].astype(np.int64) for start in range(0, len(order), size)]
    return [cut[i] for i in random.permutation(len(cut))] if grouped else cut


def _balanced(columns: Sequence[int], random: np.random.Generator) -> Ints:
    """As many row numbers as there are rows, each class as often as any other, give or take one."""
    column = np.asarray(columns, dtype=np.int64)
    classes = random.permutation(np.unique(column))
    share, extra = divmod(len(column), len(classes))
    drawn = []
    for i, label in enumerate(classes):
        rows, wanted = np.flatnonzero(column == label), share + (i < extra)
        rounds = -(-wanted // len(rows))
        drawn.append(np.concatenate([random.permutation(rows) for _ in range(rounds)] or [rows[:0]])[:wanted])
    return random.permutation(np.concatenate(drawn))


def class_weights(columns: Sequence[int], classes: int) -> npt.NDArray[np.float32]:
    """[classes] inverse frequency of each class, 1 on average over the rows; 0 for a class without rows."""
    counts = np.bincount(np.asarray(columns, dtype=np.int64), minlength=classes)
    weights = np.where(counts > 0, len(columns) / (np.maximum(counts, 1) * max(1, int((counts > 0).sum()))), 0.0)
    return weights.astype(np.float32)


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Share of the highest learning rate at a step (from 0): rises in a line, then falls to 0 in a line."""
    rising = max(1, round(total * warmup)) if warmup else 0
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (total - step) / max(1, total - rising))
