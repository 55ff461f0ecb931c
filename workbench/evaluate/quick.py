"""A quick look: a sample of rows, drawn by class in proportion."""

from collections.abc import Sequence

import numpy as np


def stratified(labels: Sequence[str], count: int, seed: int) -> list[int]:
    """Positions of `count` rows, in their order, with as many of each class as its share asks for.

    Each class gets the whole part of its share; which classes get one more is drawn with the fractions that are left as
    probabilities (systematic sampling), so that every row has the same chance, and rare classes are neither left out for sure
    nor blown up.

    Args:
        labels: the class of each row.
        count: rows wanted; all of them where there are no more.
        seed: another seed draws other rows.
    """
    if count >= len(labels):
        return list(range(len(labels)))
    random = np.random.default_rng(seed)
    names = sorted(set(labels))
    random.shuffle(names)
    places = {name: [i for i, label in enumerate(labels) if label == name] for name in names}
    ends = np.cumsum([len(places[name]) * count / len(labels) for name in names])
    marks = np.floor(ends + random.uniform() - 1e-9)
    quotas = np.diff(marks, prepend=np.floor(marks[-1] - count))
    chosen: list[int] = []
    for name, quota in zip(names, quotas, strict=True):
        some = places[name]
        chosen += [some[i] for i in random.choice(len(some), size=min(int(quota), len(some)), replace=False)]
    return sorted(chosen)
