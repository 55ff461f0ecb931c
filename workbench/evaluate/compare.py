"""Two models on the same rows: improved, no worse, worse, or cannot tell, with family-wise error control.

The estimate is the difference of the two models. Its uncertainty has two parts: which rows were tested (a paired bootstrap
over rows) and which rows were trained on (models trained on bootstraps of the training rows, paired by seed; their variance
is not divided by their number, since it stands for one draw of the training data). Half of the error probability is for the
three metrics, half for all classes and pairs; within each half the critical value is a quantile of the largest standardised
deviation (max-T, Westfall & Young 1993), so that the probability of any wrong claim at all is at most `alpha`. A bootstrap of n
rows is too narrow and its tails are too thin where n is small: its spread is multiplied by sqrt(n / (n - 1)), and the critical
value is that of Student's t with n - 1 degrees of freedom at the same tail probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.config import Strict
from workbench.metrics import Floats, Ints, Tally, cells, resamples, tally

Outcome = Literal["improved", "no worse", "worse", "cannot tell"]
POWER = 0.8416
"""80 % power, one-sided normal quantile."""
DRAWS = 4000
METRICS = 3
"""Accuracy, macro-F1 and weighted F1 stand first in the family."""


class CompareConfig(Strict):
    """How two models are compared."""

    margin: float = 0.02
    """A metric that is surely above minus this counts as no worse."""
    class_margin: float = 0.1
    """The same for a class's F1 or a pair's confusion rate."""
    min_rows: int = 6
    """Test rows that a class needs for a claim: of fewer than 6, no paired test can reach 5 %."""
    pairs: int = 10
    """Most confused pairs (of both models together) that are compared."""
    alpha: float = 0.05
    """Probability of any wrong claim in the whole family."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One model's predictions of the rows."""

    predicted: Sequence[str]
    replicas: Sequence[Sequence[str]] = ()
    """Predictions of models trained on bootstraps of the training rows; paired with the other arm's by position."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference of one metric, class or pair."""

    kind: Literal["metric", "class", "pair"]
    name: str
    before: float
    after: float
    low: float
    """Simultaneous interval of after - before."""
    high: float
    n: int
    """Test rows behind it."""
    outcome: Outcome
    smallest: float
    """The smallest true difference that this comparison would have found in 80 % of cases."""

    def json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            self.kind: self.name,
            "outcome": self.outcome,
            "before": self.before,
            "after": self.after,
            "difference": {"value": self.after - self.before, "low": self.low, "high": self.high, "n": self.n},
            "smallest_effect": self.smallest,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of the change as a whole."""

    overall: str
    """That of macro-F1; `mixed` where it is not worse but something else is; `not comparable`."""
    say: str
    effects: tuple[Effect, ...] = ()
    seeds: int = 0
    """Replicas behind the training part; 0: the intervals are about test rows only."""

    def of(self, kind: str) -> list[Effect]:
        """The effects of one kind."""
        return [effect for effect in self.effects if effect.kind == kind]

    def json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "overall": self.overall,
            "say": self.say,
            "seeds": self.seeds,
            "metrics": {effect.name: effect.json() for effect in self.of("metric")},
            "classes": [effect.json() for effect in self.of("class")],
            "pairs": [effect.json() for effect in self.of("pair")],
        }


def not_comparable(before: int, after: int, why: str = "") -> Verdict:
    """The verdict on two files that do not score the same rows."""
    say = f"not comparable: {before:,} vs {after:,} rows" + (f" ({why})" if why else "")
    return Verdict("not comparable", say)


def compare(true: Sequence[str], before: Arm, after: Arm, config: CompareConfig, labels: Sequence[str] = ()) -> Verdict:
    """Compare two models on the same rows.

    Args:
        true: [n] the right classes.
        before: the baseline.
        after: the model in question.
        config: margins and limits.
        labels: classes that macro-F1 is over; all that occur in any of the columns where not given.
    """
    everything = [true, before.predicted, after.predicted, *before.replicas, *after.replicas]
    names = sorted({name for column in everything for name in column})
    chosen = list(labels) or sorted({*true, *before.predicted, *after.predicted})
    space = _Space(true, names, chosen, (before.predicted, after.predicted), config)
    point = space.statistics(after.predicted)[0] - space.statistics(before.predicted)[0]
    drawn = space.drawn()
    rows = (drawn - drawn.mean(axis=0)) * np.sqrt(space.sizes / np.maximum(space.sizes - 1, 1))
    seeds = min(len(before.replicas), len(after.replicas))
    training = _training_part(space, before, after, seeds)
    spread = np.sqrt(rows.var(axis=0, ddof=1) + training.var(axis=0) + space.floor**2)
    critical = _critical((rows + training + space.noise(DRAWS)) / np.maximum(spread, 1e-12), config.alpha / 2)
    critical = _student(critical, space.sizes)
    effects = space.effects(point, critical * spread, np.minimum((critical + POWER) * spread, 1.0))
    return _verdict(effects, seeds)


class _Space:
    """All statistics of the family, as columns: metrics, then F1 of classes, then confusion rates of pairs."""

    def __init__(
        self,
        true: Sequence[str],
        names: list[str],
        chosen: list[str],
        arms: tuple[Sequence[str], Sequence[str]],
        config: CompareConfig,
    ) -> None:
        self._column = {name: i for i, name in enumerate(names)}
        self._names, self._config = names, config
        self._true = self._index(true)
        self._macro = np.array([self._column[name] for name in chosen if name in self._column], dtype=np.int64)
        counts = np.bincount(self._true, minlength=len(names))
        self.classes = [i for i in range(len(names)) if counts[i] >= config.min_rows]
        self.small = [names[i] for i in range(len(names)) if 0 < counts[i] < config.min_rows]
        self._arms = (self._index(arms[0]), self._index(arms[1]))
        self.pairs = self._worst_pairs(counts)
        self._counts = counts
        self.sizes = np.array(
            [len(true)] * METRICS + [counts[i] for i in self.classes] + [counts[i] for i, _ in self.pairs]
        )
        # A bootstrap of few rows knows no more than these rows: half a row is what its spread may miss.
        self.floor = 0.5 / self.sizes

    def _index(self, labels: Sequence[str]) -> Ints:
        return np.array([self._column[name] for name in labels], dtype=np.int64)

    def _worst_pairs(self, counts: Ints) -> list[tuple[int, int]]:
        """Chosen by both models: the worst of one of them alone would look better in any other, by chance."""
        matrix = np.zeros((len(self._names), len(self._names)), dtype=np.int64)
        for predicted in self._arms:
            np.add.at(matrix, (self._true, predicted), 1)
        np.fill_diagonal(matrix, 0)
        order = np.argsort(-matrix, axis=None, kind="stable")[: self._config.pairs]
        found = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, matrix.shape), strict=True)]
        return [(i, j) for i, j in found if matrix[i, j] > 0 and counts[i] >= self._config.min_rows]

    def statistics(self, predicted: Sequence[str]) -> Floats:
        """[1, family] of one model on all rows."""
        return self._statistics(self._true, self._index(predicted), np.ones((1, len(self._true))))

    def drawn(self) -> Floats:
        """[draws, family] differences of the two models in bootstrap samples of the rows, the same rows for both."""
        (true, before, after), counts = cells(self._true, *self._arms)
        weights = resamples(counts, DRAWS, seed=1)
        return self._statistics(true, after, weights) - self._statistics(true, before, weights)

    def _statistics(self, true: Ints, predicted: Ints, weights: Floats) -> Floats:
        t: Tally = tally(true, predicted, len(self._names), weights)
        metrics = np.stack([t.accuracy, t.macro_f1(self._macro), t.weighted_f1], axis=1)
        taken = [
            weights[:, (true == i) & (predicted == j)].sum(axis=1) / np.maximum(t.true[:, i], 1e-9)
            for i, j in self.pairs
        ]
        pairs = np.stack(taken, axis=1) if taken else np.zeros((len(weights), 0))
        return np.concatenate([metrics, t.f1[:, self.classes], pairs], axis=1)

    def noise(self, draws: int) -> Floats:
        """[draws, family] of the floor's size."""
        noise: Floats = np.random.default_rng(3).standard_normal((draws, len(self.floor))) * self.floor
        return noise

    def effects(self, point: Floats, half: Floats, smallest: Floats) -> list[Effect]:
        """The differences with their outcomes; classes with too few test rows at the end, as "cannot tell"."""
        one = np.ones((1, len(self._true)))
        before_all, after_all = (self._statistics(self._true, arm, one)[0] for arm in self._arms)
        names = ["accuracy", "macro_f1", "weighted_f1", *(self._names[i] for i in self.classes)]
        names += [f"{self._names[i]} -> {self._names[j]}" for i, j in self.pairs]
        found: list[Effect] = []
        for k, name in enumerate(names):
            kind: Literal["metric", "class", "pair"] = (
                "metric" if k < METRICS else "class" if k < METRICS + len(self.classes) else "pair"
            )
            margin = self._config.margin if kind == "metric" else self._config.class_margin
            low, high = max(-1.0, float(point[k] - half[k])), min(1.0, float(point[k] + half[k]))
            outcome = _outcome(*((-high, -low) if kind == "pair" else (low, high)), margin)
            found.append(
                Effect(
                    kind,
                    name,
                    float(before_all[k]),
                    float(after_all[k]),
                    low,
                    high,
                    int(self.sizes[k]),
                    outcome,
                    float(smallest[k]),
                )
            )
        f1_before, f1_after = (tally(self._true, arm, len(self._names)).f1 for arm in self._arms)
        for name in self.small:
            i = self._column[name]
            n = int(self._counts[i])
            found.append(Effect("class", name, float(f1_before[i]), float(f1_after[i]), -1, 1, n, "cannot tell", 1.0))
        return found


