"""Gate candidates, of the bench or of a file: judge, record."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.data import parts_of, read_table, recognise
from workbench.errors import DataError
from workbench.flow.gate.judge import Judge, peers_of
from workbench.gate import Calibration, Rule, doubt, mended
from workbench.generate import roles_of, turns_of
from workbench.ledger import Candidate
from workbench.records import SEP, Change, Origin, Sample, Turn, Verdict, digest


@dataclass(frozen=True, slots=True)
class Gated:
    """What a gating did."""

    samples: tuple[Sample, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]
    calibration: Calibration
    budget: float
    rules: Mapping[str, Rule]
    says: tuple[str, ...] = ()
    """What the language models are worth that rules ask for, a sentence each."""

    @property
    def odd(self) -> float:
        """Share of the rows that are more doubtful than 95 % of the real ones: .05 where the writer writes as people do."""
        limit = self.calibration.usual_doubt
        return sum(doubt(row, self.rules) > limit for row in self.verdicts) / max(1, len(self.verdicts))

    @property
    def passed(self) -> int:
        """Rows that no rule is against."""
        return sum(all(verdict.passed for verdict in row) for row in self.verdicts)


SURPLUS = Verdict("quota", False, "surplus")
"""Passed every rule, but the class had its rows already; the next `wb generate --more` takes these first."""


UNKNOWN = Verdict("read", False, "unknown_class")
"""The class has no real rows."""


def keep_quota(
    samples: Sequence[Sample],
    verdicts: Sequence[list[Verdict]],
    room: dict[str, int],
    refused: Collection[str] = (),
) -> None:
    """Mark rows that passed as surplus where their class has no `room` left; classes not in `room` have no quota.

    Rows that people are against (ids in `refused`) take no room.
    """
    for sample, row in zip(samples, verdicts, strict=True):
        if sample.label not in room or sample.id in refused or not all(verdict.passed for verdict in row):
            continue
        if room[sample.label] > 0:
            room[sample.label] -= 1
        else:
            row.append(SURPLUS)


def refuse_unknown(samples: Sequence[Sample], verdicts: Sequence[list[Verdict]], known: Sequence[str]) -> None:
    """A verdict against every row of a class without real rows: most rules have nothing to say of it."""
    names = set(known)
    for sample, row in zip(samples, verdicts, strict=True):
        if sample.label not in names:
            row.insert(0, UNKNOWN)


def gate_bench(bench: Bench) -> Gated:
    """Gate all candidates of the bench anew, in the order they came; the new verdicts count from now on.

    A class that had surplus rows keeps the number of rows that it had: a milder gate does not exceed a quota.
    """
    with bench.alone("gate"):
        before = bench.ledger.candidates()
        samples = [mended(candidate.sample, bench.config.gate.rules) for candidate in before]
        judge = Judge.of(bench, peers_of(before, samples))
        full = {candidate.sample.label for candidate in before if SURPLUS in candidate.verdicts}
        room = {label: sum(c.accepted and c.sample.label == label for c in before) for label in full}
        verdicts = judge.stack().check(judge.rows(samples))
        refuse_unknown(samples, verdicts, judge.head.labels)
        keep_quota(samples, verdicts, room, {c.sample.id for c in before if c.refused})
        with bench.ledger.write("gate", "all", {"rows": len(samples)}) as writer:
            writer.changes(changes_of(samples, before))
            for sample, row in zip(samples, verdicts, strict=True):
                writer.verdicts(sample.id, row)
    return _gated(bench, judge, samples, verdicts)


def _gated(bench: Bench, judge: Judge, samples: Sequence[Sample], verdicts: Sequence[Sequence[Verdict]]) -> Gated:
    found = tuple(tuple(row) for row in verdicts)
    gate = bench.config.gate
    return Gated(tuple(samples), found, judge.calibration, gate.budget, gate.rules, judge.says)


def changes_of(samples: Sequence[Sample], before: Sequence[Candidate]) -> list[Change]:
    """What mending changed."""
    pairs = zip(samples, before, strict=True)
    return [Change(sample.id, "turns", sample.turns, "mended") for sample, old in pairs if sample != old.sample]


def gate_file(
    bench: Bench, path: Path, *, text: str | None, label: str | None, add: bool
) -> tuple[Gated, list[dict[str, Any]]]:
    """Gate rows that were made elsewhere. Returns the gating and the file's own columns, row by row, in its order.

    Rows without text or of an unknown class are judged too; nothing is left out. With `add` they become candidates.

    Raises:
        DataError: the file cannot be read, or its columns are not understood.
    """
    table = read_table(path)
    columns = recognise(table.columns, text, label, None)
    if not columns.label:
        names = ", ".join(table.columns)
        raise DataError(f"No column looks like a label; there are: {names}.", "Name it: --label COLUMN")
    roles = roles_of(bench.ledger.samples(split="train"))
    samples: list[Sample] = []
    broken: dict[int, Verdict] = {}
    for number, row in enumerate(table.rows):
        key = digest(table.fingerprint, str(number), "candidate")
        turns: tuple[Turn, ...] = (Turn("user", ""),)
        name = ""
        try:
            parts = parts_of(row.values, columns, bench.config.data.first_role)
            turns, name = _unnamed(parts.turns, roles), parts.label
        except ValueError as exc:
            broken[number] = Verdict("read", False, str(exc.args[0]))
        if row.problem:
            broken[number] = Verdict("read", False, row.problem)
        origin = Origin("external", "", "", (), 0, "")
        sample = Sample(key, turns, name, "train", "synthetic", origin, dict(row.values))
        samples.append(mended(sample, bench.config.gate.rules))
    gated = _gate_rows(bench, samples, broken, add=add)
    return gated, [row.values or {"line": row.line, "raw": row.raw} for row in table.rows]


def _unnamed(turns: tuple[Turn, ...], roles: Sequence[str]) -> tuple[Turn, ...]:
    """Turns without the speaker's name that models write before them; who speaks is one of the bench's roles."""
    return turns_of(SEP.join(turn.text for turn in turns), roles) or turns if len(roles) > 1 else turns


def _gate_rows(bench: Bench, samples: Sequence[Sample], broken: Mapping[int, Verdict], *, add: bool) -> Gated:
    judge = Judge.of(bench, [*peers_of(bench.ledger.candidates()), *samples])
    ours = {sample.id for sample in samples}
    siblings = [sample for sample in bench.ledger.passed() if sample.id not in ours]
    verdicts = judge.stack(siblings).check(judge.rows(samples))
    sound = [i for i in range(len(samples)) if i not in broken]
    refuse_unknown([samples[i] for i in sound], [verdicts[i] for i in sound], judge.head.labels)
    for i, verdict in broken.items():
        verdicts[i].insert(0, verdict)
    if add:
        with bench.ledger.write("gate", "added", {"rows": len(samples)}) as writer:
            writer.samples([sample for i, sample in enumerate(samples) if i not in broken])
            for i, (sample, row) in enumerate(zip(samples, verdicts, strict=True)):
                if i not in broken:
                    writer.verdicts(sample.id, row)
    return _gated(bench, judge, samples, verdicts)
