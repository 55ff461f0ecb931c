"""How far raters agree, with intervals: raw agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha.

Each is 1 - D_o / D_e, the disagreement that was observed and the one that chance would bring. Ratings come item by item as
{rater: value}; None is a missing value, and items with fewer than two values say nothing and are left out. `n` of a metric is
the items behind it. A coefficient is None where no item has two values, and where only one value was ever given: then there
is no chance disagreement, 0 / 0, and nothing shows that anybody would tell another value from it (Krippendorff 2018, ch. 12).

Intervals are of 95 %, and each end is the farther one of two: 1.96 standard errors of a bootstrap over items, which knows
nothing of disagreement that did not happen (raters who always agree would get [1, 1]), and Wilson's interval of the
disagreement. Of fewer than five items a coefficient's interval is [-1, 1]: they say nothing of chance.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.errors import DataError
from workbench.metrics import DRAWS, Floats, Ints, Z, cells, ratio, resamples, wilson
from workbench.records import Metric

Ratings = Mapping[Any, Mapping[str, Any]] | Sequence[Mapping[str, Any]]
Level = Literal["nominal", "ordinal", "interval"]
Parts = Callable[[Floats], tuple[Floats, Floats]]
"""[draws, kinds] how often each kind of item counts -> [draws] D_o, D_e."""
FEW = 5
"""Of fewer items, nothing is said about chance."""
CHUNK = 1 << 22
"""Numbers that one step of a bootstrap may hold."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Every coefficient that the ratings bear."""

    items: int
    """Items with at least two ratings."""
    raters: tuple[str, ...]
    """Who rated them, sorted."""
    raw: Metric | None
    """Share of pairs of ratings of an item that are equal, averaged over items."""
    cohen: Metric | None
    """Of two raters only."""
    fleiss: Metric | None
    alpha: Metric | None
    say: str


def agreement(ratings: Ratings, level: Level = "nominal", seed: int = 0) -> Agreement:
    """All coefficients and a sentence. `level` is that of alpha.

    Raises:
        DataError: values of an ordinal or interval scale are not numbers.
    """
    items = _rated(ratings)
    raters = tuple(sorted({rater for item in items for rater in item}))
    found = Agreement(
        len(items),
        raters,
        raw_agreement(items, seed),
        cohen_kappa(items, (raters[0], raters[1]), seed) if len(raters) == 2 else None,
        fleiss_kappa(items, seed),
        krippendorff_alpha(items, level, seed),
        "",
    )
    return Agreement(found.items, raters, found.raw, found.cohen, found.fleiss, found.alpha, _say(found))


def raw_agreement(ratings: Ratings, seed: int = 0) -> Metric | None:
    """Share of pairs of ratings of the same item that are equal, each item counting once whatever its number of ratings."""
    items = _rated(ratings)
    if not items:
        return None
    kinds, rows = _kinds(_counts(items, "nominal")[0])
    unlike = _unlike(kinds)
    return _metric("agreement", _Items(kinds, rows, unlike), lambda w: (_mean(w, unlike), np.ones(len(w))), seed)


def cohen_kappa(ratings: Ratings, raters: tuple[str, str] | None = None, seed: int = 0) -> Metric | None:
    """Cohen's kappa (1960) of two raters over the items that both rated; chance is from each rater's own shares of values.

    Args:
        ratings: {rater: value} of each item.
        raters: the two; may be left out where there are no others.
        seed: of the bootstrap.

    Raises:
        DataError: there are others, and nobody said which two.
    """
    names = sorted({rater for item in _rated(ratings) for rater in item})
    if raters is None and len(names) > 2:
        raise DataError(
            f"Cohen's kappa compares two raters, and there are {len(names)}: {', '.join(names)}.",
            "Name two of them, or use Fleiss' kappa or Krippendorff's alpha.",
        )
    if raters is None and len(names) < 2:
        return None
    first, second = raters or (names[0], names[1])
    pairs = [(item[first], item[second]) for item in _rated(ratings) if first in item and second in item]
    if not pairs:
        return None
    place = {value: i for i, value in enumerate(dict.fromkeys(v for pair in pairs for v in pair))}
    both = np.array([[place[a], place[b]] for a, b in pairs], dtype=np.int64)
    kinds, rows = cells(both[:, 0], both[:, 1])
    eye = np.eye(len(place))
    unlike = (kinds[0] != kinds[1]).astype(np.float64)

    def parts(w: Floats) -> tuple[Floats, Floats]:
        shares = [w @ eye[side] / w.sum(axis=1, keepdims=True) for side in kinds]
        return _mean(w, unlike), 1 - (shares[0] * shares[1]).sum(axis=1)

    counts = (eye[kinds[0]] + eye[kinds[1]]).astype(np.int64)
    where = {"first": first, "second": second}
    return _metric("cohen_kappa", _Items(counts, rows, unlike), parts, seed, where)


