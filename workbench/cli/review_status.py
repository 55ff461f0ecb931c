"""`wb review status`: progress, reviewers, agreement, defect rates, gate versus human; ratings."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, show, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.bench import Bench
    from workbench.flow.review.status import Status
    from workbench.records import Metric, Reject
    from workbench.review.rated import Summary

ProjectOption = Annotated[
    str, typer.Option("--project", help="review (candidates), dialogues (tags of turns) or rating (answers of models).")
]

NEXT = {"accept": "the rest passes", "draw": "sample", "review": "look at all"}
"""What becomes of a lot."""


def register(app: typer.Typer) -> None:
    """Add the verb to `wb review`."""
    app.command("status")(status)


def status(
    project: ProjectOption = "review",
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """What people did so far: progress, speed, agreement, defect rates with intervals, gate versus human."""
    from workbench.flow.review.kinds import check_kind

    opened = open_bench(bench, settings)
    kind = check_kind(project)
    if kind == "rating":
        from workbench.flow.review.rating import results

        rated = results(opened)
        show_json(rating_json(rated)) if as_json else show_ratings(rated)
        return
    if kind == "dialogues":
        show_dialogues(opened, as_json)
        return
    from workbench.flow.review.status import status as run

    found = run(opened)
    show_json(status_json(found)) if as_json else show_status(found)


def status_json(found: "Status") -> dict[str, Any]:
    """Everything; each figure that is estimated as value, low, high, n."""
    from workbench.flow.review.status import per_approved

    seconds, cost = per_approved(found)
    agreed = found.agreement
    gate = found.gate
    return {
        "tasks": found.tasks,
        "waiting": found.waiting,
        "states": found.states,
        "progress": found.progress.json(),
        "reviewers": [
            {"reviewer": r.name, "tasks": r.tasks, "seconds": r.seconds, "decisions": r.decisions}
            for r in found.reviewers
        ],
        "agreement": {
            "raw": _json(agreed.raw),
            "cohen_kappa": _json(agreed.cohen),
            "fleiss_kappa": _json(agreed.fleiss),
            "krippendorff_alpha": _json(agreed.alpha),
        },
        "defects": {label: metric.json() for label, metric in found.defects.items()},
        "defects_overall": _json(found.overall),
        "lots": [
            {
                "label": lot.label,
                "prompt": lot.prompt,
                "rows": len(lot.rows),
                "looked": lot.looked,
                "defects": lot.defects,
            }
            | {"action": step.action, "unseen": step.unseen.json()}
            for lot, step in found.lots
        ],
        "gate": gate
        and {
            "kept_bad": gate.kept.json(),
            "dropped_bad": gate.dropped.json(),
            "rules": {
                rule.rule: {"precision": rule.dropped.json(), "auc": _json(rule.auc), "say": rule.say}
                for rule in gate.rules
            },
        },
        "unreadable": unreadable_json(found.unreadable),
        "approved": found.approved,
        "seconds_per_approved": seconds,
        "cost_per_approved": None if cost is None else float(cost),
    }


def rating_json(found: "Summary") -> dict[str, Any]:
    """Means and differences with intervals, agreement by dimension."""
    return {
        "answers": found.answers,
        "rated": found.rated,
        "done": found.done,
        "raters": dict(found.raters),
        "means": [{**metric.where, **metric.json()} for metric in found.means],
        "differences": [{**metric.where, **metric.json()} for metric in found.differences],
        "agreement": {
            name: {"raw": _json(a.raw), "krippendorff_alpha": _json(a.alpha)} for name, a in found.agreement.items()
        },
    }


def show_status(found: "Status") -> None:
    """For people."""
    from workbench.flow.review.status import per_approved

    show(f"{found.tasks - found.waiting} of {found.tasks} tasks are done, {found.waiting} wait.")
    if found.states:
        show("Rows: " + ", ".join(f"{name} {count}" for name, count in found.states.items()))
    _show_reviewers(found)
    _show_lots(found)
    if found.gate is not None:
        show(found.gate.say)
        for rule in found.gate.rules:
            if rule.threshold is not None or rule.dropped.n:
                show(f"{rule.rule}: {rule.say}")
    show_unreadable(found.unreadable)
    seconds, cost = per_approved(found)
    if seconds is not None:
        price = "cost unknown: a reply has no price" if cost is None else f"cost {cost:.4f} (replies and review.wage)"
        show(f"For each of the {found.approved} rows that people want: {seconds:.0f} s of reviewers, {price}.")


def _show_reviewers(found: "Status") -> None:
    rows = [
        (r.name, r.tasks, "" if r.seconds is None else f"{r.seconds:.0f}", _shares(r.decisions, r.tasks))
        for r in found.reviewers
    ]
    if rows:
        show_table("Reviewers", ["who", "tasks", "seconds (median)", "verdicts"], rows, right=[1, 2])
    if found.agreement.say:
        show(found.agreement.say)


def _show_lots(found: "Status") -> None:
    lots = [
        (lot.label, lot.prompt.partition("@")[0], len(lot.rows), lot.looked, lot.defects, NEXT[step.action])
        for lot, step in found.lots
    ]
    if lots:
        show_table("Lots", ["class", "prompt", "rows", "looked at", "defects", "next"], lots, right=[2, 3, 4])
    if found.overall is not None and found.overall.high:
        rates = [*found.defects.items(), ("all classes", found.overall)]
        rows = [(label, f"{m.value:.1%}" if m.n else "", f"{m.low:.1%} to {m.high:.1%}", m.n) for label, m in rates]
        columns = ["class", "estimate", "interval", "looked at"]
        show_table("Defect rate of the rows that nobody looked at", columns, rows, right=[1, 2, 3])


def show_ratings(found: "Summary") -> None:
    """Means and differences, for people."""
    show(
        f"{found.done} of {found.answers} answers are rated by as many people as shall, {found.rated} by at least one."
    )
    for sentence in found.say:
        show(sentence)


def show_dialogues(bench: "Bench", as_json: bool) -> None:
    """How many dialogues wait, and which annotations cannot be read."""
    from workbench.flow.review.deliver import waiting

    people = bench.ledger.people
    tasks, left, unreadable = (
        len(people.asked("dialogues")),
        len(waiting(bench, "dialogues")),
        people.unreadable("dialogues"),
    )
    if as_json:
        share = (tasks - left) / tasks if tasks else 0.0
        progress = {"value": share, "low": share, "high": share, "n": tasks}
        show_json({"tasks": tasks, "waiting": left, "progress": progress, "unreadable": unreadable_json(unreadable)})
        return
    show(f"{tasks - left} of {tasks} dialogues are done, {left} wait. What is still missing: wb tokens coverage")
    show_unreadable(unreadable)


def unreadable_json(found: "Sequence[Reject]") -> list[dict[str, str]]:
    """Annotations that decide nothing."""
    return [{"uid": reject.place, "reason": reject.reason, "say": reject.say} for reject in found]


def show_unreadable(found: "Sequence[Reject]") -> None:
    """The newest of them, for people."""
    for reject in found[-5:]:
        show(f"Unreadable: {reject.place}: {reject.say}")


def _json(metric: "Metric | None") -> dict[str, float | int] | None:
    return None if metric is None else metric.json()


def _shares(decisions: "Any", tasks: int) -> str:
    return ", ".join(f"{name} {count / tasks:.0%}" for name, count in decisions.items())
