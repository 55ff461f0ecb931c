"""Reading what was put to people, and what they said."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, Select, func, select

from workbench.ledger import schema as t
from workbench.ledger.facts import Annotation, Asked, Kind, Lot, Project
from workbench.records import Reject, Review


class People:
    """Projects, tasks, annotations and reviews of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def project(self, kind: Kind) -> Project | None:
        """Where tasks of this kind go now."""
        query = select(t.projects).where(t.projects.c.kind == kind).order_by(t.projects.c.id.desc()).limit(1)
        row = next(self._rows(query), None)
        return Project(row.place, row.kind, row.url, row.number, row.config) if row else None

    def asked(self, kind: Kind) -> list[Asked]:
        """Every task of this kind, in the order in which they were planned."""
        query = select(t.asked).where(t.asked.c.kind == kind).order_by(t.asked.c.operation, t.asked.c.uid)
        return [Asked(r.kind, r.uid, r.sample, r.queue, r.lot, tuple(r.reviewers), r.shown) for r in self._rows(query)]

    def draws(self) -> dict[str, int]:
        """Lot -> how many times a sample was drawn from it."""
        query = select(t.asked.c.lot, func.count(t.asked.c.operation.distinct()))
        rows = self._rows(query.where(t.asked.c.queue == "sample").group_by(t.asked.c.lot))
        return {str(row[0]): int(row[1]) for row in rows}

    def lots(self) -> list[Lot]:
        """Every row that belongs to a lot."""
        query = select(t.lots).order_by(t.lots.c.operation, t.lots.c.sample)
        return [Lot(r.sample, r.lot, r.label, r.prompt, r.forced) for r in self._rows(query)]

    def delivered(self, place: str) -> set[str]:
        """Tasks that a project was seen to hold, by uid."""
        return {row.uid for row in self._rows(select(t.delivered.c.uid).where(t.delivered.c.place == place))}

    def annotations(self, kind: Kind) -> list[Annotation]:
        """The newest state of each annotation that was not withdrawn, in the order in which they came."""
        query = (
            select(t.annotations)
            .where(t.annotations.c.kind == kind, t.annotations.c.id.in_(_current()))
            .order_by(t.annotations.c.operation, t.annotations.c.updated, t.annotations.c.number)
        )
        return [_annotation(row) for row in self._rows(query)]

    def unreadable(self, kind: Kind) -> list[Reject]:
        """What is wrong with annotations that decide nothing, as they stand now: `place` is the task, `line` their number."""
        query = (
            select(t.rejects)
            .join(
                t.annotations,
                (t.annotations.c.operation == t.rejects.c.operation)
                & (t.annotations.c.uid == t.rejects.c.place)
                & (t.annotations.c.number == t.rejects.c.line),
            )
            .where(t.annotations.c.kind == kind, t.annotations.c.id.in_(_current()))
            .order_by(t.rejects.c.id)
        )
        return [Reject(row.place, row.line, row.reason, row.say, row.raw) for row in self._rows(query)]

    def said(self) -> list[tuple[str, Review]]:
        """Every review that stands, oldest first, with the annotation that it was read from; empty for what is held back."""
        query = select(t.reviews).where((t.reviews.c.annotation == "") | t.reviews.c.annotation.in_(_current()))
        return [(row.annotation, _review(row)) for row in self._rows(query.order_by(t.reviews.c.id))]

    def reviews(self) -> dict[str, list[Review]]:
        """Sample -> its reviews that stand, oldest first."""
        found: dict[str, list[Review]] = {}
        for _, review in self.said():
            found.setdefault(review.sample, []).append(review)
        return found

    def cursor(self, place: str) -> str:
        """How far a project was read; empty where it was not."""
        query = select(t.operations.c.details).where(t.operations.c.stage == "review", t.operations.c.kind == "pull")
        rows = self._rows(query.order_by(t.operations.c.id.desc()))
        return next((str(row.details["cursor"]) for row in rows if row.details.get("place") == place), "")

    def most_accepted(self) -> dict[str, int]:
        """Class -> accepted rows that it had, at most, when rows were put to people."""
        query = select(t.operations.c.details).where(t.operations.c.stage == "review", t.operations.c.kind == "plan")
        most: dict[str, int] = {}
        for row in self._rows(query):
            for label, count in row.details.get("accepted", {}).items():
                most[label] = max(most.get(label, 0), int(count))
        return most

    def _rows(self, query: Select[Any]) -> Iterator[Any]:
        with self._engine.connect() as connection:
            yield from connection.execute(query).all()


def _current() -> Select[tuple[str]]:
    """Ids of the newest state of each annotation, without withdrawn ones."""
    newest = (
        select(
            t.annotations.c.id,
            func.row_number()
            .over(
                partition_by=(t.annotations.c.place, t.annotations.c.uid, t.annotations.c.number),
                order_by=(t.annotations.c.updated.desc(), t.annotations.c.operation.desc()),
            )
            .label("place"),
        )
    ).subquery()
    return select(newest.c.id).where(newest.c.place == 1, newest.c.id.not_in(select(t.withdrawn.c.annotation)))


def _annotation(row: Any) -> Annotation:
    return Annotation(
        row.id, row.kind, row.uid, row.place, row.number, row.annotator, row.created, row.updated, row.seconds,
        row.skipped, row.result,
    )  # fmt: skip


def _review(row: Any) -> Review:
    return Review(
        row.sample, row.task, row.decision, row.reviewer, row.at, row.seconds, row.text, row.label, tuple(row.reasons),
        row.naturalness, row.final,
    )  # fmt: skip
