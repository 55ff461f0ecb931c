"""What an endpoint is: settings, requests, answers, and the client's side of the contract."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from workbench.config import Strict
from workbench.errors import ServiceError, WorkbenchError
from workbench.llm.presets import PresetName, filled
from workbench.records import digest


class OpenAIEndpoint(Strict):
    """A server with `/v1/chat/completions`: Zhipu (GLM-4), vLLM, OpenAI, ..."""

    kind: Literal["openai"] = "openai"
    preset: PresetName | None = None
    """Fills address, key variable and, where known, model and prices: `zhipu` (GLM-4), `vllm` (local), `openai`."""
    base_url: str | None = None
    """Address up to and with the version, as https://open.bigmodel.cn/api/paas/v4; OPENAI_BASE_URL where not given."""
    model: str = "auto"
    """Model name; `auto` takes the one that the server lists, where it lists just one."""
    key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]*$")
    """Name of the environment variable with the key, in capitals. The key itself never stands in a file."""
    price_in: Decimal | None = Field(default=None, ge=0)
    """Price of a million prompt tokens."""
    price_out: Decimal | None = Field(default=None, ge=0)
    """Price of a million answer tokens."""
    currency: str = "CNY"
    """For people; nothing is converted."""
    weight: int = Field(default=1, ge=1)
    """Share of the requests among several endpoints: 2 gets twice as many as 1."""
    structured: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    """How replies are held to their form; `auto` begins with json_schema and steps down where the server refuses it."""
    timeout: float = Field(default=300.0, gt=0)
    """Seconds until a request counts as failed; local servers under load are slow."""
    retries: int = Field(default=6, ge=0)
    """Further tries after 429, 5xx and broken connections, with growing pauses (Retry-After is kept)."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        return filled(values) if isinstance(values, Mapping) else values

    @field_validator("base_url")
    @classmethod
    def _no_secret(cls, value: str | None) -> str | None:
        if value and "@" in urlsplit(value).netloc:
            raise ValueError("an address in a file holds no user or password; OPENAI_BASE_URL may")
        return value


class RecordedEndpoint(Strict):
    """Completions that were recorded earlier: JSON Lines with `asked` (the class) and `text`. No network, no cost."""

    kind: Literal["recorded"] = "recorded"
    path: str
    """The file, relative to the bench; `demo:telecom` is the shipped one."""
    shuffle_labels: bool = False
    """Shuffle the classes among the recorded rows (seeded): a test that the verdict is honest."""


class LocalEndpoint(Strict):
    """A language model that runs in this process: needs the extra `local`. Small ones are weak writers."""

    kind: Literal["local"] = "local"
    path: str
    """`smollm2` (fetch it with `wb models get smollm2`), a GGUF file, a folder in Hugging Face form, or a name on the hub.
    Files and folders are relative to the bench and need no network."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; `auto` is bfloat16 where the hardware computes in it, else float32."""
    threads: int = Field(default=0, ge=0)
    """Processor threads; 0 leaves the choice to torch."""
    batch: int = Field(default=8, ge=1)
    """Requests that are written at once."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Words are drawn from the likeliest ones that make up this share; a small model rambles with the rest."""


def _kind(value: Any) -> str:
    """An endpoint without `kind` is an OpenAI-compatible server."""
    return str(value.get("kind", "openai") if isinstance(value, Mapping) else getattr(value, "kind", ""))


# A further kind is a settings class with a `kind`, a line here, and a line in `_OPENERS` of the package.
Endpoint = Annotated[
    Annotated[OpenAIEndpoint, Tag("openai")]
    | Annotated[RecordedEndpoint, Tag("recorded")]
    | Annotated[LocalEndpoint, Tag("local")],
    Discriminator(_kind),
]


class LlmConfig(Strict):
    """Where completions come from."""

    endpoints: tuple[Endpoint, ...] = ()
    """One endpoint, or several that share the requests by weight. Where unset, OPENAI_BASE_URL and OPENAI_API_KEY serve."""
    concurrency: int = Field(default=8, ge=1)
    """Most requests in flight at each endpoint; fewer while it answers 429."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature; diversity needs a high one."""
    max_tokens: int = Field(default=4096, ge=1)
    """Longest answer, in tokens."""
    bench_after: int = Field(default=3, ge=1)
    """Failed requests in a row after which one of several endpoints is left alone for a while."""
    bench_for: float = Field(default=30.0, gt=0)
    """Seconds until an endpoint that was left alone gets one request as a probe; doubled with each probe that fails."""

    @field_validator("endpoints")
    @classmethod
    def _fit_together(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(value) > 1 and any(isinstance(one, RecordedEndpoint) for one in value):
            raise ValueError("a recorded endpoint stands alone: which of two like rows comes first must not vary")
        currencies = {one.currency for one in value if isinstance(one, OpenAIEndpoint) and one.price_in is not None}
        if len(currencies) > 1:
            raise ValueError(f"prices are in {' and '.join(sorted(currencies))}, and nothing is converted")
        return value


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
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply, an object around the list `samples`; None for plain text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and from where."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int
    cost: Decimal | None
    """None where the price is unknown; the most that it can be where the server does not tell the tokens."""
    model: str = ""
    endpoint: str = ""
    settings: str = ""
    """The `settings` of the client that answered: part of the reply's identity."""
    currency: str = ""


class Refused(WorkbenchError):
    """An endpoint will not answer this one request (400, 422); others may do."""


class Exhausted(WorkbenchError):
    """A recorded endpoint has no further completions for a class."""


class OverCap(WorkbenchError):
    """A further call would pass the cap on the cost: it was not sent."""


class Unusable(ServiceError):
    """An endpoint that no retry helps: wrong key, unknown model, no money left."""


class Client(Protocol):
    """An open endpoint."""

    name: str
    model: str
    currency: str
    most: int
    """Requests in flight that it bears; 0 for as many as are configured."""
    settings: str
    """Everything but prompt and draw that decides what comes back."""

    async def answer(self, request: Request, account: "Account | None" = None) -> Answer:
        """Send one request; `account` hears of every call that it takes.

        Raises:
            ServiceError: no usable answer after all retries.
            Refused: this request will not be answered.
            Exhausted: a recording has no more rows of the class.
            OverCap: a call was lost, and the money does not suffice for another one.
        """
        ...

    def ceiling(self, request: Request) -> Decimal | None:
        """The most that one call for this request can cost; None where the price is unknown."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class Account(Protocol):
    """What hears of the calls that one request takes; a request that is tried again takes several."""

    async def out(self, client: Client, request: Request) -> None:
        """A call is about to be sent; returns when that is stored.

        Raises:
            OverCap: the money does not suffice for it.
        """
        ...

    def free(self) -> None:
        """The call ended without an answer and cost nothing: it was refused, or never arrived."""
        ...

    def lost(self) -> None:
        """The call ended without an answer and may have been billed: no answer in time, connection broken."""
        ...


class _Identified(Protocol):
    @property
    def settings(self) -> str: ...


def identity(source: _Identified, request: Request) -> str:
    """Name of a request: rendered prompt + model + parameters + draw. A stored reply of this name is never bought again.

    Args:
        source: the client, or its answer (one of several clients).
        request: what is asked. How the server is held to the reply's form does not count: servers differ in it.
    """
    parts = [json.dumps(list(request.messages), ensure_ascii=False), source.settings]
    if request.schema is not None:
        parts.append(json.dumps(request.schema, ensure_ascii=False, sort_keys=True))
    return digest(*parts, str(request.seed), str(request.draw))
