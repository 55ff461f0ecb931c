"""What people did since the last look, with only that transferred: numbers and moments first, then the tasks that are new."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from workbench.label_studio.batches import chunks
from workbench.label_studio.contract import Annotation, Filter, Seen
from workbench.label_studio.cursor import Cursor, back, stamp, trace
from workbench.label_studio.query import PAGE, listing, lookups, uid_of, walk
from workbench.label_studio.transport import Transport

BATCH = 200
"""Tasks fetched at once."""
_FEW = 500
"""Tasks that are rather read than looked for."""
_NONE: tuple[Filter, ...] = (
    ("total_annotations", "equal", 0, "Number"),
    ("cancelled_annotations", "equal", 0, "Number"),
)
_FIELDS = "id,data,annotations,result,completed_by,was_cancelled,lead_time,created_at,updated_at"


def changed(
    transport: Transport, project: int, since: str, known: Collection[str], people: Mapping[int, str]
) -> Iterator[list[Seen]]:
    """Tasks whose annotations changed after `since`, in batches by ascending moment of the change.

    Args:
        transport: to the server.
        project: its number.
        since: `Seen.changed` of the last batch that was stored; empty for everything.
        known: uids of which annotations are known: only these can have lost their last one.
        people: e-mails by the number of the account.
    """
    cursor = Cursor.parse(since)
    marks = _marks(transport, project, cursor, known)
    order = sorted(marks.items(), key=lambda mark: (mark[1], mark[0]))
    # What was listed again and is stored already; all else that the cursor knew was changed since, or is too old to matter.
    stored = {mark: when for task, when in order if (mark := trace(task, when)) in cursor.stored}
    fresh = [(task, when) for task, when in order if trace(task, when) not in stored]
    for chunk in chunks(fresh, BATCH):
        stored |= {trace(task, when): when for task, when in chunk}
        # The moments of the first look, not of this one: what changed in between is found again by the next pull.
        cursor = cursor.after(chunk[-1][1], stored)
        seen = _fetch(transport, project, [task for task, _ in chunk], cursor.text(), people)
        if seen:
            yield seen


def _marks(transport: Transport, project: int, cursor: Cursor, known: Collection[str]) -> dict[int, str]:
    """Number of each changed task -> when; nothing else of them is transferred yet."""
    recent: list[Filter] = [("updated_at", "greater_or_equal", cursor.since(), "Datetime")] if cursor.moment else []
    marks: dict[int, str] = {}
    for column in ("total_annotations", "cancelled_annotations"):
        some: Filter = (column, "greater", 0, "Number")
        for row in walk(transport, project, [*recent, some], "id,updated_at"):
            marks[row["id"]] = stamp(row["updated_at"])
    if known:
        for row in _emptied(transport, project, cursor.moment, recent, known):
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
    transport: Transport, project: int, numbers: Sequence[int], cursor: str, people: Mapping[int, str]
) -> list[Seen]:
    """These tasks with their annotations. A task that was deleted meanwhile is left out."""
    rows = listing(transport, project, [("id", "in_list", list(numbers), "List")], _FIELDS, size=PAGE)["tasks"]
    found = {row["id"]: row for row in rows}
    return [
        Seen(uid_of(found[number]), number, cursor, _annotations(found[number], people))
        for number in numbers
        if number in found
    ]


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
