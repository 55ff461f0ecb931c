"""Rows whose label may be wrong: cleanlab where a class is large enough, nearest neighbours for the tail."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.classify import OutOfFold
from workbench.records import Sample
from workbench.similarity import Vectors, nearest


@dataclass(frozen=True, slots=True)
class LabelIssue:
    """A row that looks like another class."""

    sample: Sample
    suggested: str
    score: float
    """0 to 1, higher is more suspicious."""
    method: str
    """`cleanlab` or `neighbours`."""


def label_issues(
    samples: Sequence[Sample], found: OutOfFold, vectors: Vectors, *, class_rows: int, neighbours: int
) -> list[LabelIssue]:
    """Suspicious rows, most suspicious first.

    Classes with at least `class_rows` rows are judged by confident learning (Northcutt et al. 2021) among themselves; rows
    of smaller classes are named where all of their `neighbours` nearest rows are of one other class.

    Args:
        samples: the rows of `found`, in its order.
        found: out-of-fold probabilities.
        vectors: [n, d] centred unit vectors.
        class_rows: what counts as large.
        neighbours: how many neighbours a tail row is judged by.
    """
    rows = Counter(sample.label for sample in samples)
    large = [i for i, label in enumerate(found.labels) if rows[label] >= class_rows]
    issues = _confident(samples, found, large) if len(large) >= 2 else []
    tail = [i for i, sample in enumerate(samples) if rows[sample.label] < class_rows]
    if tail and len(samples) > neighbours:
        index, cosine = nearest(vectors[tail], vectors, neighbours + 1)
        for i, near, close in zip(tail, index, cosine, strict=True):
            others = [(samples[j].label, c) for j, c in zip(near, close, strict=True) if j != i][:neighbours]
            names = {label for label, _ in others}
            if len(names) == 1 and samples[i].label not in names:
                score = float(np.mean([c for _, c in others]))
                issues.append(LabelIssue(samples[i], names.pop(), max(0.0, min(1.0, score)), "neighbours"))
    return sorted(issues, key=lambda issue: -issue.score)


def _confident(samples: Sequence[Sample], found: OutOfFold, large: Sequence[int]) -> list[LabelIssue]:
    from cleanlab.filter import find_label_issues

    column = {label: i for i, label in enumerate(large)}
    rows = np.array([i for i, truth in enumerate(found.truth) if truth in column])
    given = np.array([column[int(found.truth[i])] for i in rows])
    some = found.probabilities[np.ix_(rows, np.array(large))]
    some = some / np.maximum(some.sum(axis=1, keepdims=True), 1e-9)
    marked = find_label_issues(given, some, filter_by="both", n_jobs=1)
    issues: list[LabelIssue] = []
    for i, own, shares in zip(rows[marked], given[marked], some[marked], strict=True):
        other = int(shares.argmax())
        if other != own:
            issues.append(LabelIssue(samples[i], found.labels[large[other]], float(1 - shares[own]), "cleanlab"))
    return issues
