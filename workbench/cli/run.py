"""`wb run` goes through the whole loop, `wb demo` shows it on shipped data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, SetOption, say, show

if TYPE_CHECKING:
    from workbench.flow.run import Outcome


def register(app: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    app.command("run")(run)
    app.command("demo")(demo)


def run(
    file: Annotated[
        Path | None, typer.Argument(help="Pipeline file, laid over wb.yaml; yours or a shipped one.")
    ] = None,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Go from files to verdict: data, diagnose, generate, gate, train, evaluate. Run again to go on after a stop."""
    from workbench.assets import find
    from workbench.bench import Bench
    from workbench.flow.run import run as loop

    pipeline = file if file is None or file.is_file() else find("pipelines", str(file))
    show_outcome(loop(Bench.find(bench, settings or (), pipeline=pipeline), say))


def demo(
    folder: Annotated[Path | None, typer.Argument(help="Where the demo bench goes; ./wb-demo where not given.")] = None,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Shuffle the classes of the recorded rows: must not look improved.")
    ] = False,
    review: Annotated[
        bool,
        typer.Option(
            "--review", help="With human review in a real Label Studio; scripted decisions stand in for people."
        ),
    ] = False,
    settings: SetOption = None,
) -> None:
    """Show the whole loop on 276 shipped dialogues, with recorded completions instead of a model: no key, no network."""
    from workbench.flow.demo import demo_bench, run_reviewed
    from workbench.flow.run import run as loop

    home = folder or Path("wb-demo" + "-shuffled" * shuffle_labels + "-review" * review)
    bench = demo_bench(home, [*(["run.review=true"] if review else []), *(settings or ())], shuffled=shuffle_labels)
    say(f"Bench: {home}. The completions are RECORDED: written earlier and shipped with wb, not bought now.")
    if shuffle_labels:
        say("Their classes are SHUFFLED: an honest verdict must not say 'improved'.")
    if review:
        say("Decisions in Label Studio are SCRIPTED: they say what the writer of each row noted of it.")
    show_outcome(run_reviewed(bench, say) if review else loop(bench, say))


def show_outcome(outcome: "Outcome") -> None:
    """The verdict, and where the report is."""
    from workbench.cli.evaluate import show_evaluation

    if outcome.generated is not None and outcome.generated.stopped_by != "quota":
        show(f"Fewer rows than wanted ({outcome.generated.stopped_by}): {outcome.generated.say}\n")
    show_evaluation(outcome.evaluation)
    show(f"\nReport: {outcome.report}")
