"""Train, dev and test: stratified, seeded, with duplicates and the turns of one dialogue on one side."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from workbench.config import Strict
from workbench.errors import DataError, one_of
from workbench.records import Change, Sample, Split
from workbench.similarity import groups, near_groups

PARTS: tuple[Split, ...] = ("test", "dev")
GROUP_BY = "dialogue_id"


class SplitConfig(Strict):
    """Settings of `wb data split`."""

    dev: float = Field(default=0.1, ge=0, lt=1)
    """Share of each class for the dev split."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share of each class for the test split."""
    group_by: str = GROUP_BY
    """Column of yours whose equal values stay on one side."""
    near_duplicate: float = Field(default=0.9, gt=0, le=1)
    """Character ratio (0 to 1) from which two rows stay on one side."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """The changes that a split would make, and what has to be said about it."""

    changes: list[Change]
    counts: Mapping[str, int]
    """Rows per split afterwards."""
    notes: list[str]


@dataclass(slots=True)
class _Draw:
    """Groups of rows being dealt out. A group is what must not be torn apart."""

    labels: list[Counter[str]]
    """Rows of each class in each group."""
    left: Counter[str]
    """Rows of each class that are still in train."""
    wanted: dict[tuple[str, Split], int]
    """Rows that a class still wants in a split."""
    place: dict[int, Split]

    def fill(self, part: Split, order: Sequence[int]) -> None:
        """Deal groups to `part`, the rarest classes first: they have the fewest groups to choose from.

        A group is left out where less than half of it is wanted, and waits where it brings more than a quarter of what its
        class wants: 50 near duplicates would fill the split with one sentence.
        """
        having: dict[str, list[int]] = {}
        for key in order:
            for label in self.labels[key]:
                having.setdefault(label, []).append(key)
        for label in sorted(having, key=lambda name: (self.left[name], name)):
            most = max(1, self.wanted[label, part] // 4)
            for key in having[label]:
                if self.labels[key][label] <= most:
                    self._offer(key, label, part)
            for key in having[label]:
                self._offer(key, label, part)

    def _offer(self, key: int, label: str, part: Split) -> None:
        group = self.labels[key]
        if key in self.place or self.wanted[label, part] <= 0:
            return
        useful = sum(min(n, max(0, self.wanted[name, part])) for name, n in group.items())
        if useful * 2 < group.total() or any(self.left[name] <= n for name, n in group.items()):
            return
        self.place[key] = part
        self.left -= group
        for name, n in group.items():
            self.wanted[name, part] -= n


def split(samples: Sequence[Sample], config: SplitConfig, seed: int, *, redo: bool = False) -> Splitting:
    """Fill dev and test from train. A split that has rows stays as it is, unless `redo` draws both anew.

    Of each class, whole groups go to test and dev until their shares are reached. A class keeps at least one row in
    train: with 1 row it is only there, with 2 test gets one, with 3 dev too.

    Raises:
        DataError: no row has the column `group_by`.
    """
    rows = [sample for sample in samples if sample.split != "pool" and sample.label]
    fixed = {part for part in PARTS if not redo and any(row.split == part for row in rows)}
    members = _groups(rows, config)
    pinned = {key for key, group in enumerate(members) if any(rows[i].split in fixed for i in group)}
    counts = Counter(row.label for row in rows if row.split not in fixed)
    draw = _Draw(
        [Counter(rows[i].label for i in group) for group in members],
        Counter(counts),
        {
            (label, part): 0 if part in fixed else _share(n, part, config)
            for label, n in counts.items()
            for part in PARTS
        },
        {},
    )
    order = [key for key in range(len(members)) if key not in pinned]
    random.Random(seed).shuffle(order)
    for part in PARTS:
        if part not in fixed:
            draw.fill(part, order)
    changes = [
        Change(rows[i].id, "split", draw.place.get(key, "train"), "redrawn" if redo else "stratified")
        for key in sorted(order)
        for i in members[key]
        if rows[i].split != draw.place.get(key, "train")
    ]
    after = Counter({part: sum(row.split == part for row in samples) for part in ("train", "dev", "test", "pool")})
    was = {row.id: row.split for row in rows}
    for change in changes:
        after[was[change.sample]] -= 1
        after[change.value] += 1
    notes = [
        f"{part} has {after[part]} rows already and stays as it is; --redo draws it anew"
        for part in PARTS
        if part in fixed
    ]
    return Splitting(changes, after, notes + _notes(rows, fixed, members, pinned, draw, counts))


def _share(n: int, part: Split, config: SplitConfig) -> int:
    share = config.test if part == "test" else config.dev
    least = 2 if part == "test" or not config.test else 3
    return max(1, round(n * share)) if share and n >= least else 0


def _groups(rows: Sequence[Sample], config: SplitConfig) -> list[list[int]]:
    """Rows that belong together, by index."""
    if not rows:
        return []
    pairs = [(key, i, 1.0) for i, key in enumerate(near_groups([row.text for row in rows], config.near_duplicate))]
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        value = row.meta.get(config.group_by)
        if value not in (None, ""):
            pairs.append((first.setdefault(str(value), i), i, 1.0))
    if not first and config.group_by not in ("", GROUP_BY):
        columns = {name for row in rows for name in row.meta}
        raise DataError(
            f"No row has the column {config.group_by!r} (data.split.group_by).", one_of(config.group_by, columns)
        )
    members: dict[int, list[int]] = {}
    for i, key in enumerate(groups(pairs, len(rows))):
        members.setdefault(key, []).append(i)
    return list(members.values())


def _notes(
    rows: Sequence[Sample],
    fixed: set[Split],
    members: Sequence[Sequence[int]],
    pinned: set[int],
    draw: _Draw,
    counts: Counter[str],
) -> list[str]:
    notes = _small_classes(draw, counts) if len(fixed) < len(PARTS) else []
    together = sum(len(group) for group in members if len(group) > 1)
    if together:
        notes.append(f"{together} rows nearly equal another, or share its dialogue, and stay on one side with it")
    leaking = sum(rows[i].split not in fixed for key in pinned for i in members[key])
    if leaking:
        names = " or ".join(part for part in PARTS if part in fixed)
        notes.append(f"{leaking} rows of train hang together with rows of {names}; `wb data clean` drops copies")
    few = sum(counts[label] > 3 for label in {label for (label, _), missing in draw.wanted.items() if missing > 0})
    if few:
        notes.append(f"{few} classes got fewer dev or test rows than their share, as their rows hang together")
    return notes


def _small_classes(draw: _Draw, counts: Counter[str]) -> list[str]:
    """Where the rows of classes with 1 to 3 rows went, one line for each outcome."""
    went: dict[tuple[int, tuple[Split, ...]], list[str]] = {}
    got = {label: {"train"} for label in counts}
    for key, part in draw.place.items():
        for label in draw.labels[key]:
            got[label].add(part)
    for label, n in counts.items():
        if n <= 3:
            parts: tuple[Split, ...] = tuple(p for p in ("train", "dev", "test") if p in got[label])
            went.setdefault((n, parts), []).append(label)
    return [
        f"{_count(len(labels), 'class', 'classes')} with {_count(n, 'row', 'rows')}: now in {', '.join(parts)} "
        f"({', '.join(labels[:5])}{', …' * (len(labels) > 5)})"
        for (n, parts), labels in sorted(went.items())
    ]


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
