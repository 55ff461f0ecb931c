"""Train on what the ledger holds, into a run folder; predict with what a run folder holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import yaml

from workbench import __version__
from workbench.bench import Bench
from workbench.classify import Classifier
from workbench.encode import Encoder
from workbench.errors import DataError
from workbench.flow.signals import vectors
from workbench.records import Sample, digest
from workbench.runs import MANIFEST, finish, new_run, read_json
from workbench.train import fit_classifier

Rows = Literal["gated", "ungated", "human"]


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training run."""

    run: Path
    version: str
    rows: int
    synthetic: int
    classes: int
    encoder: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a run says of some rows."""

    labels: tuple[str, ...]
    """Column names of `probabilities`."""
    probabilities: npt.NDArray[np.float32]
    """[n, classes], rows sum to 1."""
    replicas: npt.NDArray[np.int64]
    """[replicas, n] column that each bootstrap replica predicts."""


def train(bench: Bench, rows: Rows = "gated", *, reuse: bool = False) -> Trained:
    """Train the classifier on the human training rows plus synthetic ones, into a new run folder.

    Args:
        bench: where the rows are.
        rows: which synthetic rows: those that passed the gate, all that were generated, or none.
        reuse: take a finished run of the same rows, settings and encoder, where there is one.

    Raises:
        DataError: there are no training rows, or fewer than two classes.
    """
    samples = training_rows(bench, rows)
    recipe = _recipe(bench, samples)
    if reuse and (known := _finished(bench, recipe)):
        return known
    fitted = fit_classifier(
        bench.config.classifier,
        samples,
        vectors(bench, samples),
        encoder=bench.encoder.fingerprint,
        replicas=bench.config.train.replicas,
        seed=bench.config.seed,
    )
    folder = new_run(bench.runs, "train")
    fitted.save(folder / "model")
    config = bench.config.model_dump(mode="json")
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    synthetic = sum(sample.source != "human" for sample in samples)
    with bench.ledger.write("train", "classifier", {"run": folder.name}) as writer:
        version = writer.version(samples)
        manifest = {
            "method": "classifier",
            "rows_from": rows,
            "recipe": recipe,
            "version": version,
            "rows": len(samples),
            "synthetic": synthetic,
            "encoder": bench.encoder.name,
            "fingerprint": bench.encoder.fingerprint,
            "labels": list(fitted.head.labels),
            "per_class": {
                "human": Counter(s.label for s in samples if s.source == "human"),
                "synthetic": Counter(s.label for s in samples if s.source != "human"),
            },
            "seed": bench.config.seed,
            "workbench": __version__,
        }
        summary = {"rows": len(samples), "synthetic": synthetic, "rows_from": rows, "recipe": recipe}
        writer.run(folder.name, "train", version, summary)
        finish(folder, "train", manifest)
    return _trained(folder)


def _recipe(bench: Bench, samples: Sequence[Sample]) -> str:
    """Name of everything that decides what a training gives."""
    config = bench.config
    rows = digest(*(f"{s.id}:{s.text_id}:{s.label}:{s.source}" for s in samples))
    settings = [config.classifier.model_dump_json(), config.train.model_dump_json(), str(config.seed)]
    return digest(rows, *settings, bench.encoder.fingerprint, __version__)


def _finished(bench: Bench, recipe: str) -> Trained | None:
    runs = [bench.runs / run.id for run in bench.ledger.runs("train") if run.summary.get("recipe") == recipe]
    return next((_trained(folder) for folder in reversed(runs) if (folder / MANIFEST).is_file()), None)


def _trained(folder: Path) -> Trained:
    facts = read_json(folder / MANIFEST)
    classes = len(facts["labels"])
    return Trained(folder, facts["version"], facts["rows"], facts["synthetic"], classes, facts["encoder"])


def training_rows(bench: Bench, rows: Rows) -> list[Sample]:
    """The human training rows, then the synthetic ones.

    Raises:
        DataError: there are no human training rows.
    """
    human = bench.ledger.samples(split="train")
    if not human:
        raise DataError("This bench has no training rows.", "Add some with: wb data add FILE")
    if rows == "human":
        return human
    synthetic = bench.ledger.accepted() if rows == "gated" else [c.sample for c in bench.ledger.candidates()]
    # By id, not by arrival: which reply came first must not change the model.
    usable = sorted((sample for sample in synthetic if sample.text.strip()), key=lambda sample: sample.id)
    limit = bench.config.train.synthetic_per_class
    if not limit:
        return [*human, *usable]
    random = np.random.default_rng([bench.config.seed, 1])
    chosen: list[Sample] = []
    for label in sorted({sample.label for sample in usable}):
        some = [sample for sample in usable if sample.label == label]
        chosen += [some[i] for i in sorted(random.choice(len(some), min(limit, len(some)), replace=False))]
    return [*human, *chosen]


def load(run: Path, encoder: Encoder) -> Classifier:
    """The model of a run, which needs the vectors of the encoder that it was trained with.

    Raises:
        DataError: this is another encoder, as where the bench's was changed.
    """
    model = Classifier.load(run / "model")
    if model.encoder != encoder.fingerprint:
        raise DataError(
            f"The run {run.name} was trained with another encoder ({read_json(run / MANIFEST)['encoder']}) "
            f"than this bench has now ({encoder.name}).",
            "Set encoder.name back, or train again.",
        )
    return model


def predict(bench: Bench, run: Path, samples: Sequence[Sample]) -> Prediction:
    """Predict samples with the model of a run.

    Raises:
        DataError: see `load`.
    """
    model = load(run, bench.encoder)
    features = model.features([sample.text for sample in samples], vectors(bench, samples))
    labels = model.head.labels
    column = {label: i for i, label in enumerate(labels)}
    votes = [
        np.array([column[head.labels[i]] for i in head.logits(features).argmax(axis=1)], dtype=np.int64)
        for head in model.replicas
    ]
    replicas = np.stack(votes) if votes else np.zeros((0, len(samples)), dtype=np.int64)
    return Prediction(labels, model.head.probabilities(features), replicas)
