"""Which rows a training sees: the bench's, or those of plain files; a share of them; dev rows beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.bench import Bench
from workbench.data import SplitConfig, Told, read, split
from workbench.errors import DataError
from workbench.records import Sample, by_label

Rows = Literal["gated", "ungated", "human"]


@dataclass(frozen=True, slots=True)
class Files:
    """Plain files to train on instead of the bench's rows."""

    train: Path
    dev: Path | None = None
    text: str | None = None
    """Column of the text; None: find out."""
    label: str | None = None
    """Column of the class; None: find out."""


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What a training sees."""

    train: list[Sample]
    dev: list[Sample]
    """Rows for early stopping and calibration; empty where there are none."""
    dev_from: str
    """`dev split`, `train` (taken out of the training rows), or empty."""
    origin: str
    """`gated`, `ungated`, `human`, or the name of the file."""
    notes: list[str] = field(default_factory=list)
    """What was left out and why, in sentences."""


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


def gather(bench: Bench, rows: Rows, files: Files | None, *, dev: bool) -> TrainingRows:
    """Training rows and dev rows, of the bench or of plain files.

    Args:
        bench: where the rows are, and the settings.
        rows: which synthetic rows of the bench.
        files: plain files instead of the bench's rows.
        dev: whether rows for early stopping are taken out of the training rows where there is no dev split.

    Raises:
        DataError: there are no rows, or rows of one class only.
    """
    found = _of_files(bench, files) if files else _of_bench(bench, rows)
    share = bench.config.train.fraction
    train = found.train if share == 1 else _share(found.train, share, bench.config.seed)
    if (classes := len({sample.label for sample in train})) < 2:
        raise DataError(
            f"Training needs two classes; the {len(train)} rows have {classes}.", "Add rows of more classes."
        )
    if found.dev or not dev or not bench.config.train.dev_share:
        return TrainingRows(train, found.dev, found.dev_from, found.origin, found.notes)
    held = _held_out(bench, train)
    kept = [sample for sample in train if sample.id not in held]
    taken = [sample for sample in train if sample.id in held]
    return TrainingRows(kept, taken, "train" if taken else "", found.origin, found.notes)


def _of_bench(bench: Bench, rows: Rows) -> TrainingRows:
    train = training_rows(bench, rows)
    dev = [sample for sample in bench.ledger.samples(split="dev") if sample.label]
    return TrainingRows(train, dev, "dev split" if dev else "", rows)


def _of_files(bench: Bench, files: Files) -> TrainingRows:
    notes: list[str] = []
    train = _read(bench, files.train, files, notes)
    dev = _read(bench, files.dev, files, notes) if files.dev else [row for row in train if row.split == "dev"]
    # A file that tells its own splits is believed: its test rows are not trained on.
    rows = [row for row in train if row.split == "train"] if any(row.split == "train" for row in train) else train
    if len(rows) < len(train):
        notes.append(
            f"{files.train.name}: {len(rows)} of {len(train)} rows are marked as train; the others are not used"
        )
    if not rows:
        raise DataError(f"{files.train} has no usable row.", "Each row needs a text and a class.")
    return TrainingRows(rows, dev, "dev split" if dev else "", files.train.name, notes)


def _read(bench: Bench, path: Path, files: Files, notes: list[str]) -> list[Sample]:
    batch = read(path, Told(text=files.text, label=files.label), bench.config.data.first_role)
    if batch.rejects:
        first = batch.rejects[0]
        notes.append(
            f"{path.name}: {len(batch.rejects)} rows are not used; the first is line {first.line}: {first.say}"
        )
    return [sample for sample in batch.samples if sample.label]


def _held_out(bench: Bench, samples: Sequence[Sample]) -> set[str]:
    """Ids of human rows that go to dev: a share of each class, near duplicates and dialogues whole; no class is emptied."""
    human = [sample for sample in samples if sample.source == "human"]
    near, group = bench.config.data.split.near_duplicate, bench.config.data.split.group_by
    config = SplitConfig(dev=bench.config.train.dev_share, test=0, near_duplicate=near, group_by=group)
    return {change.sample for change in split(human, config, bench.config.seed).changes if change.value == "dev"}


def _share(samples: Sequence[Sample], share: float, seed: int) -> list[Sample]:
    """A share of each class's rows, at least one, chosen by the seed; in the given order."""
    random = np.random.default_rng([seed, 2])
    chosen: set[str] = set()
    for _, some in sorted(by_label(samples).items()):
        chosen |= {some[i].id for i in random.permutation(len(some))[: max(1, round(len(some) * share))]}
    return [sample for sample in samples if sample.id in chosen]
