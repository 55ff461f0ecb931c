"""What ratings come to: means of models, differences between them, how far raters agree, how much is done.

An answer's rating is the mean of its raters; a mean is over answers, each counting once. Intervals are of 95 %: Student's t of the
standard error of a bootstrap over questions, each with all its answers and their raters (raters are nested in answers, so that
their scatter is in it; Field & Welsh 2007), and at least what is left open where all ratings are alike: Wilson's bound of the
share of questions on which nobody was seen to rate otherwise, a star each. They speak of these raters: other people may be
stricter. Each interval holds by itself; of many comparisons, some miss by chance.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from workbench.agreement import Agreement, agreement
from workbench.metrics import DRAWS, Floats, resamples, wilson
from workbench.records import Metric
from workbench.review.rating import HIGHEST, LOWEST, Answer

Ratings = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Answer (uid) -> rater -> dimension -> stars."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What people made of the answers so far."""

    answers: int
    """That are to be rated."""
    rated: int
    """By at least one person."""
    done: int
    """By as many people as shall."""
    raters: Counter[str]
    """Person -> answers that they rated."""
    per_answer: Counter[int]
    """Number of raters -> answers that have so many."""
    means: tuple[Metric, ...]
    """`mean` of each dimension and model; n is answers."""
    differences: tuple[Metric, ...]
    """`difference` of two models, first minus second; n is questions, and `paired` says whether both answered each of them."""
    agreement: Mapping[str, Agreement]
    """Dimension -> how far raters agree; alpha is ordinal."""
    say: tuple[str, ...]


def summary(
    answers: Sequence[Answer], ratings: Ratings, dimensions: Sequence[str], raters: int, seed: int = 0
) -> Summary:
    """Everything that the ratings tell.

    Args:
        answers: all that are to be rated.
        ratings: of some of them.
        dimensions: in the order in which they are told.
        raters: how many people shall rate an answer.
        seed: of the bootstrap.
    """
    people = Counter(rater for one in answers for rater in ratings.get(one.uid, {}))
    per_answer = Counter(len(ratings.get(one.uid, {})) for one in answers)
    means, differences, agreed = [], [], {}
    for name in dimensions:
        scores = _scores(answers, ratings, name)
        means += [metric for model in sorted(scores) if (metric := _mean(name, model, scores[model], seed))]
        pairs = combinations(sorted(scores), 2)
        differences += [m for a, b in pairs if (m := _difference(name, (a, b), scores, seed))]
        agreed[name] = agreement(
            {uid: {rater: stars.get(name) for rater, stars in some.items()} for uid, some in ratings.items()},
            "ordinal",
            seed,
        )
    found = Summary(
        len(answers),
        sum(count for number, count in per_answer.items() if number),
        sum(count for number, count in per_answer.items() if number >= raters),
        people,
        per_answer,
        tuple(means),
        tuple(differences),
        agreed,
        (),
    )
    return replace(found, say=_say(found, raters))


Scores = Mapping[str, Sequence[float]]
"""Question -> the ratings of a model's answers to it."""


def _scores(answers: Sequence[Answer], ratings: Ratings, name: str) -> dict[str, dict[str, list[float]]]:
    """Model -> question -> rating of each answer."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in answers:
        stars = [given[name] for given in ratings.get(one.uid, {}).values() if name in given]
        for model in one.models if stars else ():
            found.setdefault(model, {}).setdefault(one.question, []).append(float(np.mean(stars)))
    return found


def _mean(name: str, model: str, scores: Scores, seed: int) -> Metric:
    sums = np.array([sum(some) for some in scores.values()])
    counts = np.array([len(some) for some in scores.values()], dtype=np.float64)
    value = float(sums.sum() / counts.sum())
    half = _half(sums[None, :], counts[None, :], np.ones(1), seed)
    where = {"dimension": name} | ({"model": model} if model else {})
    return Metric("mean", value, max(LOWEST, value - half), min(HIGHEST, value + half), int(counts.sum()), where)


def _difference(name: str, models: tuple[str, str], scores: Mapping[str, Scores], seed: int) -> Metric:
    """Of the questions that both answered, where these are at least half of those of the model with fewer; else of all."""
    first, second = (scores[model] for model in models)
    both = [question for question in first if question in second]
    paired = 2 * len(both) >= min(len(first), len(second))
    if paired:
        # A question counts once, however many answers a model gave to it.
        sums = np.array([[np.mean(side[q]) for q in both] for side in (first, second)])
        counts = np.ones_like(sums)
    else:
        questions = list(dict.fromkeys((*first, *second)))
        sums = np.array([[sum(side.get(q, ())) for q in questions] for side in (first, second)])
        counts = np.array([[len(side.get(q, ())) for q in questions] for side in (first, second)], dtype=np.float64)
    one, other = sums.sum(axis=1) / counts.sum(axis=1)
    value, most = float(one - other), float(HIGHEST - LOWEST)
    half = _half(sums, counts, np.array([1.0, -1.0]), seed)
    where = {"dimension": name, "first": models[0], "second": models[1], "paired": "yes" if paired else "no"}
    return Metric("difference", value, max(-most, value - half), min(most, value + half), sums.shape[1], where)


def _half(sums: Floats, counts: Floats, signs: Floats, seed: int) -> float:
    """Half of the interval of a signed sum of means.

    Args:
        sums: [sides, questions] of ratings.
        counts: [sides, questions] of answers.
        signs: [sides].
        seed: of the bootstrap.
    """
    from scipy.stats import t

    n = int(min((row > 0).sum() for row in counts))
    if n < 2:
        return float(HIGHEST - LOWEST)
    weights = resamples(np.ones(sums.shape[1], dtype=np.int64), DRAWS, seed)
    tops, bottoms = weights @ sums.T, weights @ counts.T
    defined = (bottoms > 0).all(axis=1)
    draws = (tops[defined] / bottoms[defined]) @ signs
    error = float(draws.std(ddof=1)) * float(np.sqrt(n / (n - 1)))
    return max(float(t.ppf(0.975, n - 1)) * error, wilson(0, n)[1])


def _say(found: Summary, raters: int) -> tuple[str, ...]:
    given = sum(found.raters.values())
    said = [
        f"{found.rated} of {found.answers} answers are rated, {found.done} of them by at least {raters} "
        f"{'person' if raters == 1 else 'people'}; {given} ratings by {len(found.raters)} people."
    ]
    for metric in found.means:
        model = metric.where.get("model", "")
        said.append(
            f"{metric.where['dimension']}: {model + ' ' if model else ''}{_figures(metric)}, {metric.n} answers."
        )
    said += [_compared(metric) for metric in found.differences]
    said += [f"{name}: {agreed.say}" for name, agreed in found.agreement.items()]
    return tuple(said)


def _compared(metric: Metric) -> str:
    where = metric.where
    on = (
        f"{metric.n} questions that both answered"
        if where["paired"] == "yes"
        else f"{metric.n} questions, not the same ones"
    )
    start = f"{where['dimension']}: {where['first']} minus {where['second']} is {_figures(metric)}, on {on}"
    if metric.low > 0 or metric.high < 0:
        return f"{start}: {where['first'] if metric.value > 0 else where['second']} is better."
    return f"{start}: cannot tell which is better."


def _figures(metric: Metric) -> str:
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}]"
