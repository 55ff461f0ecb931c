"""`wb evaluate` says how good and whether better, `wb report` where the page is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.evaluate.criteria import Criterion
    from workbench.flow.evaluate.run import Evaluation

SAMPLES = 50
"""Rows of a quick look that names no number."""
MEASURES = ("ece", "success", "latency_p50", "latency_p95", "throughput", "memory", "cuda_memory")


def register(app: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    app.command("evaluate")(evaluate)
    app.command("report")(report)


def evaluate(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Training runs by name or path; the newest where not given."),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Runs or checkpoints side by side: --checkpoint RUN@500 RUN@1000 RUN."),
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="Training run to compare with: adds a verdict.")] = None,
    split: Annotated[str, typer.Option(help="test (every opening is counted) or dev.")] = "test",
    file: Annotated[Path | None, typer.Option(help="Rows of this file instead of a split.")] = None,
    text: Annotated[str | None, typer.Option(help="The file's column of texts.")] = None,
    label: Annotated[str | None, typer.Option(help="The file's column of classes.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A look at a sample of rows, drawn by class.")] = False,
    samples: Annotated[int, typer.Option(help="Rows of a quick look; 50 where --quick says no number.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Which rows a quick look draws.")] = 12345,
    batch_size: Annotated[int, typer.Option(help="Texts at a time; 0: the method's own.", min=0)] = 0,
    gate: Annotated[
        list[str] | None,
        typer.Option(help='Success criteria, exit code 1 where one fails: --gate "macro_f1>=0.85" "latency_p95<=1s".'),
    ] = None,
    gate_on: Annotated[
        str, typer.Option(help="value: the estimate must keep a limit; bound: the worse end of its interval must.")
    ] = "value",
    predictions: Annotated[
        Path | None, typer.Option(help="Score a file with columns y_true, y_pred; no bench.")
    ] = None,
    baseline_predictions: Annotated[Path | None, typer.Option(help="A second such file: adds a verdict.")] = None,
    labels: Annotated[str, typer.Option(help="Macro-F1 over: union, true, or a file with one class a line.")] = "union",
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Score a model with intervals, and say whether it improved, is no worse, is worse, or that one cannot tell."""
    from workbench.errors import UsageError
    from workbench.flow.evaluate import run as flow

    words = [*(checkpoint or []), *(runs or [])]
    if baseline_predictions is not None and predictions is None:
        raise UsageError("--baseline-predictions needs --predictions.", "Give both files.")
    if predictions is not None:
        _refuse_with_a_file(baseline, [*words, *(gate or [])])
        found = _of_file(bench, settings, predictions, baseline_predictions, label_set(labels))
        arms = {"baseline": found["baseline"], "predictions": found} if "baseline" in found else {"predictions": found}
        show_json(found) if as_json else show_scores(arms, {"predictions": found.get("verdict")})
        return
    names, criteria = _sorted_out(words, gate or [])
    if samples or quick:
        samples = samples or SAMPLES
    if file is None and (text or label):
        raise UsageError("--text and --label name columns of a file.", "Give it with --file FILE.")
    if gate_on not in ("value", "bound"):
        raise UsageError(f"--gate-on {gate_on!r} is neither value nor bound.", "Give one of these.")
    look = flow.Look(split, file, text, label, samples, seed, batch_size, criteria, gate_on)  # type: ignore[arg-type]
    opened = open_bench(bench, settings) if file is None else _bench_or_none(bench, settings)
    result = flow.evaluate_runs(opened, names or ["last"], baseline, look)
    show_json(result.json()) if as_json else show_evaluation(result)
    if not result.passed:
        raise typer.Exit(1)


def _sorted_out(words: Sequence[str], gate: Sequence[str]) -> tuple[list[str], list["Criterion"]]:
    """Runs and criteria: an option takes one word, so that what follows it stands among the runs."""
    from workbench.evaluate.criteria import is_criterion, parse

    criteria = [parse(word) for word in (*gate, *(word for word in words if is_criterion(word)))]
    return list(dict.fromkeys(word for word in words if not is_criterion(word))), criteria


def _refuse_with_a_file(baseline: str | None, words: Sequence[str]) -> None:
    from workbench.errors import UsageError

    if baseline is not None:
        raise UsageError(
            "--baseline is a training run; a file is compared with a file.", "Give --baseline-predictions FILE."
        )
    if words:
        raise UsageError(
            f"{words[0]!r} is about a training run; --predictions scores a file.", "Leave one of them out."
        )


