"""`wb review status`: what the ledger knows of people's work. Asks no server."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from workbench.agreement import Agreement, agreement
from workbench.bench import Bench
from workbench.flow.judge import Judge, peers_of
from workbench.flow.review.deliver import waiting
from workbench.flow.review.plan import Options, queue_of
from workbench.ledger import Candidate
from workbench.records import Metric, Reject, Verdict
from workbench.review import LotState, Queue
from workbench.review.compare import Comparison, Judged, compare
from workbench.review.sampling import Step, pooled
from workbench.review.summary import Reviewer, by_reviewer, decisions_by_row


@dataclass(frozen=True, slots=True)
class Status:
    """Where the review of candidates stands."""

    tasks: int
    waiting: int
    states: Mapping[str, int]
    """approve, edit, relabel, reject, skipped, disputed, withheld -> candidates."""
    approved: int
    """Candidates that people want, edited and relabelled ones included."""
    reviewers: Sequence[Reviewer]
    agreement: Agreement
    defects: Mapping[str, Metric]
    """Class -> defect rate of the rows of its lots that nobody looked at."""
    overall: Metric | None
    """The same, of all classes together; None without lots."""
    lots: Sequence[tuple[LotState, Step]]
    gate: Comparison | None
    """None before anybody decided anything."""
    unreadable: Sequence[Reject]
    seconds: float
    """That reviewers spent."""
    cost: Decimal | None
    """Of the model's replies and the reviewers' time; None where a price is unknown."""

    @property
    def progress(self) -> Metric:
        """Share of the tasks that are done. It is counted, so that low and high are the value."""
        share = (self.tasks - self.waiting) / self.tasks if self.tasks else 0.0
        return Metric("progress", share, share, share, self.tasks)


def status(bench: Bench) -> Status:
    """Read the ledger and work everything out."""
    people = bench.ledger.people
    candidates = bench.ledger.candidates()
    queue = queue_of(bench, candidates, Options())
    reviews = [review for _, review in people.said()]
    states = Counter(c.judgement.state for c in candidates if c.judgement.state != "unseen")
    lots = queue.states()
    seconds = sum(review.seconds or 0.0 for review in reviews)
    return Status(
        tasks=len(queue.asked),
        waiting=len(waiting(bench, "review")),
        states=dict(states.most_common()),
        approved=sum(states[state] for state in ("approve", "edit", "relabel")),
        reviewers=by_reviewer(reviews),
        agreement=agreement(decisions_by_row(reviews), seed=bench.config.seed),
        defects=_defects(queue, lots),
        overall=_pooled(queue, lots) if lots else None,
        lots=[(lot, lot.step(queue.rules)) for lot in lots],
        gate=_gate(bench, candidates, lots),
        unreadable=_unreadable(bench),
        seconds=seconds,
        cost=_cost(bench, seconds),
    )


def _defects(queue: Queue, lots: Sequence[LotState]) -> dict[str, Metric]:
    labels = dict.fromkeys(lot.label for lot in lots)
    return {label: _pooled(queue, [lot for lot in lots if lot.label == label]) for label in labels}


def _pooled(queue: Queue, lots: Sequence[LotState]) -> Metric:
    """Of rows that nobody looked at. Where there is none left the rate is 0; where no sample tells, anything may be."""
    known = [(lot, lot.counts(queue.rules)) for lot in lots]
    found = pooled([counts for _, counts in known if counts], queue.rules.sampling.confidence)
    return replace(found, n=found.n + sum(lot.looked for lot, counts in known if not counts))


def _gate(bench: Bench, candidates: Sequence[Candidate], lots: Sequence[LotState]) -> Comparison | None:
    """The gate's verdicts, as they were before a person changed the row, beside what people said of it."""
    chance = {row: len(lot.rows) / lot.looked for lot in lots if lot.looked for row in lot.rows}
    defects = bench.config.review.defects
    known = [(c, c.judgement.state) for c in candidates]
    decided = [(c, state in defects) for c, state in known if state in ("approve", "edit", "relabel", "reject")]
    if not decided:
        return None
    dropped = sum(bool(c.verdicts) and not c.passed for c in candidates)
    audited = sum(not _passed(c.verdicts) for c, _ in decided)
    rows = []
    for candidate, bad in decided:
        verdicts = _before(bench, candidate)
        weight = chance.get(candidate.sample.id, 1.0) if _passed(verdicts) else max(1.0, dropped / max(1, audited))
        rows.append(Judged(bad, verdicts, weight))
    judge = Judge.of(bench, peers_of(candidates))
    now = {rule: sorted(set(limits.values())) for rule, limits in judge.calibration.thresholds.items()}
    return compare(rows, {rule: [t for t in limits if t < 1e30] for rule, limits in now.items()}, bench.config.seed)


def _before(bench: Bench, candidate: Candidate) -> Sequence[Verdict]:
    """What the gate said of the row that people saw."""
    if candidate.judgement.state not in ("edit", "relabel"):
        return candidate.verdicts
    history = [
        rows for operation, rows in bench.ledger.verdict_history(candidate.sample.id) if operation.stage != "review"
    ]
    return history[-1] if history else candidate.verdicts


def _passed(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)


def _unreadable(bench: Bench) -> list[Reject]:
    """What is wrong with annotations that decide nothing, as they stand now."""
    people = bench.ledger.people
    read = {annotation for annotation, _ in people.said()}
    told = {(reject.place, reject.line): reject for reject in bench.ledger.rejects()}
    places = [(one.uid, one.number) for one in people.annotations("review") if one.id not in read]
    return [told[place] for place in places if place in told]


def _cost(bench: Bench, seconds: float) -> Decimal | None:
    costs = bench.ledger.costs()
    if any(not cost for cost in costs):
        return None
    return sum((Decimal(cost) for cost in costs), Decimal(0)) + Decimal(str(bench.config.review.wage * seconds / 3600))


def per_approved(found: Status) -> tuple[float | None, Decimal | None]:
    """Reviewers' seconds, and cost, for each row that people want; None where there is none, or a price is unknown."""
    if not found.approved:
        return None, None
    return found.seconds / found.approved, None if found.cost is None else found.cost / found.approved
