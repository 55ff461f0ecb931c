"""One model's scores on one set of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.errors import DataError
from workbench.metrics import Floats, Ints, cells, f1_interval, mean_interval, ratio, resamples, tally, wilson
from workbench.records import Metric


@dataclass(frozen=True, slots=True)
class Pair:
    """Rows of one class that were taken for another."""

    source: str
    target: str
    rate: Metric
    """Share of the rows of `source`."""
    count: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Every score with interval and n."""

    accuracy: Metric
    macro_f1: Metric
    weighted_f1: Metric
    labels: tuple[str, ...]
    """Classes that the macro average is over."""
    labels_from: str
    """`union` of true and predicted, `true`, or `given`."""
    per_class: tuple[tuple[str, Metric, Metric, Metric], ...]
    """Class, precision, recall, F1; n is predicted rows, true rows, and either."""
    pairs: tuple[Pair, ...]
    """Confusions, most rows first."""
    matrix: Ints
    """[labels, labels] rows by true and predicted class, over all classes that occur."""
    matrix_labels: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "accuracy": self.accuracy.json(),
            "macro_f1": self.macro_f1.json(),
            "weighted_f1": self.weighted_f1.json(),
            "labels": list(self.labels),
            "labels_from": self.labels_from,
            "per_class": [
                {"label": label, "precision": p.json(), "recall": r.json(), "f1": f.json()}
                for label, p, r, f in self.per_class
            ],
            "pairs": [{"from": p.source, "to": p.target, "rate": p.rate.json(), "count": p.count} for p in self.pairs],
        }


def score(true: Sequence[str], predicted: Sequence[str], labels: Sequence[str] | str = "union") -> Scores:
    """Score predictions against the truth.

    Accuracy, precision and recall get Wilson's interval, a class's F1 the one of its Jaccard proportion, macro and
    weighted F1 what `metrics.mean_interval` makes of both and of a bootstrap over rows.

    Args:
        true: the right class of each row.
        predicted: the predicted class of each row, as many.
        labels: what macro-F1 averages over: `union`, `true`, or a list of classes.

    Raises:
        DataError: there are no rows, or no classes to average over.
    """
    if not true or not labels:
        what = "rows to score" if not true else "classes to average over"
        raise DataError(f"There are no {what}.", "Give at least one.")
    names = tuple(sorted(set(true) | set(predicted) | (set(labels) if not isinstance(labels, str) else set())))
    column = {name: i for i, name in enumerate(names)}
    y, z = np.array([column[x] for x in true], dtype=np.int64), np.array([column[x] for x in predicted], dtype=np.int64)
    chosen, origin = _labels(true, names, labels)
    classes = np.array([column[name] for name in chosen], dtype=np.int64)
    n = len(y)
    counts = tally(y, z, len(names))
    kinds, rows = cells(y, z)
    drawn = tally(kinds[0], kinds[1], len(names), resamples(rows))
    hits = float(counts.hits.sum())
    accuracy = Metric("accuracy", hits / n, *wilson(hits, n), n)
    macro = float(counts.macro_f1(classes))
    weighted = float(counts.weighted_f1)
    each = _f1_scores(counts.hits, counts.true + counts.predicted - counts.hits)
    equal = np.bincount(classes, minlength=len(names)) / len(classes)
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(matrix, (y, z), 1)
    return Scores(
        accuracy,
        Metric("macro_f1", macro, *mean_interval(drawn.macro_f1(classes), each, equal, n), n),
        Metric("weighted_f1", weighted, *mean_interval(drawn.weighted_f1, each, counts.true / n, n), n),
        chosen,
        origin,
        tuple(_class(name, matrix, column[name]) for name in chosen),
        tuple(_pairs(matrix, names)),
        matrix,
        names,
    )


def _f1_scores(hits: Floats, union: Floats) -> Floats:
    """[3, classes] F1 with its interval; `union` [classes] counts the rows that are of a class or taken for it."""
    spans = [f1_interval(float(h), float(u)) for h, u in zip(hits, union, strict=True)]
    return np.vstack([ratio(2 * hits, union + hits), np.array(spans).T])


def _labels(true: Sequence[str], names: tuple[str, ...], labels: Sequence[str] | str) -> tuple[tuple[str, ...], str]:
    if labels == "union":
        return names, "union"
    if labels == "true":
        return tuple(sorted(set(true))), "true"
    return tuple(dict.fromkeys(labels)), "given"


def _class(name: str, matrix: Ints, i: int) -> tuple[str, Metric, Metric, Metric]:
    hits, rows, found = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
    union = rows + found - hits
    where = {"class": name}
    return (
        name,
        Metric("precision", hits / found if found else 0.0, *wilson(hits, found), found, where),
        Metric("recall", hits / rows if rows else 0.0, *wilson(hits, rows), rows, where),
        Metric("f1", 2 * hits / (rows + found) if rows + found else 0.0, *f1_interval(hits, union), union, where),
    )


def _pairs(matrix: Ints, names: tuple[str, ...]) -> list[Pair]:
    found: list[Pair] = []
    for i, j in zip(*np.nonzero(matrix), strict=True):
        if i != j:
            count, rows = int(matrix[i, j]), int(matrix[i].sum())
            rate = Metric("confusion", count / rows, *wilson(count, rows), rows, {"from": names[i], "to": names[j]})
            found.append(Pair(names[i], names[j], rate, count))
    return sorted(found, key=lambda pair: (-pair.count, -pair.rate.value))
