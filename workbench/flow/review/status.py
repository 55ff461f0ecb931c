"""`wb review status`: what the ledger knows of people's work. Asks no server."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from workbench.agreement import Agreement, agreement
from workbench.bench import Bench
from workbench.flow.gate.judge import Judge, peers_of
from workbench.flow.review.deliver import waiting
from workbench.flow.review.plan import Options, queue_of
from workbench.ledger import Candidate
from workbench.records import Metric, Reject, Verdict
from workbench.review import LotState, Queue
from workbench.review.compare import Comparison, Judged, compare
from workbench.review.queue import estimate
from workbench.review.sampling import Step
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
        overall=estimate(lots, queue.rules) if lots else None,
        lots=[(lot, lot.step(queue.rules)) for lot in lots],
        gate=_gate(bench, candidates, lots),
        unreadable=people.unreadable("review"),
        seconds=seconds,
        cost=_cost(bench, seconds),
    )


def _defects(queue: Queue, lots: Sequence[LotState]) -> dict[str, Metric]:
    labels = dict.fromkeys(lot.label for lot in lots)
    return {label: estimate([lot for lot in lots if lot.label == label], queue.rules) for label in labels}


def _gate(bench: Bench, candidates: Sequence[Candidate], lots: Sequence[LotState]) -> Comparison | None:
    """The gate's verdicts, as they were before a person changed the row, beside what people said of it."""
    chance = {row: len(lot.rows) / lot.looked for lot in lots if lot.looked for row in lot.rows}
    defects = bench.config.review.defects
    known = [(c.sample.id, c.judgement.state) for c in candidates]
    decided = [(row, state) for row, state in known if state in ("approve", "edit", "relabel", "reject")]
    if not decided:
        return None
    before = bench.ledger.gated(but="review")
    dropped = sum(not _passed(before.get(row, [])) for row, _ in known)
    audited = sum(not _passed(before.get(row, [])) for row, _ in decided)
    rows = []
    for row, state in decided:
        verdicts = before.get(row, [])
        weight = chance.get(row, 1.0) if _passed(verdicts) else dropped / audited
        rows.append(Judged(state in defects, verdicts, weight))
    return compare(rows, _Thresholds(bench, candidates), bench.config.seed)


class _Thresholds(Mapping[str, Sequence[float]]):
    """What each rule is against now; the gate is calibrated when someone asks, which takes longer than all else."""

    def __init__(self, bench: Bench, candidates: Sequence[Candidate]) -> None:
        self._bench, self._candidates = bench, candidates

    def __getitem__(self, rule: str) -> Sequence[float]:
        return self._known[rule]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    @cached_property
    def _known(self) -> Mapping[str, Sequence[float]]:
        judge = Judge.of(self._bench, peers_of(self._candidates))
        now = {rule: sorted(set(limits.values())) for rule, limits in judge.calibration.thresholds.items()}
        return {rule: [t for t in limits if t < 1e30] for rule, limits in now.items()}


def _passed(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.passed for verdict in verdicts)


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
