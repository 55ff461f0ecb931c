"""One OpenAI-compatible endpoint, or recorded completions, behind one async client.

Every answer goes to a `record` callback before anything reads it: what was received is paid for and must not be lost.
"""

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from workbench.config import Strict
from workbench.errors import ConfigError, DataError, ServiceError, WorkbenchError
from workbench.records import digest


class OpenAIEndpoint(Strict):
    """A server with `/v1/chat/completions`: Zhipu (GLM-4), vLLM, OpenAI, ..."""

    kind: Literal["openai"] = "openai"
    base_url: str | None = None
    """Address up to and with the version, as https://open.bigmodel.cn/api/paas/v4; OPENAI_BASE_URL where not given."""
    model: str = "auto"
    """Model name; `auto` takes the one that the server lists, where it lists just one."""
    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable with the key. The key itself never stands in a file."""
    price_in: Decimal | None = None
    """Price of a million prompt tokens."""
    price_out: Decimal | None = None
    """Price of a million answer tokens."""
    currency: str = "CNY"
    """For people; nothing is converted."""
    timeout: float = 300.0
    """Seconds until a request counts as failed; local servers under load are slow."""
    retries: int = 6
    """Further tries after 429, 5xx and broken connections, with growing pauses (Retry-After is kept)."""


class RecordedEndpoint(Strict):
    """Completions that were recorded earlier: JSON Lines with `asked` (the class) and `text`. No network, no cost."""

    kind: Literal["recorded"] = "recorded"
    path: str
    """The file, relative to the bench; `demo:telecom` is the shipped one."""
    shuffle_labels: bool = False
    """Shuffle the classes among the recorded rows (seeded): a test that the verdict is honest."""


Endpoint = Annotated[OpenAIEndpoint | RecordedEndpoint, Field(discriminator="kind")]


class LlmConfig(Strict):
    """Where completions come from."""

    endpoints: tuple[Endpoint, ...] = Field(default=(), max_length=1)
    """One endpoint. Where unset, OPENAI_BASE_URL and OPENAI_API_KEY serve."""
    concurrency: int = Field(default=8, ge=1)
    """Requests in flight at once."""
    temperature: float = 1.0
    """Sampling temperature; diversity needs a high one."""
    max_tokens: int = 4096
    """Longest answer, in tokens."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call that a strategy asks for. `draw` tells apart requests that are otherwise equal."""

    label: str
    against: str
    strategy: str
    rows: int
    draw: int
    seed: int
    prompt: str
    parents: tuple[str, ...]
    messages: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `cost` is None where the price is unknown."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int
    cost: Decimal | None


class Exhausted(WorkbenchError):
    """A recorded endpoint has no further completions for a class."""


class Client(Protocol):
    """An open endpoint."""

    name: str
    model: str
    currency: str
    settings: str
    """Everything but prompt and draw that decides what comes back."""

    async def answer(self, request: Request) -> Answer:
        """Send one request.

        Raises:
            ServiceError: no usable answer after all retries.
            Exhausted: a recording has no more rows of the class.
        """
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


def identity(client: Client, request: Request) -> str:
    """Name of a request: rendered prompt + model + parameters + draw. A stored reply of this name is never bought again."""
    return digest(
        json.dumps(list(request.messages), ensure_ascii=False), client.settings, str(request.seed), str(request.draw)
    )


def open_client(config: LlmConfig, root: Path) -> Client:
    """The client for the configured endpoint, or for the one that the environment names.

    Raises:
        ConfigError: there is no endpoint, or its key is missing.
    """
    if config.endpoints:
        endpoint = config.endpoints[0]
    elif os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"):
        endpoint = OpenAIEndpoint()
    else:
        raise ConfigError(
            "There is no endpoint to write with: llm.endpoints is unset and so are OPENAI_BASE_URL and OPENAI_API_KEY.",
            "export OPENAI_BASE_URL=https://open.bigmodel.cn/api/paas/v4 OPENAI_API_KEY=... (or any OpenAI-compatible server).",
        )
    if isinstance(endpoint, RecordedEndpoint):
        return Recorded(endpoint, root)
    return OpenAI(endpoint, config)


