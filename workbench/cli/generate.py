"""`wb generate`: have a model write what is missing."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json, show_table
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.flow.generate.plan import Estimate, Planned
    from workbench.flow.generate.run import Generated


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("generate")(generate)


def generate(
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="A class, by name or number; may be repeated.")
    ] = None,
    minority: Annotated[
        bool, typer.Option("--minority", help="All classes that the diagnosis finds too small.")
    ] = False,
    pair: Annotated[list[str] | None, typer.Option("--pair", help="Two classes that get mixed up, as A:B.")] = None,
    confusions: Annotated[int, typer.Option(help="So many of the pairs that get mixed up most.", min=0)] = 0,
    refill: Annotated[
        bool, typer.Option("--refill", help="As many rows as reviewers refused, with their reasons as hints.")
    ] = False,
    strategy: Annotated[
        str, typer.Option(help="How to write, by name, as slots; that of the class where not given.")
    ] = "",
    accept: Annotated[int, typer.Option(help="Total of accepted synthetic rows wanted per class.", min=0)] = 0,
    more: Annotated[int, typer.Option(help="Accepted rows wanted on top of those that are there.", min=0)] = 0,
    max_requests: Annotated[int, typer.Option(help="Most requests of this call; 0 for no limit.", min=0)] = 0,
    max_cost: Annotated[
        str | None,
        typer.Option(
            help="Cap on what this bench spends on replies in all, in the endpoints' currency: stored replies of earlier "
            "calls count, and so does what calls without an answer may have cost (killed commands, no answer in time), so "
            "that the same command again keeps the same cap. Needs prices."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show plan, prompt and cost estimate; ask nothing.")
    ] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Have a model write rows for small classes or mixed-up pairs, until enough of them pass the gate."""
    from workbench.flow.diagnose import diagnose
    from workbench.flow.generate import plan
    from workbench.flow.generate.run import generate as run

    opened = open_bench(bench, settings)
    pairs = [*(pair or []), *(plan.confused(diagnose(opened), confusions) if confusions else ())]
    named = bool(classes or pairs or minority)
    needs = (
        []
        if refill and not named
        else plan.needs(opened, classes or [], pairs, minority=minority, accept=accept, more=more, strategy=strategy)
    )
    if refill:
        needs = [*needs, *(need for need in plan.refill(opened) if need.label not in {n.label for n in needs})]
    if dry_run:
        planned = plan.plan(opened, needs)
        show_plan(planned, plan.estimate(opened, planned), as_json)
        return
    result = run(opened, needs, max_requests=max_requests, max_cost=money(max_cost), progress=say)
    show_json(result_json(result)) if as_json else show_result(result)


def money(text: str | None) -> Decimal | None:
    """An amount of money.

    Raises:
        UsageError: it is none.
    """
    try:
        amount = None if text is None else Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount is not None and not (amount.is_finite() and amount >= 0):
        raise UsageError(f"--max-cost {text!r} is not an amount of money.", "Write a number, as --max-cost 2.50")
    return amount


def result_json(result: "Generated") -> dict[str, object]:
    """The last line of `wb generate --json`."""
    return {
        "requested": result.requested,
        "accepted": sum(result.accepted.values()),
        "replies": result.replies,
        "new_replies": result.new_replies,
        "tokens": result.tokens_in + result.tokens_out,
        "tokens_in": result.tokens_in,
        "tokens_out": result.tokens_out,
        "cost": float(result.cost or 0),
        "cost_lost": float(result.cost_lost),
        "price_known": result.cost is not None,
        "currency": result.currency,
        "dropped": dict(result.dropped),
        "per_class": dict(result.accepted),
        "resumed": dict(result.resumed),
        "stopped_by": result.stopped_by,
        "say": result.say,
    }


def show_result(result: "Generated") -> None:
    """What a generation did, for people."""
    wanted = {need.label: need.count for need in result.needs}
    rows = [(label, count, wanted[label]) for label, count in result.accepted.items()]
    show_table("Accepted synthetic rows", ["class", "accepted", "wanted"], rows, right=[1, 2])
    if result.dropped:
        reasons = sorted(result.dropped.items(), key=lambda item: -item[1])
        show("Dropped in this call: " + ", ".join(f"{reason} {n}" for reason, n in reasons))
    cost = "price unknown" if result.cost is None else f"{result.cost:.4f} {result.currency}".strip()
    show(f"{result.new_replies} new replies, {result.tokens_in} + {result.tokens_out} tokens, cost: {cost}.")
    if result.cost_lost:
        lost = f"{result.cost_lost:.4f} {result.currency}".strip()
        show(f"Calls without an answer may have cost up to {lost} on top.")
    if result.stopped_by != "quota":
        show(f"Stopped short ({result.stopped_by}): {result.say}")


def show_plan(planned: "list[Planned]", estimate: "Estimate", as_json: bool) -> None:
    """Plan, one rendered prompt and the estimate."""
    first = next((p.first for p in planned if p.first), None)
    if as_json:
        prompt = list(first.messages) if first else []
        guess = {
            "requests": estimate.requests,
            "tokens": estimate.tokens_in + estimate.tokens_out,
            "cost": None if estimate.cost is None else float(estimate.cost),
        }
        plan = [
            {"class": p.need.label, "against": p.need.against, "accepted": p.accepted, "wanted": p.need.count}
            for p in planned
        ]
        show_json({"plan": plan, "prompt": prompt, "estimate": guess, "stopped_by": "dry_run"})
        return
    rows = [(p.need.label, p.need.strategy, p.need.against, p.accepted, p.need.count, p.need.why) for p in planned]
    show_table("Plan", ["class", "strategy", "against", "accepted", "wanted", "why"], rows, right=[3, 4])
    if first is None:
        show("Nothing to ask a model for.")
        return
    show(f"First prompt ({first.prompt}):\n")
    for message in first.messages:
        show(f"--- {message['role']}\n{message['content']}\n")
    cost = "price unknown" if estimate.cost is None else f"about {estimate.cost:.2f} {estimate.currency}"
    show(f"About {estimate.requests} requests, {estimate.tokens_in} + {estimate.tokens_out} tokens, cost: {cost}.")
