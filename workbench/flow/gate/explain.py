"""Why the gate keeps or drops one row: each rule's score beside its threshold, and what the row was compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.bench import Bench
from workbench.flow.gate.judge import Judge, peers_of
from workbench.gate import Check, Rows, Rule, Score, mended
from workbench.records import Sample, Verdict


@dataclass(frozen=True, slots=True)
class Said:
    """What one rule says of the row."""

    verdict: Verdict
    threshold: float | None
    """Rows that score higher go; None where the rule has no scale, or nothing to learn a threshold from."""
    group: str
    """Whose threshold it is: the class, or `pooled`."""
    evidence: str
    """What the row was compared with, for people."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A row and what every rule says of it."""

    sample: Sample
    said: tuple[Said, ...]

    @property
    def passed(self) -> bool:
        """No rule is against it."""
        return all(one.verdict.passed for one in self.said)


def explain(bench: Bench, sample_id: str) -> Explained:
    """Judge one row of the bench as `wb gate` would now, and show each rule's reasons; nothing is stored.

    A real row is compared with all others but itself, as in calibration.

    Raises:
        DataError: there is no such row, or several begin like that.
    """
    sample = mended(bench.ledger.sample(sample_id), bench.config.gate.rules)
    candidates = bench.ledger.candidates()
    judge = Judge.of(bench, peers_of(candidates))
    passed = [c.sample for c in candidates if c.passed and c.sample.id != sample.id]
    row = _as_seen(judge, sample)
    verdicts = {verdict.rule: verdict for verdict in judge.stack(passed).check(row)[0]}
    siblings = judge.rows([other for other in passed if other.label == sample.label])
    said = [_said(judge, name, rule, verdicts[name], row, siblings) for name, rule in bench.config.gate.rules.items()]
    return Explained(sample, tuple(said))


def _as_seen(judge: Judge, sample: Sample) -> Rows:
    ids = [real.id for real in judge.real.samples]
    return judge.real.pick([ids.index(sample.id)]) if sample.id in ids else judge.rows([sample])


def _said(judge: Judge, name: str, rule: Rule, verdict: Verdict, row: Rows, siblings: Rows) -> Said:
    if isinstance(rule, Check):
        return Said(verdict, None, "", "")
    assert isinstance(rule, Score)
    label = row.samples[0].label
    limit = judge.calibration.threshold(name, label)
    group = label if label in judge.calibration.thresholds[name] else "pooled"
    others = {"real": judge.real, "held": judge.compared.held, "siblings": siblings}[rule.against]
    # What stands in dev and test is not shown: it would end up in prompts and heads.
    shown = rule.say(row, others) if others is not None and len(others) and rule.against != "held" else ""
    return Said(verdict, limit if limit < 1e30 else None, group, shown)


def doubtful(bench: Bench, accepted: Sequence[Sample] | None = None) -> list[tuple[Sample, float]]:
    """Accepted synthetic rows, the most doubtful first, by the verdicts of their newest gating."""
    from workbench.gate import doubt

    wanted = None if accepted is None else {sample.id for sample in accepted}
    rows = [c for c in bench.ledger.candidates() if c.accepted and (wanted is None or c.sample.id in wanted)]
    scored = [(c.sample, doubt(c.verdicts, bench.config.gate.rules)) for c in rows]
    return sorted(scored, key=lambda item: (-item[1], item[0].id))
