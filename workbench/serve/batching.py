"""Requests that come at the same time become one batch of the model; too many are sent away instead of piling up."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import WorkbenchError
from workbench.predictor import Predictor

Rows = npt.NDArray[np.float32]


class Busy(WorkbenchError):
    """The queue is full; `seconds` is when to try again."""

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(
            f"The server is busy: {waiting} texts are waiting already.",
            f"Send it again in {seconds} seconds, or fewer texts at a time.",
        )
        self.seconds = seconds


@dataclass(slots=True)
class _Job:
    """The texts of one request."""

    texts: list[str]
    predictor: Predictor
    future: "asyncio.Future[Rows]"
    done: list[Rows] = field(default_factory=list)
    start: int = 0
    """Texts that were computed, or are in the batch under way."""

    @property
    def left(self) -> int:
        return len(self.texts) - self.start


class Batcher:
    """Dynamic batching: what arrives while the model works, and up to `max_wait` after the first, goes in together.

    A long request is cut into pieces that take turns with other requests. All texts of one request are answered by one model.
    The model works in a thread of its own, so that the loop goes on answering.
    """

    def __init__(self, *, max_batch: int = 32, max_wait: float = 0.005, max_queue: int = 4096) -> None:
        self._max_batch, self._max_wait, self._max_queue = max_batch, max_wait, max_queue
        self._jobs: deque[_Job] = deque()
        self._full = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wb-model")
        self._working: asyncio.Task[None] | None = None
        self._pace = 0.01
        """Seconds per text, as it was lately."""

    @property
    def waiting(self) -> int:
        """Texts that wait."""
        return sum(job.left for job in self._jobs)

    async def ask(self, predictor: Predictor, texts: Sequence[str]) -> Rows:
        """Probabilities [n, classes] of n texts.

        Raises:
            Busy: so many texts are waiting that these would be too many.
            WorkbenchError: the model cannot use these texts.
        """
        if not texts:
            return np.zeros((0, len(predictor.labels)), np.float32)
        loop = asyncio.get_running_loop()
        if self._jobs and self._jobs[0].future.get_loop() is not loop:
            self._jobs.clear()  # of a loop that was ended: nobody is there any more
        waiting = self.waiting
        if waiting and waiting + len(texts) > self._max_queue:
            raise Busy(waiting, max(1, ceil(waiting * self._pace)))
        job = _Job(list(texts), predictor, loop.create_future())
        self._jobs.append(job)
        if self._working is None or self._working.done():
            self._full = asyncio.Event()
            self._working = asyncio.create_task(self._work())
        if waiting + len(texts) >= self._max_batch:
            self._full.set()
        return await job.future

    async def run(self, call: Any, *args: Any) -> Any:
        """Something else that the model's thread is to do between two batches, as what uses the same engine."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    async def _work(self) -> None:
        """Batch after batch until nobody waits; a task of its own for each burst, so that it belongs to the loop that asks."""
        while self._jobs:
            if self.waiting < self._max_batch:
                self._full.clear()
                with suppress(TimeoutError):  # nobody else came: go with those that are there
                    await asyncio.wait_for(self._full.wait(), self._max_wait)
            await self._batch(self._take())

    def _take(self) -> list[tuple[_Job, list[str]]]:
        """Pieces for one batch, all for one model; what is left of a long request goes to the end of the queue."""
        batch: list[tuple[_Job, list[str]]] = []
        room = self._max_batch
        while self._jobs and room:
            if batch and self._jobs[0].predictor is not batch[0][0].predictor:
                break
            job = self._jobs.popleft()
            if job.future.done():  # whoever asked is gone
                continue
            piece = job.texts[job.start : job.start + room]
            job.start += len(piece)
            room -= len(piece)
            batch.append((job, piece))
        for job, _ in batch:
            if job.left:
                self._jobs.append(job)
        return batch

    async def _batch(self, batch: list[tuple[_Job, list[str]]]) -> None:
        if not batch:
            return
        predictor = batch[0][0].predictor
        texts = [text for _, piece in batch for text in piece]
        start = perf_counter()
        try:
            rows: Rows = await self.run(predictor.predict, texts)
        except Exception as exc:  # noqa: BLE001  whatever it is, it goes to the request that it belongs to
            await self._apart(batch, exc)
            return
        self._pace = 0.8 * self._pace + 0.2 * (perf_counter() - start) / len(texts)
        at = 0
        for job, piece in batch:
            _give(job, rows[at : at + len(piece)])
            at += len(piece)

    async def _apart(self, batch: list[tuple[_Job, list[str]]], exc: Exception) -> None:
        """A batch that failed: one request must not fail for another's text, so each is tried on its own."""
        if len(batch) == 1:
            job = batch[0][0]
            if not isinstance(exc, WorkbenchError):
                logging.getLogger(__name__).error("the model failed: %s", type(exc).__name__, exc_info=exc)
            if job in self._jobs:
                self._jobs.remove(job)
            if not job.future.done():
                job.future.set_exception(exc)
            return
        for one in batch:
            await self._batch([one])


def _give(job: _Job, rows: Rows) -> None:
    """Keep a piece's rows; the last piece answers the request."""
    job.done.append(rows)
    if sum(len(piece) for piece in job.done) == len(job.texts) and not job.future.done():
        job.future.set_result(np.concatenate(job.done))
