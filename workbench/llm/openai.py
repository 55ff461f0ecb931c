"""The async SDK client of one OpenAI-compatible server. Its errors end here."""

import json
import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workbench.errors import ConfigError, ServiceError, WorkbenchError
from workbench.llm.contract import Answer, LlmConfig, OpenAIEndpoint, Refused, Request


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
        _check_address(base_url)
        if key and not key.isascii():
            raise ConfigError(f"The key in {endpoint.key_env} has characters that no key has.", "Copy it again.")
        # A local server needs no key, but the SDK insists on one.
        self._sdk = openai.AsyncOpenAI(
            api_key=key or "none", base_url=base_url, timeout=endpoint.timeout, max_retries=endpoint.retries
        )
        self.config, self._llm = endpoint, config
        self._secrets = (key or "", *_userinfo(str(self._sdk.base_url)))
        self.name = _without_userinfo(str(self._sdk.base_url))
        self.model = endpoint.model if endpoint.model != "auto" else _only_model(base_url, key, endpoint.timeout)
        self.currency = endpoint.currency
        self.most = 0
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
            raise _service_error(exc, self.name, self._secrets) from exc
        except ValueError as exc:  # a body that is not JSON
            raise _no_completion(self.name) from exc
        text, finish = _content(completion, self.name)
        usage = getattr(completion, "usage", None)
        spent = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        tokens_in, tokens_out = (count if isinstance(count, int) else 0 for count in spent)
        cost = self._cost(tokens_in, tokens_out) if all(isinstance(count, int) for count in spent) else None
        return Answer(text, finish, tokens_in, tokens_out, cost)

    def _cost(self, tokens_in: int, tokens_out: int) -> Decimal | None:
        if self.config.price_in is None or self.config.price_out is None:
            return None
        return (self.config.price_in * tokens_in + self.config.price_out * tokens_out) / 1_000_000

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()


def _only_model(base_url: str | None, key: str | None, timeout: float) -> str:
    import openai

    where = _without_userinfo(base_url or "https://api.openai.com/v1")
    if base_url is None:
        raise ConfigError("llm.endpoints.0.model is not set.", "Set it to the name of the model, as gpt-4.1-mini.")
    try:
        with openai.OpenAI(api_key=key or "none", base_url=base_url, timeout=min(timeout, 30), max_retries=1) as sdk:
            names = [model.id for model in sdk.models.list()]
    except openai.OpenAIError as exc:
        raise _service_error(exc, where, (key or "", *_userinfo(base_url))) from exc
    if len(names) != 1:
        raise ConfigError(
            f"{where} lists {len(names)} models, and llm.endpoints.0.model is not set.",
            f"Set it in wb.yaml; listed: {', '.join(sorted(names)[:20]) or 'none'}",
        )
    return names[0]


def _content(completion: Any, where: str) -> tuple[str, str]:
    """Text and finish reason of what the SDK made of an answer; servers send other things than the SDK promises."""
    choices = getattr(completion, "choices", None)
    first = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(first, "message", None)
    if message is None:
        raise _no_completion(where)
    content = getattr(message, "content", None)
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or ""), str(getattr(first, "finish_reason", None) or "")


def _no_completion(where: str) -> ServiceError:
    return ServiceError(f"{where} answered, but not with a chat completion.", "Check that it serves /chat/completions.")


def _service_error(exc: Exception, where: str, secrets: Sequence[str] = ()) -> WorkbenchError:
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
    said = " ".join(str(exc).split())
    for secret in secrets:
        said = said.replace(secret, "***") if secret else said
    said = said[:200]  # after the secrets: half a key would not be found
    if isinstance(exc, openai.NotFoundError):
        return ServiceError(f"{where} does not know that address or model: {said}", "Check base_url and model.")
    if isinstance(exc, openai.RateLimitError):
        return ServiceError(f"{where} keeps answering 429 (too many requests).", "Lower llm.concurrency, or wait.")
    if isinstance(exc, openai.BadRequestError | openai.UnprocessableEntityError):
        return Refused(
            f"{where} refused a request: {said}", "Check llm.max_tokens, the model's name and its content filter."
        )
    return ServiceError(f"{where} answered with an error: {said}", "Run again: stored replies are kept.")


def _check_address(url: str | None) -> None:
    """What the SDK would answer with an error of the library below it."""
    try:
        _ = urlsplit(url or "").port
    except ValueError as exc:
        raise ConfigError(f"The address of the endpoint is none: {exc}.", "Check base_url (OPENAI_BASE_URL).") from exc


def _userinfo(url: str) -> tuple[str, ...]:
    """User and password of an address, where it has them."""
    parts = urlsplit(url)
    return tuple(part for part in (parts.username, parts.password) if part)


def _without_userinfo(url: str) -> str:
    """The address as it may be shown and stored."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
