"""Where the threshold of a rule should be, going by what people said of the rows that it scored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.metrics import Floats, Z
from workbench.records import Metric

LEAST = 20
"""With fewer bad or good rows, no threshold is suggested: its place would be that of a few rows."""
DRAWS = 400
MOST = 1 << 22
"""Numbers that a bootstrap may hold: of very many rows, fewer samples do."""
CHANCE = 0.5
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A threshold (rows that score higher are dropped) at which Youden's J (1950) is highest.

    J is the share of the bad rows that are dropped minus that of the good ones: what a rule is worth whatever part of the rows
    is bad.
    """

    threshold: Metric
    """With the interval of a bootstrap over rows."""
    gain: Metric
    """Higher J than now. On rows that a bootstrap sample left out of the search, as the rows that a threshold was chosen on make it
    look better than it is."""
    bad_dropped: float
    """Share of the bad rows that would be dropped."""
    good_dropped: float
    """Share of the good rows that would be dropped."""
    bad_dropped_now: float
    good_dropped_now: float

    def say(self, now: Sequence[float] = ()) -> str:
        """The suggestion as a sentence; `now` are the thresholds that the rule has."""
        instead = ""
        if now:
            span = f"{min(now):.3g}" if min(now) == max(now) else f"{min(now):.3g} to {max(now):.3g}, by class"
            instead = f" instead of {span}"
        t = self.threshold
        return (
            f"Suggested threshold {t.value:.3g} [{t.low:.3g}, {t.high:.3g}]{instead}: it would drop {self.bad_dropped:.0%} of the "
            f"bad and {self.good_dropped:.0%} of the good of these {t.n} rows, and not {self.bad_dropped_now:.0%} and "
            f"{self.good_dropped_now:.0%} as now (J higher by {self.gain.value:.2f} [{self.gain.low:.2f}, {self.gain.high:.2f}] "
            "on rows that it was not chosen on)."
        )


def suggest(
    rule: str, scores: Floats, bad: Bools, weights: Floats, drops: Bools, auc_low: float, seed: int
) -> tuple[Suggestion | None, str]:
    """The best threshold, or None and why there is none.

    Args:
        rule: its name, for the metrics.
        scores: [n] higher is more suspicious.
        bad: [n] people found the row bad.
        weights: [n] how many rows each stands for.
        drops: [n] the rule drops it now.
        auc_low: lower end of the interval of the score's AUC.
        seed: of the bootstrap.
    """
    counts = int(bad.sum()), int((~bad).sum())
    if min(counts) < LEAST:
        return None, f"it scored {counts[0]} bad and {counts[1]} good rows, and {LEAST} of each are the least"
    if auc_low <= CHANCE:
        return None, f"its score may be no better than chance (the interval of its AUC begins at {auc_low:.2f})"
    values, place = np.unique(scores, return_inverse=True)
    cut, best = _best(values, place, bad, weights[None, :])
    n, draws = len(scores), max(50, min(DRAWS, MOST // len(scores)))
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    cuts, found = _best(values, place, bad, drawn * weights)
    left_out = (drawn == 0) * weights
    over = place[None, :] > found[:, None]
    gains = _youden(over, bad, left_out) - _youden(drops[None, :], bad, left_out)
    again = _youden(place[None, :] > best[0], bad, drawn * weights) - _youden(drops[None, :], bad, drawn * weights)
    gain, half = float(np.nanmean(gains)), Z * float(np.nanstd(again, ddof=1))
    where = {"rule": rule}
    metric = Metric("gain", gain, gain - half, gain + half, n, where)
    if metric.low <= 0:
        return None, (
            f"the best one for these {n} rows, {cut[0]:.3g}, is not surely better than now (J higher by {gain:.2f} "
            f"[{metric.low:.2f}, {metric.high:.2f}] on rows that it was not chosen on)"
        )
    low, high = np.quantile(cuts, [0.025, 0.975])
    threshold = Metric("threshold", float(cut[0]), min(float(low), cut[0]), max(float(high), cut[0]), n, where)
    new, old = place > best[0], drops
    shares = [float((weights * rows)[side].sum() / weights[side].sum()) for rows in (new, old) for side in (bad, ~bad)]
    return Suggestion(threshold, metric, *shares), ""


def _best(
    values: Floats, place: npt.NDArray[np.intp], bad: Bools, weights: Floats
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """[draws] the threshold with the highest J, halfway between two scores, and the place of the lower of the two."""
    order = np.argsort(place, kind="stable")
    ends = np.flatnonzero(np.diff(place[order], append=len(values)))
    below = [np.cumsum(_normed(weights * side)[:, order], axis=1)[:, ends] for side in (bad, ~bad)]
    # J of dropping what is above each score is the good below it minus the bad below it; of equals, the mildest.
    youden = below[1] - below[0]
    at = len(values) - 1 - np.argmax(np.round(youden[:, ::-1], 12), axis=1)
    # An infinite score is beyond all others; so is what stands for it, or there would be nothing halfway.
    finite = values[np.isfinite(values)]
    ends_at = (finite.min() - 1, finite.max() + 1) if len(finite) else (-1.0, 1.0)
    finite = np.clip(values, *ends_at)
    halfway = np.append((finite[:-1] + finite[1:]) / 2, finite[-1])
    return halfway[at], at


def _youden(drops: Bools, bad: Bools, weights: Floats) -> Floats:
    """[draws] share of the bad rows dropped minus that of the good; NaN in a draw without one of the kinds."""
    with np.errstate(invalid="ignore"):
        parts = [(weights * drops * side).sum(axis=1) / (weights * side).sum(axis=1) for side in (bad, ~bad)]
    return np.asarray(parts[0] - parts[1])


def _normed(weights: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.zeros_like(weights), where=total > 0))
