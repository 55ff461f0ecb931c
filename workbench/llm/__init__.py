"""OpenAI-compatible endpoints, alone or as a pool, or recorded completions, behind one async client.

Every answer goes to a `record` callback before anything reads it: what was received is paid for and must not be lost.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError
from workbench.llm.complete import complete
from workbench.llm.contract import (
    Account,
    Answer,
    Client,
    Endpoint,
    Exhausted,
    LlmConfig,
    LocalEndpoint,
    OpenAIEndpoint,
    OverCap,
    RecordedEndpoint,
    Refused,
    Request,
    Unusable,
    identity,
)
from workbench.llm.local import Local
from workbench.llm.money import Purse
from workbench.llm.openai import OpenAI
from workbench.llm.pool import Pool
from workbench.llm.recorded import Recorded

__all__ = [
    "Account",
    "Answer",
    "Client",
    "Exhausted",
    "LlmConfig",
    "LocalEndpoint",
    "OpenAI",
    "OpenAIEndpoint",
    "OverCap",
    "Pool",
    "Purse",
    "Recorded",
    "RecordedEndpoint",
    "Refused",
    "Request",
    "Unusable",
    "complete",
    "endpoints",
    "identity",
    "open_client",
    "open_clients",
]


_OPENERS: Mapping[str, Callable[[Any, LlmConfig, Path], Client]] = {
    "openai": lambda endpoint, config, root: OpenAI(endpoint, config),
    "recorded": lambda endpoint, config, root: Recorded(endpoint, root),
    "local": lambda endpoint, config, root: Local(endpoint, config, root),
}
"""Kind of an endpoint -> how it is opened."""


def endpoints(config: LlmConfig) -> tuple[Endpoint, ...]:
    """The configured endpoints, or the one that the environment names.

    Raises:
        ConfigError: there is none.
    """
    if config.endpoints:
        return config.endpoints
    if os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"):
        return (OpenAIEndpoint(),)
    raise ConfigError(
        "There is no endpoint to write with: llm.endpoints is unset and so are OPENAI_BASE_URL and OPENAI_API_KEY.",
        "export OPENAI_BASE_URL=https://open.bigmodel.cn/api/paas/v4 OPENAI_API_KEY=... (or any OpenAI-compatible server).",
    )


def open_clients(config: LlmConfig, root: Path) -> list[Client]:
    """A client for each endpoint, so that several models can be asked the same.

    Raises:
        ConfigError: there is no endpoint, or a key is missing.
    """
    return [_OPENERS[endpoint.kind](endpoint, config, root) for endpoint in endpoints(config)]


def open_client(config: LlmConfig, root: Path) -> Client:
    """One client for all endpoints: that of the only one, or a pool of several.

    Raises:
        ConfigError: there is no endpoint, or a key is missing.
    """
    clients = open_clients(config, root)
    weights = [getattr(endpoint, "weight", 1) for endpoint in endpoints(config)]
    return clients[0] if len(clients) == 1 else Pool(clients, weights, config)
