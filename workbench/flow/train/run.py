"""Train on what the ledger or plain files hold: rows -> the method's fit -> a run folder with its manifest."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.bench import Bench
from workbench.errors import UsageError, one_of
from workbench.evaluate import score
from workbench.flow.models.predictors import Prediction, load, predict
from workbench.flow.train.job import Job
from workbench.flow.train.methods import METHODS, Method
from workbench.flow.train.rows import Files, Rows, TrainingRows, gather, training_rows
from workbench.flow.train.trained import Trained, begin, known, trained, write_settings
from workbench.records import Sample, digest, version_of
from workbench.runs import MANIFEST, finish, read_json, write_json
from workbench.train import Fitted, Progress, silent

__all__ = ["Files", "Prediction", "Rows", "Trained", "estimate", "load", "predict", "train", "training_rows"]

_THERE = "Name a folder that does not exist, or --resume what it holds."
STARTED = "started.json"
"""In a run folder: which training was begun there, so that it can be resumed."""


def train(
    bench: Bench,
    rows: Rows = "gated",
    *,
    files: Files | None = None,
    output: Path | None = None,
    reuse: bool = False,
    resume: bool = False,
    progress: Progress = silent,
) -> Trained:
    """Train with the method of `train.method`, into a new run folder.

    Args:
        bench: where the rows are, and the settings.
        rows: which synthetic rows: those that passed the gate, all that were generated, or none.
        files: plain files instead of the bench's rows; nothing is written to a ledger where there is no bench.
        output: the run folder; a new one of the bench's where not given.
        reuse: take a finished run of the same rows and settings, where there is one.
        resume: go on with a training of the same rows and settings that was stopped.
        progress: see `Progress`.

    Raises:
        DataError: there are no training rows, or fewer than two classes.
        UsageError: the method cannot do what is asked, or there is nothing to resume.
    """
    method = _method(bench)
    data = gather(bench, rows, files, dev=method.needs_dev)
    for note in data.notes:
        progress({"say": note})
    recipe = _recipe(bench, method, data)
    if reuse and (found := known(bench, recipe)):
        return found
    folder = _stopped(bench, method, recipe, output) if resume else begin(bench, output, _THERE)
    write_json(folder / STARTED, {"method": bench.config.train.method, "recipe": recipe})
    write_settings(bench, folder)
    fitted = method.fit(Job(bench, data, folder, progress))
    _record(bench, folder, data, fitted, recipe)
    for name in method.scaffold:
        shutil.rmtree(folder / name, ignore_errors=True)
    return trained(folder, elsewhere=bench.bare or output is not None)


def estimate(bench: Bench, rows: Rows = "gated", files: Files | None = None) -> Mapping[str, Any]:
    """What a training would take, before anything is loaded.

    Raises:
        UsageError: the method gives no estimate.
        DataError: see `train`.
    """
    method = _method(bench)
    if method.estimate is None:
        able = [name for name, one in METHODS.items() if one.estimate]
        raise UsageError(f"The method {bench.config.train.method!r} gives no estimate.", f"These do: {', '.join(able)}")
    return method.estimate(bench, gather(bench, rows, files, dev=method.needs_dev))


def _method(bench: Bench) -> Method:
    name = bench.config.train.method
    if name not in METHODS:
        raise UsageError(f"The method {name!r} does not train on these rows.", one_of(name, METHODS))
    return METHODS[name]


def _recipe(bench: Bench, method: Method, data: TrainingRows) -> str:
    """Name of everything that decides what a training gives."""
    hashes = [digest(*(f"{s.id}:{s.text_id}:{s.label}:{s.source}" for s in part)) for part in (data.train, data.dev)]
    if not method.needs_dev:
        hashes = hashes[:1]
    return digest(*hashes, bench.config.train.method, str(bench.config.seed), *method.recipe(bench), __version__)


def _stopped(bench: Bench, method: Method, recipe: str, output: Path | None) -> Path:
    """The newest run folder of this training that was not finished."""
    name = bench.config.train.method
    if not method.resumes:
        raise UsageError(f"A training of method {name!r} cannot be resumed: it is short.", "Start it anew.")
    folders = [output] if output else sorted(bench.runs.glob("*"), reverse=True)
    open_ones = [one for one in folders if (one / STARTED).is_file() and not (one / MANIFEST).is_file()]
    for folder in open_ones:
        if read_json(folder / STARTED)["recipe"] == recipe:
            return folder
    other = f" {open_ones[0].name} was stopped, but is of other rows or settings." if open_ones else ""
    raise UsageError(f"There is no stopped training to resume.{other}", "Leave out --resume to start anew.")


def _record(bench: Bench, folder: Path, data: TrainingRows, fitted: Fitted, recipe: str) -> None:
    """The manifest, which marks the run as finished, and where there is a bench its line in the ledger."""
    method, samples = bench.config.train.method, data.train
    synthetic = sum(sample.source != "human" for sample in samples)
    manifest = {
        "method": method,
        "rows_from": data.origin,
        "recipe": recipe,
        "version": version_of(samples),
        "rows": len(samples),
        "synthetic": synthetic,
        "encoder": fitted.base,
        "base": fitted.base,
        "fingerprint": fitted.fingerprint,
        "labels": list(fitted.labels),
        "per_class": _per_class(samples),
        "dev": {"rows": len(data.dev), "from": data.dev_from},
        "metrics": _metrics(data.dev, fitted),
        "promoted": fitted.promoted,
        "verdict": fitted.verdict,
        "notes": data.notes,
        "seed": bench.config.seed,
        "workbench": __version__,
        **fitted.facts,
    }
    if bench.bare:
        finish(folder, "train", manifest)
        return
    summary = {"rows": len(samples), "synthetic": synthetic, "rows_from": data.origin, "recipe": recipe}
    with bench.ledger.write("train", method, {"run": folder.name}) as writer:
        # Rows of plain files are not the ledger's: the version has a name, but no rows there.
        version = writer.version(samples) if data.origin in ("gated", "ungated", "human") else None
        writer.run(folder.name, "train", version, summary)
        finish(folder, "train", manifest)


def _per_class(samples: Sequence[Sample]) -> dict[str, Counter[str]]:
    return {
        "human": Counter(sample.label for sample in samples if sample.source == "human"),
        "synthetic": Counter(sample.label for sample in samples if sample.source != "human"),
    }


def _metrics(dev: Sequence[Sample], fitted: Fitted) -> dict[str, Any] | None:
    """Scores on the dev rows with intervals, beside what the method measured; None where there is neither."""
    found = dict(fitted.metrics)
    if dev and fitted.predicted is not None:
        scores = score([sample.label for sample in dev], fitted.predicted)
        found |= {"macro_f1": scores.macro_f1.json(), "accuracy": scores.accuracy.json()}
    return found or None
