"""What people did since the last look, with only that transferred.

How Label Studio 1.23 keeps time (tried on a server): `updated_at` of a task, in microseconds, is set when an annotation of it
is made, changed, skipped or deleted, singly or in bulk; imports and predictions do not touch it after the task is made, nor do
drafts. It is taken before the change is committed, so a change may become visible with a time that lies before one already
seen: every look goes back by `OVERLAP`, and callers know what they have by number and time.

Annotations that carry a number already known were imported into the server by somebody (see `Annotation.number`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.errors import DataError
from workbench.label_studio.batches import chunks
from workbench.label_studio.contract import Annotation, Filter, Seen
from workbench.label_studio.query import PAGE, listing, lookups, uid_of, walk
from workbench.label_studio.transport import Transport

OVERLAP = timedelta(seconds=120)
"""How long before its commit a change may have been dated: a writer waits for SQLite for 60 seconds at most, a bulk action of
10,000 tasks takes about 10."""
BATCH = 200
"""Tasks fetched at once."""
_FEW = 500
"""Tasks that are rather read than looked for."""
_NONE: tuple[Filter, ...] = (
    ("total_annotations", "equal", 0, "Number"),
    ("cancelled_annotations", "equal", 0, "Number"),
)
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"
_FIELDS = "id,data,annotations,result,completed_by,was_cancelled,lead_time,created_at,updated_at"


def changed(
    transport: Transport, project: int, since: str, known: Collection[str], people: Mapping[int, str]
) -> Iterator[list[Seen]]:
    """Tasks whose annotations changed after `since`, in batches by ascending time of the change.

    Args:
        transport: to the server.
        project: its number.
        since: `Seen.changed` of the last task that was stored; empty for everything.
        known: uids of which annotations are known: only these can have lost their last one.
        people: e-mails by the number of the account.
    """
    moment = stamp(since) if since else ""
    marks = _marks(transport, project, moment, known)
    order = sorted(marks.items(), key=lambda mark: (mark[1], mark[0]))
    for chunk in chunks(order, BATCH):
        yield from _fetch(transport, project, chunk, moment, people)


def stamp(text: str) -> str:
    """A moment in the only form that Label Studio's filters read, which its own answers leave where microseconds are 0.

    Raises:
        DataError: it is no moment.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise DataError(f"{text!r} is not a moment.", "Pull everything anew: nothing is doubled.") from exc
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime(_FORM)


def back(moment: str) -> str:
    """The moment from which to look so that nothing is missed."""
    return (datetime.strptime(moment, _FORM) - OVERLAP).strftime(_FORM)


def _marks(transport: Transport, project: int, moment: str, known: Collection[str]) -> dict[int, str]:
    """Number of each changed task -> when; nothing else of them is transferred yet."""
    recent: list[Filter] = [("updated_at", "greater_or_equal", back(moment), "Datetime")] if moment else []
    marks: dict[int, str] = {}
    for column in ("total_annotations", "cancelled_annotations"):
        some: Filter = (column, "greater", 0, "Number")
        for row in walk(transport, project, [*recent, some], "id,updated_at"):
            marks[row["id"]] = stamp(row["updated_at"])
    if known:
        for row in _emptied(transport, project, moment, recent, known):
            marks[row["id"]] = stamp(row["updated_at"])
    return marks


def _emptied(
    transport: Transport, project: int, moment: str, recent: Sequence[Filter], known: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Tasks without annotations among the known ones.

    What was made before the look goes back to and touched since has really been touched. What was made later may be a push of
    thousands that nobody saw yet, so there the known ones are looked up. What was made after `since` cannot be known.
    """
    if not moment:
        yield from _among(transport, project, _NONE, known)
        return
    old: Filter = ("created_at", "less", back(moment), "Datetime")
    for row in walk(transport, project, [*recent, *_NONE, old], "id,updated_at,data"):
        if uid_of(row) in known:
            yield row
    young: list[Filter] = [
        ("created_at", "greater_or_equal", back(moment), "Datetime"),
        ("created_at", "less_or_equal", moment, "Datetime"),
    ]
    yield from _among(transport, project, [*recent, *_NONE, *young], known)


def _among(
    transport: Transport, project: int, filters: Sequence[Filter], known: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Tasks that pass the filters and have one of the known uids, without reading many that have not."""
    total = listing(transport, project, filters, "id", size=1)["total"]
    if not total:
        return
    if total <= _FEW:
        rows = walk(transport, project, filters, "id,updated_at,data")
        yield from (row for row in rows if uid_of(row) in known)
        return
    for some in lookups(sorted(known)):
        yield from walk(transport, project, [*filters, ("data.uid", "in_list", some, "List")], "id,updated_at")


def _fetch(
    transport: Transport, project: int, marks: Sequence[tuple[int, str]], moment: str, people: Mapping[int, str]
) -> Iterator[list[Seen]]:
    """These tasks with their annotations. A task that was deleted meanwhile is left out."""
    numbers = [number for number, _ in marks]
    rows = listing(transport, project, [("id", "in_list", numbers, "List")], _FIELDS, size=PAGE)["tasks"]
    found = {row["id"]: row for row in rows}
    # The time of the first look, not of this one: what changed in between is found again by the next pull.
    seen = [
        Seen(uid_of(found[number]), number, max(moment, when), _annotations(found[number], people))
        for number, when in marks
        if number in found
    ]
    if seen:
        yield seen


def _annotations(row: Mapping[str, Any], people: Mapping[int, str]) -> tuple[Annotation, ...]:
    return tuple(sorted((_annotation(one, people) for one in row.get("annotations") or []), key=lambda one: one.number))


def _annotation(one: Mapping[str, Any], people: Mapping[int, str]) -> Annotation:
    seconds = one.get("lead_time")
    return Annotation(
        number=int(one["id"]),
        annotator=_person(one.get("completed_by"), people),
        created=stamp(one["created_at"]),
        updated=stamp(one["updated_at"]),
        seconds=None if seconds is None else float(seconds),
        skipped=bool(one.get("was_cancelled")),
        result=list(one.get("result") or []),
    )


def _person(account: Any, people: Mapping[int, str]) -> str:
    """The e-mail of an account, given as its number or as an object."""
    if isinstance(account, Mapping):
        return str(account.get("email") or "") or _person(account.get("id"), people)
    if account is None:
        return ""
    return people.get(int(account)) or f"user {account}"
