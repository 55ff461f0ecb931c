"""What a training method gives back, and how it says where it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[Mapping[str, Any]], None]
"""Told each line of metrics.jsonl when it is written, and `{"say": sentence}` for people."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, which lies in its run folder by now."""

    labels: tuple[str, ...]
    base: str
    """Name or path of the model that the training began with; of a classifier its encoder's name."""
    fingerprint: str
    """Of what the trained model needs to work: vectors of this encoder, weights of this base model."""
    predicted: tuple[str, ...] | None = None
    """Class that the model gives each dev row, in their order; None where there are none."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What else was measured: loss, seconds, memory."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the manifest keeps."""
    promoted: bool | None = None
    """Whether it takes its parent's place; None where nothing was judged."""
    verdict: Mapping[str, Any] | None = None


def silent(row: Mapping[str, Any]) -> None:
    """Progress that nobody listens to."""
