"""Ask a run's model for the classes of rows: smaller where memory is short, what it costs beside what it says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bench import Bench
from workbench.evaluate import Arm
from workbench.evaluate.measure import Cost, exact, latencies, peaks, quantile
from workbench.flow.models.predictors import open_predictor, predict
from workbench.lm.cut import cut_to_fit
from workbench.lm.memory import in_batches
from workbench.metrics import wilson
from workbench.predictor import Predictor
from workbench.records import Metric, Sample

NO_CLASS = ""
"""What stands for the class of a row that was not answered with one; always wrong."""
_AT_ONCE = 256
"""Rows asked for at a time, at first; the model's own batches are smaller."""
_TIMED = 64
"""Texts that the throughput is measured on."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model says of all rows, and what that cost."""

    predicted: list[str]
    """[n] class of each row, `NO_CLASS` where there is none."""
    confidence: npt.NDArray[np.float64]
    """[n] probability of the predicted class, 0 where there is none."""
    replicas: list[list[str]]
    """[replicas][n]."""
    cost: Cost
    counts: Counter[str]
    """`cut`: texts that were cut by turns to fit the model; `retries`: batches that were tried again smaller."""
    why: dict[int, str] = field(default_factory=dict)
    """Row -> why it has no class."""
    decided: bool = False
    """The model gives a class and no probability."""

    @property
    def arm(self) -> Arm:
        """For the comparison of models."""
        return Arm(self.predicted, self.replicas)

    @property
    def success(self) -> Metric:
        """Share of rows that were answered with a class, with Wilson's interval."""
        n = len(self.predicted)
        good = sum(label != NO_CLASS for label in self.predicted)
        return Metric("success", good / n, *wilson(good, n), n)


@dataclass(frozen=True, slots=True)
class _Row:
    probabilities: npt.NDArray[np.float32] | None
    """None where the row alone does not fit into memory."""
    votes: tuple[str, ...] = ()


def ask(bench: Bench, run: Path, samples: Sequence[Sample], batch: int = 0) -> Answers:
    """Ask the model of a run.

    Args:
        bench: where vectors come from.
        run: a training run.
        samples: rows, at least one.
        batch: texts at a time; 0 leaves the choice to the method.

    Raises:
        DataError: see `flow.predictors.open_predictor`.
    """
    counts: Counter[str] = Counter()
    with peaks() as most:
        predictor = open_predictor(bench, run, batch_size=batch)
        texts = [_fitting(predictor, sample.text, counts) for sample in samples]
        times, per_second = _timed(predictor, texts, batch)
        before = _counts(predictor)
        rows = _rows(bench, run, predictor, samples, texts, counts)
    counts += _counts(predictor) - before
    memory = exact("memory", most["memory"], 1)
    cuda = exact("cuda_memory", most["cuda_memory"], 1) if "cuda_memory" in most else None
    p50, p95 = quantile("latency_p50", times, 0.5), quantile("latency_p95", times, 0.95)
    cost = Cost(p50, p95, per_second, memory, cuda)
    return _answers(predictor, rows, texts, cost, counts)


def _fitting(predictor: Predictor, text: str, counts: Counter[str]) -> str:
    """The text, cut by turns where the model says that it does not fit; one that says nothing cuts for itself."""
    fits: Any = getattr(predictor, "fits", None)
    if fits is None:
        return text
    kept, cut = cut_to_fit(text, fits)
    counts["cut"] += cut
    return kept


def _counts(predictor: Predictor) -> Counter[str]:
    """What a model that cuts and retries for itself counted so far."""
    return Counter(getattr(predictor, "counts", None) or {"cut": getattr(predictor, "cut", 0)})


def _timed(predictor: Predictor, texts: Sequence[str], batch: int) -> tuple[list[float], Metric]:
    """Seconds of single texts, and texts per second in batches."""
    times = latencies(predictor.predict, texts)
    some = [f"{text}  " for text in texts[:_TIMED]]  # that no cache knows
    start = perf_counter()
    in_batches(some, batch or _TIMED, lambda part: list(predictor.predict(part)), Counter(), lost=lambda _: None)
    return times, exact("throughput", len(some) / max(perf_counter() - start, 1e-9), len(some))


def _rows(
    bench: Bench, run: Path, predictor: Predictor, samples: Sequence[Sample], texts: Sequence[str], counts: Counter[str]
) -> list[_Row]:
    # A classifier's vectors are cached, and its replicas predict from the same ones.
    linear = (run / "model" / "head.json").is_file()

    def some(places: Sequence[int]) -> list[_Row]:
        if not linear:
            return [_Row(row) for row in predictor.predict([texts[i] for i in places])]
        found = predict(bench, run, [samples[i] for i in places])
        votes = [tuple(found.labels[i] for i in column) for column in found.replicas.T]
        return [_Row(row, vote) for row, vote in zip(found.probabilities, votes, strict=True)]

    return in_batches(range(len(samples)), _AT_ONCE, some, counts, lost=lambda _: _Row(None))


def _answers(
    predictor: Predictor, rows: Sequence[_Row], texts: Sequence[str], cost: Cost, counts: Counter[str]
) -> Answers:
    labels, written = predictor.labels, getattr(predictor, "written", {})
    predicted: list[str] = []
    confidence = np.zeros(len(rows))
    why: dict[int, str] = {}
    for i, row in enumerate(rows):
        found = row.probabilities
        if found is None:
            why[i] = "memory"
        elif not np.isfinite(found).all() or found.sum() < 0.5:
            why[i] = str(written.get(texts[i], "no answer"))
        if i in why or found is None:
            predicted.append(NO_CLASS)
            continue
        predicted.append(labels[int(found.argmax())])
        confidence[i] = float(found.max())
    votes = [row.votes for row in rows]
    # A row without votes would shift all others: then there are no replicas to compare by.
    replicas = [list(column) for column in zip(*votes, strict=True)] if all(votes) else []
    return Answers(predicted, confidence, replicas, cost, counts, why, bool(getattr(predictor, "decided", False)))
