"""A row of probabilities as the classes in order, which is how every interface answers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

DIGITS = 6
"""Decimals of a probability in an answer: float32 holds no more."""


def ranked(labels: Sequence[str], row: npt.NDArray[np.float32], k: int) -> list[tuple[str, float]]:
    """The k likeliest classes with their probabilities, best first; equal ones in the order of the labels."""
    order = np.argsort(-row, kind="stable")[:k]
    return [(labels[i], round(float(row[i]), DIGITS)) for i in order]
