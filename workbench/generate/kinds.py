"""Which strategies there are: every module in `generate/strategies`, the entry-point group `workbench.strategies`, and plugins."""

from collections.abc import Mapping
from typing import Any

from workbench import kinds as any_kinds
from workbench.generate import strategies
from workbench.generate.base import Strategy
from workbench.kinds import read_kind

DEFAULTS: Mapping[str, Any] = {"minority": {}, "pair": {}, "paraphrase": {}, "slots": {}, "handwritten": {}}


def kinds() -> dict[str, type[Strategy]]:
    """Every known strategy by its kind."""
    return any_kinds.kinds(Strategy, strategies, "workbench.strategies")


def read_strategies(values: Mapping[str, Any]) -> dict[str, Strategy]:
    """The strategies by name; one that is not mentioned keeps its defaults.

    Raises:
        ValueError: a kind is unknown, or a strategy is not a mapping.
    """
    known = kinds()
    found: dict[str, Strategy] = {}
    for name, settings in {**{kind: {} for kind in known}, **values}.items():
        if isinstance(settings, Strategy):
            found[name] = settings
            continue
        if settings is None:  # `slots:` with nothing but comments below it
            settings = {}
        if not isinstance(settings, Mapping):
            raise ValueError(f"the strategy {name!r} is not a mapping of settings")
        found[name] = read_kind(known, name, settings, what="strategy", where="generate.strategies")
    return found
