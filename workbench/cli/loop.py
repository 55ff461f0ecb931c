"""`wb loop`: round after round, until nothing improves."""

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.generate import money
from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.flow.loop import Looped


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("loop")(loop)


def loop(
    rounds: Annotated[int, typer.Option(help="Most rounds.", min=1)] = 3,
    classes: Annotated[
        int, typer.Option(help="Classes with the lowest recall on dev that each round helps.", min=0)
    ] = 3,
    pairs: Annotated[int, typer.Option(help="Most confused pairs that each round helps.", min=0)] = 1,
    rows: Annotated[int, typer.Option(help="Accepted rows that each class gets on top, a round.", min=1)] = 10,
    patience: Annotated[
        int, typer.Option(help="End after so many rounds without a better macro-F1 on dev.", min=1)
    ] = 1,
    max_cost: Annotated[
        str | None, typer.Option(help="Cap on what this bench spends in all, as of `wb generate`.")
    ] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Put each round's rows to people first (exit code 75 while they work).")
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Train from nothing in each round instead of continuing the last good model.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Help the worst classes and pairs, train, look at dev, again; the test split is opened once, at the end."""
    from workbench.flow.loop import Options
    from workbench.flow.loop import loop as run

    opened = open_bench(bench, settings)
    result = run(opened, Options(rounds, classes, pairs, rows, patience, money(max_cost), review, anew), say)
    show_json(looped_json(result)) if as_json else show_looped(result)


def looped_json(result: "Looped") -> dict[str, object]:
    """The last line of `wb loop --json`."""
    rounds = [
        {"round": r.number, "run": r.run, "macro_f1": r.macro_f1, "worst": r.worst, "worst_recall": r.worst_recall}
        | {"accepted": r.accepted, "cost": float(r.cost), "asked": list(r.asked), "kept": r.kept}
        for r in result.rounds
    ]
    verdict = result.evaluation.json() if result.evaluation else None
    return {
        "rounds": rounds,
        "best": result.best.number,
        "run": result.best.run,
        "stopped_by": result.stopped_by,
        "evaluation": verdict,
    }


def show_looped(result: "Looped") -> None:
    """Round by round, then the verdict."""
    from workbench.cli.evaluate import show_evaluation

    rows = [
        (r.number, f"{r.macro_f1:.3f}", r.worst, f"{r.worst_recall:.2f}", r.accepted, r.cost, ", ".join(r.asked))
        for r in result.rounds
    ]
    columns = ["round", "macro-F1", "worst class", "recall", "accepted rows", "cost", "helped"]
    show_table("Rounds, on the dev split", columns, rows, right=[0, 1, 3, 4, 5])
    show(f"Ended by {result.stopped_by}. Best on dev: round {result.best.number} ({result.best.run}).")
    show("Dev chose the round: only the test split can tell whether it is better.")
    if result.evaluation is None:
        why = "there is no test split" if result.best.number else "no round was better on dev than the start"
        show(f"No verdict: {why}.")
    else:
        show_evaluation(result.evaluation)
    show(f"\nCurves: {result.folder / 'rounds.png'}")