class OpenAI:
    """The async SDK client of one server."""

    def __init__(self, endpoint: OpenAIEndpoint, config: LlmConfig) -> None:
        import openai

        key = os.environ.get(endpoint.key_env)
        base_url = endpoint.base_url or os.environ.get("OPENAI_BASE_URL")
        if not key and not base_url:
            raise ConfigError(
                f"The environment variable {endpoint.key_env} is not set.", f"export {endpoint.key_env}=..."
            )
        # A local server needs no key, but the SDK insists on one.
        self._sdk = openai.AsyncOpenAI(
            api_key=key or "none", base_url=base_url, timeout=endpoint.timeout, max_retries=endpoint.retries
        )
        self.config, self._llm = endpoint, config
        self.name = str(self._sdk.base_url)
        self.model = endpoint.model if endpoint.model != "auto" else _only_model(base_url, key, endpoint.timeout)
        self.currency = endpoint.currency
        self.settings = json.dumps([self.model, config.temperature, config.max_tokens])

    async def answer(self, request: Request) -> Answer:
        """Send one chat completion."""
        import openai

        try:
            completion = await self._sdk.chat.completions.create(
                model=self.model,
                messages=list(request.messages),  # type: ignore[arg-type]  # plain dicts are what the SDK's types describe
                temperature=self._llm.temperature,
                max_tokens=self._llm.max_tokens,
                seed=(request.seed * 1_000_003 + request.draw) % 2**31,
            )
        except openai.OpenAIError as exc:
            raise _service_error(exc, self.name) from exc
        if not completion.choices:
            raise ServiceError(f"{self.name} answered without choices.", "Check that it serves /chat/completions.")
        choice, usage = completion.choices[0], completion.usage
        spent = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        return Answer(choice.message.content or "", choice.finish_reason or "", *spent, self._cost(*spent))

    def _cost(self, tokens_in: int, tokens_out: int) -> Decimal | None:
        if self.config.price_in is None or self.config.price_out is None:
            return None
        return (self.config.price_in * tokens_in + self.config.price_out * tokens_out) / 1_000_000

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()


class Recorded:
    """Hands out recorded rows of the asked class, in file order, as a chat model would: a JSON array a reply."""

    def __init__(self, endpoint: RecordedEndpoint, root: Path) -> None:
        from workbench.assets import DEMO

        shipped = endpoint.path.startswith("demo:")
        path = DEMO / endpoint.path[5:] / "candidates.jsonl" if shipped else root / endpoint.path
        self.config, self.name, self.model, self.currency = endpoint, f"recorded:{endpoint.path}", "recorded", ""
        if endpoint.shuffle_labels:
            self.model = "recorded, shuffled"
        self.settings = self.name + (" shuffled" if endpoint.shuffle_labels else "")
        self._rows = _recorded_rows(path)
        if endpoint.shuffle_labels:
            texts = [text for rows in self._rows.values() for text in rows]
            random.Random(0).shuffle(texts)
            rest = iter(texts)
            self._rows = {label: [next(rest) for _ in rows] for label, rows in self._rows.items()}

    async def answer(self, request: Request) -> Answer:
        """The `draw`-th batch of recorded rows of the class."""
        rows = self._rows.get(request.label, [])
        batch = rows[request.draw * request.rows : (request.draw + 1) * request.rows]
        if not batch:
            raise Exhausted(f"The recording has no more rows of {request.label!r}.")
        return Answer(json.dumps(batch, ensure_ascii=False), "stop", 0, 0, Decimal(0))

    async def close(self) -> None:
        """Nothing is open."""


