"""Calibrating the rules on real rows, and applying them to candidates."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from workbench.gate.base import POOLED, Check, Floats, Rows, Rule, Score
from workbench.gate.doubt import doubt
from workbench.records import Sample, Verdict

Bools = npt.NDArray[np.bool_]
RESERVE = 1 / 8
"""Part of the budget of rules that look at held-out rows."""
HUGE = float(np.finfo(np.float32).max)
USUAL = 0.02
"""Share of the real rows from which a reason is a habit of the data."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What candidates are compared with, beside their accepted siblings."""

    real: Rows
    """The human training rows."""
    held: Rows | None = None
    """Rows of dev and test; where there are none, rules about them have nothing to say."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds, and what they would drop of the real rows (each compared with all others but itself)."""

    thresholds: Mapping[str, Mapping[str, float]]
    """Rule -> class (or POOLED) -> threshold."""
    scores: Mapping[str, Mapping[str, Floats]]
    """Rule -> class (or POOLED) -> scores of the real rows behind the threshold, sorted. Not of rules that look at held-out
    rows: how like to them a row is must not decide in which order it is reviewed."""
    usual: Mapping[str, frozenset[str]]
    """Check -> reasons that so many real rows show that they are not held against candidates."""
    rows: int
    """Real rows that were measured."""
    dropped: Mapping[str, float]
    """Rule -> share of the real rows that it would drop."""
    stack: float
    """Share of the real rows that at least one rule would drop."""
    usual_doubt: float
    """The doubt (see `doubt`) that one in twenty real rows exceeds."""
    share: float
    """Share of real rows that a calibrated rule of weight 1 was allowed on its own, so that the stack keeps the budget."""

    def threshold(self, rule: str, label: str) -> float:
        """The threshold of a rule for a class."""
        found = self.thresholds[rule]
        return found.get(label, found[POOLED])

    def tail(self, rule: str, label: str, score: float) -> float | None:
        """Share of the real rows (of the class, or of the small ones) that score as high or higher; None where unknown."""
        found = self.scores.get(rule, {})
        known = found.get(label, found.get(POOLED))
        if known is None or not len(known) or not np.isfinite(score):
            return None
        return float((len(known) - np.searchsorted(known, score, side="left")) / len(known))


def calibrate(rules: Mapping[str, Rule], compared: Compared, budget: float, class_rows: int) -> Calibration:
    """Thresholds such that the whole stack drops at most `budget` (0 to 1) of the real rows.

    Calibrated rules get shares in proportion to their weights; the common factor is the largest one that keeps the budget,
    found by bisection. Checks and rules with a given threshold are measured and count against the budget, but are not moved.
    Rules that look at held-out rows get a fixed part of the budget: those rows must not move any other threshold.
    """
    real = compared.real
    apart = {name for name, rule in rules.items() if isinstance(rule, Score) and rule.against == "held"}
    reserve = budget * RESERVE if apart else 0.0
    budget -= reserve
    usual = habits(rules, real.samples)
    hard = {
        name: np.array([bool(held(rule, s, usual[name])) for s in real.samples], dtype=bool)
        for name, rule in rules.items()
        if isinstance(rule, Check)
    }
    scores = {name: score_rows(rule, real, compared) for name, rule in rules.items() if isinstance(rule, Score)}
    groups = {
        name: _groups(real.names, rule.class_rows or class_rows)
        for name, rule in rules.items()
        if isinstance(rule, Score)
    }
    sorted_scores = {name: _sorted(found, groups[name]) for name, found in scores.items()}

    def over(share: float, names: Iterable[str]) -> tuple[dict[str, dict[str, float]], dict[str, Bools]]:
        limits = {n: _limits(rules[n], sorted_scores[n], share) for n in names}  # type: ignore[arg-type]
        return limits, {n: scores[n] > _per_row(limit, real.names) for n, limit in limits.items()}

    def drops(share: float) -> tuple[dict[str, dict[str, float]], dict[str, Bools]]:
        limits, found = over(share, scores.keys() - apart)
        return limits, hard | found

    # Checks and given thresholds may pass the budget alone, and a budget may be 0: calibrated rules then still drop what is
    # odder than all real rows.
    most = max(budget, float(_any(drops(0.0)[1], len(real)).mean())) if len(real) else 1.0
    low, high = 0.0, max(budget, 1 / (2 * len(real) + 2))
    for _ in range(12):
        middle = (low + high) / 2
        within = _any(drops(middle)[1], len(real)).mean() <= most if len(real) else True
        low, high = (middle, high) if within else (low, middle)
    limits, dropped = drops(low)
    held_limits, held_dropped = over(reserve, apart)
    limits, dropped = limits | held_limits, dropped | held_dropped
    rates = {name: float(dropped[name].mean()) if len(real) else 0.0 for name in rules}
    stack = float(_any(dropped, len(real)).mean()) if len(real) else 0.0
    told = {name: known for name, known in sorted_scores.items() if name not in apart}
    known = Calibration(limits, told, usual, len(real), rates, stack, 0.0, low)
    return replace(known, usual_doubt=_usual_doubt(known, rules, scores, real))


