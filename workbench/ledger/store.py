"""Reading and appending facts. All SQL of the project lives in this folder."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, insert, select, text
from sqlalchemy.dialects.sqlite import insert as insert_or_keep
from sqlalchemy.exc import DatabaseError, OperationalError

from workbench.errors import DataError
from workbench.ledger import schema as t
from workbench.ledger.facts import Candidate, Operation, Reply, Run, Sent
from workbench.ledger.outbox import Outbox, reply_row
from workbench.ledger.people import People
from workbench.ledger.writer import Writer
from workbench.records import Change, Origin, Reject, Sample, Turn, Verdict

WAIT = 300
"""Seconds that a writer waits for another one, as for a large import: a reply that cannot be stored would be lost."""


class Ledger:
    """The facts of one bench. Safe for several processes at once: SQLite in WAL mode, one writer at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        # Threads of one process take turns here: SQLite would have the second one sleep and look again.
        self._turn = RLock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, creating it and its tables where it is new.

        Raises:
            DataError: the file cannot be opened, is not a ledger, or was written by a newer version.
        """
        engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": WAIT})
        event.listen(engine, "connect", _pragmas)
        event.listen(engine, "begin", _begin)
        try:
            version = _schema_version(engine)
            if version < t.SCHEMA_VERSION:
                version = _create(engine)
        except OperationalError as exc:  # locked, no permission, no such folder: nothing is wrong with the file
            raise DataError(f"{path} cannot be opened: {exc.orig}.", "See to that and run the command again.") from exc
        except DatabaseError as exc:
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
        with self._turn, self._writer.begin() as connection:
            row = {"stage": stage, "kind": kind, "details": dict(details or {}), "at": _now(), "undoes": undoes}
            key = connection.execute(insert(t.operations).values(**row)).inserted_primary_key
            assert key is not None  # SQLite always reports it
            yield Writer(connection, int(key[0]))

    def add_reply(self, reply: Reply) -> None:
        """Store what a model answered, at once and on its own, before anything reads it."""
        with self._turn, self._writer.begin() as connection:
            connection.execute(insert_or_keep(t.replies).on_conflict_do_nothing(), reply_row(reply, _now()))

    @contextmanager
    def outbox(self) -> Iterator[Outbox]:
        """A queue to the ledger for a command that buys; at the end everything in it is stored."""
        with closing(Outbox(self._writer, self._turn)) as box:
            yield box

    def unanswered(self) -> list[Sent]:
        """Calls without an answer that may have been billed, oldest first: lost ones, and those of killed commands."""
        query = (
            select(t.sent, t.settled.c.outcome)
            .join(t.settled, t.settled.c.call == t.sent.c.id, isouter=True)
            .where(t.settled.c.outcome.is_(None) | (t.settled.c.outcome == "lost"))
            .order_by(t.sent.c.at, t.sent.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [Sent(**{k: v for k, v in row.items() if k != "outcome"}, lost=row["outcome"] == "lost") for row in rows]

    def costs(self) -> list[str]:
        """What each stored reply cost: decimal strings, empty where the price was unknown."""
        with self._engine.connect() as connection:
            return list(connection.scalars(select(t.replies.c.cost)))

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
        found, said = self.gated(), self.people.reviews()
        return [Candidate(row, tuple(found.get(row.id, ())), tuple(said.get(row.id, ()))) for row in rows]

    def gated(self, *, but: str = "") -> dict[str, list[Verdict]]:
        """Row -> verdicts of its newest gating; of the newest that no operation of the stage `but` made."""
        newest = select(t.verdicts.c.sample, func.max(t.verdicts.c.operation).label("operation"))
        if but:
            newest = newest.join(t.operations, t.operations.c.id == t.verdicts.c.operation)
            newest = newest.where(t.operations.c.stage != but)
        last = newest.group_by(t.verdicts.c.sample).subquery()
        query = select(t.verdicts).join(
            last, (t.verdicts.c.sample == last.c.sample) & (t.verdicts.c.operation == last.c.operation)
        )
        found: dict[str, list[Verdict]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query.order_by(t.verdicts.c.id)):
                found.setdefault(row.sample, []).append(Verdict(row.rule, row.passed, row.reason, row.score, row.tail))
        return found

    @cached_property
    def people(self) -> People:
        """What was put to people, and what they said."""
        return People(self._engine)

    def passed(self) -> list[Sample]:
        """Synthetic rows that the newest gating let pass, whatever people say of them."""
        return [candidate.sample for candidate in self.candidates() if candidate.passed]

    def accepted(self) -> list[Sample]:
        """Synthetic rows that neither the newest gating nor a person is against."""
        return [candidate.sample for candidate in self.candidates() if candidate.accepted]

    def verdict_history(self, sample: str) -> list[tuple[Operation, list[Verdict]]]:
        """Every gating of one row, oldest first."""
        operations = {operation.id: operation for operation in self.operations()}
        found: dict[int, list[Verdict]] = {}
        with self._engine.connect() as connection:
            query = select(t.verdicts).where(t.verdicts.c.sample == sample).order_by(t.verdicts.c.id)
            for row in connection.execute(query):
                found.setdefault(row.operation, []).append(
                    Verdict(row.rule, row.passed, row.reason, row.score, row.tail)
                )
        return [(operations[key], verdicts) for key, verdicts in found.items()]

    def changes_of(self, sample: str) -> list[tuple[Operation, Change]]:
        """Every change of one row with its operation, oldest first."""
        operations = {operation.id: operation for operation in self.operations()}
        with self._engine.connect() as connection:
            query = select(t.changes).where(t.changes.c.sample == sample).order_by(t.changes.c.id)
            rows = connection.execute(query).all()
        return [(operations[r.operation], Change(r.sample, r.field, r.value, r.reason)) for r in rows]

    def changed(self, reason: str) -> set[tuple[str, str]]:
        """Samples and their fields that were changed for this reason."""
        query = select(t.changes.c.sample, t.changes.c.field).where(t.changes.c.reason == reason)
        with self._engine.connect() as connection:
            return {(row.sample, row.field) for row in connection.execute(query)}

    def change_counts(self, operation: int) -> Counter[str]:
        """How many changes of each reason an operation made."""
        query = select(t.changes.c.reason, func.count()).where(t.changes.c.operation == operation)
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(t.changes.c.reason)).all()
        return Counter({str(row[0]): int(row[1]) for row in rows})

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

    def replies(self, *, unparsed: bool = False, strategy: str = "") -> list[Reply]:
        """Stored replies, oldest first; with `unparsed` only those that a killed command left unread."""
        query = select(t.replies).order_by(t.replies.c.at, t.replies.c.id)
        if strategy:
            query = query.where(t.replies.c.strategy == strategy)
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

    def rows_of(self, version: str) -> set[str]:
        """Ids of the rows of a training set."""
        query = select(t.version_rows.c.sample).where(t.version_rows.c.version == version)
        with self._engine.connect() as connection:
            return set(connection.scalars(query))

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


def _schema_version(engine: Engine) -> int:
    """0 for a new file. Only reads: a command that looks at rows must not wait for one that writes."""
    with engine.connect() as connection:
        return int(connection.scalar(text("PRAGMA user_version")) or 0)


def _create(engine: Engine) -> int:
    """Make what is not there: all of a new file, tables and columns that came later of an older one."""
    with engine.execution_options(immediate=True).begin() as connection:
        t.metadata.create_all(connection)
        for table in t.metadata.sorted_tables:
            there = {row.name for row in connection.execute(text(f"PRAGMA table_info({table.name})"))}
            for column in table.columns:
                if column.name not in there:
                    kind = column.type.compile(engine.dialect)
                    connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
        connection.execute(text(f"PRAGMA user_version = {t.SCHEMA_VERSION}"))
    return t.SCHEMA_VERSION


def _pragmas(connection: Any, _: Any) -> None:
    # The driver must not start transactions of its own: `_begin` does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once and waits for it; taken later, in the middle, SQLite would refuse instead of waiting.
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


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
