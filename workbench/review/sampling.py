"""Acceptance sampling: how many rows of a lot people must look at, so that few of the others are defective.

A lot is what was made for one class with one prompt, after its rows that are looked at for another reason (a forced class, the
most doubtful first) have been taken out: those are no random sample, and count neither as `size` nor as `seen`. A lot is closed
when its first rows are drawn: rows that are made later form a new lot, named with the next batch number, because nothing that
was drawn before could have been one of them. `size` stays what it was at the first draw.

A row counts as seen when people have settled what it is, and only once all rows of a draw are settled does a draw count: those
that are answered first are not a random part of it. A row that everybody skips counts as defective, for the same reason.
That people err is not part of the bound: a defect is what they call one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from workbench.config import Strict
from workbench.errors import DataError
from workbench.metrics import Floats
from workbench.records import Metric, digest
from workbench.review.hypergeometric import least_bad, log_choose, log_exactly, most_bad
from workbench.review.plans import SLACK, Point, design

NAME = "unseen_defects"
RATES, STRENGTHS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4), (2.0, 10.0, 50.0)
"""Means and strengths of the beta distributions that defect rates of lots may have, to `pooled`: all pairs of the two, equally
likely. Where rates are like one of them, intervals are narrow; they cover whatever the rates are."""


class SamplingConfig(Strict):
    """How sure of the rows that nobody looks at one wants to be."""

    bound: float = Field(default=0.1, gt=0, lt=1)
    """Highest share of defective rows among those of a lot that nobody looked at."""
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    """Probability that the bound holds, for each lot, over all its stages together."""
    stages: int = Field(default=3, ge=1, le=5)
    """A lot with too many defects for a verdict gets further draws, up to so many; then all of it is looked at."""
    usual: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(default=(0.0, 0.02, 0.05), min_length=1)
    """Defect rates that lots mostly have: plans look at the fewest rows for them. The bound holds for any rate."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with a lot."""

    action: Literal["accept", "draw", "review"]
    """Nobody needs to look at the rest; more rows are to be drawn; all rows are to be looked at."""
    sample: int
    """So many rows of the lot's random order (`pick`) are to have been looked at, those before included."""
    stage: int
    """Pass it on to `plan` when they have been."""
    unseen: Metric
    """Share of defects among the rows that nobody looked at; `n` is the rows looked at. If accepted, `high` is what the plan
    promises (and `low` is 0: nothing is promised downwards), else both ends are those of `pooled`."""
    say: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a lot."""

    size: int
    seen: int
    """Rows of its random sample, when sampling ended or as it stands."""
    defects: int
    """How many of these are defective."""
    bad: int | None = None
    """Defective rows of the whole lot, where all of it was looked at."""

    def __post_init__(self) -> None:
        bad = self.defects if self.bad is None else self.bad
        if not (
            0 <= self.defects <= self.seen <= self.size and self.defects <= bad <= self.size - self.seen + self.defects
        ):
            found = "" if self.bad is None else f", and {self.bad} in all"
            raise DataError(
                f"A lot of {self.size} rows cannot have {self.defects} defects in {self.seen} rows looked at{found}.",
                "Count rows of the lot once each: defects <= rows looked at <= rows of the lot.",
            )

    @property
    def unseen(self) -> int:
        """Rows that nobody looked at."""
        return self.size - self.seen if self.bad is None else 0


def stages(size: int, config: SamplingConfig) -> tuple[Point, ...]:
    """The plan for a lot of `size` rows: rows to draw and defects to accept, stage by stage; empty where all must be seen."""
    return design(size, config.bound, 1 - config.confidence, config.stages, tuple(sorted(set(config.usual))))


def plan(size: int, seen: int, defects: int, stage: int, config: SamplingConfig) -> Step:
    """The next step for a lot. Of the same rows with more defects, the step is never a milder one.

    The probability that a lot is accepted although more than `bound` of its unseen rows are defective is at most
    1 - `confidence`, whatever its true number of defects. That is a statement about each lot by itself; of a class with many
    lots see `pooled`.

    Args:
        size: rows of the lot when its first rows were drawn.
        seen: rows of `pick(ids, step.sample, ...)` that people have settled.
        defects: how many of these are defective.
        stage: `Step.stage` of the step before; 0 at the start.
        config: bound, confidence and number of stages.

    Raises:
        DataError: the counts contradict each other.
    """
    lot = Looked(size, seen, defects)
    points = stages(size, config)
    if seen == size:
        return _accept(lot, stage, 0, config)
    if not points or stage > len(points) or (stage and defects >= points[stage - 1].reject):
        return _review(lot, stage, config)
    if stage:
        point = points[stage - 1]
        if seen < point.sample:
            return _draw(lot, stage, point, config)
        most = most_bad(size, seen, defects, point.error) - defects
        if defects <= point.accept and most <= config.bound * (size - seen) + SLACK:
            return _accept(lot, stage, most, config)
    later = next((k for k in range(stage, len(points)) if points[k].sample > seen), None)
    return _review(lot, stage, config) if later is None else _draw(lot, later + 1, points[later], config)


def pick(ids: Sequence[str], k: int, seed: int, lot: str) -> list[str]:
    """The first `k` rows of a lot in its random order, which is that of a hash of seed, lot and id.

    So a larger `k` goes on where a smaller one ended, and rows that are added change nothing about the order of the others.

    Args:
        ids: the rows of the lot, in any order.
        k: how many; all where there are fewer.
        seed: another seed is another order.
        lot: name of the lot, with its batch number, so that lots are drawn independently.
    """
    return sorted(set(ids), key=lambda row: (digest(str(seed), lot, row), row))[: max(0, k)]


def unseen(size: int, seen: int, defects: int, confidence: float, *, sides: Literal[1, 2] = 2) -> Metric:
    """Defect rate of the rows that nobody looked at, from one random sample whose size was settled beforehand (as a fixed 10 %).

    The interval inverts the exact hypergeometric test: it covers with at least `confidence`. Samples that grow with what is found
    in them, as those of `plan`, need the interval of `pooled`.

    Args:
        size: rows of the lot.
        seen: rows of the sample.
        defects: defective rows in it.
        confidence: of the interval, 0 to 1.
        sides: 2, or 1 for an upper limit alone.

    Raises:
        DataError: the counts contradict each other.
    """
    lot = Looked(size, seen, defects)
    rest, error = size - seen, (1 - confidence) / sides
    if not rest:
        return Metric(NAME, 0.0, 0.0, 0.0, seen)
    high = (most_bad(size, seen, defects, error) - defects) / rest
    low = (least_bad(size, seen, defects, error) - defects) / rest if sides == 2 else 0.0
    return Metric(NAME, _rate([lot], low, high), low, high, seen)


def looked(size: int, bad: Sequence[bool], config: SamplingConfig) -> Looked:
    """What `pooled` needs to know of a lot from its rows in random order, as far as they were looked at: whether each is defective.

    Of a lot that was looked at in full, sampling ended where `plan` gave it up.

    Raises:
        DataError: there are more rows than the lot has.
    """
    found = np.cumsum([0, *bad])
    if len(bad) == size:
        for point in stages(size, config):
            defects = int(found[point.sample])
            if not point.accept < defects < point.reject:
                return Looked(size, point.sample, defects, int(found[-1]))
    return Looked(size, len(bad), int(found[-1]))


def pooled(lots: Iterable[Looked], confidence: float) -> Metric:
    """Defect rate of all rows of several lots that nobody looked at; the interval covers whenever and why ever sampling ended.

    Each end is the better one of two intervals that share the error: of all lots at once (see `_defects`), which is narrow where
    lots are alike, and of each lot for itself, summed up (Bonferroni), which does not mind that others are bad.

    Lots that were rejected and then looked at in full belong in here (see `looked`): of many bad lots some are accepted by
    chance, and to leave out the others would hide that. Lots that had to be looked at in full from the start do not.

    Args:
        lots: every lot of a class that was sampled.
        confidence: of the interval, 0 to 1.
    """
    known = list(lots)
    rest, n = sum(lot.unseen for lot in known), sum(lot.size if lot.bad is not None else lot.seen for lot in known)
    if not rest:
        return Metric(NAME, 0.0, 0.0, 0.0, n)
    error = (1 - confidence) / (2 if len(known) > 1 else 1)
    each = np.sum([_defects([lot], error / len(known)) for lot in known], axis=0)
    together = _defects(known, error)
    low, high = max(each[0], together[0]) / rest, min(each[1], together[1]) / rest
    # Two intervals at odds would be an event that the error allows for; then the honest answer is both.
    low, high = min(low, high), max(low, high)
    return Metric(NAME, _rate(known, low, high), low, high, n)


def _defects(lots: Sequence[Looked], error: float) -> tuple[int, int]:
    """Fewest and most defects among the unseen rows of some lots together.

    How likely the samples are under a mixture of distributions of defect rates, against how likely they are under given numbers
    of defects of each lot: for the true numbers that ratio is a martingale in the rows looked at, the prior-posterior ratio of
    Waudby-Smith and Ramdas (2020, "Confidence sequences for sampling without replacement"), here of many lots at once. By
    Ville's inequality it ever exceeds 1 / error with a probability of at most `error`. What is returned are the ends of
    all totals that some numbers of defects give for which it does not.
    """
    best, budget = 0, _expected(lots) - float(np.log(error))
    up: list[Floats] = []
    down: list[Floats] = []
    for lot in lots:
        total = lot.defects + np.arange(lot.unseen + 1) if lot.bad is None else np.array([lot.bad])
        against = -log_exactly(lot.defects, lot.size, total, lot.seen)
        at = int(np.argmin(against))
        best, budget = best + at, budget - float(against[at])
        up.append(np.diff(against[at:]))
        down.append(np.diff(against[at::-1]))
    # These curves are convex, so that the cheapest next defect, again and again, is the cheapest way to any total.
    more, less = (int(np.sum(np.cumsum(np.sort(np.concatenate(steps))) <= budget + SLACK)) for steps in (up, down))
    return best - less, best + more


def _expected(lots: Sequence[Looked]) -> float:
    """-ln of the probability of all samples under the mixture."""
    from scipy.special import betaln, logsumexp

    seen, defects = np.array([lot.seen for lot in lots]), np.array([lot.defects for lot in lots])
    a, b = np.array([(rate * k, (1 - rate) * k) for rate in RATES for k in STRENGTHS]).T[:, :, None]
    each = log_choose(seen, defects) + betaln(a + defects, b + seen - defects) - betaln(a, b)
    return -float(logsumexp(each.sum(axis=1)) - np.log(len(each)))


def _rate(lots: Sequence[Looked], low: float, high: float) -> float:
    """Each lot's unseen rows at the rate of its sample (where there is none, at that of all samples), within the interval."""
    seen, rest = sum(lot.seen for lot in lots), sum(lot.unseen for lot in lots)
    overall = sum(lot.defects for lot in lots) / seen if seen else 0.0
    found = sum(lot.unseen * (lot.defects / lot.seen if lot.seen else overall) for lot in lots) / rest
    return min(max(found, low), high)


