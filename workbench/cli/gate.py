"""`wb gate`: which candidates stay."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import gate_looks
from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.flow.gate.run import Gated


def register(app: typer.Typer) -> None:
    """Add the verb to `wb`."""
    app.command("gate")(gate)


def gate(
    file: Annotated[
        Path | None, typer.Argument(help="Candidates made elsewhere; the bench's own where not given.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Put the file's rows into the bench as candidates.")] = False,
    explain: Annotated[
        str | None,
        typer.Option("--explain", help="Show what every rule says of the row with this id, and store nothing."),
    ] = None,
    doubtful: Annotated[
        int, typer.Option("--doubtful", help="List this many accepted rows, the most doubtful first.", min=0)
    ] = 0,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="What each rule alone removes, and its effect on macro-F1 (dev split).")
    ] = False,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask", help="First have the models in llm.endpoints answer what the rules llm_judge and llm_label ask."
        ),
    ] = False,
    max_requests: Annotated[int, typer.Option(help="Most requests of --ask; 0 for no limit.", min=0)] = 0,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Judge candidates by rules whose thresholds are calibrated on the real rows."""
    from workbench.flow.gate import run as flow

    opened = open_bench(bench, settings)
    if explain is not None:
        gate_looks.explain_row(opened, explain, as_json)
        return
    if doubtful:
        gate_looks.list_doubtful(opened, doubtful, as_json)
        return
    if ablate:
        gate_looks.ablate_rules(opened, as_json)
        return
    if ask:
        result, columns = ask_models(opened, file, max_requests), None
    elif file is None:
        result, columns = flow.gate_bench(opened), None
    else:
        result, columns = flow.gate_file(opened, file, text=text, label=label, add=add)
    if not as_json:
        show_gated(result)
        return
    for sentence in result.says:
        say(sentence)
    for i, row in enumerate(result.verdicts):
        verdicts = [
            {"rule": v.rule, "passed": v.passed, "reason": v.reason, "score": v.score, "tail": v.tail} for v in row
        ]
        kept = columns[i] if columns else {"id": result.samples[i].id, "text": result.samples[i].text}
        show_json({**kept, "passed": all(v.passed for v in row), "verdicts": verdicts})


def ask_models(bench: "Bench", file: Path | None, max_requests: int) -> "Gated":
    """Ask and gate; how it went goes to stderr.

    Raises:
        UsageError: a file is named.
    """
    from workbench.errors import UsageError
    from workbench.flow.gate.ask import ask_and_gate

    if file is not None:
        raise UsageError(
            "--ask asks about candidates of the bench, and a file is named.",
            "Take it in first: wb gate FILE --add, then: wb gate --ask",
        )
    asked, result = ask_and_gate(bench, max_requests=max_requests, progress=say)
    price = "unknown" if asked.cost is None else f"{asked.cost:f} {asked.currency}"
    say(
        f"{asked.answers} new answers of {', '.join(asked.models)}; {asked.junk} without an answer in them. Cost: {price}"
    )
    for name in asked.skipped:
        say(f"{name} was not asked about candidates.")
    if asked.refused:
        say(f"{asked.refused} questions were refused.")
    if asked.left:
        say(f"{asked.left} questions are left (--max-requests); the same command goes on from there.")
    return result


def show_gated(result: "Gated") -> None:
    """What each rule dropped, beside what it would drop of the real rows."""
    rules = list(result.calibration.dropped)
    rows = []
    for rule in rules:
        found = [v for row in result.verdicts for v in row if v.rule == rule and not v.passed]
        reasons = ", ".join(
            f"{name} {sum(v.reason == name for v in found)}" for name in sorted({v.reason for v in found})
        )
        rows.append((rule, len(found), reasons, f"{result.calibration.dropped[rule]:.1%}"))
    show_table("What each rule drops", ["rule", "candidates", "reasons", "of the real rows"], rows, right=[1, 3])
    for sentence in result.says:
        show(sentence)
    calibration = result.calibration
    for rule, usual in calibration.usual.items():
        if usual:
            show(f"{rule}: {', '.join(sorted(usual))} not held against candidates: your real rows have it, too.")
    show(f"Passed: {result.passed} of {len(result.verdicts)} candidates.")
    show(f"The whole stack would drop {calibration.stack:.1%} of your {calibration.rows} real rows.")
    if result.verdicts:
        show(
            f"{result.odd:.0%} of the candidates are odder than 95 % of your real rows (5 % where a writer writes as people do)."
        )
    if calibration.stack > result.budget:
        most = max(calibration.dropped, key=lambda rule: calibration.dropped[rule])
        show(
            f"That is above the budget of {result.budget:.0%}, which only calibrated rules keep. "
            f"Most comes from {most} ({calibration.dropped[most]:.1%}): look at it, mend the rows, or set gate.rules.{most}=off."
        )
