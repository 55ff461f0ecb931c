"""Settings of `wb generate`: for all classes, and for single ones."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ConfigDict, Field, field_serializer, field_validator, model_validator

from workbench.config import Strict
from workbench.errors import one_of
from workbench.generate.base import Strategy
from workbench.generate.kinds import DEFAULTS, read_strategies


class ClassConfig(Strict):
    """What holds for one class. The command line goes before it; it goes before the diagnosis and the settings for all classes."""

    strategy: str = ""
    """Name of a strategy, where the command line names none and the class is not one of a pair."""
    batch_size: int | None = Field(default=None, ge=1)
    """Rows asked for in one request."""
    target_multiplier: float | None = Field(default=None, gt=0)
    """Accepted synthetic rows wanted, as a multiple of the class's real training rows: 2 of 30 rows are 60."""
    accept: int | None = Field(default=None, ge=0)
    """Accepted synthetic rows wanted; goes before `target_multiplier`."""
    prompt: str = ""
    """Prompt file of yours in `prompts/` of the bench: `mine` for `mine.zh.j2` or `mine.en.j2` by language, or the whole name."""
    examples: int | None = Field(default=None, ge=0)
    """Real rows shown in a prompt."""
    hints: tuple[str, ...] = ()
    """What a writer of such rows should know, a sentence each; goes into every prompt of the class."""


class GenerateConfig(Strict):
    """Settings of `wb generate`."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # 14 in YAML is a number, and the name of class 14

    language: str = "auto"
    """Which prompt files: `zh`, `en`, or `auto` (by the real rows)."""
    batch_size: int = Field(default=10, ge=1)
    """Rows asked for in one request."""
    examples: int = Field(default=6, ge=0)
    """Real rows shown in a prompt; another choice each time."""
    accept: int = Field(default=20, ge=1)
    """Accepted synthetic rows wanted for a class where neither --accept, the class nor the diagnosis says a number."""
    patience: int = Field(default=5, ge=1)
    """Replies in a row without one accepted row, after which a class counts as saturated."""
    max_requests: int = Field(default=0, ge=0)
    """Most requests of one command; 0 for no limit."""
    attributes: Mapping[str, tuple[str, ...]] | None = None
    """Attribute -> values, as `mood: [calm, in a hurry]`: each row asked for gets one of each. Shipped ones in the language of the
    prompts where not given; `{}` for none."""
    taboo: int = Field(default=5, ge=0)
    """Most words that are forbidden because the accepted rows over-use them; few, as each also forbids good rows."""
    outliers: int = Field(default=0, ge=0)
    """Accepted rows shown as hints because they lie farthest from the real ones; 0, as before a review such rows are also the
    likeliest to be wrong, and what is shown is written again."""
    classes: Mapping[str, ClassConfig] = {}
    """What holds for single classes, by name or number."""
    strategies: Mapping[str, Any] = Field(default=DEFAULTS, validate_default=True)
    """Strategies by name, each with its settings. A name that is no kind of strategy needs `kind:`."""

    @field_validator("strategies", mode="after")
    @classmethod
    def _read_strategies(cls, value: Mapping[str, Any]) -> Mapping[str, Strategy]:
        return read_strategies(value)

    @field_serializer("strategies")
    def _write_strategies(self, value: Mapping[str, Strategy]) -> dict[str, Any]:
        return {name: strategy.model_dump(mode="json") for name, strategy in value.items()}

    @model_validator(mode="after")
    def _known_strategies(self) -> Self:
        for label, known in self.classes.items():
            if known.strategy and known.strategy not in self.strategies:
                told = f"classes.{label}.strategy: there is no strategy {known.strategy!r}"
                raise ValueError(f"{told}. {one_of(known.strategy, self.strategies)}")
        return self
