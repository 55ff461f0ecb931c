"""The training methods: a table says how each turns rows into a model in a run folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.bench import Bench
from workbench.flow.signals import vectors
from workbench.flow.train import qlora
from workbench.flow.train.job import Job
from workbench.flow.train.rows import TrainingRows
from workbench.records import Sample
from workbench.train import Fitted, fit_classifier
from workbench.train.encoder.estimate import estimate_encoder
from workbench.train.encoder.fit import CHECKPOINTS, fit_encoder


@dataclass(frozen=True, slots=True)
class Method:
    """How a method trains."""

    fit: Callable[[Job], Fitted]
    """Trains, and leaves the model in the run folder."""
    recipe: Callable[[Bench], Sequence[str]]
    """Everything beside rows and seed that decides what a training gives."""
    model: str
    """The setting that `--model` overrides."""
    needs_dev: bool = False
    """Rows for early stopping are taken out of the training rows where there is no dev split."""
    resumes: bool = False
    """A stopped training can go on where it stopped."""
    scaffold: tuple[str, ...] = ()
    """Folders of the run that only a resumed training needs: deleted when it is finished."""
    estimate: Callable[[Bench, TrainingRows], Mapping[str, Any]] | None = None
    """Memory and time, before anything is loaded."""


def _classifier(job: Job) -> Fitted:
    bench, samples, dev = job.bench, job.rows.train, job.rows.dev
    config = bench.config
    fitted = fit_classifier(
        config.classifier,
        samples,
        vectors(bench, samples),
        encoder=bench.encoder.fingerprint,
        replicas=config.train.replicas,
        seed=config.seed,
    )
    fitted.save(job.folder / "model")
    labels = fitted.head.labels
    said = None
    if dev:
        logits = fitted.head.logits(fitted.features(_texts(dev), vectors(bench, dev)))
        said = tuple(labels[i] for i in logits.argmax(axis=1))
    return Fitted(labels, bench.encoder.name, bench.encoder.fingerprint, said)


def _classifier_recipe(bench: Bench) -> Sequence[str]:
    config = bench.config
    return [config.classifier.model_dump_json(), str(config.train.replicas), bench.encoder.fingerprint]


def _encoder(job: Job) -> Fitted:
    config = job.bench.config
    return fit_encoder(
        config.train.encoder,
        job.rows.train,
        job.rows.dev,
        job.folder,
        job.progress,
        seed=config.seed,
        retry_smaller=config.train.retry_smaller,
    )


def _encoder_recipe(bench: Bench) -> Sequence[str]:
    # Not how many rows are computed at a time: one may resume with less memory.
    return [bench.config.train.encoder.model_dump_json(exclude={"micro_batch"})]


def _texts(samples: Sequence[Sample]) -> list[str]:
    return [sample.text for sample in samples]


METHODS: Mapping[str, Method] = {
    "classifier": Method(_classifier, _classifier_recipe, model="encoder.name"),
    "encoder": Method(
        _encoder,
        _encoder_recipe,
        model="train.encoder.model",
        needs_dev=True,
        resumes=True,
        scaffold=(CHECKPOINTS,),
        estimate=lambda bench, rows: estimate_encoder(bench.config.train.encoder, rows.train),
    ),
    "qlora": Method(
        qlora.fit,
        qlora.recipe,
        model="train.qlora.model",
        needs_dev=True,
        resumes=True,
        scaffold=("job",),
        estimate=qlora.estimate,
    ),
}
"""Method -> how it trains."""
