"""Which rows make a step, how classes are balanced, how the learning rate goes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.train.batches import batches, class_weights, learning_rate

ROWS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 5)), min_size=1, max_size=300)


@given(ROWS, st.integers(1, 40), st.integers(0, 9), st.booleans())
def test_an_epoch_has_every_row_once(rows, size, epoch, grouped):
    lengths, columns = zip(*rows, strict=True)
    found = batches(lengths, columns, size, (0, epoch), balanced=False, grouped=grouped)
    assert sorted(int(i) for batch in found for i in batch) == list(range(len(rows)))
    assert all(len(batch) <= size for batch in found)
    assert len(found) == -(-len(rows) // size)


@given(ROWS, st.integers(1, 40), st.booleans())
def test_balanced_sampling_draws_classes_equally_often_and_as_many_rows(rows, size, grouped):
    lengths, columns = zip(*rows, strict=True)
    found = batches(lengths, columns, size, (0, 0), balanced=True, grouped=grouped)
    drawn = Counter(columns[i] for batch in found for i in batch)
    assert drawn.total() == len(rows)
    assert len(found) == -(-len(rows) // size)
    if len(rows) >= len(set(columns)):
        assert max(drawn.values()) - min(drawn.get(label, 0) for label in set(columns)) <= 1


def test_no_row_of_a_small_class_comes_twice_before_all_came_once():
    columns = [0] * 90 + [1] * 10
    found = np.concatenate(batches([5] * 100, columns, 8, (0, 0), balanced=True, grouped=False))
    counts = Counter(int(i) for i in found if columns[i] == 1)
    assert counts.total() == 50
    assert set(counts.values()) == {5}


def test_the_order_follows_from_seed_and_epoch():
    def drawn(*seed):
        found = batches(range(1, 101), [0, 1] * 50, 8, seed, balanced=False, grouped=True)
        return [batch.tolist() for batch in found]

    assert drawn(0, 3) == drawn(0, 3)
    assert drawn(0, 3) != drawn(0, 4)
    assert drawn(0, 3) != drawn(1, 3)


def test_rows_of_like_length_come_together():
    lengths = np.random.default_rng(0).integers(4, 200, 400).tolist()

    def padding(grouped):
        found = batches(lengths, [0] * 400, 16, (0, 0), balanced=False, grouped=grouped)
        return sum(max(lengths[i] for i in batch) * len(batch) for batch in found) / sum(lengths)

    assert padding(grouped=True) < 1.1 < padding(grouped=False)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_class_weights_make_classes_count_alike_and_are_1_on_average(columns):
    weights = class_weights(columns, 5)
    assert float(np.mean(weights[columns])) == pytest.approx(1, rel=1e-4)
    mass = [weights[label] * columns.count(label) for label in set(columns)]
    assert max(mass) == pytest.approx(min(mass), rel=1e-4)
    assert all(weights[label] == 0 for label in set(range(5)) - set(columns))


@given(st.integers(1, 500), st.floats(0, 0.9))
def test_the_learning_rate_rises_then_falls_and_is_never_above_its_top(total, warmup):
    rates = [learning_rate(step, total, warmup) for step in range(total)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
