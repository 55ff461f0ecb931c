"""What one `wb generate` buys: money set aside, calls noted before they go out, replies on their way to the ledger."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import uuid4

from workbench.bench import Bench
from workbench.errors import UsageError
from workbench.ledger import Outbox, Reply, Sent
from workbench.llm import Answer, Client, LlmConfig, OpenAIEndpoint, OverCap, Purse, Request, endpoints, identity

Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a command stops at the latest."""

    requests: int = 0
    """0 for no limit."""
    cost: Decimal | None = None


def key_of(one: Request | Reply | Sent) -> Key:
    """What tells apart the requests of one bench and seed."""
    return one.label, one.against, one.strategy, one.draw


def check_prices(config: LlmConfig) -> None:
    """A cap on the cost needs to know what a call costs.

    Raises:
        UsageError: an endpoint has no price.
    """
    for i, endpoint in enumerate(endpoints(config)):
        if isinstance(endpoint, OpenAIEndpoint) and (endpoint.price_in is None or endpoint.price_out is None):
            missing = "price_in" if endpoint.price_in is None else "price_out"
            raise UsageError(
                f"--max-cost needs prices, and llm.endpoints.{i}.{missing} is not set.",
                f"Set llm.endpoints.{i}.price_in and .price_out (per million tokens; 0 where a call costs nothing) in wb.yaml.",
            )


def spent_before(bench: Bench) -> tuple[Decimal, int]:
    """What the bench has spent so far, as far as known, and how many replies have no known price.

    Calls without an answer that may have been billed count with all that was set aside for them.
    """
    costs = bench.ledger.costs()
    lost = [call.reserved for call in bench.ledger.unanswered()]
    return sum((Decimal(cost) for cost in [*costs, *lost] if cost), Decimal(0)), costs.count("")


class Purchases:
    """Money and notes of the requests of one command; used from the event loop only."""

    def __init__(self, client: Client, outbox: Outbox, purse: Purse) -> None:
        self.client, self.outbox, self.purse = client, outbox, purse
        self.bought: list[Answer] = []
        self.ids: dict[Key, str] = {}
        """Ids of the replies of this command."""
        self.under_way = 0
        """Calls that were sent and have not ended."""
        self.lost = Decimal(0)
        """Set aside for calls without an answer that may have been billed."""
        self._accounts: dict[Key, _Account] = {}

    def reserve(self, request: Request) -> bool:
        """Set money aside for a request; False where the cap would be passed."""
        amount = self.client.ceiling(request)
        if not self.purse.take(amount or Decimal(0)):
            return False
        self._accounts[key_of(request)] = _Account(self, request, amount)
        return True

    def account(self, request: Request) -> "_Account":
        """What hears of the calls of a request."""
        return self._accounts[key_of(request)]

    def record(self, request: Request, answer: Answer) -> Awaitable[None]:
        """Settle an answer and hand it to the ledger; to be awaited until it is stored."""
        account = self._accounts.pop(key_of(request))
        account.answered(answer.cost)
        if not answer.settings:  # a client that stands alone need not say that it was the one
            one = self.client
            answer = replace(answer, model=one.model, endpoint=one.name, settings=one.settings, currency=one.currency)
        self.bought.append(answer)
        reply = _reply(request, answer)
        self.ids[key_of(request)] = reply.id
        return asyncio.wrap_future(self.outbox.reply(reply, account.call))

    def failed(self, request: Request) -> None:
        """A request ended without an answer: what is still set aside for it is free again."""
        account = self._accounts.pop(key_of(request), None)
        if account is not None:
            account.close()


class _Account:
    """The calls of one request."""

    def __init__(self, purchases: Purchases, request: Request, amount: Decimal | None) -> None:
        self._purchases, self._request = purchases, request
        self._amount, self._reserved = amount or Decimal(0), "" if amount is None else str(amount)
        self._held = True
        self.call = ""
        """The call that is under way; empty between calls."""

    async def out(self, client: Client, request: Request) -> None:
        """Note a call, and set money aside for it where an earlier one kept what there was."""
        if not self._held:
            if not self._purchases.purse.take(self._amount):
                say = "A call was lost, and what is left of --max-cost does not suffice for another one."
                raise OverCap(say, "Raise --max-cost.")
            self._held = True
        call = uuid4().hex
        sent = Sent(
            id=call,
            request=identity(client, request),
            label=request.label,
            against=request.against,
            strategy=request.strategy,
            seed=request.seed,
            draw=request.draw,
            endpoint=client.name,
            reserved=self._reserved,
        )
        await asyncio.wrap_future(self._purchases.outbox.sent(sent))
        self.call = call
        self._purchases.under_way += 1

    def free(self) -> None:
        """The call cost nothing; the money stays set aside for the next one."""
        self._ended("free")

    def lost(self) -> None:
        """The call may have been billed: its money is gone, as far as the cap is concerned."""
        self._ended("lost")
        self._purchases.purse.pay(self._amount, self._amount)
        self._purchases.lost += self._amount
        self._held = False

    def _ended(self, outcome: str) -> None:
        self._purchases.outbox.settled(self.call, "lost" if outcome == "lost" else "free")
        self.call = ""
        self._purchases.under_way -= 1

    def answered(self, cost: Decimal | None) -> None:
        """An answer came; `call` is settled together with it."""
        self._purchases.purse.pay(self._amount, cost if cost is not None else self._amount)
        self._held = False
        if self.call:
            self._purchases.under_way -= 1

    def close(self) -> None:
        """Give back what is set aside."""
        if self._held:
            self._purchases.purse.pay(self._amount, Decimal(0))
            self._held = False


def in_flight(calls: Sequence[Sent], stored: set[Key], seed: int) -> Counter[Key]:
    """Requests that killed commands had under way and that have no reply yet, with the number of their calls."""
    return Counter(key_of(c) for c in calls if not c.lost and c.seed == seed and key_of(c) not in stored)


def _reply(request: Request, answer: Answer) -> Reply:
    return Reply(
        id=identity(answer, request),
        label=request.label,
        against=request.against,
        strategy=request.strategy,
        draw=request.draw,
        rows=request.rows,
        prompt=request.prompt,
        parents=request.parents,
        seed=request.seed,
        messages=request.messages,
        model=answer.model,
        endpoint=answer.endpoint,
        text=answer.text,
        finish=answer.finish,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        cost="" if answer.cost is None else str(answer.cost),
    )
