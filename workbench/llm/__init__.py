"""One OpenAI-compatible endpoint, or recorded completions, behind one async client.

Every answer goes to a `record` callback before anything reads it: what was received is paid for and must not be lost.
"""

import os
from pathlib import Path

from workbench.errors import ConfigError
from workbench.llm.complete import complete
from workbench.llm.contract import (
    Answer,
    Client,
    Exhausted,
    LlmConfig,
    LocalEndpoint,
    OpenAIEndpoint,
    RecordedEndpoint,
    Refused,
    Request,
    identity,
)
from workbench.llm.local import Local
from workbench.llm.openai import OpenAI
from workbench.llm.recorded import Recorded

__all__ = [
    "Answer",
    "Client",
    "Exhausted",
    "LlmConfig",
    "LocalEndpoint",
    "OpenAI",
    "OpenAIEndpoint",
    "Recorded",
    "RecordedEndpoint",
    "Refused",
    "Request",
    "complete",
    "identity",
    "open_client",
]


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
    if isinstance(endpoint, LocalEndpoint):
        return Local(endpoint, config, root)
    return OpenAI(endpoint, config)
