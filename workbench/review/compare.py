"""The gate against people: which rule was right about the rows that people looked at, and where its threshold should be.

Rows that a rule dropped are known only from the audit sample, rows that the gate passed from the queue. Where the two were not
looked at with the same chance, each row must stand for as many as 1 / its chance (`Judged.weight`), or AUC and threshold are those
of the sample and not of the gate (verification bias, Begg & Greenes 1983).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.metrics import Floats, roc_area, roc_area_interval, wilson
from workbench.records import Metric, Verdict
from workbench.review.threshold import Suggestion, suggest

FEW = 5
"""With fewer bad or good rows, nothing is said of a score."""
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """One row that people looked at."""

    bad: bool
    """What they said."""
    verdicts: Sequence[Verdict]
    """What the gate said, rule by rule."""
    weight: float = 1.0
    """How many rows it stands for: 1 / the chance with which a row like it was shown to people."""

    @property
    def passed(self) -> bool:
        """No rule dropped it."""
        return all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class RuleWorth:
    """What people say of one rule."""

    rule: str
    dropped: Metric
    """Of the rows that it dropped, the share that people found bad: its precision."""
    alone: Metric
    """The same of the rows that no other rule dropped: what the gate would let pass without it."""
    passed: Metric
    """Of the rows that it let pass (whatever other rules said), the share that people found bad."""
    auc: Metric | None
    """Probability that its score of a bad row is higher than that of a good one; None with fewer than five of a kind."""
    threshold: Suggestion | None
    """None where people's decisions do not bear one; `say` says why."""
    say: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole gate and its rules."""

    kept: Metric
    """Of the rows that the gate passed, the share that people found bad."""
    dropped: Metric
    """Of the rows that it dropped, the share that people found bad (the audit)."""
    rules: tuple[RuleWorth, ...]
    """In alphabetical order."""
    say: str


def compare(
    rows: Sequence[Judged], thresholds: Mapping[str, Sequence[float]] | None = None, seed: int = 0
) -> Comparison:
    """Hold the gate's verdicts against people's.

    Args:
        rows: what people looked at, passed rows and audited drops.
        thresholds: the thresholds that a rule has now (one, or one for each class), for the sentences; asked only for rules of
            which another one is suggested.
        seed: of the bootstraps behind suggested thresholds.
    """
    weights = np.array([row.weight for row in rows], dtype=np.float64)
    bad = np.array([row.bad for row in rows], dtype=bool)
    passed = np.array([row.passed for row in rows], dtype=bool)
    kept, dropped = _share("kept_bad", bad, weights, passed), _share("dropped_bad", bad, weights, ~passed)
    names = sorted({verdict.rule for row in rows for verdict in row.verdicts})
    now = {} if thresholds is None else thresholds
    rules = tuple(_rule(name, rows, now, seed) for name in names)
    weighted = " (rows weighted by how many they stand for)" if len(set(weights.tolist())) > 1 else ""
    say = f"{_found(kept, bad & passed, 'passed by the gate')} {_found(dropped, bad & ~passed, 'dropped by it')[:-1]}{weighted}."
    return Comparison(kept, dropped, rules, say)


def _rule(name: str, rows: Sequence[Judged], now: Mapping[str, Sequence[float]], seed: int) -> RuleWorth:
    known = [(row, verdict) for row in rows for verdict in row.verdicts if verdict.rule == name]
    bad = np.array([row.bad for row, _ in known], dtype=bool)
    weights = np.array([row.weight for row, _ in known], dtype=np.float64)
    drops = np.array([not verdict.passed for _, verdict in known], dtype=bool)
    others = np.array([any(not v.passed for v in row.verdicts if v.rule != name) for row, _ in known], dtype=bool)
    where = {"rule": name}
    dropped = _share("precision", bad, weights, drops, where)
    alone = _share("precision_alone", bad, weights, drops & ~others, where)
    passed = _share("passed_bad", bad, weights, ~drops, where)
    scores = np.array([np.nan if v.score is None else v.score for _, v in known], dtype=np.float64)
    has = ~np.isnan(scores)
    auc = _auc(scores[has], bad[has], weights[has], where)
    why = "it has no score" if not has.any() else _too_few(bad[has])
    found: Suggestion | None = None
    if auc is not None:
        found, why = suggest(name, scores[has], bad[has], weights[has], drops[has], auc.low, seed)
    parts = [
        _found(dropped, bad & drops, f"dropped by {name}"),
        _found(alone, bad & drops & ~others, "dropped by it alone") if alone.n < dropped.n else "",
        _found(passed, bad & ~drops, "that it let pass"),
        _auc_says(auc, bad[has]),
        found.say(now.get(name, ())) if found else f"No threshold is suggested: {why}.",
    ]
    return RuleWorth(name, dropped, alone, passed, auc, found, " ".join(part for part in parts if part))


def _share(name: str, bad: Bools, weights: Floats, rows: Bools, where: Mapping[str, str] | None = None) -> Metric:
    """Weighted share of bad rows among some, with Wilson's interval of as many rows as the weights leave (Kish 1965)."""
    w, hit = weights[rows], bad[rows]
    n = int(rows.sum())
    if not n:
        return Metric(name, 0.0, 0.0, 1.0, 0, where or {})
    size = _effective(w)
    # Counted, not weighed, where nothing or everything is bad: rounding must not move the ends.
    value = float(hit.mean()) if hit.all() or not hit.any() else float(w @ hit / w.sum())
    return Metric(name, value, *wilson(value * size, size), n, where or {})


def _effective(weights: Floats) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())


def _auc(scores: Floats, bad: Bools, weights: Floats, where: Mapping[str, str]) -> Metric | None:
    if _too_few(bad):
        return None
    values, place = np.unique(scores, return_inverse=True)
    of_bad, of_good = (np.bincount(place[side], weights[side], len(values)).astype(np.float64) for side in (bad, ~bad))
    value = float(roc_area(of_bad, of_good))
    ends = roc_area_interval(value, _effective(weights[~bad]), _effective(weights[bad]))
    return Metric("auc", value, *ends, len(scores), where)


def _too_few(bad: Bools) -> str:
    some, others = int(bad.sum()), int((~bad).sum())
    return (
        f"it scored only {some} bad and {others} good rows, and {FEW} of each are the least"
        if min(some, others) < FEW
        else ""
    )


def _found(share: Metric, bad: Bools, which: str) -> str:
    if not share.n:
        return f"People looked at no rows {which}."
    count = int(bad.sum())
    return (
        f"Of {share.n} rows {which} that people looked at, {count or 'none'} {'was' if count <= 1 else 'were'} bad "
        f"({share.value:.0%} [{share.low:.0%}, {share.high:.0%}])."
    )


def _auc_says(auc: Metric | None, bad: Bools) -> str:
    if auc is None:
        return ""
    counts = f"{int(bad.sum())} bad, {int((~bad).sum())} good rows"
    return (
        f"Its score tells bad from good rows with an AUC of {auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}] ({counts})."
    )
