"""Score runs on rows, compare them, write an evaluation folder. The test split is opened once per verdict, and counted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.evaluate import Scores, Verdict, compare, score
from workbench.evaluate.calibration import calibration
from workbench.evaluate.criteria import judge
from workbench.flow.evaluate.ask import NO_CLASS, Answers, ask
from workbench.flow.evaluate.files import score_file
from workbench.flow.evaluate.folder import write
from workbench.flow.evaluate.found import Arms, Evaluation
from workbench.flow.evaluate.rows import Chosen, Look, rows_to_score
from workbench.flow.models.checkpoint import find_model
from workbench.records import Metric, digest
from workbench.runs import MANIFEST, find_run, new_run, read_json

__all__ = ["Evaluation", "Look", "confused", "evaluate", "evaluate_runs", "report", "score_file"]


def evaluate(
    bench: Bench,
    run: Path,
    baseline: Path | None = None,
    others: Mapping[str, Path] | None = None,
    *,
    names: tuple[str, str] = ("baseline", "after"),
    reuse: bool = False,
    look: Look | None = None,
) -> Evaluation:
    """Score a run, and compare it with a baseline on the same rows.

    Args:
        bench: where the rows are.
        run: a training run.
        baseline: the run to compare with.
        others: further runs to show beside it, each with its own verdict against the baseline where there is one.
        names: what the baseline and the run are called.
        reuse: take a finished evaluation of the same runs and rows, where there is one: the test stays closed.
        look: which rows, and what is demanded of the run; all rows of the test split, and nothing, where not given.

    Raises:
        DataError: there are no rows, or a model cannot be opened.
        UsageError: a criterion asks for what was not measured.
    """
    look = look or Look()
    rows = rows_to_score(bench, look)
    runs = {names[0]: baseline, **(others or {}), names[1]: run} if baseline else {**(others or {}), run.name: run}
    key = digest(
        rows.where, rows.hash, bench.config.evaluate.model_dump_json(), *(f"{n}={r.name}" for n, r in runs.items())
    )
    if reuse and (folder := _finished(bench, key)):
        return _load(bench, folder)
    # Models first: one that cannot be used must not cost an opening, and nobody has seen a score yet.
    arms = _arms(bench, rows, runs, look, against=names[0] if baseline else "")
    if rows.opens:
        with bench.ledger.write("evaluate", "open", {"runs": [r.name for r in runs.values()]}) as writer:
            writer.opening(rows.hash, f"verdict on {run.name}")
    return _write(bench, rows, arms, look, key)


def _finished(bench: Bench, key: str) -> Path | None:
    folders = [bench.runs / run.id for run in bench.ledger.runs("evaluate") if run.summary.get("key") == key]
    return next((folder for folder in reversed(folders) if (folder / MANIFEST).is_file()), None)


def _load(bench: Bench, folder: Path) -> Evaluation:
    found = read_json(folder / "metrics.json")
    notes = tuple(found["notes"])
    openings = len(bench.ledger.openings())
    return Evaluation(folder, found["arms"], found["verdicts"], found["main"], found["split"], openings, notes)


def _arms(bench: Bench, rows: Chosen, runs: Mapping[str, Path], look: Look, against: str) -> Arms:
    """Ask, score, measure, compare and judge."""
    true = [sample.label for sample in rows.samples]
    answers = {name: ask(bench, folder, rows.samples, look.batch) for name, folder in runs.items()}
    scores = {name: _scores(true, found) for name, found in answers.items()}
    measures = {name: _measures(scores[name], answers[name], true) for name in runs}
    config = bench.config.evaluate.compare
    base = answers[against].arm if against else None
    verdicts: dict[str, Verdict] = {}
    for name, found in answers.items():
        if base is not None and name != against:
            classes = sorted({*true, *base.predicted, *found.predicted} - {NO_CLASS})
            verdicts[name] = compare(true, base, found.arm, config, classes)
    judged = {n: judge(look.criteria, measures[n], look.gate_on) for n in runs if look.criteria and n != against}
    return Arms(runs, answers, scores, measures, verdicts, judged)


def _scores(true: Sequence[str], answers: Answers) -> Scores:
    """Over all classes that occur; having no class is no class."""
    classes = sorted({*true, *answers.predicted} - {NO_CLASS})
    return replace(score(true, answers.predicted, classes), labels_from="union")


def _measures(scores: Scores, answers: Answers, true: Sequence[str]) -> dict[str, Metric]:
    """Everything that a criterion can be about."""
    import numpy as np

    right = np.array([a == b for a, b in zip(true, answers.predicted, strict=True)], dtype=bool)
    found = {metric.name: metric for metric in (scores.accuracy, scores.macro_f1, scores.weighted_f1)}
    # A class without rows has no recall; one that is predicted though it does not occur has an F1 of 0.
    occurring = [recall for _, _, recall, _ in scores.per_class if recall.n]
    for name, some in (("worst_f1", [f1 for *_, f1 in scores.per_class]), ("worst_recall", occurring)):
        worst = min(some, key=lambda metric: metric.value)
        found[name] = replace(worst, name=name)
    found |= {"ece": calibration(answers.confidence, right), "success": answers.success, **answers.cost.metrics()}
    for label, precision, recall, f1 in scores.per_class:
        found |= {f"precision[{label}]": precision, f"recall[{label}]": recall, f"f1[{label}]": f1}
    return found


def _write(bench: Bench, rows: Chosen, arms: Arms, look: Look, key: str) -> Evaluation:
    folder = new_run(bench.runs, "evaluate")
    openings = 0 if bench.bare else len(bench.ledger.openings())
    found = Evaluation(
        folder,
        arms.json(),
        {name: verdict.json() for name, verdict in arms.verdicts.items()},
        arms.main,
        rows.where,
        openings,
        (*rows.notes, *_notes(rows, arms)),
        rows.opens,
        {name: [one.json() for one in judged] for name, judged in arms.judged.items()},
        look.gate_on,
    )
    return replace(found, notes=write(bench, rows, arms, found, key))


def _notes(rows: Chosen, arms: Arms) -> list[str]:
    """What must be said of the figures."""
    notes = []
    for name, answers in arms.answers.items():
        who = f"{name}: " if len(arms.runs) > 1 else ""
        if answers.why:
            n, failed = len(answers.predicted), len(answers.why)
            notes.append(f"{who}{failed} of {n:,} rows were not answered with a class; they count as wrong.")
        if answers.counts["cut"]:
            notes.append(f"{who}{answers.counts['cut']} texts were too long; their oldest turns were left out.")
        if answers.counts["retries"]:
            notes.append(
                f"{who}memory was short {answers.counts['retries']} times; these batches were tried again smaller."
            )
        if answers.decided:
            notes.append(f"{who}the model gives a class without a probability: its calibration error says nothing.")
    if len(arms.runs) > 2 and rows.opens:
        notes.append(
            "The best of several models on the test split looks better than it is: choose on dev, test the chosen one."
        )
    return notes


def evaluate_runs(
    bench: Bench, names: Sequence[str], baseline: str | None = None, look: Look | None = None
) -> Evaluation:
    """`wb evaluate RUN... --baseline RUN`: runs by name or path, `last` for the newest, `RUN@STEP` for a checkpoint; side by side.

    Raises:
        DataError: there is no such run, and what `evaluate` raises.
    """
    found: dict[str, Path] = {}
    for name in names:
        run = find_model(bench, name)
        found[run.name if run.name not in found or found[run.name] == run else str(run)] = run
    *others, last = found
    before = find_model(bench, baseline) if baseline else None
    return evaluate(bench, found[last], before, {name: found[name] for name in others}, look=look)


def confused(bench: Bench, run: str = "last", count: int = 10) -> list[tuple[str, str]]:
    """The most confused pairs of an evaluation (true class, taken for), for rows to be generated against.

    Raises:
        DataError: it looked at the test split, which may not choose what is generated.
    """
    folder = find_run(bench.runs, run, "evaluate")
    facts = read_json(folder / "metrics.json")
    if facts.get("counted", facts["split"] == "test"):
        raise DataError(
            f"{folder.name} looked at the test split; what it confuses may not choose rows to generate.",
            "Evaluate on dev rows: wb evaluate --split dev",
        )
    pairs = facts["arms"][facts["main"]]["pairs"]
    return [(pair["from"], pair["to"]) for pair in pairs[:count] if pair["from"] and pair["to"]]


def report(bench: Bench, run: str) -> Path:
    """The HTML report of an evaluation, `last` for the newest."""
    return find_run(bench.runs, run, "evaluate") / "report.html"
