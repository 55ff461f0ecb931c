"""Multiple sampling plans for one lot: how many rows to draw at each stage, and with how many defects to accept or give up.

A plan in the sense of Dodge and Romig (1929) and ISO 2859-2, for a lot by itself: points (sample, accept, reject). What is
bounded is not the quality of the whole lot, but of its rows that nobody looked at; the rest of the lot is screened where the
plan rejects it. Each stage has a share of the error probability, as in the spending of alpha in interim analyses (Lan &
DeMets 1983); the shares are then raised together as far as the exact error of the whole plan allows, for every number of
defects that the lot may have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from workbench.metrics import Floats, Ints
from workbench.review.hypergeometric import at_most, exactly, most_bad_each

SLACK = 1e-9
"""What rounding may do to a bound or a probability."""
WORTH = 0.9
"""A plan must save a tenth of the lot, or all of it is looked at: every stage is a round trip."""
HOPE = 0.05
"""Sampling ends where a lot as bad as its sample would still be accepted with less than this: the rows must be looked at anyway."""
STARTS, STEPS, GROWTH = (0, 1, 2), (1, 2, 3, 5, 8), (1.0, 2.0)
"""What acceptance numbers are tried: the first, the step to the next one, and how the steps grow."""
SPENDING = (1.0, 0.6)
"""What shares of the error are tried: each stage's is so many times that of the one before."""


@dataclass(frozen=True, slots=True)
class Point:
    """One stage of a plan."""

    sample: int
    """Rows drawn up to and with this stage."""
    accept: int
    """With so many defects or fewer among them, the lot is accepted."""
    reject: int
    """With so many or more, all of it is looked at; between the two, more rows are drawn."""
    error: float
    """The error probability of the limits that are stated at this stage."""


@lru_cache(maxsize=4096)
def design(size: int, bound: float, error: float, stages: int, usual: tuple[float, ...]) -> tuple[Point, ...]:
    """The plan that looks at the fewest rows on average over lots of the `usual` defect rates; empty where all must be seen.

    Whatever the true number of defects, the probability that a limit stated by the plan is too low is at most `error`, and no
    stated limit is above `bound`.

    Args:
        size: rows of the lot.
        bound: highest share of defects among the rows that stay unseen.
        error: 1 - confidence.
        stages: at most so many draws.
        usual: defect rates that a lot may have, equally likely; they move what the plan costs, never what it promises.
    """
    bad = np.unique(np.rint(np.array(usual) * size).astype(np.int64))
    best: tuple[tuple[int, ...], tuple[float, ...]] | None = None
    cost = WORTH * size
    for accepts, shares in _candidates(stages):
        points = _points(size, bound, accepts, [error * share for share in shares])
        looked_at = expected(size, points, bad)
        if points and looked_at < cost:
            best, cost = (accepts, shares), looked_at
    return _with_rejects(size, _spend_all(size, bound, error, *best)) if best else ()


def expected(size: int, points: Sequence[Point], bad: Ints) -> float:
    """Mean number of rows looked at, over lots with these numbers of defects."""
    accepted = [found.sum(axis=1) for found in walk(size, points, bad)]
    stopped = sum(accepted, start=np.zeros(len(bad)))
    looked = sum((p.sample * a for p, a in zip(points, accepted, strict=True)), start=size * (1 - stopped))
    return float(np.mean(looked))


def worst_error(size: int, points: Sequence[Point]) -> float:
    """The highest probability, over all numbers of defects in the lot, that a limit stated on acceptance is too low."""
    most = points[-1].accept
    limits = np.full((len(points), most + 1), size)
    for p, limit in zip(points, limits, strict=True):
        limit[: p.accept + 1] = most_bad_each(size, p.sample, p.accept, p.error)
    said = limits[limits < size]
    # Fewer defects than the lowest limit cannot break one; above the highest, acceptance only becomes rarer.
    bad = np.arange(said.min() + 1, min(said.max() + 1, size) + 1)
    wrong = sum(
        (found * (bad[:, None] > limit)).sum(axis=1)
        for found, limit in zip(walk(size, points, bad), limits, strict=True)
    )
    return float(np.max(wrong))