def _training_part(space: _Space, before: Arm, after: Arm, seeds: int) -> Floats:
    """[draws, family] deviations as another draw of the training rows would bring them; zeros without replicas.

    A multiplier bootstrap of the replicas' deviations, heavy-tailed (multivariate t) because there are few of them.
    """
    random = np.random.default_rng(2)
    if seeds < 2:
        return np.zeros((DRAWS, space.statistics(before.predicted).shape[1]))
    found = [space.statistics(after.replicas[s])[0] - space.statistics(before.replicas[s])[0] for s in range(seeds)]
    deviations = np.stack(found) - np.mean(found, axis=0)
    normal = random.standard_normal((DRAWS, seeds)) / np.sqrt(random.chisquare(seeds - 1, (DRAWS, 1)) / (seeds - 1))
    part: Floats = normal @ deviations / np.sqrt(seeds - 1)
    return part


def _critical(standardised: Floats, alpha: float) -> Floats:
    """[family] critical value of each statistic: one for the metrics, one for classes and pairs, each at `alpha`."""
    found = np.zeros(standardised.shape[1])
    for part in (slice(0, METRICS), slice(METRICS, None)):
        if standardised[:, part].shape[1]:
            found[part] = np.quantile(np.abs(standardised[:, part]).max(axis=1), 1 - alpha)
    return found