def _accept(lot: Looked, stage: int, most: int, config: SamplingConfig) -> Step:
    rest = lot.size - lot.seen
    if not rest:
        say = f"All {lot.size} rows were looked at, {lot.defects} are defective."
        return Step("accept", lot.seen, stage, Metric(NAME, 0.0, 0.0, 0.0, lot.seen), say)
    high = most / rest
    say = (
        f"Accepted: {_of(lot)}; with {100 * config.confidence:.4g} % confidence at most {100 * high:.1f} % of the {rest} rows that "
        f"nobody looked at are ({most} rows)."
    )
    return Step("accept", lot.seen, stage, Metric(NAME, _rate([lot], 0.0, high), 0.0, high, lot.seen), say)


def _draw(lot: Looked, stage: int, point: Point, config: SamplingConfig) -> Step:
    more = point.sample - lot.seen
    found = f"{_of(lot)}; " if lot.seen else ""
    say = (
        f"Look at {more} {'more ' if lot.seen else ''}of {lot.size} rows (stage {stage}): {found}the lot is accepted with "
        f"{point.accept} or fewer in {point.sample}, and looked at in full with {point.reject} or more."
    )
    return Step("draw", point.sample, stage, pooled([lot], config.confidence), say)


def _review(lot: Looked, stage: int, config: SamplingConfig) -> Step:
    bound = f"at most {100 * config.bound:.3g} % of the unseen rows with {100 * config.confidence:.4g} % confidence"
    if lot.seen:
        say = f"Look at all {lot.size} rows: {_of(lot)}, too many to promise {bound}."
    else:
        say = f"Look at all {lot.size} rows: no sample that is much smaller can promise {bound}."
    return Step("review", lot.size, stage, pooled([lot], config.confidence), say)


def _of(lot: Looked) -> str:
    return f"{lot.defects or 'none'} of {lot.seen} rows {'is' if lot.defects <= 1 else 'are'} defective"
