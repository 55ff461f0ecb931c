"""Score runs on a split, compare them, write an evaluation folder. The test split is opened once per verdict, and counted."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from workbench import page
from workbench.bench import Bench
from workbench.errors import DataError, UsageError
from workbench.evaluate import Arm, CompareConfig, Scores, TextStats, Verdict, compare, compare_texts, render, score
from workbench.evaluate.compare import not_comparable
from workbench.evaluate.report import Report
from workbench.flow.signals import vectors
from workbench.flow.train import Prediction, predict
from workbench.metrics import expected_calibration_error
from workbench.records import Sample, digest
from workbench.runs import MANIFEST, find_run, finish, new_run, read_json, write_json, write_jsonl
from workbench.similarity import centred


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation."""

    folder: Path
    arms: Mapping[str, Any]
    """Name of an arm -> its scores as JSON, the baseline first, the run in question last."""
    verdicts: Mapping[str, Any]
    """Name of an arm -> its verdict against the baseline as JSON."""
    main: str
    split: str
    openings: int
    """How often the test split was opened in this bench, this time included."""
    notes: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """The form that `wb evaluate --json` prints."""
        found = {"run": self.folder.name, "split": self.split, "openings": self.openings, **self.arms[self.main]}
        if self.main in self.verdicts:
            found |= {"verdict": self.verdicts[self.main], "baseline": next(iter(self.arms.values()))}
        return found


def evaluate(
    bench: Bench,
    run: Path,
    baseline: Path | None = None,
    others: Mapping[str, Path] | None = None,
    *,
    split: str = "test",
    names: tuple[str, str] = ("baseline", "after"),
    reuse: bool = False,
) -> Evaluation:
    """Score a run, and compare it with a baseline on the same rows.

    Args:
        bench: where the rows are.
        run: a training run.
        baseline: the run to compare with.
        others: further runs to show beside it, each with its own verdict against the baseline.
        split: `test`, or `dev` for looks that do not count.
        names: what the baseline and the run are called.
        reuse: take a finished evaluation of the same runs and rows, where there is one: the test stays closed.

    Raises:
        DataError: the split has no rows.
    """
    if split not in ("test", "dev"):
        raise UsageError(f"There is no split {split!r} to evaluate on.", "Give --split test or --split dev.")
    samples = [sample for sample in bench.ledger.samples(split=split) if sample.label]
    if not samples:
        raise DataError(f"The {split} split of this bench has no rows.", "Make one with: wb data split")
    runs = {names[0]: baseline, **(others or {}), names[1]: run} if baseline else {**(others or {}), run.name: run}
    rows_hash = digest(*(f"{s.id}:{s.text_id}:{s.label}" for s in samples))
    key = digest(split, rows_hash, bench.config.evaluate.model_dump_json(), *(f"{n}={r.name}" for n, r in runs.items()))
    if reuse and (folder := _finished(bench, key)):
        return _load(bench, folder)
    return _Evaluate(bench, samples, runs, split, rows_hash, key).run()


def _finished(bench: Bench, key: str) -> Path | None:
    folders = [bench.runs / run.id for run in bench.ledger.runs("evaluate") if run.summary.get("key") == key]
    return next((folder for folder in reversed(folders) if (folder / MANIFEST).is_file()), None)


def _load(bench: Bench, folder: Path) -> Evaluation:
    found = read_json(folder / "metrics.json")
    notes = tuple(found["notes"])
    openings = len(bench.ledger.openings())
    return Evaluation(folder, found["arms"], found["verdicts"], found["main"], found["split"], openings, notes)


