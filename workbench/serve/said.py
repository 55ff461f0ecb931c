"""Texts as requests give them: a string, or the turns of a dialogue, which are joined as in training."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from workbench.records import SEP
from workbench.text import encodable

_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {"type": "object", "properties": {"role": {"type": "string"}, "text": {"type": "string"}}},
                ]
            },
        },
    ],
    "examples": ["我想查一下话费余额", [{"role": "user", "text": "你好"}, {"role": "user", "text": "查余额"}]],
}


def joined(value: Any) -> str:
    """A text, or the turns of a dialogue, as one string that can be encoded.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list) and value:
        return SEP.join(whole(_turn(turn)) for turn in value)
    raise ValueError("a text is a string, or a list of turns, each a string or an object with a `text`")


def _turn(turn: Any) -> str:
    if isinstance(turn, str):
        return turn
    found = (
        next((turn[key] for key in ("text", "content") if isinstance(turn.get(key), str)), None)
        if (isinstance(turn, Mapping))
        else None
    )
    if found is None:
        raise ValueError("each turn is a string, or an object with a `text`")
    return str(found)


def whole(text: str) -> str:
    """The text with half characters (lone surrogates, which JSON can spell) replaced by U+FFFD."""
    return text if encodable(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Said = Annotated[str, BeforeValidator(joined), WithJsonSchema(_SCHEMA)]


class Ask(BaseModel):
    """Texts to classify: `text` for one, `texts` for several."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    text: Said | None = None
    """One text, or the turns of one dialogue."""
    texts: list[Said] | None = None
    """Several; they are answered in their order."""
    top: int | None = Field(default=None, ge=1)
    """Classes to name with their probabilities; `serve.top` where not given."""


class Near(BaseModel):
    """A text to find real examples for."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    text: Said
    """One text, or the turns of one dialogue."""
    k: int | None = Field(default=None, ge=1)
    """How many; `serve.examples` where not given, which is also the most."""


class Ranked(BaseModel):
    """What the model says of one text."""

    label: str | None
    """The likeliest class; null where there is nothing to judge."""
    probability: float | None
    """Its probability, calibrated, 0 to 1."""
    top: list[tuple[str, float]]
    """The likeliest classes with their probabilities, best first."""
    reason: str | None = None
    """Why there is no class, as `empty_text`; absent where there is one."""


class Answer(BaseModel):
    """What `/predict` answers."""

    predictions: list[Ranked]
    """One for each text, in their order."""
    model_version: str
    """Name of the run whose model answered all of them."""
