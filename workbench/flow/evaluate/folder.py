"""Write an evaluation's folder: predictions, failures, plots, the page, and the manifest last."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np

from workbench import page
from workbench.bench import Bench
from workbench.evaluate import TextStats, compare_texts, render
from workbench.evaluate.report import Report
from workbench.flow.evaluate.found import Arms, Evaluation
from workbench.flow.evaluate.rows import Chosen
from workbench.flow.signals import vectors
from workbench.runs import MANIFEST, finish, read_json, write_json, write_jsonl
from workbench.similarity import centred

_FAILURE = ("id", "y_true", "y_pred", "probability", "why", "text")


def write(bench: Bench, rows: Chosen, arms: Arms, found: Evaluation, key: str) -> tuple[str, ...]:
    """Write everything, and record it where there is a ledger.

    Returns:
        The evaluation's notes, with what the plots had to say.
    """
    folder = found.folder
    main, several = arms.scores[arms.main], len(arms.runs) > 1
    for name in arms.runs:
        # The run in question has the plain names; those beside it their own files.
        stem = "" if name == arms.main else f".{name}"
        lines = _predictions(rows, arms, name)
        if not stem or (several and not arms.verdicts):
            write_jsonl(folder / f"predictions{_file(stem)}.jsonl", lines)
            (folder / f"failures{_file(stem)}.csv").write_text(_failures(lines), encoding="utf-8-sig")
    note = page.confusion_png(folder / "confusion.png", main.matrix_labels, main.matrix, "true and predicted class")
    notes = (*found.notes, *([note] if note else []))
    facts = {
        "arms": found.arms,
        "verdicts": found.verdicts,
        "main": found.main,
        "split": found.split,
        "counted": found.counted,
        "gate": found.gate,
        "notes": notes,
    }
    write_json(folder / "metrics.json", facts | {"runs": {name: path.name for name, path in arms.runs.items()}})
    html = render(_report(bench, rows, arms, found))
    (folder / "report.html").write_text(html, encoding="utf-8")
    summary = {"key": key, "run": arms.runs[arms.main].name, "split": found.split}
    if bench.bare:
        finish(folder, "evaluate", summary)
        return notes
    with bench.ledger.write("evaluate", "verdict", {"run": folder.name}) as writer:
        writer.run(folder.name, "evaluate", None, summary)
        finish(folder, "evaluate", summary)
    return notes


def _file(stem: str) -> str:
    """A name that is safe in a file's."""
    return stem.replace("/", "_").replace("\\", "_")


def _predictions(rows: Chosen, arms: Arms, name: str) -> list[dict[str, Any]]:
    answers = arms.answers[name]
    found = []
    for i, sample in enumerate(rows.samples):
        said, right = answers.predicted[i], answers.predicted[i] == sample.label
        why = "" if right else answers.why.get(i, "wrong class")
        found.append(
            {
                "id": sample.id,
                "y_true": sample.label,
                "y_pred": said,
                "probability": round(float(answers.confidence[i]), 4),
                "why": why,
                "text": sample.text,
            }
        )
    return found


def _failures(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows without a class first, then wrong ones, the surest first."""
    file = StringIO(newline="")
    writer = csv.DictWriter(file, _FAILURE)
    writer.writeheader()
    wrong = [row for row in rows if row["y_true"] != row["y_pred"]]
    writer.writerows(sorted(wrong, key=lambda row: (bool(row["y_pred"]), -row["probability"])))
    return file.getvalue()


def _report(bench: Bench, rows: Chosen, arms: Arms, found: Evaluation) -> Report:
    run = arms.runs[arms.main]
    manifest = read_json(run / MANIFEST)
    per_class = manifest.get("per_class") or {}
    human, made = per_class.get("human", {}), per_class.get("synthetic", {})
    training = {label: (human.get(label, 0), made.get(label, 0)) for label in manifest["labels"]}
    return Report(
        f"Evaluation of {run.name}",
        arms.scores,
        arms.verdicts,
        arms.main,
        arms.measures[arms.main]["ece"].value,
        {arm: _sizes(read_json(folder / MANIFEST)) for arm, folder in arms.runs.items()},
        training,
        _texts(bench, manifest),
        [*_facts(manifest, rows, found), *found.notes],
        arms.measures,
        arms.judged,
    )


def _facts(manifest: Mapping[str, Any], rows: Chosen, found: Evaluation) -> list[str]:
    base = manifest.get("encoder") or manifest.get("base") or "unknown"
    facts = [
        f"Encoder: {base}. Training set: version {manifest.get('version')}, {manifest.get('rows', 0)} rows, "
        f"{manifest.get('synthetic', 0)} of them synthetic."
    ]
    if rows.opens:
        times = "once" if found.openings == 1 else f"{found.openings} times"
        facts.append(f"The test split of this bench has been opened {times}.")
    elif rows.where == "dev":
        facts.append("On the dev split: not a verdict on unseen rows.")
    else:
        facts.append(f"On the rows of {rows.where}.")
    return facts


def _texts(bench: Bench, manifest: Mapping[str, Any]) -> tuple[TextStats, TextStats] | None:
    """Real rows and the run's synthetic rows, of the classes that got any."""
    if bench.bare or not manifest.get("synthetic"):
        return None
    used = bench.ledger.rows_of(manifest["version"])
    made = [candidate.sample for candidate in bench.ledger.candidates() if candidate.sample.id in used]
    classes = {sample.label for sample in made}
    real = [sample for sample in bench.ledger.samples(split="train") if sample.label in classes]
    if not real or not made:
        return None
    a, b = vectors(bench, real), vectors(bench, made)
    mean = np.vstack([a, b]).mean(axis=0)
    return compare_texts(real, made, centred(a, mean), centred(b, mean))


def _sizes(manifest: Mapping[str, Any]) -> tuple[int, int]:
    """Human and synthetic training rows of a run."""
    rows, synthetic = manifest.get("rows", 0), manifest.get("synthetic", 0)
    return rows - synthetic, synthetic
