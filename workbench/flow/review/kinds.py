"""The kinds of projects, by name."""

from typing import get_args

from workbench.errors import UsageError, one_of
from workbench.ledger import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)


def check_kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        UsageError: there is none.
    """
    for kind in KINDS:
        if kind == name:
            return kind
    raise UsageError(f"There is no project {name!r}.", one_of(name, KINDS))
