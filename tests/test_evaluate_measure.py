"""Samples by class, latency with its interval, peaks of memory, calibration."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.evaluate.calibration import calibration
from workbench.evaluate.measure import latencies, peaks, quantile
from workbench.evaluate.quick import stratified
from workbench.metrics import expected_calibration_error


@given(st.lists(st.sampled_from("aaaaabbbccd"), max_size=80), st.integers(0, 90), st.integers(0, 5))
def test_a_sample_has_each_class_by_its_share(labels, count, seed):
    chosen = stratified(labels, count, seed)
    assert chosen == sorted(set(chosen)) == stratified(labels, count, seed)
    assert len(chosen) == min(count, len(labels))
    drawn, all_of = Counter(labels[i] for i in chosen), Counter(labels)
    for label, n in all_of.items():
        share = n * min(count, len(labels)) / len(labels)
        assert int(share) <= drawn[label] <= int(share) + 1


def test_every_row_has_the_same_chance():
    labels = ["a"] * 6 + ["b"] * 3 + ["c"]
    hits = Counter(i for seed in range(3000) for i in stratified(labels, 3, seed))
    assert all(abs(hits[i] / 3000 - 0.3) < 0.04 for i in range(10))


def test_another_seed_draws_other_rows():
    labels = ["a"] * 100
    assert stratified(labels, 10, 0) != stratified(labels, 10, 1)


def test_each_text_is_timed_alone_and_no_cache_knows_it():
    asked = []
    found = latencies(asked.append, [f"text {i}" for i in range(200)], rows=20)
    assert len(found) == 20
    assert all(seconds >= 0 for seconds in found)
    assert all(len(batch) == 1 for batch in asked)
    assert len({batch[0] for batch in asked}) == 21  # one to warm up
    assert not any(batch[0] == batch[0].rstrip() for batch in asked)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_quantile_lies_in_its_interval(seconds, q):
    found = quantile("latency", seconds, q)
    assert min(seconds) <= found.low <= found.value <= found.high <= max(seconds)
    assert found.n == len(seconds)


def test_the_interval_of_a_quantile_covers_it():
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        found = quantile("latency", random.exponential(size=50).tolist(), 0.5)
        inside += found.low <= np.log(2) <= found.high
    assert inside >= 184  # 95 % of 200 is 190


def test_peaks_see_what_is_held_for_a_moment():
    with peaks() as low:
        pass
    with peaks() as high:
        block = np.ones(60_000_000 // 8)
        assert block.sum()
    assert high["memory"] > low["memory"] + 30e6
    assert "cuda_memory" not in high or high["cuda_memory"] >= 0


def test_calibration_is_small_for_honest_confidence_and_large_for_vain():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, 2000)
    honest = calibration(confidence, random.uniform(size=2000) < confidence)
    vain = calibration(np.full(2000, 0.99), random.uniform(size=2000) < 0.5)
    assert honest.value < 0.05
    assert honest.low <= honest.value <= honest.high < vain.low
    assert vain.value == pytest.approx(0.49, abs=0.05)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_lies_in_its_interval(rows):
    confidence, right = (np.array(column) for column in zip(*rows, strict=True))
    found = calibration(confidence.astype(float), right.astype(bool))
    assert found.value == expected_calibration_error(confidence, right)
    assert 0 <= found.low <= found.value <= found.high <= 1
