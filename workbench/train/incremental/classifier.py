"""Continue the linear classifier on new rows, its encoder and features frozen; hold rows out where there are no test rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.classify import Classifier, Floats, Head, Ints, OutOfFold, cross_fit
from workbench.errors import DataError
from workbench.records import Sample
from workbench.similarity import near_groups
from workbench.train.classifier import bootstrap
from workbench.train.incremental.config import IncrementalConfig
from workbench.train.incremental.head import Lesson, continue_head, fisher
from workbench.train.incremental.replay import replayed


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples and their features under the frozen encoder."""

    samples: Sequence[Sample]
    x: Floats
    """[n, d]."""

    @property
    def labels(self) -> list[str]:
        """[n] classes."""
        return [sample.label for sample in self.samples]

    def at(self, rows: Ints) -> "Rows":
        """Some of them."""
        return Rows([self.samples[i] for i in rows], self.x[rows])


@dataclass(frozen=True, slots=True)
class Held:
    """Rows that neither model had seen, in the order of the samples, and what both say of them."""

    before: list[str]
    after: list[str]


def doubts(old: Classifier, rows: Rows) -> OutOfFold:
    """Out-of-fold probabilities of the old rows on the frozen features.

    Raises:
        DataError: the old rows are of fewer than two classes.
    """
    if len(set(rows.labels)) < 2:
        raise DataError("The old rows are of fewer than two classes.", "Give the rows that the model was trained on.")
    ids = [sample.id for sample in rows.samples]
    return cross_fit(old.features.config, ids, rows.x, rows.labels, _together(rows.samples))


def continue_classifier(
    config: IncrementalConfig, model: Classifier, old: Rows, new: Rows, fitted: OutOfFold, *, seed: int
) -> tuple[Classifier, Ints]:
    """The classifier after the new rows, and which old rows it went over again.

    Each bootstrap replica of the old model is continued on a bootstrap of the same lesson, so that the replicas of both
    models are paired.
    """
    again = _again(config, fitted, new, seed)
    lesson = _lesson(old, new, again)
    heads = [_continued(config, model.head, old, lesson)]
    for replica, head in enumerate(model.replicas):
        drawn = bootstrap(lesson.samples, np.random.default_rng([seed, replica]))
        heads.append(_continued(config, head, old, lesson.at(drawn)))
    return Classifier(model.features, heads[0], tuple(heads[1:]), model.encoder), again


def hold_out_new(
    config: IncrementalConfig, model: Classifier, old: Rows, new: Rows, fitted: OutOfFold, *, seed: int
) -> Held:
    """What the old model says of each new row, and what it says after a lesson without the fold that the row is in."""
    after = [""] * len(new.samples)
    for held, seen in folds_of(new.samples, config.folds, seed):
        part = new.at(seen)
        head = _continued(config, model.head, old, _lesson(old, part, _again(config, fitted, part, seed)))
        _fill(after, held, _predicted(head, new.x[held]))
    return Held(_predicted(model.head, new.x), after)


def hold_out_old(
    config: IncrementalConfig, model: Classifier, old: Rows, new: Rows, fitted: OutOfFold, *, seed: int
) -> Held:
    """What both models say of each old row when trained without the fold that it is in: the old head is trained again."""
    before, after = [""] * len(old.samples), [""] * len(old.samples)
    for held, seen in folds_of(old.samples, config.folds, seed):
        rest = old.at(seen)
        if len(set(rest.labels)) < 2:
            raise DataError("Too few old rows to hold some out.", "Give test rows: --test FILE.")
        start = Head.fit(model.features.config, rest.x, rest.labels).at(model.head.temperature)
        again = _again(config, _some(fitted, seen), new, seed)
        head = _continued(config, start, rest, _lesson(rest, new, again))
        _fill(before, held, _predicted(start, old.x[held]))
        _fill(after, held, _predicted(head, old.x[held]))
    return Held(before, after)


def _again(config: IncrementalConfig, fitted: OutOfFold, new: Rows, seed: int) -> Ints:
    if "replay" not in config.guard:
        return np.zeros(0, dtype=np.int64)
    return replayed(config, fitted, len(new.samples), set(new.labels), seed)


def _lesson(old: Rows, new: Rows, again: Ints) -> Rows:
    some = old.at(again)
    return Rows([*some.samples, *new.samples], np.vstack([some.x, new.x]))


def _continued(config: IncrementalConfig, head: Head, old: Rows, lesson: Rows) -> Head:
    curvature = fisher(head, old.x) if "ewc" in config.guard else None
    return continue_head(config, head, Lesson(lesson.x, lesson.labels), curvature)


def _some(fitted: OutOfFold, rows: Ints) -> OutOfFold:
    ids = tuple(fitted.ids[i] for i in rows)
    return OutOfFold(ids, fitted.labels, fitted.truth[rows], fitted.probabilities[rows], fitted.temperature)


def folds_of(samples: Sequence[Sample], folds: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Row numbers held out and the others: classes spread evenly, near duplicates on one side, seeded."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(_together(samples)):
        members.setdefault(group, []).append(row)
    order = np.random.default_rng([seed, 6]).permutation(len(members))
    mixed = [list(members.values())[i] for i in order]
    mixed.sort(key=lambda together: samples[together[0]].label)  # stable: classes in turn, each in random order
    place = np.zeros(len(samples), dtype=np.int64)
    for i, together in enumerate(mixed):
        place[together] = i % folds
    for fold in range(folds):
        held, seen = np.flatnonzero(place == fold), np.flatnonzero(place != fold)
        if len(held) and len(seen):
            yield held, seen
        elif len(held):
            raise DataError("One new row cannot be held out.", "Give more new rows, or test rows: --new-test FILE.")


def _together(samples: Sequence[Sample]) -> list[int]:
    """[n] number of the group that each row shares a fold with: its near duplicates.

    Where these are all rows of a class, they are told apart again: a class that is held out whole says nothing of a model.
    """
    found = near_groups([sample.text for sample in samples])
    groups: dict[str, set[int]] = {}
    for sample, group in zip(samples, found, strict=True):
        groups.setdefault(sample.label, set()).add(group)
    whole = {next(iter(some)) for some in groups.values() if len(some) == 1}
    free = max(found, default=0) + 1
    return [free + i if group in whole else group for i, group in enumerate(found)]


def _predicted(head: Head, x: Floats) -> list[str]:
    return [head.labels[i] for i in head.logits(x).argmax(axis=1)]


def _fill(column: list[str], rows: Ints, values: Sequence[str]) -> None:
    for row, value in zip(rows, values, strict=True):
        column[int(row)] = value
