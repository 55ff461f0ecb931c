"""Ask language models about candidates for the gate: known rows first, then candidates, and only models that know something."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock

from workbench.bench import Bench
from workbench.errors import ConfigError, ServiceError, UsageError, WorkbenchError
from workbench.flow.gate.marks import MARKS, Ask, asked_for, heard
from workbench.flow.gate.questions import Questions
from workbench.flow.gate.run import SURPLUS, Gated, gate_bench
from workbench.flow.generate.purchases import Purchases, key_of
from workbench.gate.answers import read_label, read_score
from workbench.ledger import Outbox, Reply
from workbench.llm import Client, Purse, RecordedEndpoint, Request, complete, endpoints, open_clients
from workbench.records import Reject, Sample

Bought = tuple[str, str, str, str, str, int]
"""What a stored answer is known by: model, prompt and what its request is about."""


@dataclass
class Asked:
    """What an asking did."""

    models: tuple[str, ...] = ()
    answers: int = 0
    """New ones."""
    junk: int = 0
    """New answers that hold neither score nor label."""
    refused: int = 0
    """Questions that an endpoint would not answer."""
    left: int = 0
    """Questions that `max_requests` left."""
    skipped: tuple[str, ...] = ()
    """Models that were not asked about candidates, as they do not tell known rows apart, one for each rule."""
    costs: list[Decimal | None] = field(default_factory=list)
    currency: str = ""

    @property
    def cost(self) -> Decimal | None:
        """Of the new answers; None where a price is unknown."""
        return None if None in self.costs else sum((cost for cost in self.costs if cost is not None), Decimal(0))


def ask_and_gate(
    bench: Bench, *, max_requests: int = 0, progress: Callable[[str], None] = lambda _: None
) -> tuple[Asked, Gated]:
    """Gate all candidates, ask about those that no other rule is against, and gate again with the answers.

    Args:
        bench: where the rows are; its rules say what is asked, its endpoints who.
        max_requests: most requests of this call, over all models; 0 for no limit.
        progress: gets a line now and then.

    Raises:
        UsageError: no rule wants answers.
        ConfigError: there is no endpoint, or it cannot be asked.
        ServiceError: an endpoint failed for good; what came before is stored.
    """
    if not asked_for(bench):
        raise UsageError(
            "--ask asks on behalf of the rules llm_judge and llm_label, and both are off.",
            "Switch one on in wb.yaml, as gate.rules: {llm_judge: {}, llm_label: {}}.",
        )
    if any(isinstance(endpoint, RecordedEndpoint) for endpoint in endpoints(bench.config.llm)):
        raise ConfigError("A recorded endpoint holds rows and answers no questions.", "Name a model in llm.endpoints.")
    gate_bench(bench)
    with bench.alone("gate"):
        asking = _Asking(bench, max_requests, progress)
        asyncio.run(asking.run())
        asking.end()
    return asking.done, gate_bench(bench)


class _Asking:
    """One `wb gate --ask`."""

    def __init__(self, bench: Bench, limit: int, progress: Callable[[str], None]) -> None:
        self.bench, self.limit, self._report = bench, limit, progress
        self.questions = Questions(bench)
        self.labels = list(dict.fromkeys(sample.label for sample in self.questions.real))
        self.done = Asked()
        self.sent = 0
        self.failures: list[WorkbenchError] = []
        self._turn = Lock()
        self._note(reply for reply in bench.ledger.replies(unparsed=True) if not reply.rows)
        stored = [reply for ask in self.questions.rules for reply in bench.ledger.replies(strategy=ask)]
        self._bought: set[Bought] = {(reply.model, reply.prompt, *key_of(reply)) for reply in stored if not reply.rows}

    async def run(self) -> None:
        """Ask every model about known rows, then those that tell them apart about candidates."""
        # The likeliest answer is wanted, not a varied one.
        config = self.bench.config.llm.model_copy(update={"temperature": 0.0})
        opened = open_clients(config, self.bench.root)
        try:
            clients = list({client.model: client for client in reversed(opened)}.values())[::-1]
            self.done.models = tuple(client.model for client in clients)
            with self.bench.ledger.outbox() as outbox:
                asks = list(self.questions.rules)
                known = [request for ask in asks for request in self.questions.known(ask)]
                self._report(f"asking {', '.join(self.done.models)} about known rows")
                await asyncio.gather(*(self._ask(client, iter(known), outbox) for client in clients))
                if self.failures or self.done.left:  # what a model is worth is not known yet
                    return
                useful = {client: [ask for ask in asks if self._useful(ask, client)] for client in clients}
                rows = self._candidates() if any(useful.values()) else []
                self.questions.prepare(rows)
                self._report(f"asking about {len(rows)} candidates")
                await asyncio.gather(
                    *(self._ask(client, self._about(rows, asks), outbox) for client, asks in useful.items())
                )
        finally:
            for client in opened:
                await client.close()

    def end(self) -> None:
        """Raise what ended the asking early.

        Raises:
            ServiceError: an endpoint failed for good.
        """
        if self.failures:
            first = self.failures[0]
            stored = f"{self.done.answers} answers of this call are stored; the same command goes on from there."
            raise type(first)(first.message, f"{first.hint} {stored}".strip())

    def _useful(self, ask: Ask, client: Client) -> bool:
        """Whether the model tells known rows apart, by what it has said of them so far."""
        worths = heard(self.bench, self.questions.real).worths
        worth = worths.get((ask, client.model))
        if worth is not None and worth.usable:
            return True
        self.done.skipped = (*self.done.skipped, f"{MARKS[ask]}: {client.model}")
        return False

    def _candidates(self) -> list[Sample]:
        """Candidates that no other rule is against, in the order they came."""
        ours = {name for name, rule in self.bench.config.gate.rules.items() if rule.kind in MARKS.values()} | {
            SURPLUS.rule
        }
        return [
            candidate.sample
            for candidate in self.bench.ledger.candidates()
            if candidate.sample.label in self.labels
            and all(verdict.passed or verdict.rule in ours for verdict in candidate.verdicts)
        ]

    def _about(self, rows: Sequence[Sample], asks: Sequence[Ask]) -> Iterator[Request]:
        return (self.questions.candidate(ask, row) for row in rows for ask in asks)

    async def _ask(self, client: Client, requests: Iterator[Request], outbox: Outbox) -> None:
        """Buy what is not there yet, of one model."""
        bought = Purchases(client, outbox, Purse())

        def supply() -> Request | None:
            for request in requests:
                key = (client.model, request.prompt, *key_of(request))
                if key in self._bought:
                    continue
                if self.limit and self.sent >= self.limit:
                    self.done.left += 1
                    continue
                self._bought.add(key)
                self.sent += 1
                bought.reserve(request)
                return request
            return None

        def failed(request: Request, error: WorkbenchError) -> None:
            bought.failed(request)
            self.done.refused += not isinstance(error, ServiceError)

        def use(requests: Sequence[Request]) -> None:
            ids = [bought.ids[key] for request in requests if (key := key_of(request)) in bought.ids]
            self._note(reply for key in ids if (reply := self.bench.ledger.reply(key)) is not None)

        most = client.most or self.bench.config.llm.concurrency
        errors = await complete(client, supply, bought.record, use, most, failed, bought.account)
        self.failures += [error for error in errors if isinstance(error, ServiceError)]
        self.done.answers += len(bought.bought)
        self.done.costs += [answer.cost for answer in bought.bought]
        self.done.currency = client.currency

    def _note(self, replies: Iterable[Reply]) -> None:
        """Note answers as read: they hold no rows. One without score or label is kept as a reject."""
        read = list(replies)
        junk = [reject for reply in read if (reject := self._junk(reply)) is not None]
        if not read:
            return
        places = {reject.place for reject in junk}
        details = {"answers": len(read), "junk": len(junk)}
        with self._turn, self.bench.ledger.write("gate", "ask", details) as writer:
            self.done.junk += len(junk)  # each model is read in a thread of its own
            for reply in read:
                writer.parsed(reply.id, 0, int(reply.id in places))
            writer.rejects(junk)

    def _junk(self, reply: Reply) -> Reject | None:
        if reply.strategy == "judge" and read_score(reply.text) is None:
            return Reject(reply.id, 0, "no_score", "The answer holds no score from 1 to 10.", reply.text)
        if reply.strategy == "relabel" and read_label(reply.text, self.labels) is None:
            return Reject(reply.id, 0, "no_label", "The answer names no class of the bench.", reply.text)
        return None