def habits(rules: Mapping[str, Rule], samples: Sequence[Sample]) -> dict[str, frozenset[str]]:
    """Check -> reasons that more than 2 % of the real rows show, and more than one of them; none of a strict check."""
    found: dict[str, frozenset[str]] = {}
    for name, rule in rules.items():
        if isinstance(rule, Check):
            counts = Counter(reason for s in samples if not rule.strict for reason in rule.reasons(s))
            found[name] = frozenset(slug for slug, n in counts.items() if n > max(1, USUAL * len(samples)))
    return found


def held(rule: Check, sample: Sample, usual: frozenset[str]) -> str:
    """The first reason that is held against a sample, empty where there is none."""
    return next((reason for reason in rule.reasons(sample) if reason not in usual), "")


def score_rows(rule: Score, rows: Rows, compared: Compared) -> Floats:
    """[n] scores against what the rule compares with; real rows stand in for siblings, where rows have none yet."""
    if rule.against == "held":
        return rule.score(rows, compared.held) if compared.held else np.full(len(rows), np.nan, np.float32)
    return rule.score(rows, compared.real)


def _usual_doubt(known: Calibration, rules: Mapping[str, Rule], scores: Mapping[str, Floats], real: Rows) -> float:
    """The 95th percentile of the real rows' doubt."""
    doubts = [
        doubt([Verdict(n, True, "", None, known.tail(n, label, float(s[i]))) for n, s in scores.items()], rules)
        for i, label in enumerate(real.names)
    ]
    return float(np.quantile(doubts, 0.95)) if doubts else HUGE


def _any(dropped: Mapping[str, Bools], n: int) -> Bools:
    found: Bools = np.logical_or.reduce([np.zeros(n, dtype=bool), *dropped.values()])
    return found


def _groups(names: npt.NDArray[np.object_], class_rows: int) -> dict[str, Bools]:
    """Rows of each class with enough of them, and pooled those of the small classes (all rows where none is small)."""
    counts = Counter(names.tolist())
    found = {label: names == label for label, n in sorted(counts.items()) if n >= class_rows}
    small = ~np.logical_or.reduce([np.zeros(len(names), dtype=bool), *found.values()])
    found[POOLED] = small if small.any() else np.ones(len(names), dtype=bool)
    return found


def _sorted(scores: Floats, groups: Mapping[str, Bools]) -> dict[str, Floats]:
    return {label: np.sort(scores[rows & ~np.isnan(scores)]) for label, rows in groups.items()}


def _limits(rule: Score, known: Mapping[str, Floats], share: float) -> dict[str, float]:
    """The threshold of each group of real rows."""
    if rule.threshold is not None:
        return {POOLED: rule.threshold}
    return {label: max(_upper(scores, share * rule.weight), rule.floor) for label, scores in known.items()}


def _per_row(limits: Mapping[str, float], names: npt.NDArray[np.object_]) -> Floats:
    return np.array([limits.get(name, limits[POOLED]) for name in names], dtype=np.float64)