class _Evaluate:
    """One evaluation from predictions to folder."""

    def __init__(
        self, bench: Bench, samples: list[Sample], runs: Mapping[str, Path], split: str, rows_hash: str, key: str
    ) -> None:
        self.bench, self.samples, self.runs, self.split = bench, samples, runs, split
        self.rows_hash, self.key = rows_hash, key
        self.true = [sample.label for sample in samples]
        self.main = list(runs)[-1]
        self.base = next(iter(runs)) if len(runs) > 1 else ""

    def run(self) -> Evaluation:
        """Predict, score, compare, write, record."""
        # Models first: one that cannot be used must not cost an opening, and nobody has seen a score yet.
        predictions = {name: predict(self.bench, folder, self.samples) for name, folder in self.runs.items()}
        if self.split == "test":
            with self.bench.ledger.write("evaluate", "open", {"runs": [r.name for r in self.runs.values()]}) as writer:
                writer.opening(self.rows_hash, f"verdict on {self.runs[self.main].name}")
        arms = {name: _arm(prediction) for name, prediction in predictions.items()}
        scores = {name: score(self.true, arm.predicted) for name, arm in arms.items()}
        config = self.bench.config.evaluate.compare
        verdicts = {
            n: compare(self.true, arms[self.base], arm, config)
            for n, arm in arms.items()
            if self.base and n != self.base
        }
        return self._write(predictions[self.main], scores, verdicts)

    def _write(
        self, prediction: Prediction, scores: Mapping[str, Scores], verdicts: Mapping[str, Verdict]
    ) -> Evaluation:
        folder = new_run(self.bench.runs, "evaluate")
        main = scores[self.main]
        confidence = prediction.probabilities.max(axis=1)
        chosen = [prediction.labels[i] for i in prediction.probabilities.argmax(axis=1)]
        right = np.array([a == b for a, b in zip(self.true, chosen, strict=True)], dtype=bool)
        rows = [
            {"id": s.id, "y_true": s.label, "y_pred": p, "probability": round(float(c), 4), "text": s.text}
            for s, p, c in zip(self.samples, chosen, confidence, strict=True)
        ]
        write_jsonl(folder / "predictions.jsonl", rows)
        (folder / "failures.csv").write_text(_failures(rows), encoding="utf-8-sig")
        note = page.confusion_png(folder / "confusion.png", main.matrix_labels, main.matrix, "true and predicted class")
        notes = (note,) if note else ()
        arms = {name: found.json() for name, found in scores.items()}
        said = {name: found.json() for name, found in verdicts.items()}
        openings = len(self.bench.ledger.openings())
        facts = {"arms": arms, "verdicts": said, "main": self.main, "split": self.split, "notes": notes}
        write_json(folder / "metrics.json", facts | {"runs": {name: path.name for name, path in self.runs.items()}})
        calibration = expected_calibration_error(confidence.astype(np.float64), right)
        html = render(self._report(scores, verdicts, calibration, openings))
        (folder / "report.html").write_text(html, encoding="utf-8")
        summary = {"key": self.key, "run": self.runs[self.main].name, "split": self.split}
        with self.bench.ledger.write("evaluate", "verdict", {"run": folder.name}) as writer:
            writer.run(folder.name, "evaluate", None, summary)
            finish(folder, "evaluate", summary)
        return Evaluation(folder, arms, said, self.main, self.split, openings, notes)

    def _report(
        self, scores: Mapping[str, Scores], verdicts: Mapping[str, Verdict], calibration: float, openings: int
    ) -> Report:
        manifest = read_json(self.runs[self.main] / MANIFEST)
        human, made = manifest["per_class"]["human"], manifest["per_class"]["synthetic"]
        training = {label: (human.get(label, 0), made.get(label, 0)) for label in manifest["labels"]}
        facts = [
            f"Encoder: {manifest['encoder']}. Training set: version {manifest['version']}, {manifest['rows']} rows, "
            f"{manifest['synthetic']} of them synthetic.",
            f"The test split of this bench has been opened {'once' if openings == 1 else f'{openings} times'}."
            if self.split == "test"
            else f"On the {self.split} split: not a verdict on unseen rows.",
        ]
        name = f"Evaluation of {self.runs[self.main].name}"
        rows = {arm: _rows(read_json(folder / MANIFEST)) for arm, folder in self.runs.items()}
        return Report(name, scores, verdicts, self.main, calibration, rows, training, self._texts(manifest), facts)

    def _texts(self, manifest: Mapping[str, Any]) -> tuple[TextStats, TextStats] | None:
        """Real rows and the run's synthetic rows, of the classes that got any."""
        used = self.bench.ledger.rows_of(manifest["version"]) if manifest["synthetic"] else set()
        made = [candidate.sample for candidate in self.bench.ledger.candidates() if candidate.sample.id in used]
        classes = {sample.label for sample in made}
        real = [sample for sample in self.bench.ledger.samples(split="train") if sample.label in classes]
        if not real or not made:
            return None
        a, b = vectors(self.bench, real), vectors(self.bench, made)
        mean = np.vstack([a, b]).mean(axis=0)
        return compare_texts(real, made, centred(a, mean), centred(b, mean))


