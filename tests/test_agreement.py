"""Agreement against published worked examples, scikit-learn and the krippendorff package; intervals honest of few items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import agreement as a
from workbench.errors import DataError

MISSING = "*"


def items(*raters):
    """Ratings from one string of values for each rater, `*` where one is missing."""
    columns = zip(*(row.split() for row in raters), strict=True)
    return [{f"r{i}": None if v == MISSING else int(v) for i, v in enumerate(column)} for column in columns]


# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C: four observers, twelve units.
PAPER = items(
    "1 2 3 3 2 1 4 1 2 * * *",
    "1 2 3 3 2 2 4 1 2 5 * 3",
    "* 3 3 3 2 3 4 2 2 5 1 *",
    "1 2 3 3 2 4 4 1 2 5 1 *",
)
# The example of the Wikipedia article on Krippendorff's alpha: three coders, fifteen units.
CODERS = items(
    "* * * * * 3 4 1 2 1 1 3 3 * 3",
    "1 * 2 1 3 3 4 3 * * * * * * *",
    "* * 2 1 3 4 4 * 2 1 1 3 3 * 4",
)
# The example of the Wikipedia article on Fleiss' kappa: fourteen raters, ten subjects, five categories.
SUBJECTS = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip


def table(rows):
    return [{f"r{i}": value for i, value in enumerate(np.repeat(range(len(row)), row).tolist())} for row in rows]


@pytest.mark.parametrize(
    ("ratings", "level", "value", "n"),
    [
        (PAPER, "nominal", 0.743, 11),
        (PAPER, "ordinal", 0.815, 11),
        (PAPER, "interval", 0.849, 11),
        (CODERS, "nominal", 0.691, 12),
        (CODERS, "interval", 0.811, 12),
    ],
)
def test_alpha_is_that_of_the_published_examples(ratings, level, value, n):
    found = a.krippendorff_alpha(ratings, level)
    assert found.value == pytest.approx(value, abs=5e-4)
    assert found.n == n
    assert found.where == {"level": level}


def test_fleiss_kappa_is_that_of_the_published_example():
    found = a.fleiss_kappa(table(SUBJECTS))
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert (found.name, found.n) == ("fleiss_kappa", 10)
    assert a.raw_agreement(table(SUBJECTS)).value == pytest.approx(0.378, abs=5e-4)


def test_cohens_kappa_is_that_of_a_table_worked_by_hand():
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: p_o = 0.7, p_e = 0.5.
    rows = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = a.cohen_kappa([{"A": x, "B": y} for x, y in rows])
    assert found.value == pytest.approx(0.4)
    assert found.where == {"first": "A", "second": "B"}
    # The large-sample standard error of this table is 0.13 (Fleiss, Cohen & Everitt 1969).
    assert (found.low, found.high) == (pytest.approx(0.15, abs=0.04), pytest.approx(0.65, abs=0.04))


VALUES = st.sampled_from(["approve", "edit", "relabel", "reject"])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=40))
def test_cohens_kappa_is_scikit_learns(pairs):
    sk = pytest.importorskip("sklearn.metrics")
    found = a.cohen_kappa([{"x": p, "y": q} for p, q in pairs])
    if len({v for pair in pairs for v in pair}) == 1:
        assert found is None
    else:
        assert found.value == pytest.approx(sk.cohen_kappa_score(*zip(*pairs, strict=True)), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.none() | st.integers(1, 5), min_size=3, max_size=3), min_size=1, max_size=25),
    st.sampled_from(["nominal", "ordinal", "interval"]),
)
def test_alpha_is_the_packages(rows, level):
    package = pytest.importorskip("krippendorff")
    found = a.krippendorff_alpha([dict(zip("abc", row, strict=True)) for row in rows], level)
    rated = [v for row in rows for v in row if sum(x is not None for x in row) > 1 and v is not None]
    if len(set(rated)) < 2:
        assert found is None
        return
    matrix = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float).T
    expected = package.alpha(reliability_data=matrix, level_of_measurement=level)
    assert found.value == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers(1, 3)), max_size=20), st.integers(0, 9)
)
def test_every_coefficient_lies_in_its_interval_and_is_the_same_again(ratings, seed):
    found = a.agreement(ratings, "ordinal", seed)
    assert found == a.agreement(ratings, "ordinal", seed)
    assert found == a.agreement({f"i{i}": item for i, item in enumerate(ratings)}, "ordinal", seed)
    for metric in (found.raw, found.cohen, found.fleiss, found.alpha):
        if metric is not None:
            assert -1 <= metric.low <= metric.value + 1e-12
            assert metric.value - 1e-12 <= metric.high <= 1
            assert metric.n == found.items


@given(st.lists(st.tuples(VALUES, VALUES), min_size=5, max_size=30), st.permutations(range(4)))
@settings(deadline=None, max_examples=20)
def test_names_and_order_of_values_and_raters_are_no_matter(pairs, order):
    names = ["approve", "edit", "relabel", "reject"]
    other = dict(zip(names, (names[i] for i in order), strict=True))
    one = a.agreement([{"x": p, "y": q} for p, q in pairs])
    two = a.agreement([{"y": other[p], "x": other[q]} for p, q in pairs])
    for this, that in ((one.raw, two.raw), (one.cohen, two.cohen), (one.fleiss, two.fleiss), (one.alpha, two.alpha)):
        assert (this is None) == (that is None)
        if this is not None:
            assert this.value == pytest.approx(that.value)


def test_without_an_item_that_two_people_rated_nothing_is_said():
    for ratings in ([], {}, [{"a": "x"}], {"1": {"a": "x", "b": None}, "2": {"b": "y"}}):
        found = a.agreement(ratings)
        assert (found.items, found.raw, found.cohen, found.fleiss, found.alpha) == (0, None, None, None, None)
        assert found.say == "Nothing is known of agreement: no item was rated by two people."
        assert a.cohen_kappa(ratings) is None
    assert a.cohen_kappa([{"a": 1, "b": 1}, {"b": 2, "c": 2}], ("a", "c")) is None


def test_where_all_ratings_are_the_same_kappa_is_undefined_and_the_sentence_says_so():
    found = a.agreement([{"a": "approve", "b": "approve"}] * 20)
    assert (found.cohen, found.fleiss, found.alpha) == (None, None, None)
    assert found.raw.value == 1.0
    assert found.raw.low == pytest.approx(0.839, abs=1e-3)  # Wilson's interval of 20 of 20
    assert "all ratings are the same, so that kappa and alpha are undefined" in found.say
    assert "agreement 1.00 [0.84, 1.00]" in found.say


def test_perfect_agreement_of_few_items_is_no_certainty():
    both = [{"a": v, "b": v} for v in ("x", "y")]
    for n, low in ((2, -1.0), (4, -1.0), (20, 0.75), (200, 0.97)):
        found = a.agreement(both * (n // 2))
        for metric in (found.cohen, found.fleiss, found.alpha):
            assert (metric.value, metric.high) == (pytest.approx(1.0), 1.0)
            assert metric.low <= low
    assert found.cohen.low > 0.95
    assert "fewer than five items say nothing of chance" in a.agreement(both * 2).say


def test_one_rating_in_a_hundred_of_another_kind_says_little_of_chance():
    found = a.cohen_kappa([{"a": "x", "b": "x"}] * 99 + [{"a": "y", "b": "y"}])
    assert found.value == pytest.approx(1.0)
    assert found.low < 0


def test_items_with_different_numbers_of_ratings_count_once_each():
    # Two items: three equal ratings, and two that differ. Pairs equal: 1 and 0; values: 4 of x, 1 of y.
    found = a.fleiss_kappa([{"a": "x", "b": "x", "c": "x"}, {"a": "x", "b": "y"}, {"c": "y"}])
    assert found.value == pytest.approx((0.5 - (0.64 + 0.04)) / (1 - (0.64 + 0.04)))
    assert found.n == 2


def test_of_three_raters_cohens_kappa_wants_two_names():
    ratings = [{"ann": 1, "bob": 1, "eve": 2}, {"ann": 2, "bob": 2, "eve": 2}]
    with pytest.raises(DataError, match="compares two raters, and there are 3: ann, bob, eve") as e:
        a.cohen_kappa(ratings)
    assert e.value.hint == "Name two of them, or use Fleiss' kappa or Krippendorff's alpha."
    assert a.cohen_kappa(ratings, ("ann", "bob")).value == pytest.approx(1.0)
    assert a.cohen_kappa(ratings, ("ann", "eve")).value == pytest.approx(0.0)
    assert a.agreement(ratings).cohen is None


@pytest.mark.parametrize("value", ["good", True, float("nan"), float("inf")])
@pytest.mark.parametrize("level", ["ordinal", "interval"])
def test_a_scale_takes_numbers_only(value, level):
    with pytest.raises(DataError, match=f"is not a number, and a rating on an {level} scale must be one") as e:
        a.krippendorff_alpha([{"a": 1, "b": value}], level)
    assert "level nominal" in e.value.hint


@pytest.mark.parametrize(("shares", "right"), [((0.5, 0.5), 0.97), ((0.9, 0.1), 0.8), ((0.4, 0.3, 0.2, 0.1), 0.8)])
def test_the_interval_of_sixty_items_covers_in_at_least_nine_of_ten_simulations(shares, right):
    """Raters see the truth with probability `right`, and else guess by the shares: then kappa is right squared."""
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        true = random.choice(len(shares), 60, p=shares)
        seen = [
            np.where(random.random(60) < right, true, random.choice(len(shares), 60, p=shares)).tolist()
            for _ in range(2)
        ]
        found = a.cohen_kappa([{"a": x, "b": y} for x, y in zip(*seen, strict=True)])
        hits += found is not None and found.low <= right**2 <= found.high
    assert hits >= 90
