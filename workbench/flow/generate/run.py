"""The quota loop: draw, store, parse, gate, count, stop. Its target is accepted rows, not requests."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from workbench.bench import Bench
from workbench.errors import ServiceError, WorkbenchError
from workbench.flow.gate.run import SURPLUS
from workbench.flow.generate import handmade
from workbench.flow.generate.plan import Writer
from workbench.flow.generate.pulse import Pulse, State
from workbench.flow.generate.purchases import Key, Limits, Purchases, check_prices, in_flight, key_of, spent_before
from workbench.flow.generate.sieve import Sieve
from workbench.flow.generate.standing import Standing
from workbench.generate import Draft, parse_reply
from workbench.ledger import Reply
from workbench.llm import Exhausted, OverCap, Purse, Refused, Request, complete, open_client
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
    cost_lost: Decimal
    """The most that calls of this command cost which got no answer but may have been billed."""
    resumed: Mapping[str, int]
    """`stored`: replies for these needs that were there; `in_flight`: requests that a killed command had under way."""
    stopped_by: str
    """`quota`, `exhausted`, `saturated`, `used_up`, `refused`, `max_requests` or `max_cost`."""
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
    bench: Bench,
    needs: Sequence[Need],
    *,
    max_requests: int = 0,
    max_cost: Decimal | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Generated:
    """Fill every need to its count of accepted rows, or say why not. What was received is stored before it is read.

    Args:
        bench: where rows come from and go to.
        needs: what is wanted; counts are totals in this bench.
        max_requests: most requests of this call, 0 for the configured limit.
        max_cost: cap on what the bench spends in all, earlier calls and those of killed commands included; None for none.
        progress: gets a line now and then.

    Raises:
        UsageError: there is a cap, and an endpoint without a price.
        ServiceError: the endpoint failed for good; what it answered before is stored.
    """
    if max_cost is not None:
        check_prices(bench.config.llm)
    with bench.alone("generate"):
        loop = _Loop(bench, needs, Limits(max_requests or bench.config.generate.max_requests, max_cost), progress)
        loop.catch_up()
        loop.make()
        if loop.open_needs():
            loop.prepare()
            asyncio.run(loop.run())
        return loop.result()


class _Loop:
    """One `wb generate`: supplies requests, stores answers, reads them in batches, counts accepted rows."""

    def __init__(self, bench: Bench, needs: Sequence[Need], limits: Limits, progress: Callable[[str], None]) -> None:
        self.bench, self.needs, self.limits, self._report = bench, tuple(needs), limits, progress
        self.writer = Writer(bench, needs)
        self.purchases: Purchases | None = None
        self.target = {need.label: max(n.count for n in needs if n.label == need.label) for need in needs}
        self.sieve = Sieve(bench, self.target)
        self.dropped: Counter[str] = Counter()
        self.sent = 0
        self.stopped = ""
        """`max_requests` or `max_cost` once a request was not sent for it."""
        self.failure: WorkbenchError | None = None
        self.errors: dict[Key, WorkbenchError] = {}
        stored = bench.ledger.replies()
        self.progress = [Standing(need, {r.draw for r in stored if self._same(need, r)}) for need in needs]
        flying = in_flight(bench.ledger.unanswered(), {key_of(reply) for reply in stored}, bench.config.seed)
        wanted = {(need.label, need.against, need.strategy) for need in needs}
        self.resumed = {
            "stored": sum(len(p.draws) for p in self.progress),
            "in_flight": sum(key[:3] in wanted for key in flying),
        }
        self.pulse = Pulse(progress, self._state)

    def _same(self, need: Need, reply: Reply) -> bool:
        return _for(need, reply) and reply.seed == self.bench.config.seed

    @property
    def accepted(self) -> Counter[str]:
        """Accepted synthetic rows of each class."""
        return self.sieve.accepted

    def open_needs(self) -> list[Standing]:
        """Needs that still want rows and can hope for some."""
        return [p for p in self.progress if not p.ended and self.accepted[p.need.label] < self.target[p.need.label]]

    def catch_up(self) -> None:
        """Read replies that a killed command left unread, and take back surplus rows that are wanted now."""
        # Answers to the gate's questions hold no rows, and none were asked for.
        unread = [reply for reply in self.bench.ledger.replies(unparsed=True) if reply.rows]
        if unread:
            self._report(f"{len(unread)} stored replies were not read yet; reading them first")
            self.read(unread)
        if self.resumed["in_flight"]:
            stored, flying = self.resumed["stored"], self.resumed["in_flight"]
            self._report(f"{stored} replies were stored, {flying} requests were in flight and are bought again")
        self.sieve.take_surplus({p.need.label for p in self.open_needs()})
        self.look_again()

    def look_again(self) -> None:
        """Judge all candidates anew, where that is due: what is known of a class grows with its candidates."""
        before = sum(self.accepted.values())
        if self.sieve.look(filled=not self.open_needs()):
            after = sum(self.accepted.values())
            self._report(f"looked at all candidates again: {after} accepted, {before} before")

    def make(self) -> None:
        """Make the rows that need no model; those needs are done with, whether they got their rows or not."""
        made = handmade.make(self.bench, self.needs, lambda: self.sieve.judge)
        if made.ended:
            self.dropped.update(made.dropped)
            self.sieve.count_again()
            for p in self.progress:
                p.ended = made.ended.get((p.need.label, p.need.strategy), p.ended)

    def prepare(self) -> None:
        """Make the gate before anything is bought: what comes back must be read at once, or too much is asked for."""
        _ = self.sieve.stack

    async def run(self) -> None:
        """Buy until every need is filled or has ended."""
        client = open_client(self.bench.config.llm, self.bench.root)
        try:
            with self.bench.ledger.outbox() as outbox:
                self.purchases = bought = Purchases(client, outbox, self._purse())
                self.pulse.start()
                errors = await complete(
                    client,
                    self.supply,
                    bought.record,
                    self.use,
                    client.most or self.bench.config.llm.concurrency,
                    self.failed,
                    bought.account,
                )
        finally:
            await client.close()
        self.failure = next((error for error in errors if isinstance(error, ServiceError)), None)

    def _purse(self) -> Purse:
        if self.limits.cost is None:
            return Purse()
        spent, unknown = spent_before(self.bench)
        if unknown:
            self._report(f"{unknown} stored replies have no known price; --max-cost does not count them")
        return Purse(self.limits.cost, spent)

    def supply(self) -> Request | None:
        """The next request worth sending, if the limits allow it."""
        self.pulse.beat()
        found = self._next()
        if found is None:
            return None
        p, request = found
        if self.limits.requests and self.sent >= self.limits.requests:
            self.stopped = "max_requests"
            return None
        assert self.purchases is not None
        if not self.purchases.reserve(request):
            self.stopped = "max_cost"  # unless calls under way cost less than was set aside for them
            return None
        self.stopped = ""
        p.draws.add(request.draw)
        p.flying += 1
        self.sent += 1
        return request

    def _next(self) -> tuple[Standing, Request] | None:
        """A request for the need that is furthest from its target, flying rows reckoned in."""
        batch = self.bench.config.generate.batch_size
        # Requests that are not read yet are bets on an acceptance rate that may have changed: their number is bounded.
        bets = self._concurrency() * (2 if any(p.replies for p in self.progress) else 1)
        if sum(p.flying for p in self.progress) >= bets:
            return None

        missing = {label: float(count - self.accepted[label]) for label, count in self.target.items()}
        for p in self.progress:
            missing[p.need.label] -= p.expected(batch)
        worst = max(self.open_needs(), key=lambda p: missing[p.need.label], default=None)
        if worst is None or missing[worst.need.label] <= 0:
            return None
        draw = next(i for i in range(len(worst.draws) + 1) if i not in worst.draws)
        return worst, self.writer.request(worst.need, draw)

    def _concurrency(self) -> int:
        config = self.bench.config.llm
        return config.concurrency * max(1, len(config.endpoints))

    def use(self, requests: Sequence[Request]) -> None:
        """Read all answers that came in since the last call."""
        assert self.purchases is not None
        ids = self.purchases.ids
        stored = [
            (request, self.bench.ledger.reply(ids[key]) if (key := key_of(request)) in ids else None)
            for request in requests
        ]
        self.read([reply for _, reply in stored if reply is not None])
        for request, reply in stored:
            p = next(p for p in self.progress if _for(p.need, request))
            p.flying -= 1
            if reply is None:
                self._unanswered(p, request)
        self.look_again()
        self.pulse.beat()

    def failed(self, request: Request, error: WorkbenchError) -> None:
        """Note why a request has no answer."""
        assert self.purchases is not None
        self.purchases.failed(request)
        self.errors[key_of(request)] = error

    def _unanswered(self, p: Standing, request: Request) -> None:
        """A recording at its end ends its class; a refused request counts as barren; a dead endpoint ends everything."""
        error = self.errors.pop(key_of(request), None)
        if isinstance(error, OverCap):
            p.draws.discard(request.draw)  # it was not answered, and may be asked again
        elif isinstance(error, Exhausted):
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
            drafts += [self.sieve.mended(_sample(reply, draft.position, draft.turns)) for draft in rows]
        verdicts = self.sieve.verdicts(drafts)
        with self.bench.ledger.write("generate", "read", {"replies": len(replies)}) as writer:
            writer.samples(drafts)
            for sample, row in zip(drafts, verdicts, strict=True):
                writer.verdicts(sample.id, row)
            for reply in replies:
                own = sum(sample.origin is not None and sample.origin.reply == reply.id for sample in drafts)
                writer.parsed(reply.id, own, len(rejects[reply.id]))
                writer.rejects(rejects[reply.id])
        self.writer.learn([s for s, row in zip(drafts, verdicts, strict=True) if all(v.passed for v in row)])
        self._count(replies, drafts, verdicts, rejects)

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
                    p.count(good[reply.id], self.bench.config.generate.patience)

    def result(self) -> Generated:
        """What happened, with a sentence where a class got fewer rows than asked for."""
        self.pulse.beat(last=True)
        bought = self.purchases.bought if self.purchases else []
        short = [p for p in self.progress if self.accepted[p.need.label] < self.target[p.need.label]]
        if self.failure is not None and short:
            stored = f"{len(bought)} replies of this call are stored; the same command goes on from there."
            raise type(self.failure)(self.failure.message, f"{self.failure.hint} {stored}")
        limit = self.stopped or "max_requests"
        ended = next((p.ended for p in short if p.ended), limit).partition(":")[0] if short else "quota"
        say = "; ".join(
            f"{p.need.label}: {self.accepted[p.need.label]} of {self.target[p.need.label]} ({p.ended or limit})"
            for p in short
        )
        if limit == "max_cost" and short:
            say += f". {self._money_left()}"
        replies = [r for r in self.bench.ledger.replies() if any(self._same(need, r) for need in self.needs)]
        return Generated(
            self.needs,
            {label: self.accepted[label] for label in self.target},
            dict(self.dropped),
            len(replies),
            len(bought),
            sum(answer.tokens_in for answer in bought),
            sum(answer.tokens_out for answer in bought),
            _sum([answer.cost for answer in bought]),
            self.purchases.client.currency if self.purchases else "",
            self.purchases.lost if self.purchases else Decimal(0),
            self.resumed,
            ended,
            say,
        )

    def _money_left(self) -> str:
        assert self.purchases is not None
        purse, currency = self.purchases.purse, self.purchases.client.currency
        return (
            f"Of --max-cost {purse.cap:f} {currency} the bench has spent {purse.spent:f}, "
            "and what is left may not suffice for another request"
        )

    def _state(self) -> State:
        bought = self.purchases.bought if self.purchases else []
        cost = _sum([answer.cost for answer in bought])
        return State(
            accepted=sum(min(self.accepted[label], count) for label, count in self.target.items()),
            wanted=sum(self.target.values()),
            replies=len(bought),
            dropped=sum(self.dropped.values()),
            in_flight=self.purchases.under_way if self.purchases else 0,
            cost=None if cost is None or self.purchases is None else cost + self.purchases.lost,
            currency=self.purchases.client.currency if self.purchases else "",
        )


def _sum(prices: Sequence[Decimal | None]) -> Decimal | None:
    """None where one of them is unknown."""
    return None if None in prices else sum((price for price in prices if price is not None), Decimal(0))


def _for(need: Need, one: Request | Reply) -> bool:
    return (need.label, need.against, need.strategy) == (one.label, one.against, one.strategy)


def _parse(reply: Reply, roles: Sequence[str]) -> tuple[list[Draft], list[Reject]]:
    try:
        return parse_reply(reply.id, continued(reply.messages, reply.text), reply.finish, roles)
    except Exception as exc:  # noqa: BLE001  a fault of the parser must not block every reply that was paid for after it
        say = f"The parser failed: {type(exc).__name__}."
        return [], [Reject(reply.id, 0, "unreadable", say, reply.text)]


def _sample(reply: Reply, position: int, turns: tuple[Turn, ...]) -> Sample:
    origin = Origin(reply.strategy, reply.model, reply.prompt, reply.parents, reply.seed, reply.id)
    return Sample(digest(reply.id, str(position)), turns, reply.label, "train", "synthetic", origin)
