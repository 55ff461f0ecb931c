"""`wb tokens`: look at the tags of dialogues, render them as special tokens, parse them back, have a model fill the gaps."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.data import visible
from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.flow.tokens.dialogues import Dialogues
    from workbench.flow.tokens.fill import Filled
    from workbench.llm import Request
    from workbench.tokens import Coverage, FieldCount, Place

tokens = typer.Typer(help="Tags of dialogues as special tokens: coverage, render, parse, fill.", no_args_is_help=True)
FileArgument = Annotated[
    Path | None,
    typer.Argument(help="Dialogues, one JSON object a line; `-` reads stdin. The bench's own rows where not given."),
]
TagsOption = Annotated[
    Path | None, typer.Option("--tags", help="Tags file (JSON or YAML); that of wb.yaml (tokens.file) where not given.")
]
MaxRequests = Annotated[int, typer.Option(help="Most requests of this call; 0 for no limit.", min=0)]
MOST = 20
"""Lines that a list for people has; `--json` has all."""


def register(app: typer.Typer) -> None:
    """Add the verbs to `wb`."""
    app.add_typer(tokens, name="tokens")


@tokens.command("coverage")
def cover(
    file: FileArgument = None,
    tags: TagsOption = None,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask", help="First have a model say which tags the text contradicts, of dialogues of the bench."
        ),
    ] = False,
    max_requests: MaxRequests = 0,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Show how often each tag occurs, and what is missing, unknown, out of order or inconsistent."""
    from workbench.flow.tokens import dialogues as flow

    if ask:
        from workbench.flow.tokens.fill import fill

        flow.no_file_with("--ask", file)
        opened = open_bench(bench, settings)
        show_asked(fill(opened, tags=tags, gaps=False, contradictions=True, max_requests=max_requests, progress=say))
    found = dialogues(file, tags, bench, settings)
    contradictions: Sequence[Place] = ()
    if file is None:
        from workbench.flow.tokens.fill import contradicted

        contradictions = contradicted(open_bench(bench, settings), tags)
    result = flow.cover(found, contradictions)
    show_json(coverage_json(result, found)) if as_json else show_coverage(result, found)


@tokens.command()
def render(
    file: FileArgument = None, tags: TagsOption = None, bench: BenchOption = None, settings: SetOption = None
) -> None:
    """Print each dialogue as one JSON line: its id, its text with special tokens, and its further columns."""
    from workbench.flow.tokens import dialogues as flow

    show_lines(flow.rendered(dialogues(file, tags, bench, settings)))


