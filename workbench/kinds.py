"""Which kinds of a thing there are: modules of a package, an entry-point group, and whatever a plugin file defined."""

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, TypeVar

from workbench.config import Strict
from workbench.errors import one_of

T = TypeVar("T", bound=Strict)


def kinds(base: type[T], package: ModuleType, group: str) -> dict[str, type[T]]:
    """Every concrete subclass of `base` by its kind, the default of its field `kind`.

    Args:
        base: a configuration with a field `kind`.
        package: each of its modules is imported, so that one new file is a new kind.
        group: entry points of this group are loaded too.
    """
    _load(package.__name__, tuple(package.__path__), group)
    return {kind: found for found in _subclasses(base) if (kind := _kind(found))}


def read_kind(known: Mapping[str, type[T]], name: str, settings: Mapping[str, Any], *, what: str, where: str) -> T:
    """The settings called `name` as the kind that they say, or of that name.

    Raises:
        ValueError: there is no such kind; `what` says of what.
        ConfigError: a setting is wrong; `where` is the place in wb.yaml.
    """
    kind = settings.get("kind", name)
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"there is no {what} of kind {kind!r}. {one_of(str(kind), known)}")
    return known[kind].read({"kind": kind, **settings}, where=f"{where}.{name}")


@cache
def _load(name: str, folders: tuple[str, ...], group: str) -> None:
    for module in iter_modules(folders):
        import_module(f"{name}.{module.name}")
    for point in entry_points(group=group):
        point.load()


def _subclasses(base: type[T]) -> Iterator[type[T]]:
    for found in base.__subclasses__():
        yield from _subclasses(found)
        yield found


def _kind(found: type[Strict]) -> str:
    """The kind of a class, empty where it is a base of others."""
    default = found.model_fields["kind"].default
    return default if isinstance(default, str) and not inspect.isabstract(found) else ""
