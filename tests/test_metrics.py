"""Numbers against scikit-learn and statsmodels-free textbook values; every score has its interval and its n."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import metrics as m
from workbench.evaluate import score

sk = pytest.importorskip("sklearn.metrics")
LABELS = st.sampled_from(["查余额", "退订", "a", "b"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)


def columns(rows):
    return [a for a, _ in rows], [b for _, b in rows]


@given(PAIRS)
def test_scores_are_those_of_scikit_learn(rows):
    true, predicted = columns(rows)
    found = score(true, predicted)
    assert found.labels == tuple(sorted({*true, *predicted}))
    assert found.accuracy.value == pytest.approx(sk.accuracy_score(true, predicted))
    names = list(found.labels)
    for metric, average in ((found.macro_f1, "macro"), (found.weighted_f1, "weighted")):
        expected = sk.f1_score(true, predicted, labels=names, average=average, zero_division=0)
        assert metric.value == pytest.approx(expected)
    p, r, f, n = sk.precision_recall_fscore_support(true, predicted, labels=names, zero_division=0)
    for i, (name, precision, recall, f1) in enumerate(found.per_class):
        assert (name, recall.n) == (names[i], n[i])
        assert (precision.value, recall.value, f1.value) == pytest.approx((p[i], r[i], f[i]))


@given(PAIRS)
def test_every_number_lies_in_its_interval_and_the_interval_in_0_to_1(rows):
    found = score(*columns(rows))
    numbers = [found.accuracy, found.macro_f1, found.weighted_f1, *(x for row in found.per_class for x in row[1:])]
    for metric in [*numbers, *(pair.rate for pair in found.pairs)]:
        assert 0 <= metric.low <= metric.value + 1e-12
        assert metric.value - 1e-12 <= metric.high <= 1


@given(PAIRS)
def test_pairs_and_matrix_count_every_row_once(rows):
    true, predicted = columns(rows)
    found = score(true, predicted)
    assert found.matrix.sum() == len(rows)
    wrong = sum(a != b for a, b in rows)
    assert sum(pair.count for pair in found.pairs) == wrong
    assert all(pair.source != pair.target for pair in found.pairs)
    assert found.pairs == tuple(sorted(found.pairs, key=lambda p: (-p.count, -p.rate.value)))


def test_the_macro_average_is_over_the_set_that_is_asked_for():
    true, predicted = ["a", "a", "b", "b"], ["a", "c", "b", "b"]
    over = {name: score(true, predicted, name) for name in ("union", "true")}
    assert (over["union"].labels, over["true"].labels) == (("a", "b", "c"), ("a", "b"))
    assert over["union"].macro_f1.value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert over["true"].macro_f1.value == pytest.approx((2 / 3 + 1) / 2)
    given_labels = score(true, predicted, ["b", "z"])
    assert (given_labels.labels, given_labels.labels_from) == (("b", "z"), "given")
    assert given_labels.macro_f1.value == pytest.approx(0.5)


def test_wilson_is_the_textbooks():
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert m.wilson(hits, n) == pytest.approx((low, high), abs=5e-4)
    assert m.wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-4)
    assert m.wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 50), st.integers(0, 50))
def test_an_f1_of_everything_or_nothing_right_has_an_interval_of_some_width(union, hits):
    hits = min(hits, union)
    low, high = m.f1_interval(hits, union)
    value = 2 * (hits / union) / (1 + hits / union)
    assert low - 1e-9 <= value <= high + 1e-9
    assert high - low > 0.01


def test_weights_count_rows_as_often_as_they_say():
    true, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    weights = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1]])
    counts = m.tally(true, predicted, 3, weights)
    assert counts.accuracy == pytest.approx([0.5, 0.75])
    again = m.tally(np.array([0, 0, 1, 2]), np.array([0, 0, 1, 0]), 3)
    assert counts.f1[1] == pytest.approx(again.f1)
    assert m.tally(true, predicted, 3).f1 == pytest.approx(counts.f1[0])


def test_resamples_have_n_rows_each_and_the_same_seed_draws_the_same():
    counts = np.array([3, 1, 0, 5])
    drawn = m.resamples(counts, draws=2000, seed=3)
    assert drawn.shape == (2000, 4)
    assert (drawn.sum(axis=1) == 9).all()
    assert drawn.mean(axis=0) == pytest.approx(counts, abs=0.2)
    assert (drawn == m.resamples(counts, draws=2000, seed=3)).all()
    assert (drawn != m.resamples(counts, draws=2000, seed=4)).any()


@given(PAIRS)
def test_cells_are_the_rows_counted(rows):
    true, predicted = (np.array(["ab退查".index(x[0]) for x in column]) for column in columns(rows))
    (a, b), counts = m.cells(true, predicted)
    weighted = m.tally(a, b, 4, counts[None, :].astype(float))
    whole = m.tally(true, predicted, 4)
    assert weighted.f1[0] == pytest.approx(whole.f1)
    assert weighted.accuracy[0] == pytest.approx(whole.accuracy)
    assert len(counts) == len(set(rows))


def test_a_model_without_errors_has_an_interval_of_some_width():
    found = score(["a", "b"] * 10, ["a", "b"] * 10)
    for metric in (found.accuracy, found.macro_f1, found.weighted_f1):
        assert metric.high == pytest.approx(1)
        assert metric.low < 0.95


def test_calibration_error_of_a_model_that_knows_what_it_knows_is_small():
    random = np.random.default_rng(0)
    confidence = random.uniform(0, 1, 20_000)
    right = random.uniform(0, 1, 20_000) < confidence
    assert m.expected_calibration_error(confidence, right) < 0.02
    assert m.expected_calibration_error(np.ones(10), np.zeros(10, bool)) == pytest.approx(1.0)


@pytest.mark.slow
def test_intervals_of_macro_f1_cover_the_truth_in_93_percent():
    random = np.random.default_rng(0)
    k, n, rounds, hits = 5, 200, 200, 0
    shares = np.array([0.5, 0.25, 0.15, 0.06, 0.04])
    confusion = 0.6 * np.eye(k) + 0.4 * shares

    def draw(size):
        true = random.choice(k, size, p=shares)
        predicted = np.array([random.choice(k, p=confusion[i]) for i in true])
        return true.astype(str).tolist(), predicted.astype(str).tolist()

    truth = sk.f1_score(*draw(100_000), average="macro")
    for _ in range(rounds):
        found = score(*draw(n)).macro_f1
        hits += found.low <= truth <= found.high
    assert hits / rounds >= 0.93
