"""The small classifier: a linear head on sentence vectors plus character n-grams. Seconds to train once embedded.

It serves `diagnose` (out-of-fold confusion), `gate` (does the label fit?) and `train --method classifier`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from workbench.config import Strict
from workbench.errors import DataError
from workbench.similarity import centred

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class ClassifierConfig(Strict):
    """The linear head. The defaults were chosen on the dev splits of the benchmark sets (docs/benchmarks.md)."""

    strength: float = Field(default=3.0, gt=0)
    """Inverse L2 regularisation (scikit-learn's C)."""
    ngrams: tuple[int, int] = (1, 3)
    """Shortest and longest character n-gram."""
    max_features: int = Field(default=20_000, ge=1)
    """Most frequent n-grams kept."""
    components: int = Field(default=128, ge=0)
    """Dimensions that the n-grams are reduced to (truncated SVD); 0 leaves them out."""
    ngram_weight: float = Field(default=0.7, ge=0)
    """Weight of the n-gram part beside the sentence vector, both of unit length."""
    class_weight: bool = True
    """Weigh classes by inverse frequency, so that a class of 3 rows counts as much as one of 300."""
    folds: int = Field(default=5, ge=2)
    """Folds of the cross-fitting behind out-of-fold probabilities."""

    @field_validator("ngrams")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1]:
            raise ValueError("the shortest n-gram has at least 1 character and is not longer than the longest")
        return value


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What a model that had not seen the row said of each row."""

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    """Column names of `probabilities`."""
    truth: Ints
    """[n] column of each row's label."""
    probabilities: Floats
    """[n, classes]; rows sum to 1. A class of one row has probability 0 in its own row: no model had seen it."""
    temperature: float
    """What logits are divided by, so that these probabilities are calibrated (Guo et al. 2017)."""

    @property
    def predicted(self) -> Ints:
        """[n] column of the most probable class."""
        return cast(Ints, self.probabilities.argmax(axis=1))


class Features:
    """Sentence vector (centred) beside reduced character n-grams; fitted on texts, never on labels."""

    def __init__(
        self, config: ClassifierConfig, mean: Floats, vocabulary: list[str], idf: Floats, basis: Floats
    ) -> None:
        self.config, self.mean, self.vocabulary, self.idf, self.basis = config, mean, vocabulary, idf, basis

    @classmethod
    def fit(cls, config: ClassifierConfig, texts: Sequence[str], vectors: Floats) -> Self:
        """Learn mean, n-gram vocabulary and reduction from texts and their vectors [n, d]."""
        from sklearn.decomposition import TruncatedSVD

        mean = vectors.mean(axis=0)
        # Rows that are all alike have no directions to reduce to.
        size = min(config.components, len(set(texts)) - 1)
        if size < 2 or not any(len(text.strip()) >= config.ngrams[0] for text in texts):
            return cls(config, mean, [], np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
        vectorizer = _vectorizer(config, max_features=config.max_features)
        counts = vectorizer.fit_transform(texts)
        size = min(size, counts.shape[1] - 1)
        basis = TruncatedSVD(size, random_state=0).fit(counts).components_.astype(np.float32)
        names = cast("list[str]", vectorizer.get_feature_names_out().tolist())
        return cls(config, mean, names, vectorizer.idf_.astype(np.float32), basis)

    def __call__(self, texts: Sequence[str], vectors: Floats) -> Floats:
        """Features [n, d + components] of texts and their vectors [n, d]."""
        dense = centred(vectors, self.mean)
        if not self.vocabulary:
            return dense
        vectorizer = _vectorizer(self.config, vocabulary=self.vocabulary)
        vectorizer.idf_ = self.idf
        reduced = vectorizer.transform(texts) @ self.basis.T
        reduced /= np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9)
        return np.hstack([dense, self.config.ngram_weight * reduced]).astype(np.float32)


