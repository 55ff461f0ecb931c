"""Look at rows without changing anything."""

from collections import Counter
from dataclasses import dataclass

from workbench.bench import Bench
from workbench.errors import UsageError, one_of
from workbench.flow.data import human_rows
from workbench.flow.generate.plan import known_labels
from workbench.generate import resolve_label
from workbench.records import SPLITS, Sample


@dataclass(frozen=True, slots=True)
class Summary:
    """Rows per class and split, and what became of synthetic ones."""

    columns: tuple[str, ...]
    classes: tuple[tuple[object, ...], ...]
    """One line of `columns` for each class, largest first."""
    rows: int
    accepted: int


def summary(bench: Bench) -> Summary:
    """Rows of each class, largest first.

    Raises:
        DataError: there are no rows.
    """
    human, candidates = human_rows(bench), bench.ledger.candidates()
    ids = bench.ledger.label_ids()
    per_split = Counter((row.label, row.split) for row in human)
    made = Counter(candidate.sample.label for candidate in candidates)
    accepted = Counter(candidate.sample.label for candidate in candidates if candidate.accepted)
    total = Counter(row.label for row in human)
    labels = sorted(total.keys() | made.keys(), key=lambda label: (-total[label], label))
    used = [name for name in SPLITS if any(row.split == name for row in human)]
    classes = tuple(
        (ids.get(label, ""), label, *(per_split[label, name] for name in used), accepted[label], made[label])
        for label in labels
    )
    return Summary(("number", "class", *used, "accepted", "candidates"), classes, len(human), accepted.total())


def rows(
    bench: Bench, *, label: str | None = None, split: str | None = None, source: str | None = None
) -> list[Sample]:
    """Human and synthetic rows, in the order they came; `label` is a name or number.

    Raises:
        UsageError: the class, split or source is unknown.
    """
    for value, known, what in ((split, SPLITS, "split"), (source, ("human", "synthetic"), "source")):
        if value and value not in known:
            raise UsageError(f"There is no {what} {value!r}.", one_of(value, known))
    name = resolve_label(label, *known_labels(bench)) if label else None
    return [row for row in bench.ledger.samples(source=source, split=split) if name is None or row.label == name]
