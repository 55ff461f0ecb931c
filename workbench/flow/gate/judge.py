"""The gate of one bench: what its rules need to know of the real rows, and how they see a candidate."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workbench.bench import Bench
from workbench.classify import Features, Floats, Head, cross_fit
from workbench.errors import DataError
from workbench.flow.gate.marks import Heard, heard
from workbench.flow.signals import out_of_fold, vectors
from workbench.gate import Calibration, Check, Compared, Rows, Score, Stack, calibrate, habits, held
from workbench.ledger import Candidate
from workbench.records import Sample
from workbench.similarity import centred, near_groups

TRUST = 0.2
"""Weight of a candidate beside a real row, where both teach the gate's classifier."""


@dataclass(frozen=True)
class Judge:
    """The calibrated stack of one bench and what it needs to look at a new row.

    `peers` are candidates that teach the classifier beside the real rows, with little weight each: of a class of one real
    row they tell what that row cannot. No row vouches for itself: peers, like real rows, are seen out of fold.
    """

    bench: Bench
    compared: Compared
    features: Features
    head: Head
    mean: Floats
    seen: Mapping[tuple[str, str], Floats]
    """Sample id and text -> out-of-fold probabilities of the peers. Of a text that was edited since they say nothing."""
    marks: Mapping[str, Mapping[str, float]]
    says: tuple[str, ...] = ()
    """What the language models are worth that rules ask for, a sentence each."""

    @classmethod
    def of(
        cls, bench: Bench, peers: Sequence[Sample] = (), marks: Mapping[str, Mapping[str, float]] | None = None
    ) -> "Judge":
        """Fit classifier and centre on the human training rows, and on peers.

        Args:
            bench: where the real rows are.
            peers: candidates to learn from; those that a check is against, or that are of no known class, are left out.
            marks: scores that a language model gave: name -> sample id -> score; those of the stored answers where not given.

        Raises:
            DataError: there are no training rows, or fewer than two classes.
        """
        samples = bench.ledger.samples(split="train")
        if not samples:
            raise DataError("There are no real rows to calibrate the gate on.", "Add some with: wb data add FILE")
        found = heard(bench, samples) if marks is None else Heard(marks)
        texts, raw = [sample.text for sample in samples], vectors(bench, samples)
        mean = raw.mean(axis=0)
        features = Features.fit(bench.config.classifier, texts, raw)
        peers = _usable(bench, samples, peers)
        if peers:
            probabilities, labels, head, seen = _with_peers(bench, samples, peers, features)
        else:
            fitted = out_of_fold(bench, samples)
            head = Head.fit(bench.config.classifier, features(texts, raw), [s.label for s in samples])
            head, probabilities, labels, seen = head.at(fitted.temperature), fitted.probabilities, fitted.labels, {}
        real = Rows(samples, centred(raw, mean), probabilities, labels, found.marks)
        looks = any(isinstance(rule, Score) and rule.against == "held" for rule in bench.config.gate.rules.values())
        held = [s for split in ("dev", "test") if looks for s in bench.ledger.samples(split=split)]
        nothing = np.full((len(held), len(labels)), np.nan, np.float32)
        others = Rows(held, centred(vectors(bench, held), mean), nothing, labels) if held else None
        return cls(bench, Compared(real, others), features, head, mean, seen, found.marks, found.says)

    @property
    def real(self) -> Rows:
        """The human training rows."""
        return self.compared.real

    @cached_property
    def calibration(self) -> Calibration:
        """Thresholds, and what they would drop of the real rows."""
        gate = self.bench.config.gate
        return calibrate(gate.rules, self.compared, gate.budget, gate.class_rows)

    def stack(self, accepted: Sequence[Sample] = ()) -> Stack:
        """The stack, with `accepted` synthetic rows as siblings."""
        stack = Stack(self.bench.config.gate.rules, self.compared, self.calibration)
        stack.remember(self.rows(accepted))
        return stack

    def rows(self, samples: Sequence[Sample]) -> Rows:
        """Candidates with their vectors and the classifier's probabilities."""
        raw = vectors(self.bench, samples)
        if not samples:
            empty = np.zeros((0, len(self.head.labels)), dtype=np.float32)
            return Rows([], raw, empty, self.head.labels, self.marks)
        probabilities = self.head.probabilities(self.features([sample.text for sample in samples], raw))
        for i, sample in enumerate(samples):
            if (sample.id, sample.text) in self.seen:
                probabilities[i] = self.seen[sample.id, sample.text]
        return Rows(samples, centred(raw, self.mean), probabilities, self.head.labels, self.marks)


def peers_of(candidates: Sequence[Candidate], samples: Sequence[Sample] | None = None) -> list[Sample]:
    """Candidates that may teach: those that no person is against; `samples` are the same rows, mended."""
    rows = [candidate.sample for candidate in candidates] if samples is None else samples
    return [row for row, candidate in zip(rows, candidates, strict=True) if not candidate.refused]


def _usable(bench: Bench, real: Sequence[Sample], peers: Sequence[Sample]) -> list[Sample]:
    known = {sample.label for sample in real}
    rules = bench.config.gate.rules
    usual = habits(rules, real)
    checks = [(rule, usual[name]) for name, rule in rules.items() if isinstance(rule, Check)]
    return [
        s
        for s in peers
        if s.label in known and s.text.strip() and not any(held(rule, s, some) for rule, some in checks)
    ]


def _with_peers(
    bench: Bench, real: Sequence[Sample], peers: Sequence[Sample], features: Features
) -> tuple[Floats, Sequence[str], Head, Mapping[tuple[str, str], Floats]]:
    """Out-of-fold probabilities of the real rows, their columns, the head of all rows, and those of the peers by id and text."""
    rows = [*real, *peers]
    texts, labels = [sample.text for sample in rows], [sample.label for sample in rows]
    inputs = features(texts, vectors(bench, rows))
    groups = near_groups(texts)
    # A sentence that a model writes ten times counts once.
    copies = Counter(groups)
    trust = [TRUST / copies[group] for group in groups[len(real) :]]
    weights = np.array([1.0] * len(real) + trust, dtype=np.float32)
    config = bench.config.classifier
    fitted = cross_fit(config, [s.id for s in rows], inputs, labels, groups, weights)
    head = Head.fit(config, inputs, labels, weights).at(fitted.temperature)
    seen = {(sample.id, sample.text): fitted.probabilities[len(real) + i] for i, sample in enumerate(peers)}
    return fitted.probabilities[: len(real)], fitted.labels, head, seen
