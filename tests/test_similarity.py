"""Near texts and near vectors: the fast search finds exactly what comparing everything with everything finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.similarity import centred, cross_duplicates, groups, near_duplicates, near_groups, nearest, ratio

THRESHOLDS = st.sampled_from([0.5, 0.6, 2 / 3, 0.75, 0.8, 0.9, 0.95, 1.0])
TEXTS = st.lists(st.text(st.sampled_from("退订费不👍ab。 "), max_size=12), max_size=25)
CALM = settings(deadline=None)


def within(texts, threshold):
    n = len(texts)
    pairs = [(i, j, ratio(texts[i], texts[j])) for i in range(n) for j in range(i + 1, n)]
    return [pair for pair in pairs if pair[2] >= threshold]


@CALM
@given(TEXTS, THRESHOLDS)
def test_near_duplicates_are_all_pairs_of_the_ratio(texts, threshold):
    wanted, found = within(texts, threshold), near_duplicates(texts, threshold)
    assert [pair[:2] for pair in found] == [pair[:2] for pair in wanted]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in wanted])


@CALM
@given(TEXTS, TEXTS, THRESHOLDS)
def test_cross_duplicates_are_all_pairs_of_the_ratio(left, right, threshold):
    wanted = [(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if ratio(a, b) >= threshold]
    assert [pair[:2] for pair in cross_duplicates(left, right, threshold)] == wanted


@CALM
@given(TEXTS, THRESHOLDS)
def test_near_groups_hang_together_as_the_pairs_do(texts, threshold):
    assert near_groups(texts, threshold) == groups(near_duplicates(texts, threshold), len(texts))


@pytest.mark.parametrize("length", [15, 16, 17, 40, 80, 81, 200])
def test_long_texts_meet_across_the_blocks_of_the_search(length):
    rng = np.random.default_rng(length)
    texts = ["".join(rng.choice(list("查询话费流量套餐宽带退订办理" + "etaoinshrdlu"), length)) for _ in range(700)]
    copies = [text[: length // 2] + "改" + text[length // 2 + 1 :] for text in texts[::7]]
    found = near_duplicates([*texts, *copies], 0.85)
    assert {(7 * i, len(texts) + i) for i in range(len(copies))} <= {pair[:2] for pair in found}


def test_many_copies_cost_groups_no_memory_for_pairs():
    assert near_groups(["谢谢"] * 30_000 + ["退订"]) == [0] * 30_000 + [30_000]


@pytest.mark.parametrize(
    ("left", "right", "value"),
    [
        ("退订", "退订。", 1.0),
        ("退订", "订退", 0.5),
        ("好的", "好吧", 0.5),
        ("ＡＢＣ！", "abc", 1.0),
        ("👍", "👍", 1.0),
        ("👍", "😡", 0.0),
        ("", "", 1.0),
        ("", "退", 0.0),
    ],
)
def test_ratio(left, right, value):
    assert ratio(left, right) == pytest.approx(value)
    assert bool(near_duplicates([left, right], 0.9)) == (value >= 0.9)


def test_the_border_itself_counts():
    # 9 of 11 characters: 2 * 9 / (9 + 11) is .9 on the dot.
    assert near_duplicates(["一二三四五六七八九", "一二三四五六七八九十百"], 0.9) == [(0, 1, pytest.approx(0.9))]
    assert near_duplicates(["一二三四五六七八", "一二三四五六七八九十"], 0.9) == []


def test_groups_name_the_smallest_member():
    assert groups([(1, 3, 1.0), (3, 4, 0.9)], 6) == [0, 1, 2, 1, 1, 5]
    assert groups([], 3) == [0, 1, 2]
    assert groups([], 0) == []


def test_groups_survive_a_pair_that_is_named_256_times():
    assert groups([(0, 1, 1.0)] * 256, 2) == [0, 0]


@pytest.mark.parametrize("cells", [7, 1 << 24], ids=["in many blocks", "in one block"])
def test_nearest_is_the_order_of_all_cosines(cells, monkeypatch):
    monkeypatch.setattr("workbench.similarity.CELLS", cells)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index, cosine = nearest(rows[:11], rows, 4)
    wanted = rows[:11] @ rows.T
    assert np.array_equal(index, np.argsort(-wanted, axis=1)[:, :4])
    assert cosine == pytest.approx(-np.sort(-wanted, axis=1)[:, :4])
    assert index[:, 0].tolist() == list(range(11))


def test_nearest_of_few_rows_or_none():
    rows = np.eye(2, dtype=np.float32)
    assert nearest(rows, rows, 5)[0].tolist() == [[0, 1], [1, 0]]
    assert nearest(rows[:0], rows, 1)[0].shape == (0, 1)
    assert nearest(rows, rows[:0], 1)[0].shape == (2, 0)


def test_centred_vectors_are_of_unit_length_and_the_mean_itself_is_harmless():
    vectors = np.array([[1, 0], [0, 1], [0.5, 0.5]], dtype=np.float32)
    moved = centred(vectors, vectors.mean(axis=0))
    assert np.linalg.norm(moved[:2], axis=1) == pytest.approx([1, 1])
    assert np.isfinite(moved).all()
    assert moved[0] @ moved[1] == pytest.approx(-1)
