"""Reading and appending facts. All SQL of the project lives in this folder."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select, text
from sqlalchemy.dialects.sqlite import insert as insert_or_keep

from workbench.errors import DataError
from workbench.ledger import schema as t
from workbench.records import Change, Origin, Reject, Sample, Turn, Verdict, digest

CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One command that changed the bench."""

    id: int
    stage: str
    kind: str
    details: Mapping[str, Any]
    at: str
    undoes: int | None
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered to one request. `cost` is a decimal string, empty where the price is unknown."""

    id: str
    label: str
    against: str
    strategy: str
    draw: int
    rows: int
    """Rows that were asked for."""
    prompt: str
    parents: tuple[str, ...]
    seed: int
    messages: tuple[Mapping[str, str], ...]
    model: str
    endpoint: str
    text: str
    finish: str
    tokens_in: int
    tokens_out: int
    cost: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A synthetic row with the verdicts of its newest gating; none where it has not been gated."""

    sample: Sample
    verdicts: tuple[Verdict, ...]

    @property
    def accepted(self) -> bool:
        """Gated, and no rule against it."""
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Run:
    """A training or evaluation run."""

    id: str
    kind: str
    version: str | None
    summary: Mapping[str, Any]
    at: str


class Writer:
    """Appends facts inside one transaction: all of them are stored, or none."""

    def __init__(self, connection: Connection, operation: int) -> None:
        self._connection = connection
        self.operation = operation

    def samples(self, rows: Sequence[Sample]) -> int:
        """Append samples; rows that are there already (same id) are kept as they are. Returns how many were new."""
        before = self._count(t.samples)
        self._put(t.samples, [_sample_row(row) for row in rows], keep=True)
        return self._count(t.samples) - before

    def changes(self, rows: Sequence[Change]) -> None:
        """Append new field values."""
        self._put(t.changes, [asdict(row) | {"value": _turns_json(row.value)} for row in rows])

    def label_ids(self, ids: Mapping[str, str]) -> None:
        """Append the numbers that a file gives to labels."""
        self._put(t.label_ids, [{"label": label, "label_id": number} for label, number in ids.items()], keep=True)

    def rejects(self, rows: Sequence[Reject]) -> None:
        """Append what could not become a sample."""
        self._put(t.rejects, [asdict(row) for row in rows])

    def parsed(self, reply: str, drafts: int, rejects: int) -> None:
        """Note that a reply was parsed; a second parse of it would fail here."""
        self._put(t.parses, [{"reply": reply, "drafts": drafts, "rejects": rejects}])

    def verdicts(self, sample: str, rows: Sequence[Verdict]) -> None:
        """Append the verdicts of one row."""
        self._put(t.verdicts, [asdict(row) | {"sample": sample} for row in rows])

    def version(self, rows: Sequence[Sample]) -> str:
        """Name a training set by its content and store its rows once. Returns the name."""
        name = digest(*sorted(f"{row.id}:{row.text_id}:{row.label}" for row in rows))
        synthetic = sum(row.source != "human" for row in rows)
        self._put(t.versions, [{"id": name, "rows": len(rows), "synthetic": synthetic}], keep=True)
        statement = insert_or_keep(t.version_rows).on_conflict_do_nothing()
        self._connection.execute(statement, [{"version": name, "sample": row.id} for row in rows])
        return name

    def run(self, run: str, kind: str, version: str | None, summary: Mapping[str, Any]) -> None:
        """Append a finished run."""
        self._put(t.runs, [{"id": run, "kind": kind, "version": version, "summary": dict(summary)}])

    def opening(self, rows_hash: str, why: str) -> None:
        """Note that the test split is being read for a verdict."""
        self._put(t.openings, [{"rows_hash": rows_hash, "why": why}])

    def _put(self, table: Any, rows: Sequence[Mapping[str, Any]], *, keep: bool = False) -> None:
        statement = insert_or_keep(table).on_conflict_do_nothing() if keep else insert(table)
        for start in range(0, len(rows), CHUNK):
            chunk = [{**row, "operation": self.operation} for row in rows[start : start + CHUNK]]
            self._connection.execute(statement, chunk)

    def _count(self, table: Any) -> int:
        return int(self._connection.scalar(select(func.count()).select_from(table)) or 0)


