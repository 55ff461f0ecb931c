"""Continue a model on new rows: rows -> balance -> training -> regression verdict -> promoted, or kept beside the old one."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.bench import Bench
from workbench.errors import UsageError, one_of
from workbench.evaluate import score
from workbench.flow.models.promotion import promote, promoted
from workbench.flow.train.continuation import Step, Stepped
from workbench.flow.train.incremental_classifier import step as continue_classifier
from workbench.flow.train.incremental_encoder import step as continue_encoder
from workbench.flow.train.incremental_rows import Given, IncrementalRows, rows_of_files, rows_of_ledger
from workbench.flow.train.regression import Regression, regression
from workbench.flow.train.trained import Trained, begin, known, trained, write_settings
from workbench.records import digest, version_of
from workbench.runs import MANIFEST, find_run, finish, read_json, write_json
from workbench.train import Progress, silent
from workbench.train.incremental.balance import Balance, balance


def continue_run(
    bench: Bench, given: Given, parent: str = "", *, output: Path | None = None, progress: Progress = silent
) -> Trained:
    """Continue a training run on new rows, into a run folder of its own; the old run stays as it is.

    Args:
        bench: its settings, and its rows where no files are given; it may be bare where they are.
        given: plain files; all empty for what was approved since the parent's version.
        parent: the run to continue, by name or path; the promoted one, else the newest, where empty.
        output: the run folder; a new one of the bench's where not given.
        progress: told sentences.

    Raises:
        DataError: there are no new rows, they would drown a class, or the parent cannot be had.
        UsageError: the parent is of a method that cannot be continued, or the output folder is there already.
    """
    run = find_run(bench.runs, parent or _current(bench), "train")
    manifest = read_json(run / MANIFEST)
    continuation = _continuation(run, manifest)
    rows = rows_of_files(bench, given, manifest) if given.new else rows_of_ledger(bench, manifest)
    found = balance(bench.config.train.incremental, _counts(rows.new), _counts(rows.old))
    step = Step(bench, run, rows, begin(bench, output), progress)
    done = _train(step, continuation, found)
    if done.promoted and not bench.bare:
        promote(bench, str(done.run) if output else done.run.name, before=str(run))
    return done


def continue_on_dev(bench: Bench, parent: Path, *, progress: Progress = silent) -> Trained:
    """Continue a run on what was approved since, judged by the dev split: nothing is opened, nothing is taken into use.

    For a loop, which goes on with the same rows and settings where a killed one was; `Trained.promoted` says whether nothing
    got significantly worse on dev. Numbers of rows are the loop's own plan, so that they are told and none is refused.

    Raises:
        DataError: nothing is new, or the parent cannot be had.
        UsageError: the parent is of a method that cannot be continued.
    """
    manifest = read_json(parent / MANIFEST)
    continuation = _continuation(parent, manifest)
    rows = rows_of_ledger(bench, manifest, by_dev=True)
    if done := known(bench, _recipe(bench, parent, rows)):
        return done
    lenient = bench.config.train.incremental.model_copy(update={"max_ratio": 0.0})
    found = balance(lenient, _counts(rows.new), _counts(rows.old))
    return _train(Step(bench, parent, rows, begin(bench, None), progress), continuation, found)


def can_continue(manifest: Mapping[str, Any]) -> bool:
    """Whether a run can be continued, by its manifest."""
    return _opens(manifest) in continuations()


def continuations() -> Mapping[str, Callable[[Step], Stepped]]:
    """Method of the parent -> how it is continued."""
    return {"classifier": continue_classifier, "encoder": continue_encoder}


def _opens(manifest: Mapping[str, Any]) -> str:
    """The method whose model a run holds."""
    return str(manifest.get("opens") or manifest.get("method", "classifier"))


def _continuation(run: Path, manifest: Mapping[str, Any]) -> Callable[[Step], Stepped]:
    method, methods = _opens(manifest), continuations()
    if method not in methods:
        raise UsageError(f"{run.name} is of method {method!r}, which cannot be continued.", one_of(method, methods))
    return methods[method]


def _train(step: Step, continuation: Callable[[Step], Stepped], found: Balance) -> Trained:
    """Train, judge, record."""
    bench, folder, notes = step.bench, step.folder, [*step.rows.notes, *found.notes]
    for note in notes:
        step.progress({"say": note})
    write_settings(bench, folder)
    write_json(folder / "balance.json", found.json())
    stepped = continuation(step)
    verdict = regression(stepped.parts, bench.config.evaluate.compare)
    write_json(folder / "verdict.json", verdict.json())
    _record(step, stepped, verdict, notes)
    return trained(folder, elsewhere=bench.bare or folder.parent != bench.runs)


def _recipe(bench: Bench, parent: Path, rows: IncrementalRows) -> str:
    """Name of everything that decides what a training gives and who judges it."""
    config, test = bench.config, digest(*(f"{s.id}:{s.text_id}:{s.label}" for s in rows.test))
    name = parent.name if parent.resolve().parent == bench.runs.resolve() else str(parent.resolve())
    settings = config.train.incremental.model_dump_json()
    learned = (version_of(rows.new), version_of(rows.old))
    return digest(*learned, name, settings, str(config.seed), test, str(rows.by_dev), __version__)


def _current(bench: Bench) -> str:
    return (None if bench.bare else promoted(bench)) or "last"


def _counts(samples: Sequence[Any]) -> Counter[str]:
    return Counter(sample.label for sample in samples)


def _record(step: Step, stepped: Stepped, verdict: Regression, notes: Sequence[str]) -> None:
    """The manifest, which marks the run as finished, and its line in the ledger."""
    bench, folder, parent, rows = step.bench, step.folder, step.parent, step.rows
    before = read_json(parent / MANIFEST)
    learned = [*rows.old, *rows.new]
    synthetic = sum(sample.source != "human" for sample in learned)
    manifest = {
        "method": "incremental",
        "opens": _opens(before),
        "parent": parent.name if parent.resolve().parent == bench.runs.resolve() else str(parent.resolve()),
        "rows_from": rows.origin,
        "recipe": _recipe(bench, parent, rows),
        "version": version_of(learned),
        "rows": len(learned),
        "new_rows": len(rows.new),
        "replayed_rows": len(stepped.replayed),
        "synthetic": synthetic,
        "encoder": before["encoder"],
        "base": before.get("base", before["encoder"]),
        "fingerprint": before.get("fingerprint"),
        "labels": list(stepped.labels),
        "per_class": {
            source: Counter(s.label for s in learned if (s.source == "human") == (source == "human"))
            for source in ("human", "synthetic")
        },
        "metrics": _metrics(verdict),
        "promoted": verdict.promoted,
        "verdict": verdict.json(),
        "notes": list(notes),
        "seed": bench.config.seed,
        "workbench": __version__,
        **stepped.facts,
    }
    if bench.bare:
        finish(folder, "train", manifest)
        return
    summary = {"rows": len(learned), "synthetic": synthetic, "rows_from": rows.origin, "recipe": manifest["recipe"]}
    details = {"run": folder.name, "parent": manifest["parent"], "promoted": verdict.promoted}
    with bench.ledger.write("train", "incremental", details) as writer:
        version = writer.version(learned) if rows.stored else None
        writer.run(folder.name, "train", version, summary)
        finish(folder, "train", manifest)


def _metrics(verdict: Regression) -> dict[str, Any]:
    """Scores of the new model on each set of rows."""
    found = {}
    for part, _ in verdict.parts:
        scores = score(part.true, part.after.predicted)
        found[part.name.replace(" ", "_")] = {"macro_f1": scores.macro_f1.json(), "accuracy": scores.accuracy.json()}
    return found
