"""Who needs how many rows: from what the command line names, or from the diagnosis."""

from collections.abc import Mapping, Sequence

from workbench.errors import UsageError, one_of
from workbench.generate.settings import ClassConfig
from workbench.records import Need

STRATEGY, PAIR_STRATEGY = "minority", "pair"
"""What serves where nobody names a strategy."""


def resolve_label(name: str, labels: Sequence[str], ids: Mapping[str, str]) -> str:
    """A class by its name, or by the number that the data give it.

    Raises:
        UsageError: there is no such class.
    """
    if name in labels:
        return name
    numbered = {number: label for label, number in ids.items()}
    if name in numbered:
        return numbered[name]
    raise UsageError(f"There is no class {name!r}.", one_of(name, [*labels, *sorted(numbered)]))


def wanted(known: ClassConfig, rows: int, target: int, default: int) -> int:
    """Accepted synthetic rows that a class should have, where the command line says nothing.

    Args:
        known: the settings of the class; they go before the rest.
        rows: its real training rows.
        target: what the diagnosis says, 0 where it says nothing.
        default: what holds for any class.
    """
    if known.accept is not None:
        return known.accept
    if known.target_multiplier is not None:
        return round(known.target_multiplier * rows)
    return target or default


def class_needs(labels: Sequence[str], counts: Mapping[str, int], why: str, strategy: Mapping[str, str]) -> list[Need]:
    """One need per class; `counts` are totals of accepted synthetic rows, `strategy` names that of each class."""
    return [Need(label, counts[label], strategy[label], why=why) for label in labels]


def pair_needs(left: str, right: str, counts: Mapping[str, int], strategy: str = PAIR_STRATEGY) -> list[Need]:
    """Both sides of a confusion pair.

    Raises:
        UsageError: a class is paired with itself.
    """
    if left == right:
        raise UsageError(f"A pair needs two classes; both are {left!r}.", "Write: --pair A:B")
    why = f"{left} / {right} get mixed up"
    return [
        Need(left, counts[left], strategy, against=right, why=why),
        Need(right, counts[right], strategy, against=left, why=why),
    ]