def fleiss_kappa(ratings: Ratings, seed: int = 0) -> Metric | None:
    """Fleiss' kappa (1971) of any number of raters, who may differ from item to item; chance is from all ratings together.

    Where items have different numbers of ratings, each item's share of equal pairs counts once, and each rating once in the
    shares of values (Fleiss, Levin & Paik 2003, 18.3); with a constant number that is Fleiss' own formula.
    """
    items = _rated(ratings)
    if not items:
        return None
    kinds, rows = _kinds(_counts(items, "nominal")[0])
    unlike = _unlike(kinds)

    def parts(w: Floats) -> tuple[Floats, Floats]:
        totals = w @ kinds
        shares = totals / totals.sum(axis=1, keepdims=True)
        return _mean(w, unlike), 1 - (shares**2).sum(axis=1)

    return _metric("fleiss_kappa", _Items(kinds, rows, unlike), parts, seed)


def krippendorff_alpha(ratings: Ratings, level: Level = "nominal", seed: int = 0) -> Metric | None:
    """Krippendorff's alpha (2011, "Computing Krippendorff's alpha-reliability"); missing values are no matter.

    Args:
        ratings: {rater: value} of each item.
        level: values are names (`nominal`), numbers whose order counts (`ordinal`) or whose differences count (`interval`).
        seed: of the bootstrap.

    Raises:
        DataError: values of an ordinal or interval scale are not numbers.
    """
    items = _rated(ratings)
    if not items:
        return None
    counts, values = _counts(items, level)
    kinds, rows = _kinds(counts)
    sizes = kinds.sum(axis=1)
    coordinates = values - values.mean() if level == "interval" else np.zeros(0)

    def parts(w: Floats) -> tuple[Floats, Floats]:
        totals = w @ kinds
        n = totals.sum(axis=1)
        if level == "nominal":
            within = ((sizes**2 - (kinds**2).sum(axis=1)) / (sizes - 1))[None, :]
            among = n**2 - (totals**2).sum(axis=1)
        else:
            # The distance of two ordinal values is that of their mid-ranks, which every bootstrap sample has its own of.
            x = coordinates[None, :] if level == "interval" else np.cumsum(totals, axis=1) - totals / 2
            within = 2 * (sizes * (x**2 @ kinds.T) - (x @ kinds.T) ** 2) / (sizes - 1)
            among = 2 * (n * (totals * x**2).sum(axis=1) - (totals * x).sum(axis=1) ** 2)
        return (w * within).sum(axis=1) / n, among / (n * (n - 1))

    return _metric("krippendorff_alpha", _Items(kinds, rows, _unlike(kinds)), parts, seed, {"level": level})


@dataclass(frozen=True, slots=True)
class _Items:
    """Items that are rated alike, together."""

    counts: Ints
    """[kinds, values] ratings of an item of the kind."""
    rows: Ints
    """[kinds] items of it."""
    unlike: Floats
    """[kinds] share of its pairs of ratings that differ."""

    @property
    def disagreement(self) -> tuple[float, float, float]:
        """Mean share of unlike pairs, and its interval.

        Wilson's, of as many independent pairs as would vary like the items do (Korn & Graubard 1998): at least one for each
        item, at most all pairs.
        """
        n = int(self.rows.sum())
        mean = float(self.rows @ self.unlike) / n
        spread = float(self.rows @ (self.unlike - mean) ** 2) / n
        size = self.counts.sum(axis=1)
        pairs = float(self.rows @ (size * (size - 1) / 2))
        alike = min(max(n * mean * (1 - mean) / spread, n), pairs) if spread > 0 else n
        return mean, *wilson(mean * alike, alike)


