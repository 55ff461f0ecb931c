"""Continue the fine-tuned encoder of a run, and say what both models make of the test rows."""

from collections.abc import Sequence

import numpy as np

from workbench.classify import OutOfFold
from workbench.errors import UsageError
from workbench.evaluate import Arm
from workbench.flow.train.continuation import Step, Stepped, opening
from workbench.flow.train.regression import Part
from workbench.records import Sample
from workbench.train.encoder.model import EncoderModel
from workbench.train.incremental.classifier import folds_of
from workbench.train.incremental.encoder import EncoderLesson, continue_encoder
from workbench.train.incremental.replay import replayed


def step(job: Step) -> Stepped:
    """Train, save into the run folder, predict.

    Raises:
        UsageError: there are no test rows: the old model has seen the old ones.
    """
    rows, config = job.rows, job.bench.config
    settings, seed = config.train.incremental, config.seed
    if not rows.test:
        raise UsageError(
            "There are no old test rows, and an encoder takes too long to be trained again without some old rows.",
            "Give --test FILE, or make a test split with: wb data split",
        )
    model = EncoderModel.open(job.parent)
    new, test, where = _new_test(job)
    before = [_said(model, part) for part in (rows.test, test)]
    again: list[Sample] = []
    if "replay" in settings.guard:
        chosen = replayed(settings, _seen(model, rows.old), len(new), {s.label for s in new}, seed)
        again = [rows.old[i] for i in chosen]
    lesson = EncoderLesson([*again, *new], [s for s in rows.old if s.label in model.side.labels], rows.dev)
    after = continue_encoder(settings, model, lesson, job.progress, seed=seed)
    after.save(job.folder)
    if rows.stored and not rows.by_dev:
        opening(job.bench, job.folder.name, rows.test)
    parts = [
        Part(name, [s.label for s in some], Arm(said), Arm(_said(after, some)), origin)
        for name, some, said, origin in (
            ("dev split" if rows.by_dev else "old test", rows.test, before[0], rows.test_from),
            ("new test", test, before[1], where),
        )
        if some
    ]
    return Stepped(after.side.labels, parts, [sample.id for sample in again])


def _new_test(job: Step) -> tuple[list[Sample], list[Sample], str]:
    """New rows to train on, new rows to test on, and where the latter are from."""
    rows, config = job.rows, job.bench.config
    if rows.by_dev or rows.new_test:
        return rows.new, rows.new_test, "given rows"
    held, seen = next(iter(folds_of(rows.new, config.train.incremental.folds, config.seed)))
    where = f"one of {config.train.incremental.folds} parts of the new rows, which was not trained on"
    return [rows.new[i] for i in seen], [rows.new[i] for i in held], where


def _seen(model: EncoderModel, old: Sequence[Sample]) -> OutOfFold:
    """What the old model says of its own training rows: an encoder has no out-of-fold probabilities."""
    known = {label: i for i, label in enumerate(model.side.labels)}
    labels = (*known, *sorted({s.label for s in old} - set(known)))
    column = {label: i for i, label in enumerate(labels)}
    said = model.probabilities([s.text for s in old])
    wide = np.hstack([said, np.zeros((len(old), len(labels) - len(known)), np.float32)])
    truth = np.array([column[s.label] for s in old], dtype=np.int64)
    return OutOfFold(tuple(s.id for s in old), labels, truth, wide, model.side.temperature)


def _said(model: EncoderModel, samples: Sequence[Sample]) -> list[str]:
    return [model.side.labels[i] for i in model.logits([s.text for s in samples]).argmax(axis=1)]
