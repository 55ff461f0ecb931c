"""Special tokens of annotated dialogues: vocabulary, render, parse, coverage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from workbench.config import Strict
from workbench.errors import ConfigError
from workbench.tokens.coverage import Coverage, FieldCount, Inconsistent, Place, TopicCount, coverage
from workbench.tokens.grammar import Dialogue, escape, parse, render, unescape
from workbench.tokens.lines import dumps, from_line, to_dialogue, to_line, topic_key
from workbench.tokens.vocabulary import TOPIC, Vocabulary, token

__all__ = [
    "TOPIC",
    "Coverage",
    "Dialogue",
    "FieldCount",
    "Inconsistent",
    "Place",
    "TokensConfig",
    "TopicCount",
    "Vocabulary",
    "coverage",
    "dumps",
    "escape",
    "from_line",
    "parse",
    "render",
    "to_dialogue",
    "to_line",
    "token",
    "topic_key",
    "unescape",
    "vocabulary_of",
]


class TokensConfig(Strict):
    """The tags of dialogues and the special tokens that they become."""

    file: str = ""
    """Tags file (JSON or YAML), relative to the bench: topics, and role -> field -> value -> meaning."""
    vocabulary: Mapping[str, Any] = {}
    """The same, here in wb.yaml instead of in a file."""
    ordered: tuple[str, ...] | None = None
    """Fields that may not go back within a dialogue, in the order of their values; `phase` where not given."""
    doubted: tuple[str, ...] = ("emotion", "progress")
    """Fields whose tags `wb tokens fill --contradictions` has a model compare with the text."""
    planted: int = Field(default=20, ge=0)
    """Dialogues that a model first gets with one wrong tag planted, to see whether it finds contradictions at all."""
    places: int = Field(default=24, ge=1)
    """Most missing tags that one request asks for; a long dialogue takes several."""


def vocabulary_of(config: TokensConfig, root: Path, tags: Path | None = None) -> Vocabulary:
    """The vocabulary of a tags file that was named, else of the bench.

    Raises:
        ConfigError: there is none, there are two, or it cannot be used.
    """
    if tags is not None:
        return Vocabulary.read(tags, ordered=config.ordered)
    if config.file and config.vocabulary:
        raise ConfigError("tokens.file and tokens.vocabulary are both set.", "Keep one of them.")
    if config.vocabulary:
        return Vocabulary.of(config.vocabulary, where="tokens.vocabulary", ordered=config.ordered)
    if not config.file:
        raise ConfigError(
            "There is no vocabulary of tags: tokens.file is not set.",
            "Name a tags file with --tags tags.json, or in wb.yaml: tokens: {file: tags.json}",
        )
    return Vocabulary.read(root / config.file, ordered=config.ordered)