def _upper(scores: Floats, share: float) -> float:
    """The score that `share` of rows like those with these sorted scores lie above.

    Where `share` is less than one of the rows, the highest score says too little: of twenty rows, one new row in 21 scores
    above all of them. Then the tail is taken as exponential above the upper quartile (peaks over threshold, Pickands 1975).
    A row that is infinitely odd goes, even where real rows are.
    """
    scores = scores[np.isfinite(scores)]
    if not len(scores) or share <= 0:
        return HUGE
    above = int(share * len(scores) + 1e-9)
    if above >= len(scores):  # weights may ask for more rows than there are
        return -HUGE
    if above:
        return float(scores[len(scores) - 1 - above])
    start = float(np.quantile(scores, 0.75))
    over = scores[scores > start] - start
    excess = float(over.mean()) if len(over) else 0.0
    return max(float(scores[-1]), start + excess * float(np.log(0.25 / share)))


def mended(sample: Sample, rules: Mapping[str, Rule]) -> Sample:
    """The sample as rules would have it that mend rows instead of dropping them; the same sample where none does."""
    turns = sample.turns
    for rule in rules.values():
        if isinstance(rule, Check):
            turns = rule.mend(replace(sample, turns=turns))
    return sample if turns == sample.turns else replace(sample, turns=turns)


class Stack:
    """Calibrated rules, ready for candidates. Remembers what it accepted, class by class."""

    def __init__(self, rules: Mapping[str, Rule], compared: Compared, calibration: Calibration) -> None:
        self.rules, self.compared, self.calibration = rules, compared, calibration
        self._accepted: dict[str, Rows] = {}

    def remember(self, rows: Rows) -> None:
        """Count rows as accepted siblings without gating them."""
        for label in dict.fromkeys(rows.names):
            self._keep(label, rows.pick(np.flatnonzero(rows.names == label)))

    def check(self, rows: Rows) -> list[list[Verdict]]:
        """One verdict per rule and row. Rows are taken in order: of two like ones the first is accepted."""
        if not self.rules:  # a row that was gated has a verdict, even where nothing was asked of it
            return [[Verdict("gate", True)] for _ in range(len(rows))]
        columns = {name: self._column(name, rule, rows) for name, rule in self.rules.items() if not _late(rule)}
        verdicts = [[columns[name][i] for name in columns] for i in range(len(rows))]
        late = {name: rule for name, rule in self.rules.items() if isinstance(rule, Score) and _late(rule)}
        for label in dict.fromkeys(rows.names):
            index = [int(i) for i in np.flatnonzero(rows.names == label)]
            self._check_siblings(label, rows, index, late, verdicts)
        return verdicts

    def _check_siblings(
        self, label: str, rows: Rows, index: Sequence[int], late: Mapping[str, Score], verdicts: list[list[Verdict]]
    ) -> None:
        """Rows of one class against its accepted ones, then one after another against each other."""
        for i in index:
            one = rows.pick([i])
            siblings = self._accepted.get(label)
            for name, rule in late.items():
                found = [Verdict(name, True)] if siblings is None else self._judge(name, rule, one, siblings)
                verdicts[i].append(found[0])
            if all(verdict.passed for verdict in verdicts[i]):
                self._keep(label, one)

    def _column(self, name: str, rule: Rule, rows: Rows) -> list[Verdict]:
        if isinstance(rule, Check):
            usual = self.calibration.usual.get(name, frozenset())
            reasons = [held(rule, sample, usual) for sample in rows.samples]
            return [Verdict(name, not reason, reason) for reason in reasons]
        assert isinstance(rule, Score)
        others = self.compared.held if rule.against == "held" else self.compared.real
        if others is None:
            return [Verdict(name, True)] * len(rows)
        return self._judge(name, rule, rows, others)

    def _judge(self, name: str, rule: Score, rows: Rows, others: Rows) -> list[Verdict]:
        found: list[Verdict] = []
        for sample, score in zip(rows.samples, rule.score(rows, others).tolist(), strict=True):
            passed = not score > self.calibration.threshold(name, sample.label)
            shown = float(score) if np.isfinite(score) else None
            tail = self.calibration.tail(name, sample.label, score)
            found.append(Verdict(name, passed, "" if passed else rule.why(sample, others), shown, tail))
        return found

    def _keep(self, label: str, row: Rows) -> None:
        known = self._accepted.get(label)
        self._accepted[label] = known.joined(row) if known else row


def _late(rule: Rule) -> bool:
    return isinstance(rule, Score) and rule.against == "siblings"