def _recorded_rows(path: Path) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as exc:
        raise ConfigError(f"There is no recording {path}.", "Mend llm.endpoints.0.path in wb.yaml.") from exc
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows.setdefault(row["asked"], []).append(row["text"])
        except (json.JSONDecodeError, KeyError, TypeError) as exc:
            shape = 'Each line: {"asked": class, "text": row}'
            raise DataError(f"{path}:{number} is not a recorded completion.", shape) from exc
    return rows


def _only_model(base_url: str | None, key: str | None, timeout: float) -> str:
    import openai

    where = base_url or "https://api.openai.com/v1"
    if base_url is None:
        raise ConfigError("llm.endpoints.0.model is not set.", "Set it to the name of the model, as gpt-4.1-mini.")
    try:
        with openai.OpenAI(api_key=key or "none", base_url=base_url, timeout=min(timeout, 30), max_retries=1) as sdk:
            names = [model.id for model in sdk.models.list()]
    except openai.OpenAIError as exc:
        raise _service_error(exc, where) from exc
    if len(names) != 1:
        raise ConfigError(
            f"{where} lists {len(names)} models, and llm.endpoints.0.model is not set.",
            f"Set it in wb.yaml; listed: {', '.join(sorted(names)[:20]) or 'none'}",
        )
    return names[0]


def _service_error(exc: Exception, where: str) -> ServiceError:
    import openai

    if isinstance(exc, openai.AuthenticationError | openai.PermissionDeniedError):
        return ServiceError(f"{where} refused the key.", "Check the key in the environment (OPENAI_API_KEY).")
    if isinstance(exc, openai.APITimeoutError):
        return ServiceError(
            f"{where} did not answer in time.", "Raise llm.endpoints.0.timeout, or lower llm.concurrency."
        )
    if isinstance(exc, openai.APIConnectionError):
        return ServiceError(
            f"{where} cannot be reached.", "Check the address (OPENAI_BASE_URL) and that the server runs."
        )
    if isinstance(exc, openai.NotFoundError):
        return ServiceError(f"{where} does not know that address or model: {_said(exc)}", "Check base_url and model.")
    if isinstance(exc, openai.RateLimitError):
        return ServiceError(f"{where} keeps answering 429 (too many requests).", "Lower llm.concurrency, or wait.")
    return ServiceError(f"{where} answered with an error: {_said(exc)}", "Run again: stored replies are kept.")


def _said(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200]


async def complete(
    client: Client,
    supply: Callable[[], Request | None],
    record: Callable[[Request, Answer], None],
    use: Callable[[Sequence[Request]], None],
    concurrency: int,
) -> list[WorkbenchError]:
    """Keep up to `concurrency` requests in flight, as long as `supply` hands out more.

    `record` stores an answer as soon as it is there. `use` then gets all requests that were answered since it last ran;
    it runs in a thread, so that slow reading (embedding, gates) does not hold up the network. `supply` is asked again
    after each of these; None with nothing under way ends the run.

    Returns:
        The errors that ended requests; after a `ServiceError` nothing more is sent, and what is in flight is awaited.
    """
    flying: dict[asyncio.Task[Answer], Request] = {}
    arrived: list[Request] = []
    errors: list[WorkbenchError] = []
    reading: asyncio.Task[None] | None = None
    while True:
        broken = any(isinstance(error, ServiceError) for error in errors)
        while not broken and len(flying) < concurrency and (request := supply()) is not None:
            flying[asyncio.create_task(client.answer(request))] = request
        if arrived and reading is None:
            batch, arrived = arrived, []
            reading = asyncio.create_task(asyncio.to_thread(use, batch))
        waiting: set[asyncio.Task[Any]] = set(flying)
        if reading is not None:
            waiting.add(reading)
        if not waiting:
            return errors
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is reading:
                task.result()
                reading = None
                continue
            request = flying.pop(task)
            try:
                record(request, task.result())
            except WorkbenchError as error:
                errors.append(error)
            arrived.append(request)
