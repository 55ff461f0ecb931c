"""A model in this process as an endpoint: requests that arrive together are written in one batch, in a thread."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import ConfigError
from workbench.llm.contract import Account, Answer, LlmConfig, LocalEndpoint, Refused, Request
from workbench.models import KNOWN, path_of
from workbench.prompts import numbered

if TYPE_CHECKING:
    from workbench.llm.causal import Causal, Job

GATHER = 0.05
"""Seconds that a request waits for others to share its batch."""


class Local:
    """Keeps a queue; one batch is under way at a time, and the next one takes what waits when it ends."""

    def __init__(self, endpoint: LocalEndpoint, config: LlmConfig, root: Path) -> None:
        from workbench.llm.causal import load

        source = source_of(endpoint.path, root)
        self.config, self._llm = endpoint, config
        self.name, self.currency, self.most = f"local:{endpoint.path}", "", endpoint.batch
        # Not the path: a folder that was moved holds the same model.
        self.model = Path(source).stem if source.endswith(".gguf") else Path(source).name
        self._causal: Causal = load(source, endpoint.dtype, endpoint.threads)
        self.settings = json.dumps(
            [self.model, endpoint.dtype, config.temperature, endpoint.top_p, config.max_tokens], ensure_ascii=False
        )
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def ceiling(self, request: Request) -> Decimal:
        """A model of one's own costs nothing."""
        return Decimal(0)

    async def answer(self, request: Request, account: Account | None = None) -> Answer:
        """Write one answer, together with those asked for at the same time.

        Raises:
            Refused: the prompt does not fit into the model's context.
        """
        length = len(self._causal.prompt(request.messages))
        if length >= self._causal.context:
            raise Refused(
                f"A prompt has {length} tokens; {self.model} reads at most {self._causal.context}.",
                "Lower generate.examples or generate.batch_size.",
            )
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            if len(self._waiting) < self.most:
                await asyncio.sleep(GATHER)
            batch, self._waiting = self._waiting[: self.most], self._waiting[self.most :]
            batch = [(request, future) for request, future in batch if not future.done()]  # not those given up
            if not batch:
                continue
            try:
                answers = await asyncio.to_thread(self._write, [request for request, _ in batch])
            except BaseException as exc:  # whatever it is, it belongs to those who wait for the batch
                for _, future in batch:
                    if not future.done():
                        future.set_exception(exc if isinstance(exc, Exception) else asyncio.CancelledError())
                if not isinstance(exc, Exception):
                    raise
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _write(self, requests: list[Request]) -> list[Answer]:
        written = self._causal.run(
            [_job(request) for request in requests],
            temperature=self._llm.temperature,
            top_p=self.config.top_p,
            most=self._llm.max_tokens,
            stopped=lambda: self._closed,
        )
        mine = (Decimal(0), self.model, self.name, self.settings)
        return [Answer(one.text, one.finish, one.tokens_in, one.tokens_out, *mine) for one in written]

    async def close(self) -> None:
        """End what is under way; the model stays loaded for the next client."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker])


def _job(request: Request) -> "Job":
    from workbench.llm.causal import Job

    # A list that was begun has no end of its own for a model that only continues.
    lines = request.rows if numbered(request.messages) else 0
    return Job(request.messages, (request.seed * 1_000_003 + request.draw) % 2**31, lines)


def source_of(path: str, root: Path) -> str:
    """What to load: the file of a fetched model, a file or folder as an absolute path, or a hub's name.

    Raises:
        ConfigError: there is no such file or folder.
        WorkbenchError: a known model was not fetched.
    """
    here = root / Path(path).expanduser()
    if here.exists():
        return str(here.resolve())
    if path in KNOWN:
        return str(path_of(path))
    if path.endswith(".gguf") or path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise ConfigError(
            f"There is no model {here}.", "Mend llm.endpoints.0.path, or fetch one: wb models get smollm2"
        )
    return path
