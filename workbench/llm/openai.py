"""The async SDK client of one OpenAI-compatible server. Its errors end here."""

import asyncio
import json
import os
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workbench.errors import ConfigError
from workbench.llm.contract import Account, Answer, LlmConfig, OpenAIEndpoint, Request
from workbench.llm.faults import Fault, fault_of, no_completion
from workbench.llm.ladder import Ladder, response_format
from workbench.llm.money import most_tokens
from workbench.llm.pace import Pace
from workbench.llm.presets import asks_for_key


class OpenAI:
    """The async SDK client of one server: paces its calls, tries again where that helps, and steps down the ladder once."""

    def __init__(self, endpoint: OpenAIEndpoint, config: LlmConfig) -> None:
        import openai

        key = os.environ.get(endpoint.key_env)
        base_url = endpoint.base_url or os.environ.get("OPENAI_BASE_URL")
        if not key and (not base_url or asks_for_key(endpoint.preset, base_url)):
            raise ConfigError(
                f"The environment variable {endpoint.key_env} is not set.", f"export {endpoint.key_env}=..."
            )
        _check_address(base_url)
        if key and not key.isascii():
            raise ConfigError(f"The key in {endpoint.key_env} has characters that no key has.", "Copy it again.")
        # A local server needs no key, but the SDK insists on one. Retries are counted and paced here.
        self._sdk = openai.AsyncOpenAI(
            api_key=key or "none", base_url=base_url, timeout=endpoint.timeout, max_retries=0
        )
        self.config, self._llm = endpoint, config
        self._secrets = (key or "", *_userinfo(str(self._sdk.base_url)))
        self.name = _without_userinfo(str(self._sdk.base_url))
        self.model = endpoint.model if endpoint.model != "auto" else _only_model(base_url, key, endpoint.timeout)
        self.currency = endpoint.currency
        self.most = 0
        self.settings = json.dumps([self.model, config.temperature, config.max_tokens])
        self.pace = Pace(config.concurrency)
        self.benched = False
        """Left alone by a pool: a call that fails is not tried again here."""
        self._ladder = Ladder(endpoint.structured)
        self._answered = 0

    async def answer(self, request: Request, account: Account | None = None) -> Answer:
        """Send one chat completion, again and again where that may help."""
        rung, tries, before = self._ladder.start(request), 0, self._answered
        seen = before
        while True:
            try:
                answer = await self._call(request, rung, account)
            except Fault as fault:
                lower = self._ladder.below(rung, fault.status, tries)
                if lower is not None:
                    rung = lower
                    continue
                # A server that lets time run out twice, and answers nobody meanwhile, is not waited for any longer.
                dead = fault.timeout and tries >= 1 and self._answered == before
                if not fault.again or self.benched or dead or tries >= self.config.retries:
                    raise fault.error from fault
                await asyncio.sleep(fault.pause(tries))
                if self.benched:
                    raise fault.error from fault
                # A 429 while others are answered is no failure but a queue.
                tries += not (fault.kind == "limited" and self._answered > seen)
                seen = self._answered
                rung = max(rung, self._ladder.start(request))
                continue
            self._ladder.works(rung, request)
            return answer

    async def _call(self, request: Request, rung: int, account: Account | None) -> Answer:
        """One call, in a slot of the pace; the account hears of its end, unless there is an answer."""
        entered = await self.pace.enter()
        try:
            if account is not None:
                await account.out(self, request)
            try:
                answer = self._read(await self._send(request, rung), request)
            except Fault as fault:
                if fault.kind == "limited":
                    self.pace.limited(entered, fault.wait)
                if account is not None:
                    account.lost() if fault.kind == "lost" else account.free()
                raise
            self._answered += 1
            self.pace.answered()
            return answer
        finally:
            self.pace.leave()

    async def _send(self, request: Request, rung: int) -> Any:
        import openai

        arguments: dict[str, Any] = {
            "model": self.model,
            "messages": list(request.messages),
            "temperature": self._llm.temperature,
            "max_tokens": self._llm.max_tokens,
            "seed": (request.seed * 1_000_003 + request.draw) % 2**31,
        }
        if (form := response_format(rung, request.schema)) is not None:
            arguments["response_format"] = form
        try:
            return await self._sdk.chat.completions.create(**arguments)
        except openai.OpenAIError as exc:
            raise fault_of(exc, self.name, self._secrets) from exc
        except ValueError as exc:  # a body that is not JSON
            raise no_completion(self.name) from exc

    def _read(self, completion: Any, request: Request) -> Answer:
        text, finish = _content(completion, self.name)
        usage = getattr(completion, "usage", None)
        spent = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        tokens_in, tokens_out = (count if isinstance(count, int) else 0 for count in spent)
        told = all(isinstance(count, int) for count in spent)
        cost = self._cost(tokens_in, tokens_out) if told else self.ceiling(request)
        return Answer(text, finish, tokens_in, tokens_out, cost, self.model, self.name, self.settings, self.currency)

    def _cost(self, tokens_in: int, tokens_out: int) -> Decimal | None:
        if self.config.price_in is None or self.config.price_out is None:
            return None
        return (self.config.price_in * tokens_in + self.config.price_out * tokens_out) / 1_000_000

    def ceiling(self, request: Request) -> Decimal | None:
        """The most that one call can cost: as many tokens as the prompt has bytes, and the longest answer."""
        return self._cost(most_tokens(request), self._llm.max_tokens)

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
        raise fault_of(exc, where, (key or "", *_userinfo(base_url))).error from exc
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
        raise no_completion(where)
    content = getattr(message, "content", None)
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or ""), str(getattr(first, "finish_reason", None) or "")


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
