"""Keep requests in flight; lose no answer that was received."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from workbench.errors import ServiceError, WorkbenchError
from workbench.llm.contract import Account, Answer, Client, Request

GRACE = 10.0
"""Seconds that a stopped run waits for answers under way: they are paid for."""


async def complete(
    client: Client,
    supply: Callable[[], Request | None],
    record: Callable[[Request, Answer], Awaitable[None] | None],
    use: Callable[[Sequence[Request]], None],
    concurrency: int,
    failed: Callable[[Request, WorkbenchError], None] = lambda request, error: None,
    account: Callable[[Request], Account] | None = None,
) -> list[WorkbenchError]:
    """Keep up to `concurrency` requests in flight, as long as `supply` hands out more.

    `record` stores an answer as soon as it is there, and may return what is to be awaited until it is; `failed` hears of a
    request without one. `use` then gets all requests that ended since it last ran; it runs in a thread, so that slow reading
    (embedding, gates) does not hold up the network. `account` makes what hears of the calls of a request.
    `supply` is asked again after each of these; None with nothing under way ends the run. Whatever ends it early, an error
    in a callback or Ctrl-C, answers under way are awaited for `GRACE` seconds and recorded.

    Returns:
        The errors that ended requests; after a `ServiceError` nothing more is sent, and what is in flight is awaited.
    """
    flying: dict[asyncio.Task[None], Request] = {}
    arrived: list[Request] = []
    errors: list[WorkbenchError] = []
    reading: asyncio.Task[None] | None = None

    async def send(request: Request) -> None:
        answer = await (client.answer(request, account(request)) if account else client.answer(request))
        stored = record(request, answer)
        if stored is not None:
            await stored

    try:
        while True:
            broken = any(isinstance(error, ServiceError) for error in errors)
            while not broken and len(flying) < concurrency and (request := supply()) is not None:
                flying[asyncio.create_task(send(request))] = request
            if arrived and reading is None:
                batch, arrived = arrived, []
                reading = asyncio.create_task(asyncio.to_thread(_read, use, batch))
            waiting: set[asyncio.Task[None]] = set(flying) | ({reading} if reading else set())
            if not waiting:
                return errors
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {reading}:
                request = flying.pop(task)
                arrived.append(request)
                error = task.exception()
                if not isinstance(error, WorkbenchError):
                    task.result()
                    continue
                errors.append(error)
                failed(request, error)
            if reading in done:
                finished, reading = reading, None
                finished.result()
    finally:
        await _land({*flying, reading})


async def _land(under_way: set[asyncio.Task[None] | None]) -> None:
    """Wait for what is under way; give up on what takes too long. The error that ended the run is the one to show."""
    tasks = {task for task in under_way if task is not None}
    if tasks:
        done, late = await asyncio.wait(tasks, timeout=GRACE)
        for task in late:
            task.cancel()
        for task in done:
            if not task.cancelled():
                task.exception()  # heard of: asyncio would print it otherwise


def _read(use: Callable[[Sequence[Request]], None], batch: Sequence[Request]) -> None:
    try:
        use(batch)
    except StopIteration as exc:  # a future cannot carry it: the loop would wait for ever
        raise RuntimeError("reading the answers ended in StopIteration") from exc
