"""`wb why`: the story of one row."""

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, show, show_json

if TYPE_CHECKING:
    from workbench.flow.why import Story


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("why")(why)


def why(
    row: Annotated[str, typer.Argument(metavar="ID", help="Id of a row, or a unique beginning of it.")],
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Also the messages that were sent, and the whole reply.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Tell where a row came from, what was changed, what the gates said and where it was used."""
    from workbench.flow.why import why as run

    story = run(open_bench(bench, settings), row)
    if as_json:
        from dataclasses import asdict

        show_json(asdict(story))
        return
    for line in [*tell(story), *(exchange(story) if prompt else [])]:
        show(line)


def tell(story: "Story") -> list[str]:
    """The story in lines."""
    sample = story.sample
    lines = [f"{sample.id}  {sample.label}  ({sample.source}, {sample.split})"]
    lines += [f"    {turn.role}: {turn.text}" for turn in sample.turns]
    lines += _birth(story)
    for operation, change in story.changes:
        undone = ", reverted" if operation.undone else ""
        lines.append(
            f"{operation.at[:19]}  changed by `wb {operation.stage} {operation.kind}`: {change.reason}{undone}"
        )
    for operation, verdicts in story.verdicts:
        wrong = [
            f"{verdict.rule}: {verdict.reason}{_score(verdict.score)}" for verdict in verdicts if not verdict.passed
        ]
        said = (
            "dropped (" + ", ".join(wrong) + ")"
            if wrong
            else "passed " + ", ".join(f"{verdict.rule}{_score(verdict.score)}" for verdict in verdicts)
        )
        lines.append(f"{operation.at[:19]}  gate: {said}")
    if story.children:
        more = ", ..." if len(story.children) > 5 else ""
        lines.append(
            f"Shown as an example for {len(story.children)} synthetic rows: {', '.join(story.children[:5])}{more}"
        )
    lines += [f"In training set {version}" for version in story.versions]
    lines += [f"{run.at[:19]}  used by run {run.id}" for run in story.runs]
    if not story.versions:
        lines.append("Not in any training set so far.")
    return lines


def exchange(story: "Story") -> list[str]:
    """What was sent and what came back, word for word."""
    if story.reply is None:
        return ["No model was asked for this row."]
    sent = [f"\n--- {message['role']}\n{message['content']}" for message in story.reply.messages]
    return [*sent, f"\n--- reply ({story.reply.finish})\n{story.reply.text}"]


def _birth(story: "Story") -> list[str]:
    sample, reply = story.sample, story.reply
    if sample.origin is None:
        columns = ", ".join(f"{key}={value}" for key, value in sample.meta.items())
        return [f"Came in as a row of yours{': ' + columns if columns else ''}."]
    if reply is None:
        return [f"Made elsewhere ({sample.origin.strategy}, model {sample.origin.model or 'unknown'})."]
    cost = f"{reply.cost} for the reply" if reply.cost else "price unknown"
    lines = [
        f"{reply.at[:19]}  written by {reply.model} at {reply.endpoint}, strategy {reply.strategy}, seed {reply.seed}, "
        f"draw {reply.draw}",
        f"    prompt {reply.prompt}",
        f"    reply {reply.id}, row {(story.position or 0) + 1} of {story.siblings}; "
        f"{reply.tokens_in} + {reply.tokens_out} tokens, cost: {cost}",
    ]
    return lines + [f"    shown: {parent.id}  {parent.label}  {parent.text[:50]}" for parent in story.parents]


def _score(score: float | None) -> str:
    return "" if score is None else f" {score:.2f}"
