"""Train, dev and test: stratified, seeded, with duplicates and the turns of one dialogue on one side."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from workbench.config import Strict
from workbench.records import Change, Sample, Split, by_label
from workbench.similarity import groups, near_duplicates


class SplitConfig(Strict):
    """Settings of `wb data split`."""

    dev: float = Field(default=0.1, ge=0, lt=1)
    """Share of each class for the dev split."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share of each class for the test split."""
    group_by: str = "dialogue_id"
    """Column of yours whose equal values stay on one side; ignored where there is none."""
    near_duplicate: float = 0.9
    """Character ratio from which two rows stay on one side."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """The changes that a split would make, and what has to be said about it."""

    changes: list[Change]
    notes: list[str]


def split(samples: Sequence[Sample], config: SplitConfig, seed: int) -> Splitting:
    """Distribute the rows that are in train; rows in dev, test or pool stay where they are.

    Of each class, whole groups go to test and dev until their shares are reached. A class keeps at least one row in
    train: with 1 row it is only there, with 2 test gets one, with 3 dev too.
    """
    rows = [sample for sample in samples if sample.split == "train"]
    group = _groups(rows, config)
    members: dict[int, list[int]] = {}
    for i, key in enumerate(group):
        members.setdefault(key, []).append(i)
    counts = Counter(row.label for row in rows)
    wanted = {(label, part): _share(n, part, config) for label, n in counts.items() for part in ("test", "dev")}
    left = Counter(counts)
    order = sorted(members)
    random.Random(seed).shuffle(order)
    place: dict[int, Split] = {}
    # Small groups first: a group of 50 near duplicates would fill the test split with one sentence.
    for key in sorted(order, key=lambda key: len(members[key])):
        label = rows[members[key][0]].label
        size = len(members[key])
        for part in ("test", "dev"):
            if 0 < size <= wanted[label, part] and left[label] > size:
                wanted[label, part] -= size
                left[label] -= size
                place[key] = part
                break
    changes = [
        Change(rows[i].id, "split", place[key], "stratified") for key in order if key in place for i in members[key]
    ]
    return Splitting(changes, _notes(rows, counts, wanted, members))


def _share(n: int, part: str, config: SplitConfig) -> int:
    share = config.test if part == "test" else config.dev
    if not share:
        return 0
    least = 2 if part == "test" else 3
    return max(1, round(n * share)) if n >= least else 0


def _groups(rows: Sequence[Sample], config: SplitConfig) -> list[int]:
    pairs = near_duplicates([row.text for row in rows], config.near_duplicate)
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        dialogue = row.meta.get(config.group_by)
        if dialogue not in (None, ""):
            pairs.append((first.setdefault(str(dialogue), i), i, 1.0))
    return groups(pairs, len(rows))


def _notes(
    rows: Sequence[Sample],
    counts: Counter[str],
    unfilled: dict[tuple[str, str], int],
    members: dict[int, list[int]],
) -> list[str]:
    notes = []
    for n, what in ((1, "only train"), (2, "train and test, not dev"), (3, "one row each in train, dev and test")):
        few = [label for label, count in counts.items() if count == n]
        if few:
            notes.append(f"{len(few)} classes have {n} row{'s' * (n > 1)}: {what} ({', '.join(few[:5])})")
    together = sum(len(some) for some in members.values() if len(some) > 1)
    if together:
        notes.append(f"{together} rows are near duplicates or of one dialogue with another row and stayed together")
    short = sorted({label for (label, _), missing in unfilled.items() if missing > 0} & set(by_label(rows)))
    if short:
        notes.append(f"{len(short)} classes got fewer dev or test rows than their share, as their rows hang together")
    return notes