def _metric(name: str, items: _Items, parts: Parts, seed: int, where: Mapping[str, str] | None = None) -> Metric | None:
    """1 - D_o / D_e with its interval, None where D_e is 0."""
    n, lowest = int(items.rows.sum()), 0.0 if name == "agreement" else -1.0
    observed, chance = (float(part[0]) for part in parts(items.rows[None, :].astype(np.float64)))
    if chance <= 1e-12:
        return None
    value = 1 - observed / chance
    if n < FEW and lowest:
        return Metric(name, value, lowest, 1.0, n, where or {})
    half = Z * _standard_error(items.rows, parts, seed) * float(np.sqrt(n / (n - 1))) if n > 1 else 0.0
    mean, *ends = items.disagreement
    # What an unlike pair costs: as seen, or as by chance where none was seen.
    cost = observed / mean / chance if mean else 1 / _nominal_chance(items) if lowest else 1.0
    high, low = (1 - end * cost for end in ends)
    return Metric(name, value, max(lowest, min(low, value - half)), min(1.0, max(high, value + half)), n, where or {})


def _nominal_chance(items: _Items) -> float:
    shares = items.rows @ items.counts / float((items.rows @ items.counts).sum())
    return float(1 - (shares**2).sum())


def _standard_error(rows: Ints, parts: Parts, seed: int) -> float:
    """Of 1 - D_o / D_e over bootstrap samples of items; samples in which it is undefined are left out."""
    weights = resamples(rows, DRAWS, seed)
    found = []
    for some in np.array_split(weights, max(1, min(DRAWS, weights.size // CHUNK))):
        observed, chance = parts(some)
        defined = chance > 1e-12
        found.append(1 - ratio(observed, chance)[defined])
    draws = np.concatenate(found)
    return float(draws.std(ddof=1)) if len(draws) > 1 else 0.0


def _mean(weights: Floats, values: Floats) -> Floats:
    return np.asarray((weights @ values) / weights.sum(axis=1))


def _rated(ratings: Ratings) -> list[dict[str, Hashable]]:
    """The items with at least two values, without the missing ones."""
    items = list(ratings.values()) if isinstance(ratings, Mapping) else list(ratings)
    known = [{rater: value for rater, value in item.items() if value is not None} for item in items]
    return [item for item in known if len(item) > 1]


def _counts(items: Sequence[Mapping[str, Hashable]], level: Level) -> tuple[Ints, Floats]:
    """[items, values] how often each item got each value, and the values (numbers in rising order, or 0, 1, ... for names)."""
    given = [list(item.values()) for item in items]
    values: Floats
    if level == "nominal":
        names = list(dict.fromkeys(value for some in given for value in some))
        place = {value: i for i, value in enumerate(names)}
        values = np.arange(len(names), dtype=np.float64)
    else:
        numbers = sorted({_number(value, level) for some in given for value in some})
        place, values = {value: i for i, value in enumerate(numbers)}, np.array(numbers)
    counts = np.zeros((len(given), len(values)), dtype=np.int64)
    for i, some in enumerate(given):
        for value in some:
            counts[i, place[value]] += 1
    return counts, values


def _number(value: Any, level: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(float(value)):
        raise DataError(
            f"{value!r} is not a number, and a rating on an {level} scale must be one.",
            "Use level nominal for names, or give the values as numbers.",
        )
    return float(value)


def _kinds(counts: Ints) -> tuple[Ints, Ints]:
    """The distinct rows of counts, and how many items have each."""
    kinds, rows = np.unique(counts, axis=0, return_counts=True)
    return kinds.astype(np.int64), rows.astype(np.int64)


def _unlike(kinds: Ints) -> Floats:
    """[kinds] share of the pairs of ratings of an item that differ."""
    size = kinds.sum(axis=1)
    return np.asarray(1 - (kinds * (kinds - 1)).sum(axis=1) / (size * (size - 1)), dtype=np.float64)


def _say(found: Agreement) -> str:
    if found.raw is None:
        return "Nothing is known of agreement: no item was rated by two people."
    known = [metric for metric in (found.cohen, found.fleiss, found.alpha) if metric is not None]
    start = f"{len(found.raters)} people, {found.items} items rated by at least two of them: agreement {_figures(found.raw)}"
    if not known:
        return (
            f"{start}; all ratings are the same, so that kappa and alpha are undefined: nothing shows that anybody would tell "
            "another value from it."
        )
    names = {
        "cohen_kappa": "Cohen's kappa",
        "fleiss_kappa": "Fleiss' kappa",
        "krippendorff_alpha": "Krippendorff's alpha",
    }
    said = [f"{names[metric.name]} {_figures(metric)}" for metric in known]
    few = "; fewer than five items say nothing of chance" if found.items < FEW else ""
    return f"{start}, {', '.join(said)}{few}."


def _figures(metric: Metric) -> str:
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}]"
