"""Continue a model on new rows: rows -> balance -> training -> regression verdict -> promoted, or kept beside the old one."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workbench import __version__
from workbench.bench import Bench
from workbench.errors import UsageError, one_of
from workbench.evaluate import score
from workbench.flow.models.promotion import promote, promoted
from workbench.flow.train.incremental_rows import Given, IncrementalRows, rows_of_files, rows_of_ledger
from workbench.flow.train.regression import Part, Regression, regression
from workbench.flow.train.run import Trained
from workbench.records import Sample, digest, version_of
from workbench.runs import MANIFEST, find_run, finish, new_run, read_json, write_json
from workbench.train import Progress, silent
from workbench.train.incremental.balance import Balance, balance


@dataclass(frozen=True, slots=True)
class Step:
    """One training to be done: a method's continuation gets this."""

    bench: Bench
    parent: Path
    rows: IncrementalRows
    folder: Path
    progress: Progress


@dataclass(frozen=True, slots=True)
class Stepped:
    """A continued model, which lies in its run folder by now."""

    labels: tuple[str, ...]
    parts: Sequence[Part]
    """What both models say of the test rows; opened by the caller's leave."""
    replayed: Sequence[str]
    """Ids of the old rows that it went over again."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the manifest keeps."""


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
    method = manifest.get("opens") or manifest.get("method", "classifier")
    methods = continuations()
    if method not in methods:
        raise UsageError(f"{run.name} is of method {method!r}, which cannot be continued.", one_of(method, methods))
    config = bench.config.train.incremental
    rows = rows_of_files(bench, given, manifest) if given.new else rows_of_ledger(bench, manifest)
    found = balance(config, _counts(rows.new), _counts(rows.old))
    for note in (*rows.notes, *found.notes):
        progress({"say": note})
    folder = _folder(bench, output)
    _write_settings(bench, folder, found)
    stepped = methods[method](Step(bench, run, rows, folder, progress))
    verdict = regression(stepped.parts, bench.config.evaluate.compare)
    write_json(folder / "verdict.json", verdict.json())
    _record(bench, folder, run, rows, stepped, verdict, [*rows.notes, *found.notes])
    if verdict.promoted and not bench.bare:
        promote(bench, str(folder) if output else folder.name, before=str(run))
    return _trained(folder, elsewhere=bench.bare or output is not None)


def continuations() -> Mapping[str, Callable[[Step], Stepped]]:
    """Method of the parent -> how it is continued."""
    from workbench.flow.train.incremental_classifier import step as classifier
    from workbench.flow.train.incremental_encoder import step as encoder

    return {"classifier": classifier, "encoder": encoder}


def opening(bench: Bench, run: str, rows: Sequence[Sample]) -> None:
    """Note that the test split is read: models are trained by now, and nobody has seen a score yet."""
    rows_hash = digest(*(f"{s.id}:{s.text_id}:{s.label}" for s in rows))
    with bench.ledger.write("evaluate", "open", {"runs": [run]}) as writer:
        writer.opening(rows_hash, f"regression verdict on {run}")


def _current(bench: Bench) -> str:
    return (None if bench.bare else promoted(bench)) or "last"


def _counts(samples: Sequence[Any]) -> Counter[str]:
    return Counter(sample.label for sample in samples)


def _folder(bench: Bench, output: Path | None) -> Path:
    if output is None:
        return new_run(bench.runs, "train")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} is there already.", "Name a folder that does not exist.")
    output.mkdir(parents=True, exist_ok=True)
    return output


def _write_settings(bench: Bench, folder: Path, found: Balance) -> None:
    config = bench.config.model_dump(mode="json")
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    write_json(folder / "balance.json", found.json())


def _record(
    bench: Bench,
    folder: Path,
    parent: Path,
    rows: IncrementalRows,
    stepped: Stepped,
    verdict: Regression,
    notes: Sequence[str],
) -> None:
    """The manifest, which marks the run as finished, and its line in the ledger."""
    before = read_json(parent / MANIFEST)
    learned = [*rows.old, *rows.new]
    synthetic = sum(sample.source != "human" for sample in learned)
    manifest = {
        "method": "incremental",
        "opens": before.get("opens") or before.get("method", "classifier"),
        "parent": parent.name if parent.resolve().parent == bench.runs.resolve() else str(parent.resolve()),
        "rows_from": rows.origin,
        "recipe": digest(version_of(rows.new), version_of(rows.old), str(parent.resolve()), folder.name),
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


def _trained(folder: Path, *, elsewhere: bool) -> Trained:
    facts = read_json(folder / MANIFEST)
    return Trained(
        folder,
        facts["version"],
        facts["rows"],
        facts["synthetic"],
        len(facts["labels"]),
        facts["encoder"],
        facts["metrics"],
        facts["promoted"],
        facts["verdict"],
        tuple(facts["notes"]),
        elsewhere,
    )