def _vectorizer(config: ClassifierConfig, **options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char", ngram_range=config.ngrams, sublinear_tf=True, dtype=np.float32, **options)


class Head:
    """Linear weights on features: `coefficients` [classes, d], `intercept` [classes]."""

    def __init__(
        self, labels: tuple[str, ...], coefficients: Floats, intercept: Floats, temperature: float = 1.0
    ) -> None:
        self.labels, self.coefficients, self.intercept, self.temperature = labels, coefficients, intercept, temperature

    @classmethod
    def fit(
        cls, config: ClassifierConfig, features: Floats, labels: Sequence[str], weights: Floats | None = None
    ) -> Self:
        """Multinomial logistic regression on features [n, d], n labels and weights [n] (all 1 where not given).

        Raises:
            DataError: fewer than two classes.
        """
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        if len(set(labels)) < 2:
            raise DataError(
                f"Training needs two classes; the rows have {len(set(labels))}.", "Add rows of more classes."
            )
        model = LogisticRegression(C=config.strength, max_iter=500, tol=1e-3)
        # A few thousand rows: threads of the linear algebra cost more than they bring, ten times more on a busy machine.
        with threadpool_limits(1):
            model.fit(features, np.asarray(labels, dtype=object), _row_weights(config, labels, weights))
        coefficients, intercept = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn keeps one row of weights for two classes
            coefficients, intercept = (
                np.vstack([-coefficients, coefficients]) / 2,
                np.hstack([-intercept, intercept]) / 2,
            )
        return cls(tuple(model.classes_), coefficients.astype(np.float32), intercept.astype(np.float32))

    def at(self, temperature: float) -> Self:
        """The same head with another temperature."""
        return type(self)(self.labels, self.coefficients, self.intercept, temperature)

    def logits(self, features: Floats) -> Floats:
        """[n, classes] before temperature and softmax."""
        return cast(Floats, features @ self.coefficients.T + self.intercept)

    def probabilities(self, features: Floats) -> Floats:
        """[n, classes], rows sum to 1, calibrated by the temperature."""
        return _softmax(self.logits(features) / self.temperature)


def cross_fit(
    config: ClassifierConfig,
    ids: Sequence[str],
    features: Floats,
    labels: Sequence[str],
    groups: Sequence[int] | None = None,
    weights: Floats | None = None,
) -> OutOfFold:
    """Out-of-fold probabilities of every row; rows of one group (near duplicates, one dialogue) share a fold.

    A class of one row is predicted by models that never saw it: its row shows which class would swallow it. The temperature
    is that of the rows of weight 1.
    """
    names = tuple(sorted(set(labels)))
    column = {name: i for i, name in enumerate(names)}
    truth = np.array([column[label] for label in labels], dtype=np.int64)
    logits = np.full((len(ids), len(names)), -np.inf, dtype=np.float32)
    for held in _folds(truth, groups, config.folds):
        seen = np.setdiff1d(np.arange(len(ids)), held)
        if len(set(truth[seen])) < 2:
            logits[held] = 0.0
            continue
        head = Head.fit(config, features[seen], [labels[i] for i in seen], None if weights is None else weights[seen])
        logits[np.ix_(held, np.array([column[name] for name in head.labels]))] = head.logits(features[held])
    sure = np.arange(len(ids)) if weights is None else np.flatnonzero(weights >= 1)
    temperature = best_temperature(logits[sure], truth[sure])
    return OutOfFold(tuple(ids), names, truth, _softmax(logits / temperature), temperature)


def _row_weights(config: ClassifierConfig, labels: Sequence[str], weights: Floats | None) -> Floats:
    """[n] weight of each row: its own, times the inverse frequency of its class where classes are to count alike."""
    own = np.ones(len(labels), np.float64) if weights is None else weights.astype(np.float64)
    if not config.class_weight:
        return cast(Floats, own)
    names, column = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    mass = np.bincount(column, own)
    return cast(Floats, own * (own.sum() / (len(names) * mass))[column])


def _folds(truth: Ints, groups: Sequence[int] | None, folds: int) -> list[Ints]:
    """Held-out row numbers of each fold: classes spread evenly, groups kept whole. Seeded, so that a rerun agrees."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups if groups is not None else range(len(truth))):
        members.setdefault(int(group), []).append(row)
    order = np.random.default_rng(0).permutation(len(members))
    keys = list(members)
    loads = [Counter[int]() for _ in range(folds)]
    held: list[list[int]] = [[] for _ in range(folds)]
    for rows in sorted((members[keys[i]] for i in order), key=len, reverse=True):
        label = int(truth[rows[0]])
        target = min(range(folds), key=lambda fold: (loads[fold][label], len(held[fold])))
        held[target] += rows
        loads[target].update(int(truth[row]) for row in rows)
    return [np.array(rows, dtype=np.int64) for rows in held if rows]


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return cast(Floats, shifted / shifted.sum(axis=1, keepdims=True))


def best_temperature(logits: Floats, truth: Ints) -> float:
    """The temperature of least negative log-likelihood, over rows whose class some model had seen."""
    rows = np.flatnonzero(np.isfinite(logits[np.arange(len(truth)), truth]))
    if not len(rows):
        return 1.0
    grid = np.geomspace(0.05, 5.0, 60)
    own = truth[rows]
    losses = [-np.log(_softmax(logits[rows] / t)[np.arange(len(rows)), own] + 1e-12).mean() for t in grid]
    best = int(np.argmin(losses))
    return float(grid[best]) if losses[best] < np.mean(losses) - 1e-9 else 1.0


def temperature_of(fitted: OutOfFold, rows: npt.NDArray[np.bool_]) -> float:
    """The further temperature that calibrates out-of-fold probabilities on some of their rows."""
    with np.errstate(divide="ignore"):
        return best_temperature(np.log(fitted.probabilities[rows]), fitted.truth[rows])


@dataclass(frozen=True, slots=True)
class Classifier:
    """Features, the head trained on all rows, and heads trained on bootstraps of them (for intervals)."""

    features: Features
    head: Head
    replicas: tuple[Head, ...]
    encoder: str
    """Fingerprint of the encoder that made the vectors."""

    def save(self, folder: Path) -> None:
        """Write `head.safetensors` and `head.json` into `folder`; never pickle."""
        from safetensors.numpy import save_file

        arrays = {"mean": self.features.mean, "idf": self.features.idf, "basis": self.features.basis}
        for i, head in enumerate((self.head, *self.replicas)):
            arrays |= {f"head.{i}.coefficients": head.coefficients, f"head.{i}.intercept": head.intercept}
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "head.safetensors")
        described = {
            "encoder": self.encoder,
            "config": self.features.config.model_dump(mode="json"),
            "labels": [head.labels for head in (self.head, *self.replicas)],
            "temperature": self.head.temperature,
            "vocabulary": self.features.vocabulary,
        }
        (folder / "head.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the folder holds no classifier.
        """
        from safetensors.numpy import load_file

        try:
            described = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            raise DataError(f"{folder} holds no classifier.", "Train one: wb train --method classifier") from exc
        arrays = load_file(folder / "head.safetensors")
        config = ClassifierConfig.read(described["config"], where=str(folder / "head.json"))
        features = Features(config, arrays["mean"], described["vocabulary"], arrays["idf"], arrays["basis"])
        heads = [
            Head(
                tuple(labels), arrays[f"head.{i}.coefficients"], arrays[f"head.{i}.intercept"], described["temperature"]
            )
            for i, labels in enumerate(described["labels"])
        ]
        return cls(features, heads[0], tuple(heads[1:]), described["encoder"])
