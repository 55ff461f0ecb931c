"""Rows that stand on both sides of a split, and texts that stand under several labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.records import Sample
from workbench.similarity import cross_duplicates
from workbench.text import normal

ABOVE = {"train": ("test", "dev"), "dev": ("test",)}
"""Split -> splits whose rows it must not repeat."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A row of train or dev that repeats one of a held-out split. Such rows may be removed, never those of test."""

    sample: Sample
    held: Sample
    kind: str
    """`exact` (but for width, case and punctuation), `near`, or `dialogue`: both have the same value in the group column."""
    score: float
    """Character ratio, 0 to 1."""

    def json(self) -> dict[str, object]:
        """The form that `--json` prints."""
        return {
            "id": self.sample.id,
            "from": self.sample.split,
            "of": self.held.id,
            "split": self.held.split,
            "kind": self.kind,
            "score": self.score,
        }


def leaks(samples: Sequence[Sample], threshold: float, group_by: str = "") -> list[Leak]:
    """Rows of train that repeat dev or test, and of dev that repeat test, most alike first; one leak per row.

    Args:
        samples: rows of all splits; labels are not looked at.
        threshold: character ratio (above 0, up to 1) from which two rows are near copies.
        group_by: column of the user's whose equal values must stay on one side, as the number of a dialogue.
    """
    found: list[Leak] = []
    for split, above in ABOVE.items():
        rows = [sample for sample in samples if sample.split == split]
        held = [sample for name in above for sample in samples if sample.split == name]
        alike = _alike(rows, held, threshold)
        found += alike
        found += _same_group(rows, held, group_by, {leak.sample.id for leak in alike})
    return sorted(found, key=lambda leak: -leak.score)


def _alike(rows: Sequence[Sample], held: Sequence[Sample], threshold: float) -> list[Leak]:
    best: dict[int, tuple[int, float]] = {}
    # One row for each different text of the held-out rows: 1,000 copies on both sides would make a million pairs.
    first = {normal(sample.text): i for i, sample in reversed(list(enumerate(held)))}
    kept = list(first.values())
    for i, j, score in cross_duplicates([s.text for s in rows], [held[i].text for i in kept], threshold):
        if i not in best or score > best[i][1]:
            best[i] = (kept[j], score)
    return [
        Leak(rows[i], held[j], "exact" if normal(rows[i].text) == normal(held[j].text) else "near", score)
        for i, (j, score) in best.items()
    ]


def _same_group(rows: Sequence[Sample], held: Sequence[Sample], group_by: str, known: set[str]) -> list[Leak]:
    groups = {str(s.meta[group_by]): s for s in reversed(held) if s.meta.get(group_by) not in (None, "")}
    return [
        Leak(row, groups[str(row.meta[group_by])], "dialogue", 0.0)
        for row in rows
        if row.id not in known and str(row.meta.get(group_by, "")) in groups
    ]


def conflicts(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Groups of rows with the same text (but for width, case and punctuation) and different labels, largest first.

    Near copies do not count: 查询酒店电话 and 查询餐馆电话 are nearly the same and rightly differ.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[normal(sample.text)].append(sample)
    return sorted((rows for rows in groups.values() if len({row.label for row in rows}) > 1), key=len, reverse=True)
