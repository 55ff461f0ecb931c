"""`wb review`: people look at candidates in Label Studio."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import review_server, review_status
from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.flow.review.pull import Pulled
    from workbench.flow.review.push import Pushed

app = typer.Typer(help="People look at candidates in Label Studio.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the verb to `wb`."""
    review_server.register(app)
    app.command("push")(push)
    app.command("pull")(pull)
    app.command("watch")(watch)
    review_status.register(app)
    parent.add_typer(app, name="review")


def push(
    file: Annotated[Path | None, typer.Argument(help="Answers to be rated, for --project rating.")] = None,
    project: review_status.ProjectOption = "review",
    sample: Annotated[
        float | None,
        typer.Option(
            help="Look at this share of each lot, whatever is found; acceptance sampling where not given.", min=0, max=1
        ),
    ] = None,
    whole: Annotated[
        list[str] | None, typer.Option("--all", help="A class of which every candidate is looked at; may be repeated.")
    ] = None,
    audit: Annotated[
        int, typer.Option(help="Also this many candidates that the gate dropped: were its rules right?", min=0)
    ] = 0,
    new: Annotated[bool, typer.Option("--new", help="Make the project again where it was deleted.")] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Put candidates that passed the gate to people: as many of each class and prompt as the promise takes."""
    opened = open_bench(bench, settings)
    candidates = {"--sample": sample is not None, "--all": bool(whole), "--audit": bool(audit)}
    pushed = _push(
        opened, project, file, [name for name, given in candidates.items() if given], (whole, sample, audit), new
    )
    if as_json:
        number = pushed.project.number
        show_json({"project": number, "url": pushed.url, "tasks": pushed.tasks, "predictions": pushed.predictions})
        return
    show(pushed.say)
    if pushed.waiting:
        show(f"Work here: {pushed.work}")
        show("Then fetch what was said with: wb review pull")


def _push(
    bench: "Bench",
    project: str,
    file: Path | None,
    given: list[str],
    options: tuple[list[str] | None, float | None, int],
    new: bool,
) -> "Pushed":
    """Push what the project is for.

    Raises:
        UsageError: an option or a file is given that belongs to another project.
    """
    from workbench.flow.review import dialogues, push, rating
    from workbench.flow.review.kinds import check_kind
    from workbench.flow.review.plan import Options

    kind = check_kind(project)
    if (kind == "rating") != (file is not None):
        raise UsageError(
            "--project rating takes a file of answers, and the other projects take none.",
            "Write: wb review push --project rating answers.jsonl",
        )
    if given and kind != "review":
        raise UsageError(f"{given[0]} is about candidates, not about --project {kind}.", "Leave it out.")
    if kind == "dialogues":
        return dialogues.push(bench, new=new, progress=say)
    if file is not None:
        return rating.push(bench, file, new=new, progress=say)
    whole, sample, audit = options
    return push.push(bench, Options(tuple(whole or ()), sample, audit), new=new, progress=say)


def pull(as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None) -> None:
    """Bring what people said into the ledger; edited and relabelled rows pass the gate again."""
    from workbench.flow.review.pull import pull as run

    pulled = run(open_bench(bench, settings), progress=say)
    show_json(pulled_json(pulled)) if as_json else show_pulled(pulled)


def watch(
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=1)] = 10.0,
    until_done: Annotated[bool, typer.Option("--until-done", help="End when no task waits any more.")] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Pull again and again, until Ctrl-C."""
    from workbench.flow.review.watch import watch as run

    with suppress(KeyboardInterrupt):  # the way it ends
        for pulled, open_tasks in run(open_bench(bench, settings), every, until_done=until_done):
            if as_json:
                show_json(pulled_json(pulled) | {"waiting": open_tasks})
            elif pulled.new or pulled.withdrawn:
                show(f"{pulled.say}; {open_tasks} tasks wait")
        return
    say("Stopped.")


def pulled_json(pulled: "Pulled") -> dict[str, int]:
    """The last line of `wb review pull --json`."""
    found = pulled.decisions
    counts = {name: found[name] for name in ("approve", "edit", "relabel", "reject")}
    return {
        "new": pulled.new,
        **counts,
        "skipped": found["skip"],
        "withdrawn": pulled.withdrawn,
        "unreadable": pulled.unreadable,
        "foreign": pulled.foreign,
        "dropped_again": pulled.dropped_again,
        "held": pulled.held,
    }


def show_pulled(pulled: "Pulled") -> None:
    """What a pull brought, for people."""
    show(pulled.say + ".")
    lines = (
        (pulled.withdrawn, "annotations were deleted by their authors; what they said does not count any more."),
        (pulled.unreadable, "annotations decide nothing (see `wb review status`); their rows still wait."),
        (pulled.foreign, "annotations are of tasks that this bench did not send; they were left alone."),
        (pulled.dropped_again, "edited or relabelled rows do not pass the gate."),
        (pulled.held, "rows are held back: a sample of their lot failed. `wb review push` puts them to people."),
    )
    for count, what in lines:
        if count:
            show(f"{count} {what}")