class Ledger:
    """The facts of one bench. Safe for several processes at once: SQLite in WAL mode, one writer at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, creating it and its tables where it is new.

        Raises:
            DataError: the file is not a ledger, or was written by a newer version.
        """
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        event.listen(engine, "connect", _pragmas)
        event.listen(engine, "begin", _begin)
        try:
            with engine.execution_options(immediate=True).begin() as connection:
                version = int(connection.scalar(text("PRAGMA user_version")) or 0)
                if version == 0:
                    t.metadata.create_all(connection)
                    connection.execute(text(f"PRAGMA user_version = {t.SCHEMA_VERSION}"))
        except Exception as exc:
            if "not a database" not in str(exc):
                raise
            raise DataError(f"{path} is not a ledger.", "Move it away, or choose another bench.") from exc
        if version > t.SCHEMA_VERSION:
            raise DataError(
                f"{path} was written by a newer version (schema {version}, this one knows {t.SCHEMA_VERSION}).",
                "Update with: pip install -U intent-workbench",
            )
        return cls(engine)

    def close(self) -> None:
        """Give the file back."""
        self._engine.dispose()

    @contextmanager
    def write(
        self, stage: str, kind: str, details: Mapping[str, Any] | None = None, undoes: int | None = None
    ) -> Iterator[Writer]:
        """One operation as one transaction: what happens inside is stored whole or not at all."""
        with self._writer.begin() as connection:
            row = {"stage": stage, "kind": kind, "details": dict(details or {}), "at": _now(), "undoes": undoes}
            key = connection.execute(insert(t.operations).values(**row)).inserted_primary_key
            assert key is not None  # SQLite always reports it
            yield Writer(connection, int(key[0]))

    def add_reply(self, reply: Reply) -> None:
        """Store what a model answered, at once and on its own, before anything reads it."""
        row = asdict(reply) | {"parents": list(reply.parents), "messages": list(reply.messages), "at": _now()}
        with self._writer.begin() as connection:
            connection.execute(insert_or_keep(t.replies).on_conflict_do_nothing(), row)

    def samples(
        self, *, split: str | None = None, source: str | None = "human", everything: bool = False
    ) -> list[Sample]:
        """Samples as they are now, in the order they came; dropped ones only with `everything`."""
        query = select(t.samples).order_by(t.samples.c.seq)
        if source is not None:
            query = query.where(t.samples.c.source == source)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
            now = self._current(connection)
        found = (_apply(_sample(row), now.get(row.id, {})) for row in rows)
        return [s for s, dropped in found if (everything or not dropped) and (split is None or s.split == split)]

    def sample(self, sample_id: str) -> Sample:
        """One sample as it is now, by its id or a unique beginning of it.

        Raises:
            DataError: no row, or several, begin like that.
        """
        with self._engine.connect() as connection:
            query = select(t.samples).where(t.samples.c.id.startswith(sample_id, autoescape=True)).limit(3)
            rows = connection.execute(query).all()
            exact = [row for row in rows if row.id == sample_id] or rows
            if len(exact) != 1:
                what = "no row has" if not exact else "several rows begin with"
                raise DataError(
                    f"In this bench {what} the id {sample_id!r}.", "`wb data show` lists rows with their ids."
                )
            return _apply(_sample(exact[0]), self._current(connection, exact[0].id).get(exact[0].id, {}))[0]

    def _current(self, connection: Connection, sample: str | None = None) -> dict[str, dict[str, Any]]:
        """The newest value of each changed field, of operations that were not undone."""
        undone = select(t.operations.c.undoes).where(t.operations.c.undoes.is_not(None))
        query = select(t.changes).where(t.changes.c.operation.not_in(undone)).order_by(t.changes.c.id)
        if sample is not None:
            query = query.where(t.changes.c.sample == sample)
        now: dict[str, dict[str, Any]] = {}
        for row in connection.execute(query):
            now.setdefault(row.sample, {})[row.field] = row.value
        return now

    def candidates(self, label: str | None = None) -> list[Candidate]:
        """Synthetic rows with their newest verdicts, in the order they came."""
        rows = [s for s in self.samples(source="synthetic") if label is None or s.label == label]
        newest = (
            select(t.verdicts.c.sample, func.max(t.verdicts.c.operation).label("operation")).group_by(
                t.verdicts.c.sample
            )
        ).subquery()
        query = select(t.verdicts).join(
            newest, (t.verdicts.c.sample == newest.c.sample) & (t.verdicts.c.operation == newest.c.operation)
        )
        found: dict[str, list[Verdict]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query.order_by(t.verdicts.c.id)):
                found.setdefault(row.sample, []).append(Verdict(row.rule, row.passed, row.reason, row.score))
        return [Candidate(row, tuple(found.get(row.id, ()))) for row in rows]

    def accepted(self) -> list[Sample]:
        """Synthetic rows that the newest gating let pass."""
        return [candidate.sample for candidate in self.candidates() if candidate.accepted]

    def verdict_history(self, sample: str) -> list[tuple[Operation, list[Verdict]]]:
        """Every gating of one row, oldest first."""
        operations = {operation.id: operation for operation in self.operations()}
        found: dict[int, list[Verdict]] = {}
        with self._engine.connect() as connection:
            query = select(t.verdicts).where(t.verdicts.c.sample == sample).order_by(t.verdicts.c.id)
            for row in connection.execute(query):
                found.setdefault(row.operation, []).append(Verdict(row.rule, row.passed, row.reason, row.score))
        return [(operations[key], verdicts) for key, verdicts in found.items()]

    def changes_of(self, sample: str) -> list[tuple[Operation, Change]]:
        """Every change of one row with its operation, oldest first."""
        operations = {operation.id: operation for operation in self.operations()}
        with self._engine.connect() as connection:
            query = select(t.changes).where(t.changes.c.sample == sample).order_by(t.changes.c.id)
            rows = connection.execute(query).all()
        return [(operations[r.operation], Change(r.sample, r.field, r.value, r.reason)) for r in rows]

    def change_counts(self, operation: int) -> Counter[str]:
        """How many changes of each reason an operation made."""
        query = select(t.changes.c.reason, func.count()).where(t.changes.c.operation == operation)
        with self._engine.connect() as connection:
            return Counter({reason: n for reason, n in connection.execute(query.group_by(t.changes.c.reason))})

    def label_ids(self) -> dict[str, str]:
        """Label -> the number that the user's files give it (the first where they disagree)."""
        found: dict[str, str] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(select(t.label_ids).order_by(t.label_ids.c.operation)):
                found.setdefault(row.label, row.label_id)
        return found

    def rejects(self, operation: int | None = None) -> list[Reject]:
        """What could not become a sample, in the order it came."""
        query = select(t.rejects).order_by(t.rejects.c.id)
        if operation is not None:
            query = query.where(t.rejects.c.operation == operation)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [Reject(r.place, r.line, r.reason, r.say, r.raw) for r in rows]

    def replies(self, *, unparsed: bool = False) -> list[Reply]:
        """Stored replies, oldest first; with `unparsed` only those that a killed command left unread."""
        query = select(t.replies).order_by(t.replies.c.at, t.replies.c.id)
        if unparsed:
            query = query.where(t.replies.c.id.not_in(select(t.parses.c.reply)))
        with self._engine.connect() as connection:
            return [_reply(row) for row in connection.execute(query)]

    def reply(self, reply_id: str) -> Reply | None:
        """One stored reply."""
        with self._engine.connect() as connection:
            row = connection.execute(select(t.replies).where(t.replies.c.id == reply_id)).first()
        return _reply(row) if row else None

    def operations(self) -> list[Operation]:
        """Every operation, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(t.operations).order_by(t.operations.c.id)).all()
        undone = {row.undoes for row in rows}
        return [Operation(r.id, r.stage, r.kind, r.details, r.at, r.undoes, r.id in undone) for r in rows]

    def versions_of(self, sample: str) -> list[str]:
        """Training sets that a row is part of, oldest first."""
        query = select(t.versions.c.id).join(t.version_rows, t.version_rows.c.version == t.versions.c.id)
        with self._engine.connect() as connection:
            ids = connection.scalars(query.where(t.version_rows.c.sample == sample).order_by(t.versions.c.operation))
            return list(ids)

    def runs(self, kind: str | None = None) -> list[Run]:
        """Finished runs, oldest first."""
        query = select(t.runs, t.operations.c.at).join(t.operations, t.operations.c.id == t.runs.c.operation)
        if kind is not None:
            query = query.where(t.runs.c.kind == kind)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(t.runs.c.operation)).all()
        return [Run(r.id, r.kind, r.version, r.summary, r.at) for r in rows]

    def openings(self) -> list[tuple[str, str]]:
        """Every opening of the test split: hash of its rows, and why."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(t.openings).order_by(t.openings.c.id)).all()
        return [(row.rows_hash, row.why) for row in rows]