def walk(size: int, points: Sequence[Point], bad: Ints) -> Iterator[Floats]:
    """For each stage [lots, defects] the probability to be accepted there with 0, 1, ... defects in the sample.

    Args:
        size: rows of the lot.
        points: the plan; its rejection numbers are left aside, as if every lot ran to the last stage.
        bad: [lots] defects in the lot.
    """
    most = max((p.accept for p in points), default=0)
    each = np.arange(most + 1)
    going: Floats = np.zeros((len(bad), most + 1))
    going[:, 0] = 1.0
    drawn = 0
    for point in points:
        new = each[None, :] - each[:, None]
        left = bad[:, None, None] - each[:, None]
        step = exactly(new, size - drawn, left, point.sample - drawn)
        going = np.einsum("ld,lde->le", going, np.where(left >= 0, step, 0.0))
        drawn = point.sample
        yield np.where(each <= point.accept, going, 0.0)
        going = np.where(each <= point.accept, 0.0, going)


def _candidates(stages: int) -> Iterator[tuple[tuple[int, ...], tuple[float, ...]]]:
    """Acceptance numbers and shares of the error, for every number of stages up to `stages`."""
    seen = set()
    for count in range(1, stages + 1):
        for start in STARTS:
            for step in STEPS:
                for growth in GROWTH:
                    steps = [round(step * growth**k) for k in range(count - 1)]
                    accepts = tuple(int(a) for a in np.cumsum([start, *steps]))
                    for ratio in SPENDING:
                        parts = ratio ** np.arange(count)
                        seen.add((accepts, tuple(float(x) for x in parts / parts.sum())))
    return iter(sorted(seen))


def _points(size: int, bound: float, accepts: Sequence[int], errors: Sequence[float]) -> tuple[Point, ...]:
    """The smallest samples that bear these acceptance numbers, as far as they are smaller than the lot."""
    found: list[Point] = []
    for accept, error in zip(accepts, errors, strict=True):
        sample = _smallest(size, bound, accept, error)
        if sample >= size:
            break
        if found and sample <= found[-1].sample:
            break  # nothing new to look at: the shares of the error differ too much for this lot
        found.append(Point(sample, accept, accept + 1, error))
    return tuple(found)


@lru_cache(maxsize=1 << 16)
def _smallest(size: int, bound: float, accept: int, error: float) -> int:
    """The smallest sample after which `accept` defects leave at most `bound` among the unseen rows; `size` if there is none."""
    likely = int(4 * (accept + 2 - np.log(error)) / bound)
    for most in sorted({min(likely, size - 1), size - 1}):
        drawn = np.arange(accept + 1, most + 1)
        too_many = np.floor(bound * (size - drawn) + SLACK).astype(np.int64) + accept + 1
        fits = np.flatnonzero(at_most(accept, size, too_many, drawn) <= error - SLACK)
        if len(fits):
            return int(drawn[fits[0]])
    return size


def _spend_all(
    size: int, bound: float, error: float, accepts: Sequence[int], shares: Sequence[float]
) -> tuple[Point, ...]:
    """The plan with shares as large as its exact error allows.

    Shares that add up to the error are Bonferroni's bound, which counts twice what mostly happens together.
    """
    points = _points(size, bound, accepts, [error * share for share in shares])
    low, high = error, error / max(shares)
    for _ in range(6):
        middle = (low + high) / 2
        tried = _points(size, bound, accepts, [middle * share for share in shares])
        if worst_error(size, tried) <= error - SLACK:
            low, points = middle, tried
        else:
            high = middle
    return points


def _with_rejects(size: int, points: Sequence[Point]) -> tuple[Point, ...]:
    """Rejection numbers: from which on a lot as bad as its sample has next to no hope."""
    last = points[-1].accept
    found = [
        replace(
            point,
            reject=next((d for d in range(point.accept + 1, last + 1) if _hope(size, points[k:], d) < HOPE), last + 1),
        )
        for k, point in enumerate(points)
    ]
    return tuple(found)


def _hope(size: int, points: Sequence[Point], defects: int) -> float:
    """Probability that a lot of the defect rate of its sample is accepted at a later stage."""
    now, later = points[0], [p for p in points[1:] if p.accept >= defects]
    rest = [replace(p, sample=p.sample - now.sample, accept=p.accept - defects) for p in later]
    bad = round(size * defects / now.sample) - defects
    return float(sum(found.sum() for found in walk(size - now.sample, rest, np.array([max(bad, 0)]))))
