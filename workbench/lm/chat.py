"""Dialogues as token ids: the model's own chat template, answers that end with the model's own end token, inputs cut by turns.

Trainers that leave this to a template teach some models never to stop: the template of GLM-4 puts nothing behind an answer, so
that the end token (there `<|user|>`, which begins the next turn) is no part of what is learned. Here it is always appended.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import ConfigError, DataError

Messages = Sequence[Mapping[str, str]]
_MARK = "ANSWER"


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its answer; only the answer is learned."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    """Ends with the end token."""
    turns_cut: int = 0
    """Turns that were left out at the beginning of the dialogue."""
    characters_cut: int = 0
    """Characters cut off at the beginning of the last turn, where that turn alone was too long."""

    def __len__(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt that fits, and what was cut to make it fit."""

    ids: tuple[int, ...]
    turns_cut: int = 0
    characters_cut: int = 0


class Chat:
    """A tokenizer with what the model says about ends of answers."""

    def __init__(self, tokenizer: Any, ends: Sequence[int]) -> None:
        """Args: tokenizer of the model; `ends`: ids at which the model's generation stops, in any order.

        Raises:
            ConfigError: the model has no end token.
        """
        self.tokenizer = tokenizer
        own = tokenizer.eos_token_id
        self.ends = frozenset(int(end) for end in (*ends, own) if end is not None)
        if not self.ends:
            raise ConfigError(
                "The model names no end token, so that it could not learn to stop.",
                "Set eos_token in its tokenizer_config.json or eos_token_id in its generation_config.json.",
            )
        self.end = self._end()

    @classmethod
    def of(cls, model: Any, tokenizer: Any) -> "Chat":
        """For a loaded model, by its generation settings and its configuration."""
        ends: list[int] = []
        for settings in (getattr(model, "generation_config", None), model.config):
            named = getattr(settings, "eos_token_id", None)
            ends += named if isinstance(named, list) else [] if named is None else [named]
        return cls(tokenizer, ends)

    @property
    def templated(self) -> bool:
        """Whether the model has a chat template."""
        return bool(self.tokenizer.chat_template)

    def prompt(self, messages: Messages) -> list[int]:
        """Ids of a prompt that asks for an answer.

        Raises:
            DataError: the model's template refuses the messages.
        """
        plain = [dict(message) for message in messages]
        if not self.templated:  # a base model: it only continues
            text = "\n\n".join(message["content"] for message in plain) + "\n\n"
            return list(self.tokenizer(text)["input_ids"])
        text = self._render(plain, asked=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer(self, text: str) -> list[int]:
        """Ids of an answer with its end token, which is asserted to be one of the model's.

        Raises:
            DataError: the text holds an end token.
        """
        ids = [*self.tokenizer(text, add_special_tokens=False)["input_ids"]]
        early = next((i for i in ids if i in self.ends), None)
        if early is not None:
            token = self.tokenizer.convert_ids_to_tokens(early)
            raise DataError(
                f"The answer {text[:60]!r} holds the end token {token}, at which the model would stop.",
                "Take it out of the class's name or of the text.",
            )
        ids.append(self.end)
        check_end(ids, self.ends)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer, without its end token and what follows it; other special tokens stay."""
        stop = next((n for n, i in enumerate(ids) if i in self.ends), len(ids))
        return str(self.tokenizer.decode(list(ids[:stop]), skip_special_tokens=False))

    def _render(self, messages: list[dict[str, str]], *, asked: bool) -> str:
        from jinja2 import TemplateError

        try:
            # Models that think aloud where they are not told otherwise: an answer is a class, not a thought.
            text = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=asked, tokenize=False, enable_thinking=False
            )
        except TemplateError as exc:
            raise DataError(
                f"The model's chat template refuses a dialogue with the roles "
                f"{', '.join(message['role'] for message in messages)}: {exc}.",
                "Name a model whose template takes them, or change the prompt file so that it has no system block.",
            ) from exc
        return str(text)

    def _end(self) -> int:
        """The token that the template puts behind an answer; else the tokenizer's own end."""
        own = self.tokenizer.eos_token_id
        fallback = int(own) if own is not None else min(self.ends)
        if not self.templated:
            return fallback
        turns = [{"role": "user", "content": "A"}, {"role": "assistant", "content": _MARK}]
        behind = self._render([*turns, {"role": "user", "content": "B"}], asked=False).rpartition(_MARK)[2]
        for i in self.tokenizer(behind, add_special_tokens=False)["input_ids"]:
            if i in self.ends:
                return int(i)
            if self.tokenizer.decode([i]).strip():
                break
        return fallback


def check_end(labels: Sequence[int], ends: frozenset[int]) -> None:
    """Assert that what is learned ends with an end token.

    Raises:
        DataError: it does not.
    """
    if not labels or labels[-1] not in ends:
        last = labels[-1] if labels else None
        raise DataError(
            f"The last token to be learned is {last}, which is no end token of the model ({sorted(ends)}).",
            "A model trained on it would not stop; check eos_token_id in the model's generation_config.json.",
        )


def fit(render: Callable[[Sequence[str]], Sequence[int]], turns: Sequence[str], room: int) -> Fitted:
    """The prompt with as many of the last turns as there is room for.

    The first turns go first. Where the last one alone is too long, its beginning is cut off.

    Args:
        render: turns -> ids of the whole prompt.
        turns: of the dialogue, oldest first.
        room: tokens that the prompt may have.

    Raises:
        DataError: the prompt does not fit even without its dialogue.
    """
    whole = render(turns)
    if len(whole) <= room:
        return Fitted(tuple(whole))
    ids: Sequence[int] = ()

    def fits(some: Sequence[str]) -> bool:
        nonlocal ids
        ids = render(some)
        return len(ids) <= room

    cut = _first(1, len(turns) - 1, lambda n: fits(turns[n:]))
    if cut is not None:
        fits(turns[cut:])
        return Fitted(tuple(ids), cut)
    last = turns[-1] if turns else ""
    characters = _first(1, len(last), lambda n: fits([last[n:]]))
    if characters is None or not fits([last[characters:]]):
        raise DataError(
            f"There is room for {room} tokens in front of an answer, and the prompt alone has {len(render(['']))}.",
            "Raise train.qlora.max_length, or shorten the prompt file.",
        )
    return Fitted(tuple(ids), max(0, len(turns) - 1), characters)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number in low..high for which it holds, as it does for every larger one; None where it never does.

    Token counts may rise by a token or two where a text gets shorter, so the neighbours are looked at again.
    """
    if low > high or not holds(high):
        return None
    top = high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return next((n for n in range(low, top + 1) if holds(n)), None)
