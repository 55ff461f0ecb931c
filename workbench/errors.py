"""The one kind of error a user meets: what is wrong with which value, and what to do about it.

    WorkbenchError
    |- UsageError       the command line asks for something that cannot be (exit 2)
    |- ConfigError      a key or value in wb.yaml, a pipeline file or --set
    |- DataError        a file or row that cannot be used
    |- ServiceError     an endpoint that does not answer as it should
    |- MissingExtra     a package that an optional feature needs
    `- Waiting          not an error: people have work to do first (exit 75, EX_TEMPFAIL)

`workbench.cli.main` renders them, and nothing else does.
"""

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType


class WorkbenchError(Exception):
    """Something the user can mend: `message` says what is wrong, `hint` what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(WorkbenchError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(WorkbenchError):
    """A key or value in wb.yaml, a pipeline file or --set is wrong."""


class DataError(WorkbenchError):
    """A file or row cannot be used."""


class ServiceError(WorkbenchError):
    """An endpoint does not answer as it should."""


class MissingExtra(WorkbenchError):
    """An optional feature needs a package that is not installed."""


class Waiting(WorkbenchError):
    """People have work to do before a command can go on; the same command goes on later."""

    exit_code = 75


def need(module: str, *, extra: str, feature: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Raises:
        MissingExtra: the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as exc:
        package = module.partition(".")[0].replace("_", "-")
        raise MissingExtra(
            f"{feature} needs the package `{package}`, which is not installed.",
            f"Install it with: pip install 'intent-workbench[{extra}]'",
        ) from exc


def one_of(value: str, known: Iterable[str]) -> str:
    """The hint of every 'unknown name' error: the nearest known name, then all of them."""
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(value, names, n=1)
    listing = ", ".join(names) if names else "(none)"
    return f"Did you mean {near[0]!r}? Known: {listing}" if near else f"Known: {listing}"
