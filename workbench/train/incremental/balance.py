"""Whether new rows would drown a class: looked at before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.errors import DataError
from workbench.train.incremental.config import IncrementalConfig


@dataclass(frozen=True, slots=True)
class Balance:
    """Rows of each class, and what has to be said of them."""

    new: Mapping[str, int]
    old: Mapping[str, int]
    notes: tuple[str, ...]

    def json(self) -> dict[str, dict[str, int]]:
        """Class -> rows that are old and new, for the run folder."""
        return {label: {"old": self.old.get(label, 0), "new": self.new.get(label, 0)} for label in _classes(self)}


def balance(config: IncrementalConfig, new: Mapping[str, int], old: Mapping[str, int]) -> Balance:
    """Check the rows of each class, new and old.

    Raises:
        DataError: there are no new rows, or the new rows of a class would drown another class.
    """
    if not new:
        raise DataError("There are no new rows to train on.", "Give --new-data FILE with rows that have a class.")
    _refuse(config, new, old)
    found = Balance(dict(new), dict(old), ())
    return Balance(found.new, found.old, tuple(_notes(config, found)))


def _refuse(config: IncrementalConfig, new: Mapping[str, int], old: Mapping[str, int]) -> None:
    big = max(sorted(new), key=lambda label: new[label])
    total = {label: old.get(label, 0) + new.get(label, 0) for label in sorted({*new, *old})}
    small = min((label for label in total if label != big), key=lambda label: total[label], default=big)
    if not config.max_ratio or small == big or new[big] <= config.max_ratio * total[small]:
        return
    most, least = int(config.max_ratio * total[small]), -(-new[big] // int(max(1, config.max_ratio)))
    raise DataError(
        f"{new[big]} new rows of {big!r} would drown {small!r}, which has {_rows(total[small])} in all: "
        f"{new[big] / total[small]:.0f} times as many; the limit is {config.max_ratio:g} times.",
        f"Take at most {most} rows of {big!r}, add rows of {small!r} (to {least}), or set train.incremental.max_ratio.",
    )


def _notes(config: IncrementalConfig, found: Balance) -> list[str]:
    grown = [label for label in sorted(found.new) if label not in found.old]
    untouched = [label for label in sorted(found.old) if label not in found.new]
    counts = sorted(found.new.values())
    span = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    notes = [
        f"{sum(counts)} new rows in {len(counts)} classes ({span} each), {sum(found.old.values())} old rows "
        f"in {len(found.old)} classes"
    ]
    if grown:
        rows = ", ".join(f"{label} ({_rows(found.new[label])})" for label in grown)
        notes.append(f"the model gets {'a new class' if len(grown) == 1 else 'new classes'}: {rows}")
    if untouched and not config.guard:
        notes.append(
            f"nothing keeps the {len(untouched)} classes without new rows from being forgotten (train.incremental.guard "
            "is none)"
        )
    return notes


def _classes(found: Balance) -> list[str]:
    return sorted({*found.new, *found.old})


def _rows(n: int) -> str:
    return f"{n} row" if n == 1 else f"{n} rows"
