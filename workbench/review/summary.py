"""What reviews say about reviewers: speed, shares of verdicts, and what two or more said of the same row. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from workbench.records import Review


@dataclass(frozen=True, slots=True)
class Reviewer:
    """What one person did."""

    name: str
    tasks: int
    """Skips included."""
    seconds: float | None
    """Median seconds a task; None where none was measured."""
    decisions: Mapping[str, int]
    """approve, edit, relabel, reject, skip -> how many."""


def by_reviewer(reviews: Sequence[Review]) -> list[Reviewer]:
    """Speed and verdicts of each person, the busiest first."""
    groups: dict[str, list[Review]] = {}
    for review in reviews:
        if review.decision != "hold":
            groups.setdefault(review.reviewer, []).append(review)
    found = []
    for name, rows in groups.items():
        times = [row.seconds for row in rows if row.seconds is not None]
        decisions = Counter(str(row.decision) for row in rows)
        found.append(Reviewer(name, len(rows), median(times) if times else None, dict(decisions.most_common())))
    return sorted(found, key=lambda one: (-one.tasks, one.name))


def decisions_by_row(reviews: Sequence[Review]) -> dict[str, dict[str, str]]:
    """Row -> reviewer -> decision, of what people decided by themselves: no skips, nothing said in adjudication."""
    said: dict[str, dict[str, str]] = {}
    for review in reviews:
        if review.decision not in ("hold", "skip") and not review.final:
            said.setdefault(review.sample, {})[review.reviewer] = review.decision
    return said
