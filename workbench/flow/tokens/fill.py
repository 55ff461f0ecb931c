"""Have a model propose tags that are missing, and say which tags a text contradicts. Replies are stored before they are read.

Nothing is written into the dialogues: proposals go to people.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from workbench.bench import Bench
from workbench.errors import ConfigError, ServiceError, WorkbenchError
from workbench.flow.generate.purchases import Purchases, key_of
from workbench.flow.tokens.board import PLANTED, QUESTIONS, Board, Proposal
from workbench.ledger import Outbox, Reply
from workbench.llm import Client, Purse, RecordedEndpoint, Request, complete, endpoints, open_client
from workbench.metrics import wilson
from workbench.records import Reject
from workbench.tokens import Place
from workbench.tokens.answers import read_places

__all__ = ["Filled", "Proposal", "contradicted", "fill", "plan", "proposals"]


@dataclass
class Filled:
    """What an asking did, and what stands in the bench after it."""

    model: str = ""
    answers: int = 0
    """New ones."""
    junk: int = 0
    """New answers that hold nothing of what was asked."""
    refused: int = 0
    """Questions that an endpoint would not answer."""
    left: int = 0
    """Questions that `max_requests` left."""
    costs: list[Decimal | None] = field(default_factory=list)
    currency: str = ""
    proposals: tuple[Proposal, ...] = ()
    open: int = 0
    """Places that are missing or unknown, with or without a proposal."""
    contradictions: tuple[Place, ...] = ()
    judged: int = 0
    """Tags that stored answers say something of: whether the text contradicts them."""
    found: tuple[bool, ...] = ()
    """Of planted wrong tags, whether the model named them."""

    @property
    def worth(self) -> str:
        """What the named contradictions are worth, in a sentence; empty where nothing was asked."""
        if not self.found or not self.judged:
            return ""
        hits, doubted = sum(self.found), len(self.contradictions)
        low, high = wilson(hits, len(self.found))
        rate = doubted / self.judged
        say = (
            f"{hits} of {len(self.found)} planted wrong tags were found ({low:.0%} to {high:.0%} with 95 % confidence)"
        )
        end = "worthless: wrong tags are not named more often than given ones" if low <= rate else "a hint for people"
        return f"{say}, {doubted} of {self.judged} given tags are doubted ({rate:.1%}): {end}."

    @property
    def cost(self) -> Decimal | None:
        """Of the new answers; None where a price is unknown."""
        return None if None in self.costs else sum((cost for cost in self.costs if cost is not None), Decimal(0))


def proposals(bench: Bench, tags: Path | None = None) -> list[Proposal]:
    """Values that models proposed for tags of the bench's dialogues that are missing or unknown now; the newest counts.

    Raises:
        ConfigError: there is no vocabulary.
        DataError: there are no dialogues.
    """
    return Board(bench, tags).proposals()


def contradicted(bench: Bench, tags: Path | None = None) -> list[Place]:
    """Tags of the bench's dialogues that a model said the text contradicts, as far as they are still the same.

    Raises:
        ConfigError: there is no vocabulary.
        DataError: there are no dialogues.
    """
    return Board(bench, tags).contradicted()


def plan(bench: Bench, tags: Path | None = None, *, gaps: bool = True, contradictions: bool = False) -> list[Request]:
    """The requests that `fill` would send now.

    Raises:
        ConfigError: there is no vocabulary, or a prompt file cannot be used.
        DataError: there are no dialogues.
    """
    return list(Board(bench, tags).requests(gaps=gaps, contradictions=contradictions))


def fill(
    bench: Bench,
    *,
    tags: Path | None = None,
    gaps: bool = True,
    contradictions: bool = False,
    max_requests: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Filled:
    """Ask for what is missing, as far as it was not asked before.

    Args:
        bench: where the dialogues are; its endpoints answer.
        tags: a tags file, where not that of the bench.
        gaps: ask for missing and unknown tags.
        contradictions: ask which tags (`tokens.doubted`) the text contradicts.
        max_requests: most requests of this call; 0 for no limit.
        progress: gets a line now and then.

    Raises:
        ConfigError: there is no endpoint, or it cannot be asked; or there is no vocabulary.
        DataError: there are no dialogues.
        ServiceError: the endpoint failed for good; what came before is stored.
    """
    board = Board(bench, tags)
    if any(isinstance(endpoint, RecordedEndpoint) for endpoint in endpoints(bench.config.llm)):
        raise ConfigError("A recorded endpoint holds rows and answers no questions.", "Name a model in llm.endpoints.")
    with bench.alone("tokens fill"):
        asking = _Asking(bench, list(board.requests(gaps=gaps, contradictions=contradictions)), max_requests)
        if asking.waiting:
            progress(f"{len(asking.waiting)} questions about {len({one.parents for one in asking.waiting})} dialogues")
            asyncio.run(asking.run())
        asking.end()
    done = asking.done
    done.proposals, done.contradictions = tuple(board.proposals()), tuple(board.contradicted())
    done.open, done.judged = board.open, len(board.judged())
    done.found = tuple(board.found())
    return done


class _Asking:
    """One `wb tokens fill`."""

    def __init__(self, bench: Bench, requests: Sequence[Request], limit: int) -> None:
        self._bench = bench
        self.done = Filled()
        most = limit or len(requests)
        self.waiting, self.done.left = list(requests[:most]), len(requests[most:])
        self._failures: list[WorkbenchError] = []
        self._note([reply for reply in bench.ledger.replies(unparsed=True) if reply.strategy in QUESTIONS])

    async def run(self) -> None:
        """Ask, several questions at once."""
        # The likeliest answer is wanted, not a varied one.
        config = self._bench.config.llm.model_copy(update={"temperature": 0.0})
        client = open_client(config, self._bench.root)
        try:
            with self._bench.ledger.outbox() as outbox:
                await self._ask(client, outbox, client.most or config.concurrency)
        finally:
            await client.close()

    async def _ask(self, client: Client, outbox: Outbox, most: int) -> None:
        bought = Purchases(client, outbox, Purse())
        requests = iter(self.waiting)

        def supply() -> Request | None:
            request = next(requests, None)
            if request is not None:
                bought.reserve(request)
            return request

        def failed(request: Request, error: WorkbenchError) -> None:
            bought.failed(request)
            self.done.refused += not isinstance(error, ServiceError)

        def use(some: Sequence[Request]) -> None:
            ids = [bought.ids[key] for request in some if (key := key_of(request)) in bought.ids]
            self._note([reply for one in ids if (reply := self._bench.ledger.reply(one)) is not None])

        errors = await complete(client, supply, bought.record, use, most, failed, bought.account)
        self._failures = [error for error in errors if isinstance(error, ServiceError)]
        self.done.answers = len(bought.bought)
        self.done.costs = [answer.cost for answer in bought.bought]
        self.done.model, self.done.currency = client.model, client.currency

    def end(self) -> None:
        """Raise what ended the asking early.

        Raises:
            ServiceError: the endpoint failed for good.
        """
        if self._failures:
            first = self._failures[0]
            stored = f"{self.done.answers} answers of this call are stored; the same command goes on from there."
            raise type(first)(first.message, f"{first.hint} {stored}".strip())

    def _note(self, replies: Sequence[Reply]) -> None:
        """Note answers as read: they hold no rows. One without anything that was asked for is kept as a reject."""
        if not replies:
            return
        rejects = [reject for reply in replies if (reject := _junk(reply)) is not None]
        places = {reject.place for reject in rejects}
        self.done.junk += len(rejects)
        with self._bench.ledger.write("tokens", "fill", {"answers": len(replies), "junk": len(rejects)}) as writer:
            for reply in replies:
                writer.parsed(reply.id, 0, int(reply.id in places))
            writer.rejects(rejects)


def _junk(reply: Reply) -> Reject | None:
    """A reply that names no place that was asked for; of contradictions, one that is no JSON."""
    told = [one.removeprefix(PLANTED).partition("=")[0].partition(".") for one in reply.against.split()]
    named = read_places(reply.text, {(int(turn), name): None for turn, _, name in told})
    if named or (named is not None and reply.strategy == "contradict"):
        return None
    return Reject(reply.id, 0, "no_tags", "The answer holds none of the tags that were asked for.", reply.text)
