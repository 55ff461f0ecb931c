"""Several endpoints as one: requests are shared by weight, and go on to another endpoint where one fails."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from workbench.errors import ServiceError
from workbench.llm.contract import Account, Answer, Client, LlmConfig, Request, Unusable


class Breaker:
    """Leaves an endpoint alone after failures in a row, and probes it with one request after a while."""

    def __init__(self, after: int, seconds: float) -> None:
        self._after, self._first = after, seconds
        self._seconds, self._failures = seconds, 0
        self._until: float | None = None
        self._probing = False

    @property
    def open(self) -> bool:
        """The endpoint is left alone."""
        return self._until is not None

    def may_send(self) -> bool:
        """Whether a request may go there; where it is left alone, one does as a probe when its time is over."""
        return self._until is None or (not self._probing and time.monotonic() >= self._until)

    def sent(self) -> None:
        """A request goes there."""
        self._probing = self.open

    def worked(self) -> None:
        """The endpoint answered."""
        self._failures, self._seconds, self._until, self._probing = 0, self._first, None, False

    def failed(self, *, for_good: bool) -> None:
        """A request failed there after all its retries; `for_good` where no retry helps."""
        self._failures += 1
        if self._probing:
            self._seconds *= 2
        if self._probing or self._until is None:
            self._probing = False
            if for_good or self.open or self._failures >= self._after:
                self._until = time.monotonic() + self._seconds

    def dropped(self) -> None:
        """The request ended without saying anything about the endpoint."""
        self._probing = False


@dataclass
class _Lane:
    client: Client
    weight: int
    breaker: Breaker
    credit: int = 0
    said: str = ""

    @property
    def room(self) -> bool:
        """Whether it could send at once; an endpoint without a pace always could."""
        pace = getattr(self.client, "pace", None)
        return pace is None or bool(pace.room)

    def follow_breaker(self, error: ServiceError) -> None:
        """Have waiting and later calls of the client fail at once while the endpoint is left alone."""
        if hasattr(self.client, "benched"):
            self.client.benched = self.breaker.open
        pace = getattr(self.client, "pace", None)
        if pace is not None and self.breaker.open:
            pace.give_up(error)


class Pool:
    """Several clients as one. An answer says which of them it is from."""

    def __init__(self, clients: Sequence[Client], weights: Sequence[int], config: LlmConfig) -> None:
        self._lanes = [
            _Lane(client, weight, Breaker(config.bench_after, config.bench_for))
            for client, weight in zip(clients, weights, strict=True)
        ]
        self.name = ", ".join(dict.fromkeys(client.name for client in clients))
        self.model = ", ".join(dict.fromkeys(client.model for client in clients))
        self.settings = " | ".join(client.settings for client in clients)
        self.currency = next((client.currency for client in clients if client.currency), "")
        self.most = config.concurrency * len(clients)

    async def answer(self, request: Request, account: Account | None = None) -> Answer:
        """Ask the endpoints one after the other until one answers.

        Raises:
            ServiceError: none is left; it names what each said.
        """
        tried: list[_Lane] = []
        while (lane := self._next(tried)) is not None:
            tried.append(lane)
            lane.breaker.sent()
            try:
                answer = await lane.client.answer(request, account)
            except ServiceError as exc:
                lane.said = exc.message
                lane.breaker.failed(for_good=isinstance(exc, Unusable))
                lane.follow_breaker(exc)
                continue
            except BaseException:
                lane.breaker.dropped()
                raise
            lane.breaker.worked()
            if hasattr(lane.client, "benched"):
                lane.client.benched = False
            return answer
        said = " ".join(lane.said or f"{lane.client.name} is being probed." for lane in self._lanes)
        raise ServiceError(
            f"None of the {len(self._lanes)} endpoints is left. {said}", "Mend one of them, then run the same command."
        )

    def _next(self, tried: Sequence[_Lane]) -> _Lane | None:
        """The endpoint whose turn it is, of those that may be asked; those that can send at once come first.

        Each gains its weight in credit, the richest is asked and pays the sum: so shares are by weight and well mixed.
        """
        able = [lane for lane in self._lanes if lane not in tried and lane.breaker.may_send()]
        able = [lane for lane in able if lane.room] or able
        for lane in able:
            lane.credit += lane.weight
        chosen = max(able, key=lambda lane: lane.credit, default=None)
        if chosen is not None:
            chosen.credit -= sum(lane.weight for lane in able)
        return chosen

    def ceiling(self, request: Request) -> Decimal | None:
        """The most that a call can cost at any of the endpoints."""
        found = [lane.client.ceiling(request) for lane in self._lanes]
        return None if None in found else max(amount for amount in found if amount is not None)

    async def close(self) -> None:
        """Close all."""
        for lane in self._lanes:
            await lane.client.close()