@tokens.command()
def parse(
    file: Annotated[Path, typer.Argument(help="What `wb tokens render` printed; `-` reads stdin.")],
    tags: TagsOption = None,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Print the dialogues that were rendered, one JSON line each, as they were."""
    from workbench.flow.tokens import dialogues as flow

    known = flow.vocabulary(bench_or_bare(bench, settings), tags)
    show_lines(flow.parsed(*content(file), known))


@tokens.command("list")
def list_tokens(
    tags: TagsOption = None, as_json: JsonOption = False, bench: BenchOption = None, settings: SetOption = None
) -> None:
    """Print every special token of the vocabulary, one a line, for the tokenizer of a model."""
    from workbench.flow.tokens import dialogues as flow

    found = flow.vocabulary(bench_or_bare(bench, settings), tags).special_tokens()
    if as_json:
        show_json(found)
        return
    for token in found:
        show(token)


def bench_or_bare(bench: Path | None, settings: Sequence[str] | None) -> "Bench":
    """The bench, or code defaults where there is none."""
    from workbench.bench import Bench

    return Bench.find_or_bare(bench, settings or ())


def dialogues(file: Path | None, tags: Path | None, bench: Path | None, settings: Sequence[str] | None) -> "Dialogues":
    """What a command works on."""
    from workbench.flow.tokens import dialogues as flow

    opened = open_bench(bench, settings) if file is None else bench_or_bare(bench, settings)
    return flow.load(opened, None if file is None else content(file), tags)


def content(file: Path) -> tuple[str, str]:
    """Name and text of a file, or of stdin.

    Raises:
        DataError: it cannot be read.
    """
    from workbench.errors import DataError
    from workbench.flow.tokens.dialogues import read_text

    if str(file) != "-":
        return str(file), read_text(file)
    try:
        return "stdin", sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise DataError("What came on stdin is not in UTF-8.", "Send UTF-8.") from exc


def show_lines(lines: Iterable[Any]) -> None:
    """One JSON value a line."""
    from workbench.tokens import dumps

    for line in lines:
        show(dumps(line))


def coverage_json(found: "Coverage", of: "Dialogues") -> dict[str, Any]:
    """What `--json` prints; of rows of a bench places also have the row's id, as `sample`."""

    def places(some: "Iterable[Place]") -> list[dict[str, Any]]:
        rows = [(place, of.entries[place.at].sample) for place in some]
        return [place.json() | ({"sample": sample} if sample else {}) for place, sample in rows]

    return {
        "dialogues": found.dialogues,
        "turns": found.turns,
        "missing": places(found.missing),
        "unknown_value": places(found.unknown_value),
        "order": places(found.order),
        "contradiction": places(found.contradiction),
        "inconsistent": [
            {"role": one.role, "text": one.text, "field": one.field}
            | {"values": {value: places(some) for value, some in one.values.items()}}
            for one in found.inconsistent
        ],
        "fields": [
            {"role": one.role, "field": one.field, "places": one.places, "given": one.given, "missing": one.missing}
            | {"counts": one.counts, "unknown": dict(one.unknown)}
            for one in found.fields
        ],
        "topics": [
            {"topic": one.topic, "dialogues": one.dialogues, "turns": one.turns, "wanted": one.wanted}
            | {"given": one.given, "fields": {name: dict(counts) for name, counts in one.fields.items()}}
            for one in found.topics
        ],
        "unused": [{"role": role, "field": name, "value": value} for role, name, value in found.unused],
        "other_fields": dict(found.other),
    }


def show_coverage(found: "Coverage", of: "Dialogues") -> None:
    """The tables for people."""
    rows = [
        (
            one.name,
            one.places,
            one.given,
            one.missing,
            one.unknown.total(),
            f"{sum(map(bool, one.counts.values()))}/{len(one.counts)}",
        )
        for one in found.fields
    ]
    title = f"{found.dialogues} dialogues, {found.turns} turns"
    show_table(title, ["field", "places", "given", "missing", "unknown", "values used"], rows, right=[1, 2, 3, 4, 5])
    show_table("Values", ["field", "value: how often"], [(one.name, values_of(one, of)) for one in found.fields])
    topics = [
        (
            one.topic or "(none)",
            of.vocabulary.meaning("", "topic", one.topic),
            one.dialogues,
            one.turns,
            share(one.given, one.wanted),
        )
        for one in found.topics
    ]
    show_table("Topics", ["topic", "meaning", "dialogues", "turns", "tags given"], topics, right=[2, 3, 4])
    show_defects(found, of)
    show_inconsistent(found)
    for name, count in found.other.items():
        show(f"{count} turns have {name}, which is no field of the vocabulary.")
    if found.unused:
        show(
            "Never used: "
            + ", ".join(f"{f'{role}.' if role else ''}{name}={value}" for role, name, value in found.unused)
        )


def share(part: int, whole: int) -> str:
    """A share in percent, rounded down, so that 100 % means all."""
    return f"{int(part * 1000 / whole) / 10:.1f}%" if whole else "-"


def values_of(one: "FieldCount", of: "Dialogues") -> str:
    """The values of a field that occur, most frequent first."""
    used = Counter({value: n for value, n in one.counts.items() if n})
    meant = [
        f"{value} {of.vocabulary.meaning(one.role, one.field, value)}".strip() + f" {n}"
        for value, n in used.most_common()
    ]
    return ", ".join([*meant, *(f"{visible(value, 30)} (unknown) {n}" for value, n in one.unknown.most_common())])


def show_defects(found: "Coverage", of: "Dialogues") -> None:
    """What is wrong, place by place."""
    kinds = ("missing", "unknown_value", "order", "contradiction")
    read = list(of.read())
    rows = []
    for kind in kinds:
        for place in getattr(found, kind):
            dialogue = read[place.at]
            turn = None if place.turn is None else dialogue.turns[place.turn]
            value = dialogue.topic if turn is None else turn.tags.get(place.field, "")
            said = "" if turn is None else visible(turn.text, 20)
            where = "-" if place.turn is None else str(place.turn)
            rows.append((kind, place.id, where, place.field, visible(value, 30), said))
    counts = ", ".join(f"{kind} {len(getattr(found, kind))}" for kind in kinds)
    show_table(f"Defects: {counts}", ["defect", "dialogue", "turn", "field", "value", "text"], rows[:MOST], right=[2])
    if len(rows) > MOST:
        show(f"{len(rows) - MOST} more; --json lists all.")


def show_inconsistent(found: "Coverage") -> None:
    """Texts that are tagged in more than one way."""
    rows = [
        (one.role, visible(one.text, 20), one.field, value, ", ".join(f"{p.id}:{p.turn}" for p in places[:5]))
        for one in found.inconsistent
        for value, places in one.values.items()
    ]
    if rows:
        title = f"The same text, tagged differently: {len(found.inconsistent)}"
        show_table(title, ["role", "text", "field", "value", "dialogue:turn"], rows[:MOST])
    if len(rows) > MOST:
        show(f"{len(rows) - MOST} more lines; --json lists all.")


@tokens.command()
def fill(
    contradictions: Annotated[
        bool, typer.Option("--contradictions", help="Also ask which tags the text contradicts (tokens.doubted).")
    ] = False,
    tags: TagsOption = None,
    max_requests: MaxRequests = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first prompt; ask nothing.")] = False,
    as_json: JsonOption = False,
    bench: BenchOption = None,
    settings: SetOption = None,
) -> None:
    """Have a model propose the tags that are missing or unknown. Nothing is changed: proposals go to review."""
    from workbench.flow.tokens import fill as flow

    opened = open_bench(bench, settings)
    if dry_run:
        show_plan(flow.plan(opened, tags, contradictions=contradictions), as_json)
        return
    done = flow.fill(opened, tags=tags, contradictions=contradictions, max_requests=max_requests, progress=say)
    show_asked(done)
    show_json(filled_json(done)) if as_json else show_filled(done)


def show_plan(requests: "list[Request]", as_json: bool) -> None:
    """How many requests there would be, and the first of them."""
    first = list(requests[0].messages) if requests else []
    if as_json:
        show_json({"requests": len(requests), "prompt": first})
        return
    show(f"{len(requests)} requests." if requests else "Nothing to ask a model for.")
    if requests:
        show(f"First prompt ({requests[0].prompt}):\n")
    for message in first:
        show(f"--- {message['role']}\n{message['content']}\n")


def show_asked(done: "Filled") -> None:
    """What an asking did and cost, on stderr."""
    price = "unknown" if done.cost is None else f"{done.cost:f} {done.currency}".strip()
    by = f" of {done.model}" if done.model else ""
    say(f"{done.answers} new answers{by}; {done.junk} without a tag in them. Cost: {price}")
    if done.refused:
        say(f"{done.refused} questions were refused.")
    if done.left:
        say(f"{done.left} questions are left (--max-requests); the same command goes on from there.")
    if done.worth:
        say(f"Contradictions: {done.worth}")


def filled_json(done: "Filled") -> dict[str, Any]:
    """What `wb tokens fill --json` prints."""
    return {
        "answers": done.answers,
        "junk": done.junk,
        "refused": done.refused,
        "left": done.left,
        "cost": None if done.cost is None else float(done.cost),
        "open": done.open,
        "proposals": [
            {"sample": p.sample, "turn": p.turn, "field": p.field, "value": p.value, "why": p.why}
            for p in done.proposals
        ],
        "judged": done.judged,
        "planted": {"found": sum(done.found), "n": len(done.found)},
        "contradiction": [place.json() for place in done.contradictions],
    }


def show_filled(done: "Filled") -> None:
    """Proposals and contradictions for people."""
    rows = [(p.sample, "-" if p.turn is None else p.turn, p.field, p.value, visible(p.why, 40)) for p in done.proposals]
    title = f"Proposals: {len(rows)} for {done.open} tags that are missing or unknown"
    show_table(title, ["sample", "turn", "field", "value", "why"], rows[:MOST], right=[1])
    if len(rows) > MOST:
        show(f"{len(rows) - MOST} more; --json lists all.")
    if done.contradictions:
        named = [(place.id, place.turn, place.field) for place in done.contradictions]
        title = f"Tags that the text may contradict: {len(named)} of {done.judged} that were asked about"
        show_table(title, ["dialogue", "turn", "field"], named[:MOST], right=[1])
    show("Next: wb review push --project dialogues puts them before people.")
