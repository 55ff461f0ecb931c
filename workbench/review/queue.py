"""Whom to show: which candidates become tasks, and which wait because a sample of their lot failed. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil
from typing import Literal

from workbench.ledger import Asked, Candidate, Lot
from workbench.records import Decision, Metric, digest
from workbench.review.decisions import ADJUDICATE
from workbench.review.sampling import Looked, SamplingConfig, Step, looked, pick, plan, pooled, stages, unseen

LOOKED = ("approve", "edit", "relabel", "reject", "skipped")
"""States of rows that people are done with."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Whom to show, as the settings and the command line say."""

    sampling: SamplingConfig
    share: float = 0.0
    """Fixed share of each lot instead of acceptance sampling; 0 for none."""
    doubtful: float = 0.0
    defects: Collection[Decision] = ("edit", "relabel", "reject")
    whole: Collection[str] = ()
    """Classes of which every candidate is looked at."""
    reviewers: Sequence[str] = ()
    overlap: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LotState:
    """A lot and what is known of it. Rows that are looked at in any case are not part of it."""

    lot: str
    label: str
    prompt: str
    rows: tuple[str, ...]
    """Ids of its rows, in the order in which they came."""
    looked: int
    """Rows that people are done with."""
    defects: int
    outcomes: tuple[bool, ...]
    """Whether each row that people are done with is defective, in the order in which rows are drawn."""
    prefix: int
    """So many rows people are done with before the first, in that order, that they are not done with."""
    waiting: int
    """Rows that were put to people, and are not done with."""
    drawn: frozenset[str]
    """Rows that were put to people."""
    draws: int
    """Samples that were drawn so far."""
    shared: bool = False
    """A fixed share of it was drawn."""
    held: tuple[str, ...] = ()
    """Rows that were held back, and not put to people yet."""

    @property
    def closed(self) -> bool:
        """A fixed share was all that was wanted of it, whatever is found."""
        return self.shared and not self.draws

    def step(self, rules: Rules) -> Step:
        """What is to be done with it now."""
        if self.closed:
            return self._of_share(rules)
        return plan(len(self.rows), self.looked, self.defects, self.draws, rules.sampling)

    def counts(self, rules: Rules) -> Looked | None:
        """Its numbers, for estimates over several lots; None where all of it was looked at without a sample.

        Only samples that people are done with count: rows that are answered first, the most doubtful ones, are no random part.
        """
        if self.draws or self.shared:
            return looked(len(self.rows), self._settled(rules), rules.sampling)
        rest = len(self.rows) - self.looked
        return Looked(rest, 0, 0) if rest else None

    def _settled(self, rules: Rules) -> tuple[bool, ...]:
        """Outcomes of the newest sample, those before included, of which every row is done."""
        if not self.waiting:
            return self.outcomes
        points = stages(len(self.rows), rules.sampling)[: self.draws]
        done = next((point.sample for point in reversed(points) if point.sample <= self.prefix), 0)
        return self.outcomes[:done]

    def _of_share(self, rules: Rules) -> Step:
        found = f"{self.defects or 'none'} of {self.looked} rows {'is' if self.defects <= 1 else 'are'} defective"
        say = f"A fixed share was drawn: {found}; nothing is promised of the others."
        action: Literal["accept", "draw"] = "draw" if self.waiting else "accept"
        return Step(action, len(self.drawn), 0, estimate([self], rules), say)


