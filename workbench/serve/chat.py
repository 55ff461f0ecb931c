"""The routes of OpenAI's chat interface, for a language model that was tuned here: its clients only need another base URL."""

import json
from collections.abc import Iterator, Mapping
from secrets import randbelow, token_hex
from time import time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from workbench.errors import DataError, WorkbenchError
from workbench.serve.batching import Batcher, Busy
from workbench.serve.config import ServeConfig
from workbench.serve.said import whole
from workbench.serve.served import Chatty, Served, Slot, Written

if TYPE_CHECKING:
    from fastapi import APIRouter

ALIAS = "promoted"
"""A model name that always means the model that answers now, whatever it is called."""
_LONGEST_QUEUE = 32
"""Chats that may wait; each takes seconds."""
_SECONDS = 5


class Message(BaseModel):
    """One message of a dialogue."""

    model_config = ConfigDict(extra="ignore")

    role: str
    content: str

    @field_validator("content", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        """Content may come in parts, of which only those with text are understood."""
        if isinstance(value, list):
            if not all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in value):
                raise ValueError("of the parts of a message only those with `text` are understood")
            value = "".join(part["text"] for part in value)
        return whole(value) if isinstance(value, str) else value


class Chat(BaseModel):
    """A request to `/v1/chat/completions`. Fields of OpenAI's that are not here are ignored, except where they ask for more."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    model: str = ALIAS
    """The name that `/v1/models` gives, or `promoted`."""
    messages: list[Message] = Field(min_length=1)
    """The dialogue so far."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest answer, in tokens; `serve.max_tokens` where not given, which is also the most."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The newer name of `max_tokens`."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """0 takes the likeliest token."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Only the likeliest tokens that make up this share are drawn from."""
    seed: int | None = None
    """The same seed draws the same answer."""
    stop: str | list[str] | None = None
    """Texts before which the answer ends."""
    stream: bool = False
    """Answer as events. The model's whole answer comes as one of them."""
    n: int = 1
    """Only 1."""
    tools: list[Any] | None = None
    """Not supported."""


def chat_routes(slot: Slot, batcher: Batcher, config: ServeConfig) -> "APIRouter":
    """The routes; the model works in the batcher's thread, one chat at a time."""
    from fastapi import APIRouter
    from fastapi.responses import JSONResponse, StreamingResponse

    router = APIRouter(prefix="/v1", tags=["OpenAI"])
    waiting = 0

    @router.get("/models")
    async def models() -> dict[str, Any]:
        """The language model that is served; an empty list where the model is none."""
        served = slot.now
        named = {"id": served.predictor.version, "object": "model", "created": served.at, "owned_by": "workbench"}
        return {"object": "list", "data": [named] if served.chat else []}

    @router.post("/chat/completions", response_model=None)
    async def complete(request: Chat) -> JSONResponse | StreamingResponse:
        """Answer a dialogue with the tuned language model."""
        nonlocal waiting
        served = slot.now
        if waiting >= _LONGEST_QUEUE:
            raise Busy(waiting, waiting * _SECONDS)
        chat = _model(served, request)
        most = min(request.max_completion_tokens or request.max_tokens or config.max_tokens, config.max_tokens)
        waiting += 1
        try:
            written = await batcher.run(_write, chat, request, most)
        finally:
            waiting -= 1
        about = {"id": f"chatcmpl-{token_hex(12)}", "created": int(time()), "model": served.predictor.version}
        if request.stream:
            return StreamingResponse(_events(about, written), media_type="text/event-stream")
        return JSONResponse(_completion(about, written))

    return router


def _model(served: Served, request: Chat) -> Chatty:
    """The model that a request means.

    Raises:
        WorkbenchError: it is another, none that writes, or the request asks for what is not done here.
    """
    if served.chat is None:
        raise DataError(
            f"The model {served.predictor.version} tells classes and does not write.",
            "Serve a run of method qlora, or ask /predict.",
        )
    if request.model not in (served.predictor.version, ALIAS):
        raise DataError(
            "model: this is not the name of the served model.", f"It is {served.predictor.version!r}, or {ALIAS!r}."
        )
    if request.n != 1 or request.tools:
        raise DataError("n other than 1, and tools, are not supported.", "Leave them out of the request.")
    return served.chat


def _write(chat: Chatty, request: Chat, most: int) -> Written:
    seed = request.seed if request.seed is not None else randbelow(1 << 31)
    messages = [message.model_dump() for message in request.messages]
    try:
        written = chat.complete(
            messages, max_tokens=most, temperature=request.temperature, top_p=request.top_p, seed=seed % (1 << 63)
        )
    except ValueError as exc:  # a chat template that refuses these roles or their order
        if isinstance(exc, WorkbenchError):
            raise
        raise DataError("The model cannot read these messages.", "Check their roles and their order.") from exc
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    ends = [at for stop in stops if stop and (at := written.text.find(stop)) >= 0]
    if ends:
        return Written(written.text[: min(ends)], "stop", written.tokens_in, written.tokens_out)
    return written


def _completion(about: Mapping[str, Any], written: Written) -> dict[str, Any]:
    message = {"role": "assistant", "content": written.text}
    usage = {
        "prompt_tokens": written.tokens_in,
        "completion_tokens": written.tokens_out,
        "total_tokens": written.tokens_in + written.tokens_out,
    }
    choice = {"index": 0, "message": message, "finish_reason": written.finish, "logprobs": None}
    return {**about, "object": "chat.completion", "choices": [choice], "usage": usage}


def _events(about: Mapping[str, Any], written: Written) -> Iterator[str]:
    """Server-sent events: the answer in one piece, its end, and the mark that OpenAI's clients wait for."""
    for delta, finish in (({"role": "assistant", "content": written.text}, None), ({}, written.finish)):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {**about, "object": "chat.completion.chunk", "choices": [choice]}
        yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    yield "data: [DONE]\n\n"
