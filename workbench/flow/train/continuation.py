"""What a continuation gets and what it gives: one for each kind of model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.flow.train.incremental_rows import IncrementalRows
from workbench.flow.train.regression import Part
from workbench.records import Sample, digest
from workbench.train import Progress


@dataclass(frozen=True, slots=True)
class Step:
    """One training to be done: a method's continuation gets this."""

    bench: Bench
    parent: Path
    rows: IncrementalRows
    folder: Path
    progress: Progress


@dataclass(frozen=True, slots=True)
class Stepped:
    """A continued model, which lies in its run folder by now."""

    labels: tuple[str, ...]
    parts: Sequence[Part]
    """What both models say of the test rows; opened by the caller's leave."""
    replayed: Sequence[str]
    """Ids of the old rows that it went over again."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the manifest keeps."""


def opening(bench: Bench, run: str, rows: Sequence[Sample]) -> None:
    """Note that the test split is read: models are trained by now, and nobody has seen a score yet."""
    rows_hash = digest(*(f"{s.id}:{s.text_id}:{s.label}" for s in rows))
    with bench.ledger.write("evaluate", "open", {"runs": [run]}) as writer:
        writer.opening(rows_hash, f"regression verdict on {run}")
