"""What an endpoint is: settings, requests, answers, and the client's side of the contract."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator

from workbench.config import Strict
from workbench.errors import WorkbenchError
from workbench.records import digest


class OpenAIEndpoint(Strict):
    """A server with `/v1/chat/completions`: Zhipu (GLM-4), vLLM, OpenAI, ..."""

    kind: Literal["openai"] = "openai"
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
    timeout: float = Field(default=300.0, gt=0)
    """Seconds until a request counts as failed; local servers under load are slow."""
    retries: int = Field(default=6, ge=0)
    """Further tries after 429, 5xx and broken connections, with growing pauses (Retry-After is kept)."""

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


Endpoint = Annotated[
    Annotated[OpenAIEndpoint, Tag("openai")]
    | Annotated[RecordedEndpoint, Tag("recorded")]
    | Annotated[LocalEndpoint, Tag("local")],
    Discriminator(_kind),
]


class LlmConfig(Strict):
    """Where completions come from."""

    endpoints: tuple[Endpoint, ...] = Field(default=(), max_length=1)
    """One endpoint. Where unset, OPENAI_BASE_URL and OPENAI_API_KEY serve."""
    concurrency: int = Field(default=8, ge=1)
    """Requests in flight at once."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature; diversity needs a high one."""
    max_tokens: int = Field(default=4096, ge=1)
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


class Refused(WorkbenchError):
    """An endpoint will not answer this one request (400, 422); others may do."""


class Exhausted(WorkbenchError):
    """A recorded endpoint has no further completions for a class."""


class Client(Protocol):
    """An open endpoint."""

    name: str
    model: str
    currency: str
    most: int
    """Requests in flight that it bears; 0 for as many as are configured."""
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