def _of_file(
    bench: Path | None, settings: list[str] | None, after: Path, before: Path | None, labels: list[str] | str
) -> dict[str, Any]:
    from workbench.flow.evaluate.run import score_file

    return score_file(after, labels, before, _bench_or_none(bench, settings).config.evaluate.compare)


def _bench_or_none(bench: Path | None, settings: list[str] | None) -> "Bench":
    from workbench.bench import Bench

    return Bench.find_or_bare(bench, settings or ())


def label_set(name: str) -> list[str] | str:
    """`union`, `true`, or the lines of a file."""
    if name in ("union", "true"):
        return name
    from workbench.errors import UsageError

    try:
        return [line.strip() for line in Path(name).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as exc:
        raise UsageError(f"--labels {name!r} is neither union, true nor a file.", "Give one of these.") from exc


def show_evaluation(result: "Evaluation") -> None:
    """The verdict first, then the scores of all models side by side."""
    show_scores(result.arms, result.verdicts)
    show_measures(result.arms)
    for name, judged in result.gate.items():
        show_gate(name if len(result.gate) > 1 else "", judged, result.gate_on)
    if result.counted:
        times = "once" if result.openings == 1 else f"{result.openings} times"
        show(f"The test split of this bench has been opened {times}; every look spends some of its honesty.")
    for note in result.notes:
        show(note)
    main = result.arms[result.main]
    pairs = ", ".join(f"{p['from']} -> {p['to'] or '(no class)'} ({p['count']})" for p in main["pairs"][:5])
    if pairs:
        show(f"Most confused: {pairs}")
    show(f"Texts that went wrong: {result.folder / 'failures.csv'}")


def show_measures(arms: Any) -> None:
    """What answers are worth and what they cost, a row for each model."""
    from workbench.evaluate.criteria import amount

    columns = [name for name in MEASURES if all(name in found for found in arms.values())]
    if not columns:
        return
    rows = [(name, *(amount(column, found[column]["value"]) for column in columns)) for name, found in arms.items()]
    show_table("Calibration error, answered rows, time, memory", ["model", *columns], rows)


def show_gate(name: str, judged: Any, on: str) -> None:
    """Which criterion holds."""
    from workbench.evaluate.criteria import amount

    rows = []
    for one in judged:
        value, low, high = (amount(one["metric"], one[end]) for end in ("value", "low", "high"))
        interval = "" if low == high else f"[{low}, {high}]"
        doubt = "" if one["sure"] else "the interval reaches over the limit"
        rows.append((one["criterion"], value, interval, "holds" if one["held"] else "FAILS", doubt))
    by = "the worse end of the interval" if on == "bound" else "the estimate"
    title = f"Success criteria{f' of {name}' if name else ''}, by {by}"
    show_table(title, ["criterion", "measured", "95 % interval", "", ""], rows)


def show_scores(arms: Any, verdicts: Any) -> None:
    """Verdicts in sentences, then scores in a table."""
    base = next(iter(arms))
    for name, verdict in verdicts.items():
        if verdict:
            against = "" if len(arms) == 1 else f" against {base}"
            show(f"{name}{against}: {verdict['say']}.")
    rows = [
        (
            name,
            *(interval(found[metric]) for metric in ("accuracy", "macro_f1", "weighted_f1")),
            _overall(verdicts, name),
        )
        for name, found in arms.items()
    ]
    last = list(arms)[-1]
    over = f"macro-F1 over {len(arms[last]['labels'])} classes ({arms[last]['labels_from']})"
    sizes = " and ".join(f"{n:,}" for n in dict.fromkeys(found["accuracy"]["n"] for found in arms.values()))
    title = f"{sizes} rows, {over}, 95 % intervals"
    show_table(title, ["model", "accuracy", "macro-F1", "weighted F1", "verdict"], rows)


def _overall(verdicts: Any, name: str) -> str:
    return str((verdicts.get(name) or {}).get("overall", ""))


def interval(metric: Any) -> str:
    """`0.613 [0.571, 0.652]`."""
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def report(
    run: Annotated[str, typer.Argument(help="An evaluation run; the newest where not given.")] = "last",
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Print where the HTML report of an evaluation is."""
    from workbench.flow.evaluate.run import report as flow

    show(str(flow(open_bench(bench, settings), run)))
