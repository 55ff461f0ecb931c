"""Calibrating the rules on real rows, and applying them to candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.gate.base import POOLED, Check, Floats, Rows, Rule, Score
from workbench.records import Verdict


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds, and what they would drop of the real rows (each compared with all others but itself)."""

    thresholds: Mapping[str, Mapping[str, float]]
    """Rule -> class (or POOLED) -> threshold."""
    rows: int
    """Real rows that were measured."""
    dropped: Mapping[str, float]
    """Rule -> share of the real rows that it would drop."""
    stack: float
    """Share of the real rows that at least one rule would drop."""
    share: float
    """Share of real rows that each calibrated rule was allowed on its own, so that the stack keeps the budget."""

    def threshold(self, rule: str, label: str) -> float:
        """The threshold of a rule for a class."""
        found = self.thresholds[rule]
        return found.get(label, found[POOLED])


def calibrate(rules: Mapping[str, Rule], real: Rows, budget: float, class_rows: int) -> Calibration:
    """Thresholds such that the whole stack drops at most `budget` (0 to 1) of the real rows.

    All calibrated rules get the same share; it is the largest one that keeps the budget, found by bisection. Checks and
    rules with a given threshold are measured and count against the budget, but are not moved.
    """
    hard = {
        name: np.array([bool(r.reason(s)) for s in real.samples]) for name, r in rules.items() if isinstance(r, Check)
    }
    scores = {name: rule.score(real, real) for name, rule in rules.items() if isinstance(rule, Score)}
    labels = [sample.label for sample in real.samples]

    def drops(share: float) -> tuple[dict[str, dict[str, float]], dict[str, npt.NDArray[np.bool_]]]:
        limits = {n: _limits(rules[n], s, labels, share, class_rows) for n, s in scores.items()}  # type: ignore[arg-type]
        over = {
            n: s > np.array([limits[n].get(label, limits[n][POOLED]) for label in labels]) for n, s in scores.items()
        }
        return limits, hard | over

    low, high = 0.0, budget
    for _ in range(12):
        middle = (low + high) / 2
        within = _any(drops(middle)[1], len(real)).mean() <= budget if len(real) else True
        low, high = (middle, high) if within else (low, middle)
    limits, dropped = drops(low)
    rates = {name: float(dropped[name].mean()) if len(real) else 0.0 for name in rules}
    stack = float(_any(dropped, len(real)).mean()) if len(real) else 0.0
    return Calibration(limits, len(real), rates, stack, low)


def _any(dropped: Mapping[str, npt.NDArray[np.bool_]], n: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.logical_or.reduce([np.zeros(n, dtype=bool), *dropped.values()])
    return found


def _limits(rule: Score, scores: Floats, labels: Sequence[str], share: float, class_rows: int) -> dict[str, float]:
    """Threshold per class with enough rows, and one pooled over the small classes (over all rows where none is small)."""
    if rule.threshold is not None:
        return {POOLED: rule.threshold}
    counts = {label: labels.count(label) for label in set(labels)}
    names = np.array(labels, dtype=object)
    small = np.array([counts[label] < class_rows for label in labels], dtype=bool)
    found = {label: _upper(scores[names == label], share) for label, n in counts.items() if n >= class_rows}
    found[POOLED] = _upper(scores[small] if small.any() else scores, share)
    return {label: max(value, rule.floor) for label, value in found.items()}


def _upper(scores: Floats, share: float) -> float:
    """The score that at most `share` of the finite scores lie above; infinite where there is none to learn from."""
    finite = np.sort(scores[np.isfinite(scores)])
    if not len(finite):
        return float("inf")
    return float(finite[len(finite) - 1 - int(share * len(finite) + 1e-9)])


class Stack:
    """Calibrated rules, ready for candidates. Remembers what it accepted, class by class."""

    def __init__(self, rules: Mapping[str, Rule], real: Rows, calibration: Calibration) -> None:
        self.rules, self._real, self.calibration = rules, real, calibration
        self._accepted: dict[str, Rows] = {}

    def remember(self, rows: Rows) -> None:
        """Count rows as accepted siblings without gating them."""
        for i, sample in enumerate(rows.samples):
            self._keep(sample.label, rows.pick([i]))

    def check(self, rows: Rows) -> list[list[Verdict]]:
        """One verdict per rule and row. Rows are taken in order: of two like ones the first is accepted."""
        columns = {name: self._column(name, rule, rows) for name, rule in self.rules.items() if not _late(rule)}
        verdicts = [[columns[name][i] for name in columns] for i in range(len(rows))]
        for i, sample in enumerate(rows.samples):
            one = rows.pick([i])
            for name, rule in self.rules.items():
                if isinstance(rule, Score) and _late(rule):
                    siblings = self._accepted.get(sample.label, rows.pick([]))
                    verdicts[i].append(self._judge(name, rule, one, siblings)[0])
            if all(verdict.passed for verdict in verdicts[i]):
                self._keep(sample.label, one)
        return verdicts

    def _column(self, name: str, rule: Rule, rows: Rows) -> list[Verdict]:
        if isinstance(rule, Check):
            reasons = [rule.reason(sample) for sample in rows.samples]
            return [Verdict(name, not reason, reason) for reason in reasons]
        assert isinstance(rule, Score)
        return self._judge(name, rule, rows, self._real)

    def _judge(self, name: str, rule: Score, rows: Rows, others: Rows) -> list[Verdict]:
        found: list[Verdict] = []
        for sample, score in zip(rows.samples, rule.score(rows, others).tolist(), strict=True):
            passed = not score > self.calibration.threshold(name, sample.label)
            shown = float(score) if np.isfinite(score) else None
            found.append(Verdict(name, passed, "" if passed else rule.why(sample, others), shown))
        return found

    def _keep(self, label: str, row: Rows) -> None:
        known = self._accepted.get(label)
        self._accepted[label] = known.joined(row) if known else row


def _late(rule: Rule) -> bool:
    return isinstance(rule, Score) and rule.against == "siblings"