def _pragmas(connection: Any, _: Any) -> None:
    # The driver must not start transactions of its own: `_begin` does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once and waits for it; taken later, in the middle, SQLite would refuse instead of waiting.
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _sample_row(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "text_id": sample.text_id,
        "turns": _turns_json(sample.turns),
        "label": sample.label,
        "split": sample.split,
        "source": sample.source,
        "origin": asdict(sample.origin) if sample.origin else None,
        "meta": dict(sample.meta),
    }


def _turns_json(value: Any) -> Any:
    """Turns as lists that JSON can hold; any other value as it is."""
    if isinstance(value, tuple) and all(isinstance(turn, Turn) for turn in value):
        return [[turn.role, turn.text, dict(turn.tags)] for turn in value]
    return value


def _sample(row: Any) -> Sample:
    origin = Origin(**(row.origin | {"parents": tuple(row.origin["parents"])})) if row.origin else None
    return Sample(row.id, _turns(row.turns), row.label, row.split, row.source, origin, row.meta)


def _turns(value: Sequence[Any]) -> tuple[Turn, ...]:
    return tuple(Turn(role, content, tags) for role, content, tags in value)


def _apply(sample: Sample, values: Mapping[str, Any]) -> tuple[Sample, bool]:
    if not values:
        return sample, False
    fields = {k: v for k, v in values.items() if k != "dropped"}
    if "turns" in fields:
        fields["turns"] = _turns(fields["turns"])
    return replace(sample, **fields), bool(values.get("dropped"))


def _reply(row: Any) -> Reply:
    values = dict(row._mapping)
    return Reply(**(values | {"parents": tuple(row.parents), "messages": tuple(row.messages)}))
