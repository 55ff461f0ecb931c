"""A queue to the ledger: calls and replies are stored in the order they are handed in, without holding up who hands them in."""

import queue
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from threading import RLock, Thread
from typing import Any

from sqlalchemy import Engine, insert
from sqlalchemy.dialects.sqlite import insert as insert_or_keep

from workbench.ledger import schema as t
from workbench.ledger.facts import Outcome, Reply, Sent
from workbench.ledger.writer import storable

BATCH = 500
"""Most entries of one transaction."""


@dataclass(frozen=True, slots=True)
class _Entry:
    rows: tuple[tuple[str, Mapping[str, Any]], ...]
    """Table and row, in order."""
    stored: Future[None] = field(default_factory=Future)


class Outbox:
    """What a command buys, on its way to the ledger. A thread stores whatever waits as one transaction.

    So a burst of calls costs one write to the disk, and another process that holds the ledger delays what waits here,
    not the calls that are under way.
    """

    def __init__(self, writer: Engine, turn: RLock) -> None:
        self._writer, self._turn = writer, turn
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def sent(self, call: Sent) -> "Future[None]":
        """A call is about to go out; it may when the future is done."""
        row = {key: value for key, value in asdict(call).items() if key != "lost"}
        return self._put(("sent", storable(row) | {"at": _now()}))

    def settled(self, call: str, outcome: Outcome) -> "Future[None]":
        """A call ended without an answer."""
        return self._put(("settled", {"call": call, "outcome": outcome, "at": _now()}))

    def reply(self, reply: Reply, call: str) -> "Future[None]":
        """A reply, and the call that it answers (empty where none was noted): both are stored, or neither."""
        rows: list[tuple[str, Mapping[str, Any]]] = [("replies", reply_row(reply, _now()))]
        if call:
            rows.append(("settled", {"call": call, "outcome": "reply", "at": _now()}))
        return self._put(*rows)

    def close(self) -> None:
        """Wait until everything is stored."""
        self._waiting.put(None)
        self._thread.join()

    def _put(self, *rows: tuple[str, Mapping[str, Any]]) -> "Future[None]":
        entry = _Entry(rows)
        self._waiting.put(entry)
        return entry.stored

    def _run(self) -> None:
        last = False
        while not last:
            batch = [self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            last = None in batch
            entries = [entry for entry in batch if entry is not None]
            try:
                self._store(entries)
            except BaseException as exc:  # noqa: BLE001  whoever waits for the future raises it
                for entry in entries:
                    _finish(entry.stored, exc)
            else:
                for entry in entries:
                    _finish(entry.stored, None)

    def _store(self, entries: list[_Entry]) -> None:
        if not entries:
            return
        with self._turn, self._writer.begin() as connection:
            for name in ("sent", "replies", "settled"):  # what is pointed at first
                rows = [row for entry in entries for table, row in entry.rows if table == name]
                table = t.metadata.tables[name]
                # A reply that is there already stays as it is.
                statement = insert_or_keep(table).on_conflict_do_nothing() if name == "replies" else insert(table)
                if rows:
                    connection.execute(statement, [dict(row) for row in rows])


def _finish(stored: "Future[None]", error: BaseException | None) -> None:
    if stored.set_running_or_notify_cancel():  # False: who waited has been cancelled, and stored it is
        stored.set_exception(error) if error else stored.set_result(None)


def reply_row(reply: Reply, at: str) -> dict[str, Any]:
    """A reply as a row of its table."""
    return storable(asdict(reply)) | {"parents": list(reply.parents), "messages": list(reply.messages), "at": at}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
