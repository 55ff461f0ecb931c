"""How much a judge is worth: whether its scores tell rows that are known to be right from rows that are known to be wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.metrics import DRAWS, Floats, Ints, Z, cells, resamples, roc_area, roc_area_interval
from workbench.records import Metric

LEAST = 0.6
"""A judge is used where the lower end of its AUC's interval is at least this."""
CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class Worth:
    """What the scores of known rows say of who gave them."""

    auc: Metric
    """Probability that a right row scores higher than a wrong one (ties count half)."""
    usual: tuple[float, ...]
    """The most common score, or the two most common ones."""
    share: float
    """Share of all scores that are one of these."""

    @property
    def usable(self) -> bool:
        """The interval is wholly above what chance would explain."""
        return self.auc.n > 0 and self.auc.low >= LEAST

    def say(self, name: str) -> str:
        """The finding about the judge `name` as a sentence."""
        auc = self.auc
        if not auc.n:
            return f"{name} is not used as a judge: it has given no score to known rows yet (wb gate --ask)."
        figures = f"AUC {auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}], n = {auc.n}"
        votes = 0.0 in self.usual  # no score, but whether the label was the one
        habit = f"{self.share:.0%} of its scores are {' or '.join(f'{score:g}' for score in self.usual)}"
        figures += "" if votes else f"; {habit}"
        if self.usable:
            return f"{name} tells a right from a wrong label ({figures})."
        if auc.low <= CHANCE:
            return (
                f"{name} is worthless as a judge and not used: it tells a right from a wrong label no better than "
                f"chance ({figures})."
            )
        return (
            f"{name} is not used as a judge: how well it tells a right from a wrong label is too little or too uncertain "
            f"({figures}; the lower end is below {LEAST})."
        )


def paired_worth(right: Sequence[float], wrong: Sequence[float]) -> Worth:
    """The worth of a judge from its scores of the same rows under their right and under a wrong label, [n] each.

    The bootstrap draws rows, as both scores of a row belong together.
    """
    return _worth(right, wrong, paired=True)


def worth(right: Sequence[float], wrong: Sequence[float]) -> Worth:
    """The worth of a judge from its scores of good rows [n] and of other, bad rows [m]; `n` of the metric is the smaller."""
    return _worth(right, wrong, paired=False)


def _worth(right: Sequence[float], wrong: Sequence[float], *, paired: bool) -> Worth:
    usual, share = _habit([*right, *wrong])
    n = min(len(right), len(wrong))
    if not n:
        return Worth(Metric("auc", CHANCE, 0.0, 1.0, 0), usual, share)
    values, place = np.unique(np.array([*right, *wrong], dtype=np.float64), return_inverse=True)
    a, b = place[: len(right)].astype(np.int64), place[len(right) :].astype(np.int64)
    auc = float(roc_area(_counts(a, len(values)), _counts(b, len(values))))
    low, high = roc_area_interval(auc, len(right), len(wrong))
    half = Z * float(_draws(a, b, len(values), paired=paired).std(ddof=1))
    # The wider of two: the bootstrap knows nothing of errors that did not happen, Newcombe's interval nothing of pairs.
    ends = min(low, max(0.0, auc - half)), max(high, min(1.0, auc + half))
    return Worth(Metric("auc", auc, *ends, n), usual, share)


def _habit(scores: Sequence[float]) -> tuple[tuple[float, ...], float]:
    """The most common score where it makes up nine tenths, else the two most common; and their share."""
    if not scores:
        return (), 0.0
    common = Counter(scores).most_common(2)
    common = common[:1] if common[0][1] >= 0.9 * len(scores) else common
    return tuple(sorted(score for score, _ in common)), sum(count for _, count in common) / len(scores)


def _counts(place: Ints, size: int) -> Floats:
    return np.bincount(place, minlength=size).astype(np.float64)


def _draws(right: Ints, wrong: Ints, size: int, *, paired: bool) -> Floats:
    """[draws] the AUC in bootstrap samples."""
    eye = np.eye(size)
    if paired:
        kinds, counts = cells(right, wrong)
        drawn = resamples(counts, DRAWS)
        return np.asarray(roc_area(drawn @ eye[kinds[0]], drawn @ eye[kinds[1]]))
    sides = []
    for seed, side in enumerate((right, wrong)):
        kinds, counts = cells(side)
        sides.append(resamples(counts, DRAWS, seed) @ eye[kinds[0]])
    return np.asarray(roc_area(*sides))
