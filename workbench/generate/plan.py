"""Who needs how many rows: from what the command line names, or from the diagnosis."""

from collections.abc import Mapping, Sequence

from workbench.errors import UsageError, one_of
from workbench.records import Need


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


def class_needs(labels: Sequence[str], counts: Mapping[str, int], why: str) -> list[Need]:
    """One need per class; `counts` are totals of accepted synthetic rows."""
    return [Need(label, counts[label], "minority", why=why) for label in labels]


def pair_needs(left: str, right: str, counts: Mapping[str, int]) -> list[Need]:
    """Both sides of a confusion pair.

    Raises:
        UsageError: a class is paired with itself.
    """
    if left == right:
        raise UsageError(f"A pair needs two classes; both are {left!r}.", "Write: --pair A:B")
    why = f"{left} / {right} get mixed up"
    return [
        Need(left, counts[left], "pair", against=right, why=why),
        Need(right, counts[right], "pair", against=left, why=why),
    ]
