"""Appending facts, inside one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.dialects.sqlite import insert as insert_or_keep

from workbench.ledger import schema as t
from workbench.ledger.facts import Annotation, Asked, Lot, Project
from workbench.records import Change, Reject, Review, Sample, Turn, Verdict, version_of

CHUNK = 10_000


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
        self._put(t.rejects, [storable(asdict(row)) for row in rows])

    def parsed(self, reply: str, drafts: int, rejects: int) -> None:
        """Note that a reply was parsed; a second parse of it would fail here."""
        self._put(t.parses, [{"reply": reply, "drafts": drafts, "rejects": rejects}])

    def verdicts(self, sample: str, rows: Sequence[Verdict]) -> None:
        """Append the verdicts of one row."""
        self._put(t.verdicts, [asdict(row) | {"sample": sample} for row in rows])

    def version(self, rows: Sequence[Sample]) -> str:
        """Name a training set by its content and store its rows once. Returns the name."""
        name = version_of(rows)
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

    def project(self, project: Project) -> None:
        """Tasks of this kind go there from now on."""
        self._put(t.projects, [asdict(project)])

    def lots(self, rows: Sequence[Lot]) -> None:
        """Append members of lots; a row stays in the lot that it is in."""
        self._put(t.lots, [asdict(row) for row in rows], keep=True)

    def asked(self, rows: Sequence[Asked]) -> None:
        """Append tasks for people; one that was asked before stays as it is."""
        self._put(t.asked, [asdict(row) | {"reviewers": list(row.reviewers)} for row in rows], keep=True)

    def delivered(self, place: str, uids: Sequence[str]) -> None:
        """Note that a project holds these tasks."""
        self._put(t.delivered, [{"place": place, "uid": uid} for uid in uids], keep=True)

    def annotations(self, rows: Sequence[Annotation]) -> None:
        """Append what people submitted, as it came."""
        self._put(t.annotations, [asdict(row) | {"result": list(row.result)} for row in rows], keep=True)

    def withdrawn(self, annotations: Sequence[str]) -> None:
        """Note that annotations were deleted by their authors."""
        self._put(t.withdrawn, [{"annotation": annotation} for annotation in annotations], keep=True)

    def reviews(self, rows: Sequence[tuple[str, Review]]) -> None:
        """Append reviews, each with the id of the annotation that it was read from (empty for what is held back)."""
        values = [
            storable(asdict(row)) | {"reasons": list(row.reasons), "annotation": annotation} for annotation, row in rows
        ]
        self._put(t.reviews, values)

    def _put(self, table: Any, rows: Sequence[Mapping[str, Any]], *, keep: bool = False) -> None:
        statement = insert_or_keep(table).on_conflict_do_nothing() if keep else insert(table)
        for start in range(0, len(rows), CHUNK):
            chunk = [{**row, "operation": self.operation} for row in rows[start : start + CHUNK]]
            self._connection.execute(statement, chunk)

    def _count(self, table: Any) -> int:
        return int(self._connection.scalar(select(func.count()).select_from(table)) or 0)


def storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Values without lone surrogates, which stand in broken rows, in file names and in what models write."""
    return {key: _utf8(value) if isinstance(value, str) else value for key, value in row.items()}


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


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
