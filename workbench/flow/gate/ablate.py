"""What each gate rule is worth: what it alone removes, where rules overlap, and its effect on macro-F1."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from workbench.bench import Bench
from workbench.classify import Features
from workbench.errors import DataError
from workbench.evaluate import Arm, Effect, compare
from workbench.flow.gate.run import SURPLUS
from workbench.flow.signals import vectors
from workbench.ledger import Candidate
from workbench.records import Sample
from workbench.train import fit_heads

REPLICAS = 10
"""Bootstraps behind each interval."""
NOTHING = "(all rules)"
"""Stands for the stack as a whole: without it every generated row is trained on."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What one rule does."""

    rule: str
    dropped: int
    """Candidates that it is against."""
    alone: int
    """Candidates that no other rule is against: what would be let in without it."""
    effect: Effect | None
    """Macro-F1 on dev with the whole stack, minus without this rule; None where the rule alone removes nothing, or there are
    no rows to measure on."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """The rules, where they overlap, and on how many rows the effects were measured."""

    worths: tuple[Worth, ...]
    overlap: Mapping[tuple[str, str], int]
    """Two rules -> candidates that both are against."""
    candidates: int
    accepted: int
    measured_on: int
    """Rows of dev."""


def ablate(bench: Bench, progress: Callable[[str], None] = lambda _: None) -> Ablation:
    """Take away one rule at a time from the newest gating of all candidates, train, and compare on dev. Test is not opened.

    Thresholds stay as they are: this is what the rule does in this stack. Rows beyond a quota stay out.

    Raises:
        DataError: no candidate was gated yet.
    """
    candidates = [c for c in bench.ledger.candidates() if c.verdicts and SURPLUS not in c.verdicts]
    if not candidates:
        raise DataError("There are no gated candidates to take rules away from.", "Make some: wb generate --minority")
    failed = [frozenset(v.rule for v in c.verdicts if not v.passed) for c in candidates]
    rules = list(dict.fromkeys(v.rule for c in candidates for v in c.verdicts))
    counts = Counter(rule for some in failed for rule in some)
    alone = {rule: [i for i, some in enumerate(failed) if some == {rule}] for rule in rules}
    overlap = Counter(pair for some in failed for pair in combinations(sorted(some), 2))
    measure = _Measure(bench, candidates)
    accepted = [i for i, some in enumerate(failed) if not some]
    worths = []
    # Without text or real rows of its class there is nothing to train on, whatever the gate says.
    known = {sample.label for sample in measure.human}
    usable = {i for i, c in enumerate(candidates) if c.sample.text.strip() and c.sample.label in known}
    for rule, extra in [*alone.items(), (NOTHING, [i for i in sorted(usable) if failed[i]])]:
        progress(f"without {rule}: {len(extra)} further rows")
        trained = usable.intersection(extra)
        effect = measure(accepted, sorted({*accepted, *trained})) if trained else None
        dropped = counts[rule] if rule != NOTHING else sum(bool(some) for some in failed)
        worths.append(Worth(rule, dropped, len(extra), effect))
    return Ablation(tuple(worths), dict(overlap), len(candidates), len(accepted), len(measure.dev))


class _Measure:
    """Trains on the human rows plus some candidates and predicts dev; each set of rows once."""

    def __init__(self, bench: Bench, candidates: Sequence[Candidate]) -> None:
        self.bench, self.candidates = bench, candidates
        self.human = bench.ledger.samples(split="train")
        self.dev = bench.ledger.samples(split="dev")
        rows = [*self.human, *(c.sample for c in candidates)]
        texts = [sample.text for sample in rows]
        raw = vectors(bench, rows)
        n = len(self.human)
        features = Features.fit(bench.config.classifier, texts[:n], raw[:n])
        self.x = features(texts, raw)
        self.held = features([s.text for s in self.dev], vectors(bench, self.dev)) if self.dev else None
        self.arms: dict[tuple[int, ...], Arm] = {}

    def __call__(self, full: Sequence[int], without: Sequence[int]) -> Effect | None:
        """Macro-F1 with `full` minus `without` (numbers of candidates)."""
        if self.held is None:
            return None
        true = [sample.label for sample in self.dev]
        verdict = compare(true, self._arm(without), self._arm(full), self.bench.config.evaluate.compare)
        return next(effect for effect in verdict.effects if effect.name == "macro_f1")

    def _arm(self, chosen: Sequence[int]) -> Arm:
        key = tuple(chosen)
        if key not in self.arms:
            n = len(self.human)
            rows: list[Sample] = [*self.human, *(self.candidates[i].sample for i in chosen)]
            x = self.x[[*range(n), *(n + i for i in chosen)]]
            head, heads = fit_heads(
                self.bench.config.classifier, rows, x, replicas=REPLICAS, seed=self.bench.config.seed
            )
            held = self.held
            assert held is not None
            said = [[one.labels[i] for i in one.logits(held).argmax(axis=1)] for one in (head, *heads)]
            self.arms[key] = Arm(said[0], said[1:])
        return self.arms[key]
