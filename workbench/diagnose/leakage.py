"""Rows that stand on both sides of a split, and texts that stand under several labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.records import Sample
from workbench.similarity import cross_duplicates
from workbench.text import normal


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that repeats a row of dev or test. Such training rows may be removed, never the test rows."""

    train: Sample
    held: Sample
    score: float
    """Character ratio, 1 for equal texts."""


def leaks(samples: Sequence[Sample], threshold: float) -> list[Leak]:
    """Training rows at least `threshold` (0 to 1) alike to a dev or test row, most alike first."""
    train = [sample for sample in samples if sample.split == "train"]
    held = [sample for sample in samples if sample.split in ("dev", "test")]
    pairs = cross_duplicates([s.text for s in train], [s.text for s in held], threshold)
    best: dict[int, tuple[int, float]] = {}
    for i, j, score in pairs:
        if score > best.get(i, (0, 0.0))[1]:
            best[i] = (j, score)
    found = [Leak(train[i], held[j], score) for i, (j, score) in best.items()]
    return sorted(found, key=lambda leak: -leak.score)


def conflicts(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Groups of rows with the same text (but for width, case and punctuation) and different labels."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[normal(sample.text)].append(sample)
    return [rows for rows in groups.values() if len({row.label for row in rows}) > 1]
