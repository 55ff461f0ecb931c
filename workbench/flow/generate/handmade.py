"""Rows that no model is asked for: templates and the user's own rows, gated and stored like the rest, each content once."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from workbench.bench import Bench
from workbench.data import parts_of, read_table, recognise
from workbench.errors import ConfigError, DataError, UsageError
from workbench.flow.gate.judge import Judge
from workbench.flow.gate.run import keep_quota
from workbench.flow.generate.plan import accepted_counts, known_labels
from workbench.flow.generate.writer import Writer, strategy_of
from workbench.generate import Desk, Handmade, resolve_label
from workbench.records import SEP, Need, Origin, Sample, Turn, digest


@dataclass(frozen=True, slots=True)
class Made:
    """What became of the rows that needed no model."""

    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> rows that the gate dropped."""
    ended: dict[tuple[str, str], str] = field(default_factory=dict)
    """(class, strategy) -> why there are no more: `used_up`, or `saturated` where the gate let nothing more pass."""


def make(bench: Bench, needs: Sequence[Need], judge: Callable[[], Judge]) -> Made:
    """Fill the needs whose strategy asks no model, as far as its rows reach; other needs are left alone.

    Args:
        bench: where rows come from and go to.
        needs: what is wanted; counts are totals in this bench.
        judge: makes the gate, when the first row needs it.

    Raises:
        ConfigError: templates or files are not as they should be.
        DataError: a file of rows has one that cannot be used.
    """
    made = Made()
    mine = [(need, strategy) for need in needs if isinstance(strategy := strategy_of(bench, need), Handmade)]
    if not mine:
        return made
    names = known_labels(bench)
    desk = Desk(
        bench.root,
        Writer(bench, needs).roles,
        bench.config.seed,
        lambda name: _label(name, *names),
        lambda *file: _table(bench, *file),
    )
    accepted = accepted_counts(bench)
    known = {sample.id for sample in bench.ledger.samples(source="synthetic", everything=True)}
    for need, strategy in mine:
        fresh = _fresh(need, strategy.rows(need, desk), known, bench.config.seed)
        made.ended[need.label, need.strategy] = _fill(bench, need, fresh, accepted, judge, made.dropped)
    return made


def _fresh(need: Need, rows: Iterator[tuple[Turn, ...]], known: set[str], seed: int) -> Iterator[Sample]:
    """Rows whose content the bench does not have yet as a candidate of the class."""
    origin = Origin(need.strategy, "", "", (), seed, "")
    for turns in rows:
        row = Sample(_identity(need.label, turns), turns, need.label, "train", "synthetic", origin)
        if row.id not in known:
            known.add(row.id)
            yield row


def _identity(label: str, turns: Sequence[Turn]) -> str:
    return digest("handmade", label, SEP.join(f"{turn.role}:{turn.text}" for turn in turns))


def _fill(
    bench: Bench,
    need: Need,
    fresh: Iterator[Sample],
    accepted: Counter[str],
    judge: Callable[[], Judge],
    dropped: Counter[str],
) -> str:
    """Take as many rows as are missing, gate and store them, until none is missing or no more come. Says why it ended."""
    barren, stack = 0, None
    while (missing := need.count - accepted[need.label]) > 0:
        rows = list(islice(fresh, missing))
        if not rows:
            return "used_up"
        stack = stack or judge().stack(bench.ledger.passed())
        verdicts = stack.check(judge().rows(rows))
        keep_quota(rows, verdicts, {need.label: missing})
        with bench.ledger.write("generate", "handmade", {"rows": len(rows), "strategy": need.strategy}) as writer:
            writer.samples(rows)
            for sample, row in zip(rows, verdicts, strict=True):
                writer.verdicts(sample.id, row)
        passed = sum(all(verdict.passed for verdict in row) for row in verdicts)
        accepted[need.label] += passed
        dropped.update(
            next(v.reason for v in row if not v.passed) for row in verdicts if not all(v.passed for v in row)
        )
        barren = 0 if passed else barren + 1
        if barren >= bench.config.generate.patience:
            return "saturated"
    return ""


def _label(name: str, labels: Sequence[str], ids: Mapping[str, str]) -> str:
    try:
        return resolve_label(name, labels, ids)
    except UsageError as exc:
        raise ConfigError(f"generate.strategies: {exc.message}", exc.hint) from exc


def _table(bench: Bench, name: str, text: str | None, label: str | None) -> list[tuple[str, tuple[Turn, ...]]]:
    """(class, turns) of each row of a file.

    Raises:
        DataError: the file, or one of its rows, cannot be used.
    """
    path = bench.root / name
    table = read_table(path)
    columns = recognise(table.columns, text, label, None)
    if not columns.label:
        raise DataError(f"{path}: no column looks like a class.", f"Name it; there are: {', '.join(table.columns)}")
    labels, ids = known_labels(bench)
    found = []
    for row in table.rows:
        if row.problem:
            raise DataError(f"{path}:{row.line}: {row.say}", "Mend the row.")
        try:
            parts = parts_of(row.values, columns, bench.config.data.first_role)
            found.append((resolve_label(parts.label, labels, ids), parts.turns))
        except ValueError as exc:
            raise DataError(f"{path}:{row.line}: this is no row of text and class ({exc}).", "Mend the row.") from exc
        except UsageError as exc:
            raise DataError(f"{path}:{row.line}: {exc.message}", exc.hint) from exc
    return found
