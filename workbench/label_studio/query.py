"""Asking a project for its tasks: filters, only the fields that are needed, and pages that do not shift while people work."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workbench.label_studio.contract import Filter
from workbench.label_studio.faults import foreign
from workbench.label_studio.transport import Transport

PAGE = 1000
"""Tasks of one page; the server builds a page in memory."""
_LONGEST = 6000
"""Characters of uids in one address: many proxies take 8 kB, Label Studio's own server answers 400 above some 20 kB."""
_MOST = 200
"""Uids in one lookup: each costs little beside the scan of the project."""
_FIELDS = "id,data,predictions,total_annotations,cancelled_annotations"


@dataclass(frozen=True, slots=True)
class Copy:
    """A task of the project that has a uid asked for."""

    task: int
    predicted: bool
    """It has a prediction."""
    annotated: bool
    """Somebody annotated or skipped it."""


def where(filters: Sequence[Filter]) -> dict[str, Any]:
    """Filters in Label Studio's form; all must hold."""
    items = [
        {"filter": f"filter:tasks:{column}", "operator": operator, "value": value, "type": kind}
        for column, operator, value, kind in filters
    ]
    return {"conjunction": "and", "items": items}


def listing(
    transport: Transport, project: int, filters: Sequence[Filter], fields: str, *, size: int = PAGE
) -> dict[str, Any]:
    """The first page of the tasks that pass the filters, by ascending number: `tasks` with these fields, and `total`.

    The fields of nested annotations and predictions are chosen by the same names.
    """
    asked = json.dumps({"filters": where(filters), "ordering": ["tasks:id"]}, separators=(",", ":"))
    # Label Studio decodes percent signs a second time.
    asked = asked.replace("%", "\\u0025")
    params = {"project": project, "page": 1, "page_size": size, "fields": "all", "include": fields, "query": asked}
    # Files of task data stay the addresses that they are.
    params["resolve_uri"] = "false"
    answer = transport.call("GET", "api/tasks", what=f"project {project}", params=params, timeout=300.0)
    if not isinstance(answer, dict) or not isinstance(answer.get("tasks"), list):
        raise foreign(transport.url)
    return answer


def walk(transport: Transport, project: int, filters: Sequence[Filter], fields: str) -> Iterator[dict[str, Any]]:
    """Every task that passes the filters, by ascending number.

    Each page starts behind the last number, and is a first page: by page numbers, a task that leaves the list while it is
    read would hide another, and the page past the end is an error (404).
    """
    last = 0
    while True:
        page = listing(transport, project, [*filters, ("id", "greater", last, "Number")], fields)["tasks"]
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]["id"]


def count(transport: Transport, project: int) -> int:
    """Tasks in the project."""
    answer = transport.call(
        "GET", f"api/projects/{project}/", what=f"project {project}", params={"include": "id,task_number"}
    )
    try:
        return int(answer["task_number"])
    except (TypeError, KeyError, ValueError):
        raise foreign(transport.url) from None


def copies(transport: Transport, project: int, uids: Sequence[str], among: int) -> dict[str, list[Copy]]:
    """The tasks that have one of these uids, by ascending number; `among` is about how many the project has.

    A lookup scans the project but transfers only what it finds; reading everything transfers everything once. The first is
    cheaper below about half of the project's tasks.
    """
    wanted = set(uids)
    rows: Iterator[dict[str, Any]]
    if len(wanted) <= max(_MOST, among // 2):
        rows = (
            row
            for some in lookups(uids)
            for row in walk(transport, project, [("data.uid", "in_list", some, "List")], _FIELDS)
        )
    else:
        rows = walk(transport, project, [], _FIELDS)
    found: dict[str, list[Copy]] = {}
    for row in rows:
        uid = uid_of(row)
        if uid in wanted:
            annotated = bool(row.get("total_annotations") or row.get("cancelled_annotations"))
            found.setdefault(uid, []).append(Copy(row["id"], bool(row.get("predictions")), annotated))
    return found


def uid_of(row: dict[str, Any]) -> str:
    """The uid in the task's data; empty where it has none."""
    data = row.get("data")
    uid = data.get("uid") if isinstance(data, dict) else None
    return uid if isinstance(uid, str) else ""


def lookups(uids: Sequence[str]) -> Iterator[list[str]]:
    """The uids in groups that fit into an address."""
    group: list[str] = []
    size = 0
    for uid in uids:
        width = len(quote(json.dumps(uid))) + 3
        if group and (len(group) >= _MOST or size + width > _LONGEST):
            yield group
            group, size = [], 0
        group.append(uid)
        size += width
    if group:
        yield group