def _student(critical: Floats, sizes: Ints) -> Floats:
    """[family] the values of Student's t that are exceeded as rarely as `critical` by a normal variable."""
    from scipy import stats

    found: Floats = stats.t.isf(stats.norm.sf(critical), np.maximum(sizes - 1, 1))
    return found


def _outcome(low: float, high: float, margin: float) -> Outcome:
    if low > 0:
        return "improved"
    if high < 0:
        return "worse"
    return "no worse" if low > -margin else "cannot tell"


def _verdict(effects: list[Effect], seeds: int) -> Verdict:
    primary = next(effect for effect in effects if effect.name == "macro_f1")
    worse = [effect.name for effect in effects if effect.outcome == "worse"]
    better = [effect.name for effect in effects if effect.outcome == "improved"]
    overall = str(primary.outcome)
    if worse and overall != "worse":
        overall = "mixed"
    span = f"{primary.before:.3f} -> {primary.after:.3f}, difference {primary.after - primary.before:+.3f} "
    span += f"[{primary.low:+.3f}, {primary.high:+.3f}]"
    parts = [f"{overall}: macro-F1 {span}"]
    if better:
        parts.append(f"better: {', '.join(better)}")
    parts.append(f"worse: {', '.join(worse)}" if worse else "nothing is significantly worse")
    if primary.outcome == "cannot tell":
        parts.append(f"the smallest macro-F1 difference that this test could have seen is {primary.smallest:.3f}")
    if seeds < 2:
        parts.append("test rows only: another training run may differ by more")
    return Verdict(overall, "; ".join(parts), tuple(effects), seeds)
