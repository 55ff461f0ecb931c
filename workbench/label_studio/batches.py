"""What is sent in one request: text that Label Studio can store, and batches bounded in rows and bytes. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from workbench.errors import DataError
from workbench.label_studio.contract import Task
from workbench.label_studio.transport import encode
from workbench.text import encodable

ROWS = 1000
"""Tasks in one import: a call costs 0.2 s beside its rows, and while it runs everybody else's writing waits."""
BYTES = 16 * 2**20
"""Bytes in one import; Label Studio refuses 250 MB, and holds about 40 times the bytes in memory."""
REPLACEMENT = "\ufffd"

_T = TypeVar("_T")


def storable(value: Any) -> Any:
    """The value with U+FFFD for every lone surrogate in its texts and keys.

    Label Studio takes half of an emoji, and then fails on every listing and export of that project.
    """
    if isinstance(value, str):
        return value if encodable(value) else _mended(value)
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def _mended(text: str) -> str:
    return "".join(REPLACEMENT if "\ud800" <= char <= "\udfff" else char for char in text)


def payload(task: Task) -> dict[str, Any]:
    """The task as Label Studio's import reads it."""
    data = {**task.data, "uid": task.uid}
    if task.prediction is None:
        return {"data": storable(data)}
    return {"data": storable(data), "predictions": [prediction(task)]}


def prediction(task: Task) -> dict[str, Any]:
    """The task's prediction as Label Studio reads it."""
    named = {"model_version": task.model_version} if task.model_version else {}
    scored = {} if task.score is None else {"score": task.score}
    return {"result": storable(task.prediction), **named, **scored}


def in_batches(tasks: Iterable[Task], *, rows: int = ROWS, most: int = BYTES) -> Iterator[tuple[list[Task], bytes]]:
    """Batches of at most `rows` tasks and, unless a single task is larger, `most` bytes; each with the body to send."""
    batch: list[Task] = []
    bodies: list[bytes] = []
    size = 2
    for task in tasks:
        body = encode(payload(task))
        if batch and (len(batch) >= rows or size + len(body) + 1 > most):
            yield batch, b"[" + b",".join(bodies) + b"]"
            batch, bodies, size = [], [], 2
        batch.append(task)
        bodies.append(body)
        size += len(body) + 1
    if batch:
        yield batch, b"[" + b",".join(bodies) + b"]"


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """The items in order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def unambiguous(uids: Sequence[str]) -> None:
    """Check that no two tasks have the same uid, and that each has one that can be found again.

    Raises:
        DataError: two have the same, or one has none.
    """
    seen: set[str] = set()
    for uid in uids:
        if not uid or not encodable(uid):
            raise DataError(f"A task has the uid {uid!r}.", "Give every task a text that is not empty.")
        if uid in seen:
            raise DataError(f"Two tasks have the uid {uid!r}.", "Send each of them once.")
        seen.add(uid)
