"""What goes to Label Studio and what comes back, in our own types: a task is known by the `uid` in its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """One task to send, with at most one prediction."""

    uid: str
    """Its identity: Label Studio hands out the number of a deleted task again."""
    data: Mapping[str, Any]
    """What the label config shows; holds `uid` too."""
    prediction: list[dict[str, Any]] | None = None
    """Results as Label Studio writes them; None for a task without prediction."""
    score: float | None = None
    model_version: str = ""
    """Prefilling and ordering by score work only where it equals the project's."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one person did with one task."""

    number: int
    """Label Studio's id. Those of annotations made in the page or over the API are never handed out again (AUTOINCREMENT);
    an import of tasks that carry annotations takes the largest existing id plus one, so that an id may return."""
    annotator: str
    """E-mail; empty where the account was deleted, `user 7` where the token's owner cannot see it."""
    created: str
    updated: str
    seconds: float | None
    skipped: bool
    result: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A task as it is now, because something about its annotations changed."""

    uid: str
    """Empty for a task that somebody else put into the project."""
    task: int
    changed: str
    """Where to go on: pass it as `since` once its batch and those before it are stored. Begins with a moment of the server."""
    annotations: tuple[Annotation, ...]
    """All of them, in the order of their numbers; empty where they were deleted."""


Filter = tuple[str, str, Any, str]
"""Column (`data.label`, `total_annotations`), operator, value, type (`String`, `Number`, `Datetime`, `List`, `Boolean`)."""


@dataclass(frozen=True, slots=True)
class View:
    """A tab of the project's page."""

    title: str
    filters: Sequence[Filter] = ()
    """All must hold. `contains` ignores case and finds parts of words: keep names in delimiters, as `|anna@example.org|`."""
    ordering: Sequence[str] = ()
    """One column (Label Studio uses the first only), with a leading `-` for descending order."""
    columns: Sequence[str] = ()
    """The shown ones; empty for Label Studio's choice."""
    numeric: Sequence[str] = field(default=())
    """Columns of data that are to be ordered as numbers, not as text."""
