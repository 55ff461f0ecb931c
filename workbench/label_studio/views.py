"""Tabs of a project's page: made or brought up to date by their title, so that a second push changes nothing."""

from collections.abc import Mapping
from typing import Any

from workbench.label_studio.contract import View
from workbench.label_studio.query import count, where
from workbench.label_studio.transport import Transport


def view(transport: Transport, project: int, wanted: View) -> str:
    """Make the tab, or bring the one with this title up to date; its address.

    Raises:
        ServiceError: the project is gone (`Gone`), or the server is away.
    """
    what = f"project {project}"
    count(transport, project)  # of a project that is gone, Label Studio says that it is no valid choice
    data = _data(transport, project, wanted)
    with transport.guarded(what):
        there = [tab for tab in transport.sdk.views.list(project=project) if _titled(tab, wanted.title)]
        # An update leaves the ordering as it was where the new one is empty.
        if there and not wanted.ordering and _ordered(there[0]):
            transport.sdk.views.delete(str(there[0].id))
            there = []
        if there:
            tab = transport.sdk.views.update(str(there[0].id), project=project, data=data)
        else:
            tab = transport.sdk.views.create(project=project, data=data)
    return f"{transport.url}/projects/{project}/data?tab={tab.id}"


def labelling_link(link: str) -> str:
    """The address that opens a tab's tasks one after the other for labelling."""
    return f"{link}&labeling=1"


def _titled(tab: Any, title: str) -> bool:
    return isinstance(tab.data, Mapping) and tab.data.get("title") == title


def _ordered(tab: Any) -> bool:
    return bool(tab.data.get("ordering"))


def _data(transport: Transport, project: int, wanted: View) -> dict[str, Any]:
    data: dict[str, Any] = {
        "title": wanted.title,
        "type": "list",
        "target": "tasks",
        "filters": where(wanted.filters),
        "ordering": [_column(name) for name in wanted.ordering],
        "columnsDisplayType": {_column(name): "Number" for name in wanted.numeric},
    }
    if wanted.columns:
        shown = {_column(name) for name in wanted.columns}
        hidden = [name for name in _columns(transport, project) if name not in shown]
        data["hiddenColumns"] = {"explore": hidden, "labeling": hidden}
    return data


def _columns(transport: Transport, project: int) -> list[str]:
    """All columns of the project's page, in the form that a tab names them."""
    answer = transport.call("GET", "api/dm/columns/", what=f"project {project}", params={"project": project})
    columns = answer.get("columns") or []
    return [
        f"tasks:{'data.' if one.get('parent') == 'data' else ''}{one['id']}" for one in columns if one["id"] != "data"
    ]


def _column(name: str) -> str:
    """`-data.quality` as `-tasks:data.quality`."""
    sign = "-" if name.startswith("-") else ""
    return f"{sign}tasks:{name.removeprefix('-')}"