def _rows(manifest: Mapping[str, Any]) -> tuple[int, int]:
    """Human and synthetic training rows of a run."""
    return manifest["rows"] - manifest["synthetic"], manifest["synthetic"]


def _arm(prediction: Prediction) -> Arm:
    labels = prediction.labels
    chosen = [labels[i] for i in prediction.probabilities.argmax(axis=1)]
    return Arm(chosen, [[labels[i] for i in row] for row in prediction.replicas])


def _failures(rows: Sequence[Mapping[str, Any]]) -> str:
    file = StringIO(newline="")
    writer = csv.DictWriter(file, ["id", "y_true", "y_pred", "probability", "text"])
    writer.writeheader()
    wrong = [row for row in rows if row["y_true"] != row["y_pred"]]
    writer.writerows(sorted(wrong, key=lambda row: -row["probability"]))
    return file.getvalue()


def evaluate_run(bench: Bench, run: str, baseline: str | None, split: str) -> Evaluation:
    """`wb evaluate RUN --baseline RUN`: runs by name, `last` for the newest."""
    before = find_run(bench.runs, baseline, "train") if baseline else None
    return evaluate(bench, find_run(bench.runs, run, "train"), before, split=split)


def report(bench: Bench, run: str) -> Path:
    """The HTML report of an evaluation, `last` for the newest."""
    return find_run(bench.runs, run, "evaluate") / "report.html"


def score_file(path: Path, labels: Sequence[str] | str, baseline: Path | None, config: CompareConfig) -> dict[str, Any]:
    """Scores of a file of predictions, with a verdict against another one where given; needs no bench.

    Raises:
        DataError: a file has no columns y_true and y_pred.
    """
    after = _predictions(path)
    scores = score(after["y_true"], after["y_pred"], labels)
    found: dict[str, Any] = scores.json()
    if baseline is None:
        return found
    before = _predictions(baseline)
    found["baseline"] = score(before["y_true"], before["y_pred"], labels).json()
    return found | {"verdict": _verdict(before, after, config, scores.labels if labels != "union" else ()).json()}


def _verdict(
    before: Mapping[str, list[str]], after: Mapping[str, list[str]], config: CompareConfig, labels: Sequence[str]
) -> Verdict:
    n, m = len(before["y_true"]), len(after["y_true"])
    if n != m:
        return not_comparable(n, m)
    ids = before.get("id"), after.get("id")
    if ids[0] and ids[1] and ids[0] != ids[1]:
        order = {key: i for i, key in enumerate(ids[1])}
        if len(order) < m or set(ids[0]) != set(order):
            return not_comparable(n, m, "their ids differ")
        after = {name: [column[order[key]] for key in ids[0]] for name, column in after.items()}
    if before["y_true"] != after["y_true"]:
        return not_comparable(n, m, "their true labels differ")
    return compare(before["y_true"], Arm(before["y_pred"]), Arm(after["y_pred"]), config, labels)


def _predictions(path: Path) -> dict[str, list[str]]:
    from workbench.data import read_table

    table = read_table(path)
    if not table.rows:
        raise DataError(f"{path} has no rows.", "Give a file with predictions.")
    bad = next((row for row in table.rows if row.problem), None)
    if bad:
        raise DataError(f"{path}:{bad.line}: {bad.say}", "Scores of part of a file would mislead: mend the row.")
    missing = [name for name in ("y_true", "y_pred") if name not in table.columns]
    if missing:
        names = ", ".join(table.columns)
        raise DataError(f"{path} has no column {missing[0]!r}; there are: {names}.", "Columns needed: y_true, y_pred")
    kept = [name for name in ("y_true", "y_pred", "id") if name in table.columns]
    empty = next((row.line for row in table.rows if row.values.get("y_true") in (None, "")), None)
    if empty is not None:
        raise DataError(
            f"{path}:{empty}: y_true is empty.", "Every scored row needs its right class; y_pred may be empty."
        )
    return {name: [_cell(row.values.get(name)) for row in table.rows] for name in kept}


def _cell(value: Any) -> str:
    return "" if value is None else str(value)  # a class may be the number 0
