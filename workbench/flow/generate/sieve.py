"""The gate inside a running generation: judges what comes in, and looks again at everything once it knows more."""

from collections.abc import Mapping, Sequence

from workbench.bench import Bench
from workbench.flow.gate.judge import Judge, peers_of
from workbench.flow.gate.run import SURPLUS, changes_of, keep_quota, refuse_unknown
from workbench.flow.generate.plan import accepted_counts
from workbench.gate import Score, Stack, mended
from workbench.records import Change, Sample, Verdict

FIRST = 64
"""Candidates after which the first look is worth its time; then at every doubling."""
LOOKS = 4
"""Looks at the end of one command: each may reopen a quota, and must not do so for ever."""


class Sieve:
    """Gate, quota, and counts of accepted rows. What was judged when little was known is judged again later.

    A class of one real row says nothing of its rows; the candidates together do (see `Judge`). So all candidates are judged
    anew when their number has doubled, and before a quota counts as filled.
    """

    def __init__(self, bench: Bench, target: Mapping[str, int]) -> None:
        self.bench, self.target = bench, target
        self.accepted = accepted_counts(bench)
        self._judge: Judge | None = None
        self._stack: Stack | None = None
        rules = bench.config.gate.rules.values()
        self._learns = any(isinstance(rule, Score) and rule.uses_classifier for rule in rules)
        self._seen = self._looked = len(bench.ledger.candidates()) if self._learns else 0
        self._fresh = self._learns and _unlooked(bench)
        self._final = 0

    @property
    def judge(self) -> Judge:
        """The gate, made when the first row needs it."""
        if self._judge is None:
            peers = peers_of(self.bench.ledger.candidates()) if self._learns else []
            self._judge = Judge.of(self.bench, peers)
        return self._judge

    @property
    def stack(self) -> Stack:
        """The calibrated stack with everything that passed so far: what people rejected does not come back as a like row."""
        if self._stack is None:
            self._stack = self.judge.stack(self.bench.ledger.passed())
        return self._stack

    def count_again(self) -> None:
        """Someone else stored candidates: read what is accepted now."""
        self.accepted, self._stack = accepted_counts(self.bench), None

    def verdicts(self, samples: Sequence[Sample]) -> list[list[Verdict]]:
        """Gate rows, then the quota: what a class does not need any more is surplus."""
        found = self.stack.check(self.judge.rows(samples)) if samples else []
        room = {label: self.target.get(label, 0) - self.accepted[label] for label in {s.label for s in samples}}
        keep_quota(samples, found, room)
        self.accepted.update(s.label for s, row in zip(samples, found, strict=True) if all(v.passed for v in row))
        self._seen += len(samples)
        self._fresh = self._fresh or (self._learns and bool(samples))
        return found

    def take_surplus(self, labels: set[str]) -> None:
        """Take back rows of these classes that were beyond a quota."""
        spare = [
            candidate.sample
            for candidate in (self.bench.ledger.candidates() if labels else [])
            if candidate.sample.label in labels and [v for v in candidate.verdicts if not v.passed] == [SURPLUS]
        ]
        if spare:
            self._store("surplus", spare, self.verdicts(spare))

    def look(self, *, filled: bool) -> bool:
        """Judge all candidates anew where that is due; whether it was.

        Args:
            filled: nothing more is wanted, so that this is the last chance.
        """
        due = self._seen >= max(FIRST, 2 * self._looked) or (filled and self._final < LOOKS)
        if not (self._fresh and due):
            return False
        self._final += filled
        candidates = self.bench.ledger.candidates()
        # A rule that masks may have been told to after these rows came: unmasked they must not pass it.
        samples = [self.mended(candidate.sample) for candidate in candidates]
        self._judge = Judge.of(self.bench, peers_of(candidates, samples))
        stack = self._judge.stack()
        verdicts = stack.check(self._judge.rows(samples))
        refuse_unknown(samples, verdicts, self._judge.head.labels)
        # Classes that nobody asks for now keep the number of rows that they had.
        had = accepted_counts(self.bench)
        full = {c.sample.label for c in candidates if SURPLUS in c.verdicts}
        refused = {c.sample.id for c in candidates if c.refused}
        keep_quota(samples, verdicts, {**{label: had[label] for label in full}, **self.target}, refused)
        self._store("again", samples, verdicts, changes_of(samples, candidates))
        self._fresh, self._looked = False, len(samples)
        self.count_again()
        return True

    def _store(
        self,
        kind: str,
        samples: Sequence[Sample],
        verdicts: Sequence[Sequence[Verdict]],
        changes: Sequence[Change] = (),
    ) -> None:
        with self.bench.ledger.write("gate", kind, {"rows": len(samples)}) as writer:
            writer.changes(changes)
            for sample, row in zip(samples, verdicts, strict=True):
                writer.verdicts(sample.id, row)

    def mended(self, sample: Sample) -> Sample:
        """The row as rules would have it that mend instead of dropping."""
        return mended(sample, self.bench.config.gate.rules)


def _unlooked(bench: Bench) -> bool:
    """Whether replies were read after the last gating of all candidates, as a killed command leaves them."""
    kinds = [(operation.stage, operation.kind) for operation in bench.ledger.operations() if not operation.undone]
    after = max((i for i, kind in enumerate(kinds) if kind in {("gate", "again"), ("gate", "all")}), default=-1)
    return ("generate", "read") in kinds[after + 1 :]
