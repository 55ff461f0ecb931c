"""Measures of diversity on sets whose figures are known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.errors import DataError
from workbench.flow.diversity import diversity as of_bench
from workbench.generate.diversity import coverage, distinct, diversity, likeness, vendi
from workbench.records import Origin, Sample, Turn, Verdict


def test_the_vendi_score_of_rows_with_nothing_in_common_is_their_number():
    assert vendi(np.eye(7, dtype=np.float32)) == pytest.approx(7)
    assert vendi(np.eye(7, 9, dtype=np.float32)) == pytest.approx(7)


def test_the_vendi_score_of_copies_is_one():
    assert vendi(np.tile(np.eye(4, dtype=np.float32)[:1], (50, 1))) == pytest.approx(1)


def test_the_vendi_score_of_three_equal_groups_is_three():
    assert vendi(np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)) == pytest.approx(3)


@given(arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.floats(0.125, 1, width=32)))
def test_the_vendi_score_is_that_of_the_gram_matrix(raw):
    rows = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(rows.astype(float) @ rows.T.astype(float) / len(rows))
    values = values[values > 1e-12]
    assert vendi(rows) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-4)
    assert 1 - 1e-6 <= vendi(rows) <= len(rows) + 1e-6


def test_coverage_is_the_share_of_real_rows_with_a_synthetic_one_near():
    angles = np.array([0, 2, 4, 90, 92, 94]) * np.pi / 180
    real = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    assert coverage(real[:1], real) == pytest.approx(2 / 6)  # itself and the neighbour at two degrees
    assert coverage(real[[1, 4]], real) == 1.0
    assert coverage(-real, real) == 0.0
    assert coverage(real[:0], real) == 0.0
    assert coverage(real, real[:1]) is None


def test_distinct_counts_no_pair_across_rows():
    assert distinct([["a", "b"], ["a", "b"]], 1) == 0.5
    assert distinct([["a", "b"], ["b", "a"]], 2) == 1.0
    assert distinct([["a"], ["b"]], 2) is None


def test_chinese_is_counted_in_characters_and_english_in_words():
    same = np.ones((2, 1), dtype=np.float32)
    assert diversity(["退订", "退订！"], same, "zh").distinct_1 == 0.5
    assert diversity(["cancel it", "cancel that"], same, "en").distinct_1 == 0.75


def test_likeness_is_the_mean_over_pairs():
    assert likeness(["abc", "abc", "xyz"]) == pytest.approx(1 / 3)
    assert likeness(["abc"]) is None
    assert likeness([f"{i:04}" for i in range(300)]) == pytest.approx(likeness([f"{i:04}" for i in range(299, -1, -1)]))


def test_nothing_has_no_measure():
    found = diversity([], np.zeros((0, 3), dtype=np.float32), "zh")
    assert found.json() == {"rows": 0, "distinct_1": None, "distinct_2": None, "likeness": None, "vendi": None}


@pytest.fixture
def filled(bench):
    real = [
        Sample(f"r{i}", (Turn("user", text),), "a")
        for i, text in enumerate(["查话费", "查话费呀", "退彩铃", "退彩铃嘛"])
    ]
    origin = Origin("minority", "m", "p", (), 0, "r")
    made = [
        Sample(f"s{i}", (Turn("user", "查话费吧" + "啊" * i),), "a", "train", "synthetic", origin) for i in range(6)
    ]
    with bench.ledger.write("generate", "read") as writer:
        writer.samples([*real, *made])
        for sample in made:
            writer.verdicts(sample.id, [Verdict("format", True)])
    return bench


def test_a_bench_compares_as_many_rows_of_both(filled):
    one = of_bench(filled)[0]
    assert (one.label, one.real_rows, one.synthetic_rows) == ("a", 4, 6)
    assert one.real.rows == one.synthetic.rows == 4
    assert one.real.vendi > one.synthetic.vendi
    assert one.real.likeness < one.synthetic.likeness
    assert 0 < one.coverage <= 0.5


def test_the_command_shows_it(filled, wb):
    told = wb("data", "show", "--diversity")
    assert told.code == 0, told.err
    assert "Vendi" in told.out
    found = wb("data", "show", "--diversity", "--json").json
    assert found[0].keys() == {"class", "real_rows", "synthetic_rows", "real", "synthetic", "coverage"}
    json.dumps(found)


def test_without_accepted_rows_there_is_nothing_to_measure(bench):
    with pytest.raises(DataError, match="no accepted synthetic rows"):
        of_bench(bench)
