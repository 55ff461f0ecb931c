"""`wb evaluate` says how good and whether better, `wb report` where the page is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.flow.evaluate import Evaluation


def register(app: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    app.command("evaluate")(evaluate)
    app.command("report")(report)


def evaluate(
    run: Annotated[str, typer.Argument(help="A training run; the newest where not given.")] = "last",
    baseline: Annotated[str | None, typer.Option(help="Training run to compare with: adds a verdict.")] = None,
    split: Annotated[str, typer.Option(help="test (every opening is counted) or dev.")] = "test",
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
    from workbench.flow import evaluate as flow

    if baseline_predictions is not None and predictions is None:
        raise UsageError("--baseline-predictions needs --predictions.", "Give both files.")
    if predictions is not None and baseline is not None:
        raise UsageError(
            "--baseline is a training run; a file is compared with a file.", "Give --baseline-predictions FILE."
        )
    if predictions is not None:
        from workbench.bench import Bench

        config = Bench.find_or_bare(bench, settings or ()).config.evaluate.compare
        found = flow.score_file(predictions, label_set(labels), baseline_predictions, config)
        arms = {"baseline": found["baseline"], "predictions": found} if "baseline" in found else {"predictions": found}
        show_json(found) if as_json else show_scores(arms, {"predictions": found.get("verdict")})
        return
    result = flow.evaluate_run(open_bench(bench, settings), run, baseline, split)
    show_json(result.json()) if as_json else show_evaluation(result)


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
    if result.split == "test":
        times = "once" if result.openings == 1 else f"{result.openings} times"
        show(f"The test split of this bench has been opened {times}; every look spends some of its honesty.")
    for note in result.notes:
        show(note)


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
    from workbench.flow.evaluate import report as flow

    show(str(flow(open_bench(bench, settings), run)))
