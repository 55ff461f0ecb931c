"""The quota loop: draw, store, parse, gate, count, stop. Its target is accepted rows, not requests."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from workbench.bench import Bench
from workbench.errors import ServiceError, WorkbenchError
from workbench.flow.gate import SURPLUS, Judge, keep_quota
from workbench.flow.plan import Writer, accepted_counts
from workbench.gate import Stack
from workbench.generate import Draft, parse_reply
from workbench.ledger import Reply
from workbench.llm import Answer, Client, Exhausted, Refused, Request, complete, identity, open_client
from workbench.prompts import continued
from workbench.records import Need, Origin, Reject, Sample, Turn, Verdict, digest


@dataclass(frozen=True, slots=True)
class Generated:
    """What a generation did, and what stands in the ledger after it."""

    needs: tuple[Need, ...]
    accepted: Mapping[str, int]
    """Accepted synthetic rows in the bench, of each class that was asked for."""
    dropped: Mapping[str, int]
    """Reason -> candidates that this call dropped, parse rejects included."""
    replies: int
    """Replies stored in the bench for these needs."""
    new_replies: int
    tokens_in: int
    tokens_out: int
    cost: Decimal | None
    """Of the new replies; None where a price is unknown."""
    currency: str
    stopped_by: str
    """`quota`, `exhausted`, `saturated`, `refused` or `max_requests`."""
    say: str
    """A sentence where it stopped short."""

    @property
    def requested(self) -> int:
        """Accepted rows that were asked for, over all classes."""
        totals: dict[str, int] = {}
        for need in self.needs:
            totals[need.label] = max(totals.get(need.label, 0), need.count)
        return sum(totals.values())


def generate(
    bench: Bench, needs: Sequence[Need], *, max_requests: int = 0, progress: Callable[[str], None] = lambda _: None
) -> Generated:
    """Fill every need to its count of accepted rows, or say why not. What was received is stored before it is read.

    Args:
        bench: where rows come from and go to.
        needs: what is wanted; counts are totals in this bench.
        max_requests: most requests of this call, 0 for the configured limit.
        progress: gets a line now and then.

    Raises:
        ServiceError: the endpoint failed for good; what it answered before is stored.
    """
    with bench.alone("generate"):
        loop = _Loop(bench, needs, max_requests or bench.config.generate.max_requests, progress)
        loop.catch_up()
        if loop.open_needs():
            loop.prepare()
            asyncio.run(loop.run())
        return loop.result()


@dataclass
class _Progress:
    """Where a need stands while the loop runs."""

    need: Need
    draws: set[int]
    """Draws that have a stored reply or are in flight."""
    flying: int = 0
    barren: int = 0
    """Replies in a row without an accepted row."""
    ended: str = ""
    yields: list[int] = field(default_factory=list)
    """Accepted rows of each reply, surplus included."""

    def expected(self, batch: int) -> float:
        """Accepted rows to expect of the requests in flight: the mean of what was seen, half a batch before that."""
        seen = sum(self.yields) / len(self.yields) if self.yields else batch / 2
        return self.flying * max(seen, 0.5)


class _Loop:
    """One `wb generate`: supplies requests, stores answers, reads them in batches, counts accepted rows."""

    def __init__(self, bench: Bench, needs: Sequence[Need], max_requests: int, progress: Callable[[str], None]) -> None:
        self.bench, self.needs, self.max_requests, self._report = bench, tuple(needs), max_requests, progress
        self.writer = Writer(bench, needs)
        self.client: Client | None = None
        self.accepted = accepted_counts(bench)
        self.target = {need.label: max(n.count for n in needs if n.label == need.label) for need in needs}
        self.dropped: Counter[str] = Counter()
        self.bought: list[Answer] = []
        self.sent = 0
        self.failure: WorkbenchError | None = None
        self.errors: dict[tuple[str, str, int], WorkbenchError] = {}
        stored = bench.ledger.replies()
        self.progress = [_Progress(need, {r.draw for r in stored if self._same(need, r)}) for need in needs]
        self._judge: Judge | None = None
        self._stack: Stack | None = None

    def _same(self, need: Need, reply: Reply) -> bool:
        key = (reply.label, reply.against, reply.strategy, reply.seed)
        return key == (need.label, need.against, need.strategy, self.bench.config.seed)

    @property
    def judge(self) -> Judge:
        """The gate, made when the first row needs it."""
        if self._judge is None:
            self._judge = Judge.of(self.bench)
        return self._judge

    @property
    def stack(self) -> Stack:
        """The calibrated stack with everything accepted so far."""
        if self._stack is None:
            self._stack = self.judge.stack(self.bench.ledger.accepted())
        return self._stack

    def open_needs(self) -> list[_Progress]:
        """Needs that still want rows and can hope for some."""
        return [p for p in self.progress if not p.ended and self.accepted[p.need.label] < self.target[p.need.label]]

    def catch_up(self) -> None:
        """Read replies that a killed command left unread, and take back surplus rows that are wanted now."""
        unread = self.bench.ledger.replies(unparsed=True)
        if unread:
            self._report(f"{len(unread)} stored replies were not read yet; reading them first")
            self.read(unread)
        wanted = {p.need.label for p in self.open_needs()}
        spare = [
            candidate.sample
            for candidate in (self.bench.ledger.candidates() if wanted else [])
            if candidate.sample.label in wanted
            and [verdict for verdict in candidate.verdicts if not verdict.passed] == [SURPLUS]
        ]
        if spare:
            with self.bench.ledger.write("gate", "surplus", {"rows": len(spare)}) as writer:
                for sample, verdicts in zip(spare, self._verdicts(spare), strict=True):
                    writer.verdicts(sample.id, verdicts)

    def prepare(self) -> None:
        """Make the gate before anything is bought: what comes back must be read at once, or too much is asked for."""
        self._stack = self.stack

    async def run(self) -> None:
        """Buy until every need is filled or has ended."""
        self.client = open_client(self.bench.config.llm, self.bench.root)
        try:
            errors = await complete(
                self.client,
                self.supply,
                self.record,
                self.use,
                self.client.most or self.bench.config.llm.concurrency,
                self.failed,
            )
        finally:
            await self.client.close()
        self.failure = next((error for error in errors if isinstance(error, ServiceError)), None)

    def supply(self) -> Request | None:
        """The next request worth sending: for the need that is furthest from its target, flying rows reckoned in."""
        if self.max_requests and self.sent >= self.max_requests:
            return None
        batch = self.bench.config.generate.batch_size
        # Requests that are not read yet are bets on an acceptance rate that may have changed: their number is bounded.
        bets = self.bench.config.llm.concurrency * (2 if any(p.yields for p in self.progress) else 1)
        if sum(p.flying for p in self.progress) >= bets:
            return None

        def missing(p: _Progress) -> float:
            flying = sum(q.expected(batch) for q in self.progress if q.need.label == p.need.label)
            return self.target[p.need.label] - self.accepted[p.need.label] - flying

        worst = max(self.open_needs(), key=missing, default=None)
        if worst is None or missing(worst) <= 0:
            return None
        draw = next(i for i in range(len(worst.draws) + 1) if i not in worst.draws)
        worst.draws.add(draw)
        worst.flying += 1
        self.sent += 1
        return self.writer.request(worst.need, draw)

    def record(self, request: Request, answer: Answer) -> None:
        """Store an answer before anything reads it."""
        assert self.client is not None
        self.bought.append(answer)
        self.bench.ledger.add_reply(
            Reply(
                id=identity(self.client, request),
                label=request.label,
                against=request.against,
                strategy=request.strategy,
                draw=request.draw,
                rows=request.rows,
                prompt=request.prompt,
                parents=request.parents,
                seed=request.seed,
                messages=request.messages,
                model=self.client.model,
                endpoint=self.client.name,
                text=answer.text,
                finish=answer.finish,
                tokens_in=answer.tokens_in,
                tokens_out=answer.tokens_out,
                cost="" if answer.cost is None else str(answer.cost),
            )
        )

    def use(self, requests: Sequence[Request]) -> None:
        """Read all answers that came in since the last call."""
        assert self.client is not None
        stored = [(request, self.bench.ledger.reply(identity(self.client, request))) for request in requests]
        self.read([reply for _, reply in stored if reply is not None])
        for request, reply in stored:
            p = next(p for p in self.progress if p.need.label == request.label and p.need.against == request.against)
            p.flying -= 1
            if reply is None:
                self._unanswered(p, request)
        self._report(self._line())

    def failed(self, request: Request, error: WorkbenchError) -> None:
        """Note why a request has no answer."""
        self.errors[request.label, request.against, request.draw] = error

    def _unanswered(self, p: _Progress, request: Request) -> None:
        """A recording at its end ends its class; a refused request counts as barren; a dead endpoint ends everything."""
        error = self.errors.pop((request.label, request.against, request.draw), None)
        if isinstance(error, Exhausted):
            p.ended = "exhausted"
        elif isinstance(error, Refused):
            self.dropped["refused_request"] += 1
            p.barren += 1
            if p.barren >= self.bench.config.generate.patience:
                p.ended = f"refused: {error.message}"

    def read(self, replies: Sequence[Reply]) -> None:
        """Parse, gate and count replies: samples, rejects and verdicts are stored in one transaction."""
        drafts: list[Sample] = []
        rejects: dict[str, list[Reject]] = {}
        for reply in replies:
            rows, rejects[reply.id] = _parse(reply, self.writer.roles)
            drafts += [_sample(reply, draft.position, draft.turns) for draft in rows]
        verdicts = self._verdicts(drafts)
        with self.bench.ledger.write("generate", "read", {"replies": len(replies)}) as writer:
            writer.samples(drafts)
            for sample, row in zip(drafts, verdicts, strict=True):
                writer.verdicts(sample.id, row)
            for reply in replies:
                own = sum(sample.origin is not None and sample.origin.reply == reply.id for sample in drafts)
                writer.parsed(reply.id, own, len(rejects[reply.id]))
                writer.rejects(rejects[reply.id])
        self._count(replies, drafts, verdicts, rejects)

    def _verdicts(self, samples: Sequence[Sample]) -> list[list[Verdict]]:
        """Gate rows, then the quota: what a class does not need any more is surplus."""
        found = self.stack.check(self.judge.rows(samples)) if samples else []
        labels = {sample.label for sample in samples}
        room = {label: self.target.get(label, 0) - self.accepted[label] for label in labels}
        keep_quota(samples, found, room)
        passed = zip(samples, found, strict=True)
        self.accepted.update(sample.label for sample, row in passed if all(verdict.passed for verdict in row))
        return found

    def _count(
        self,
        replies: Sequence[Reply],
        drafts: Sequence[Sample],
        verdicts: Sequence[Sequence[Verdict]],
        rejects: Mapping[str, Sequence[Reject]],
    ) -> None:
        good: Counter[str] = Counter()
        for sample, row in zip(drafts, verdicts, strict=True):
            wrong = [verdict for verdict in row if not verdict.passed]
            self.dropped.update(verdict.reason for verdict in wrong[:1])
            if sample.origin is not None and wrong in ([], [SURPLUS]):
                good[sample.origin.reply] += 1
        self.dropped.update(reject.reason for rows in rejects.values() for reject in rows)
        for reply in replies:
            for p in self.progress:
                if self._same(p.need, reply):
                    p.yields.append(good[reply.id])
                    p.barren = 0 if good[reply.id] else p.barren + 1
                    if p.barren >= self.bench.config.generate.patience:
                        p.ended = "saturated"

    def _line(self) -> str:
        done = sum(min(self.accepted[label], count) for label, count in self.target.items())
        total = sum(self.target.values())
        return f"accepted {done} of {total}, {len(self.bought)} replies, {sum(self.dropped.values())} rows dropped"

    def result(self) -> Generated:
        """What happened, with a sentence where a class got fewer rows than asked for."""
        short = [p for p in self.progress if self.accepted[p.need.label] < self.target[p.need.label]]
        if self.failure is not None and short:
            stored = f"{len(self.bought)} replies of this call are stored; the same command goes on from there."
            raise type(self.failure)(self.failure.message, f"{self.failure.hint} {stored}")
        ended = next((p.ended for p in short if p.ended), "max_requests").partition(":")[0] if short else "quota"
        say = "; ".join(
            f"{p.need.label}: {self.accepted[p.need.label]} of {self.target[p.need.label]} ({p.ended or 'max_requests'})"
            for p in short
        )
        prices = [answer.cost for answer in self.bought]
        cost = None if None in prices else sum((price for price in prices if price is not None), Decimal(0))
        replies = [r for r in self.bench.ledger.replies() if any(self._same(need, r) for need in self.needs)]
        return Generated(
            self.needs,
            {label: self.accepted[label] for label in self.target},
            dict(self.dropped),
            len(replies),
            len(self.bought),
            sum(answer.tokens_in for answer in self.bought),
            sum(answer.tokens_out for answer in self.bought),
            cost,
            self.client.currency if self.client else "",
            ended,
            say,
        )


def _parse(reply: Reply, roles: Sequence[str]) -> tuple[list[Draft], list[Reject]]:
    try:
        return parse_reply(reply.id, continued(reply.messages, reply.text), reply.finish, roles)
    except Exception as exc:  # noqa: BLE001  a fault of the parser must not block every reply that was paid for after it
        say = f"The parser failed: {type(exc).__name__}."
        return [], [Reject(reply.id, 0, "unreadable", say, reply.text)]


def _sample(reply: Reply, position: int, turns: tuple[Turn, ...]) -> Sample:
    origin = Origin(reply.strategy, reply.model, reply.prompt, reply.parents, reply.seed, reply.id)
    return Sample(digest(reply.id, str(position)), turns, reply.label, "train", "synthetic", origin)
