"""Look at rows without changing anything."""

from collections import Counter
from dataclasses import dataclass

from workbench.bench import Bench
from workbench.flow.plan import known_labels
from workbench.generate import resolve_label
from workbench.records import SPLITS, Sample
from workbench.text import shorten


@dataclass(frozen=True, slots=True)
class Summary:
    """Rows per class and split, and what became of synthetic ones."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def json(self) -> dict[str, object]:
        """The table as JSON."""
        return {"classes": [dict(zip(self.columns, row, strict=True)) for row in self.rows]}


def rows(bench: Bench, *, label: str | None, split: str | None, source: str | None) -> list[Sample]:
    """Rows, filtered."""
    name = resolve_label(label, *known_labels(bench)) if label else None
    return [
        row
        for row in bench.ledger.samples(source=None)
        if (name is None or row.label == name)
        and (split is None or row.split == split)
        and (source is None or row.source == source)
    ]


def line(row: Sample) -> tuple[str, ...]:
    """A row for a table."""
    return (row.id, row.label, row.split, row.source, shorten(row.text, 60))


def summary(bench: Bench) -> Summary:
    """Rows of each class, largest first."""
    _, ids = known_labels(bench)
    human = bench.ledger.samples()
    candidates = bench.ledger.candidates()
    per_split = Counter((row.label, row.split) for row in human)
    made = Counter(candidate.sample.label for candidate in candidates)
    accepted = Counter(candidate.sample.label for candidate in candidates if candidate.accepted)
    labels = sorted({row.label for row in human} | set(made), key=lambda label: -per_split[label, "train"])
    used = [name for name in SPLITS if any(row.split == name for row in human)]
    table = tuple(
        (ids.get(label, ""), label, *(per_split[label, name] for name in used), accepted[label], made[label])
        for label in labels
    )
    title = f"{len(human)} rows, {len(labels)} classes, {sum(accepted.values())} accepted synthetic rows"
    return Summary(title, ("id", "class", *used, "accepted", "candidates"), table)
