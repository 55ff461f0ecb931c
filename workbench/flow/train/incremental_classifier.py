"""Continue the linear classifier of a run, and say what both models make of the test rows."""

from collections.abc import Sequence

from workbench.bench import Bench
from workbench.classify import Classifier, OutOfFold
from workbench.evaluate import Arm
from workbench.flow.models.predictors import load
from workbench.flow.signals import vectors
from workbench.flow.train.continuation import Step, Stepped, opening
from workbench.flow.train.regression import Part
from workbench.records import Sample
from workbench.train.incremental.classifier import (
    Held,
    Rows,
    continue_classifier,
    doubts,
    hold_out_new,
    hold_out_old,
)


def step(job: Step) -> Stepped:
    """Train, save into the run folder, predict.

    Raises:
        DataError: the bench's encoder is another one than the parent's.
    """
    bench, config = job.bench, job.bench.config
    model = load(job.parent, bench.encoder)
    old, new = _featured(bench, model, job.rows.old), _featured(bench, model, job.rows.new)
    fitted = doubts(model, old)
    after, again = continue_classifier(config.train.incremental, model, old, new, fitted, seed=config.seed)
    after.save(job.folder / "model")
    parts = [_old_test(job, model, after, old, new, fitted)]
    if not job.rows.by_dev:
        parts.append(_new_test(job, model, after, old, new, fitted))
    return Stepped(after.head.labels, parts, [old.samples[i].id for i in again])


def _old_test(job: Step, model: Classifier, after: Classifier, old: Rows, new: Rows, fitted: OutOfFold) -> Part:
    rows, config = job.rows.test, job.bench.config
    if rows:
        if job.rows.by_dev:
            return _compared(job.bench, "dev split", job.rows.test_from, rows, (model, after))
        if job.rows.stored:
            opening(job.bench, job.folder.name, rows)
        return _compared(job.bench, "old test", job.rows.test_from, rows, (model, after))
    held = hold_out_old(config.train.incremental, model, old, new, fitted, seed=config.seed)
    where = f"old rows, both models trained again without them in {config.train.incremental.folds} folds"
    return _held("old test", where, old, held)


def _new_test(job: Step, model: Classifier, after: Classifier, old: Rows, new: Rows, fitted: OutOfFold) -> Part:
    rows, config = job.rows.new_test, job.bench.config
    if rows:
        return _compared(job.bench, "new test", "given rows", rows, (model, after))
    held = hold_out_new(config.train.incremental, model, old, new, fitted, seed=config.seed)
    return _held("new test", f"new rows, held out in {config.train.incremental.folds} folds", new, held)


def _featured(bench: Bench, model: Classifier, samples: Sequence[Sample]) -> Rows:
    return Rows(samples, model.features([sample.text for sample in samples], vectors(bench, samples)))


def _compared(
    bench: Bench, name: str, where: str, samples: Sequence[Sample], models: tuple[Classifier, Classifier]
) -> Part:
    rows = _featured(bench, models[0], samples)
    before, after = (_arm(model, rows) for model in models)
    return Part(name, rows.labels, before, after, where)


def _arm(model: Classifier, rows: Rows) -> Arm:
    said = [[head.labels[i] for i in head.logits(rows.x).argmax(axis=1)] for head in (model.head, *model.replicas)]
    return Arm(said[0], said[1:])


def _held(name: str, where: str, rows: Rows, held: Held) -> Part:
    return Part(name, rows.labels, Arm(held.before), Arm(held.after), where)