def estimate(lots: Sequence[LotState], rules: Rules) -> Metric:
    """Defect rate of the rows of some lots that nobody looked at: 0 where there is none, anything where no sample tells."""
    confidence = rules.sampling.confidence
    if len(lots) == 1 and lots[0].closed and not lots[0].waiting:
        lot = lots[0]
        return unseen(len(lot.rows), lot.looked, lot.defects, confidence)
    known = [(lot, lot.counts(rules)) for lot in lots]
    found = pooled([counts for _, counts in known if counts], confidence)
    return replace(found, n=found.n + sum(lot.looked for lot, counts in known if not counts))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is new: members of lots, tasks, rows that are held back."""

    lots: tuple[Lot, ...] = ()
    asked: tuple[Asked, ...] = ()
    held: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lots or self.asked or self.held)


@dataclass
class Queue:
    """Candidates, what was asked about them, and what people said."""

    candidates: Sequence[Candidate]
    lots: Sequence[Lot]
    asked: Sequence[Asked]
    draws: Mapping[str, int]
    rules: Rules

    def __post_init__(self) -> None:
        self._by_id = {candidate.sample.id: candidate for candidate in self.candidates}
        self._asked = {task.sample for task in self.asked}
        self._shared = {task.lot for task in self.asked if task.queue == "share"}

    def states(self) -> list[LotState]:
        """Every lot as it stands."""
        members: dict[str, list[Lot]] = {}
        for row in self.lots:
            if not row.forced and row.sample in self._by_id:
                members.setdefault(row.lot, []).append(row)
        return [self._state(rows) for rows in members.values()]

    def plan(self, doubts: Mapping[str, float], batch: str) -> Plan:
        """Tasks that are due now: of new rows, of lots whose sample calls for more, of rows that people disagree about.

        Args:
            doubts: id -> how odd a row is.
            batch: tells the lots of this call from earlier ones of the same class and prompt.
        """
        lots = self._new_lots(doubts, batch)
        queue = Queue(self.candidates, [*self.lots, *lots], self.asked, self.draws, self.rules)
        asked = [self._task(row.sample, _why_forced(row, self.rules), row.lot) for row in lots if row.forced]
        held: list[str] = []
        for state in queue.states():
            more, why = queue.due(state)
            asked += [self._task(row, why, state.lot) for row in more]
            held += queue.to_hold(state)
        asked += self._disputes()
        return Plan(tuple(lots), tuple(asked), tuple(dict.fromkeys(held)))

    def due(self, state: LotState) -> tuple[list[str], str]:
        """Rows of a lot that are to be put to people now, and the queue that they go to."""
        if state.label in self.rules.whole:
            want, queue = len(state.rows), "all"
        elif self.rules.share:
            want, queue = ceil(self.rules.share * len(state.rows)), "share"
        elif state.held:  # also where someone thought better of it since
            want, queue = len(state.rows), "full"
        elif state.waiting or state.closed:
            return [], ""
        else:
            step = state.step(self.rules)
            want, queue = step.sample, "full" if step.action == "review" else "sample"
        return [row for row in pick(state.rows, want, self.rules.seed, state.lot) if row not in state.drawn], queue

    def to_hold(self, state: LotState) -> list[str]:
        """Rows of a failed lot that nobody has looked at yet."""
        if self.rules.share or state.waiting or not state.looked or state.step(self.rules).action != "review":
            return []  # of a fixed share, no step is a review
        return [row for row in state.rows if self._by_id[row].judgement.state == "unseen"]

    def audit(self, most: int, known: Collection[str] = ()) -> list[Asked]:
        """Tasks about rows that the gate dropped, drawn at random: only they can tell whether it was right."""
        dropped = [c.sample.id for c in self.candidates if c.verdicts and not c.passed and c.sample.id not in known]
        free = [row for row in dropped if row not in self._asked]
        return [self._task(row, "audit", "") for row in pick(free, most, self.rules.seed, "audit")]

    def _state(self, rows: Sequence[Lot]) -> LotState:
        first, ids = rows[0], tuple(row.sample for row in rows)
        states = {row: self._by_id[row].judgement.state for row in pick(ids, len(ids), self.rules.seed, first.lot)}
        outcomes = tuple(
            state == "skipped" or state in self.rules.defects for state in states.values() if state in LOOKED
        )
        drawn = frozenset(row for row in ids if row in self._asked)
        return LotState(
            lot=first.lot,
            label=first.label,
            prompt=first.prompt,
            rows=ids,
            looked=len(outcomes),
            defects=sum(outcomes),
            outcomes=outcomes,
            prefix=next((n for n, state in enumerate(states.values()) if state not in LOOKED), len(ids)),
            waiting=sum(states[row] not in LOOKED for row in drawn),
            drawn=drawn,
            draws=self.draws.get(first.lot, 0),
            shared=first.lot in self._shared,
            held=tuple(row for row in ids if states[row] == "withheld" and row not in drawn),
        )

    def _new_lots(self, doubts: Mapping[str, float], batch: str) -> list[Lot]:
        known = {row.sample for row in self.lots} | self._asked
        groups: dict[tuple[str, str], list[str]] = {}
        for candidate in self.candidates:
            sample = candidate.sample
            if candidate.passed and sample.id not in known:
                prompt = sample.origin.prompt if sample.origin else ""
                groups.setdefault((sample.label, prompt), []).append(sample.id)
        rows = []
        for (label, prompt), ids in groups.items():
            forced = set(ids) if label in self.rules.whole else set(_top(ids, doubts, self.rules.doubtful))
            lot = digest(batch, label, prompt)
            rows += [Lot(row, lot, label, prompt, row in forced) for row in ids]
        return rows

    def _disputes(self) -> list[Asked]:
        tasks = [self._task(c.sample.id, ADJUDICATE, "") for c in self.candidates if c.judgement.state == "disputed"]
        known = {task.uid for task in self.asked}
        return [task for task in tasks if task.uid not in known]

    def _task(self, row: str, queue: str, lot: str) -> Asked:
        sample = self._by_id[row].sample
        uid = f"{row}.{ADJUDICATE}" if queue == ADJUDICATE else row
        shown = {"turns": [[t.role, t.text, dict(t.tags)] for t in sample.turns], "label": sample.label}
        return Asked("review", uid, row, queue, lot, () if queue == ADJUDICATE else self._reviewers(row), shown)

    def _reviewers(self, row: str) -> tuple[str, ...]:
        """Who does it: each in turn, and for a share of the rows the next one, too; the same for the same row."""
        names = list(self.rules.reviewers)
        if not names:
            return ()
        place = int.from_bytes(sha256(f"{self.rules.seed}:{row}".encode()).digest()[:8], "big")
        first = place % len(names)
        twice = place / 2**64 < self.rules.overlap and len(names) > 1
        return (names[first], names[(first + 1) % len(names)]) if twice else (names[first],)


def _top(ids: Iterable[str], doubts: Mapping[str, float], share: float) -> list[str]:
    ranked = sorted(ids, key=lambda row: (-doubts.get(row, 0.0), row))
    return ranked[: ceil(share * len(ranked))]


def _why_forced(row: Lot, rules: Rules) -> str:
    return "all" if row.label in rules.whole else "doubtful"
