"""What reviews say about reviewers, rows and lots: speed, shares of verdicts, agreement. Pure."""

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
    found = [
        Reviewer(
            name,
            len(rows),
            median(times) if (times := [r.seconds for r in rows if r.seconds is not None]) else None,
            dict(Counter(r.decision for r in rows).most_common()),
        )
        for name, rows in groups.items()
    ]
    return sorted(found, key=lambda one: (-one.tasks, one.name))


def decided_by(reviews: Sequence[Review]) -> dict[str, dict[str, str]]:
    """Row -> reviewer -> decision, of rows that two or more people decided on by themselves."""
    said: dict[str, dict[str, str]] = {}
    for review in reviews:
        if review.decision not in ("hold", "skip") and not review.final:
            said.setdefault(review.sample, {})[review.reviewer] = review.decision
    return {sample: one for sample, one in said.items() if len(one) > 1}
