"""The small classifier: probabilities that are ones, folds that keep their promises, and the smallest of data."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.classify import (
    Classifier,
    ClassifierConfig,
    Features,
    Head,
    _folds,
    best_temperature,
    cross_fit,
)
from workbench.encode import HashedNgrams
from workbench.errors import DataError
from workbench.records import Sample, Turn
from workbench.train.classifier import bootstrap, fit_classifier

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40)
CONFIG = ClassifierConfig(components=16)
WORDS = {"查余额": "话费余额还剩多少钱", "退订": "取消彩铃会员别再扣", "报修": "宽带断线信号不好上不了网"}
DATA = [(label, f"{text[i:]}{text[:i]}") for label, text in WORDS.items() for i in range(7)]
TEXTS, LABELS = [text for _, text in DATA], [label for label, _ in DATA]


def features(texts, config=CONFIG):
    vectors = HashedNgrams().encode(texts)
    return Features.fit(config, texts, vectors)(texts, vectors)


def fitted(texts, labels, groups=None, config=CONFIG):
    return cross_fit(config, [str(i) for i in range(len(texts))], features(texts, config), labels, groups)


def test_it_learns_what_is_there_to_learn():
    found = fitted(TEXTS, LABELS)
    assert (found.predicted == found.truth).mean() > 0.9
    assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert found.labels == tuple(sorted(WORDS))


def test_the_same_rows_give_the_same_numbers():
    assert np.array_equal(fitted(TEXTS, LABELS).probabilities, fitted(TEXTS, LABELS).probabilities)


def test_a_class_of_one_row_shows_who_would_swallow_it():
    found = fitted([*TEXTS, "话费余额怎么退"], [*LABELS, "稀有"])
    column = found.labels.index("稀有")
    assert found.probabilities[-1, column] == 0
    assert found.probabilities[-1].sum() == pytest.approx(1)
    assert found.labels[found.predicted[-1]] != "稀有"


@pytest.mark.parametrize(
    ("texts", "labels", "groups"),
    [
        (["甲甲", "乙乙"], ["a", "b"], None),
        (["甲甲", "乙乙", "丙丙", "丁丁"], ["a", "b", "c", "d"], None),
        (["甲甲", "乙乙", "丙丙"], ["a", "a", "a"], None),
        (["甲甲", "乙乙", "丙丙", "丁丁"], ["a", "a", "b", "b"], [0, 0, 0, 0]),
        (["", "乙乙", "丙丙", "👍"], ["a", "a", "b", "b"], None),
    ],
)
def test_the_smallest_data_give_probabilities_that_are_ones(texts, labels, groups):
    found = fitted(texts, labels, groups)
    assert np.isfinite(found.probabilities).all()
    assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert found.temperature > 0


@pytest.mark.parametrize("text", ["好", "", "   ", "👍"])
def test_rows_of_one_short_text_give_probabilities_that_are_ones(text):
    found = fitted([text] * 6, ["a", "b"] * 3)
    assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.filterwarnings("error")
def test_rows_of_one_longer_text_do_not_warn():
    assert features(["你好啊"] * 6).shape[0] == 6


def test_where_every_temperature_is_as_good_it_is_one():
    assert best_temperature(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])) == 1.0


def test_the_temperature_softens_a_boaster():
    logits = np.array([[9.0, 0], [9, 0], [0, 9], [9, 0]], np.float32)
    assert best_temperature(logits, np.array([0, 0, 1, 1])) > 2


def test_one_class_cannot_be_trained():
    with pytest.raises(DataError, match="two classes; the rows have 1"):
        Head.fit(CONFIG, np.eye(3, dtype=np.float32), ["a"] * 3)


def test_two_classes_have_the_odds_of_the_binary_model():
    head = Head.fit(CONFIG, features(TEXTS[:14]), LABELS[:14])
    logits = head.logits(features(TEXTS[:14]))
    assert logits.shape == (14, 2)
    assert logits[:, 0] == pytest.approx(-logits[:, 1], abs=1e-4)
    assert [head.labels[i] for i in logits.argmax(axis=1)] == LABELS[:14]


@CALM
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=60), st.integers(2, 6))
def test_folds_hold_every_row_once_and_groups_whole(rows, folds):
    truth, groups = np.array([label for label, _ in rows]), [group for _, group in rows]
    held = _folds(truth, groups, folds)
    assert sorted(np.concatenate(held).tolist()) == list(range(len(rows)))
    where = {int(row): fold for fold, some in enumerate(held) for row in some}
    for group in set(groups):
        assert len({where[i] for i, other in enumerate(groups) if other == group}) == 1


@CALM
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_folds_spread_each_class_evenly(counts):
    truth = np.repeat(np.arange(len(counts)), counts)
    for label in range(len(counts)):
        per_fold = [int((truth[rows] == label).sum()) for rows in _folds(truth, None, 5)]
        per_fold += [0] * (5 - len(per_fold))
        assert max(per_fold) - min(per_fold) <= 1


def human(label, i, text="x"):
    return Sample(f"{label}{i}", (Turn("user", text),), label)


def made(label, i, text="y"):
    return Sample(f"s{label}{i}", (Turn("user", text),), label, source="synthetic")


def test_bootstraps_keep_every_class_and_pair_the_human_rows():
    rows = [human("a", 0), *(human("b", i) for i in range(5))]
    more = [*rows, *(made("a", i) for i in range(4))]
    for replica in range(5):
        draw = bootstrap(rows, np.random.default_rng([0, replica]))
        with_synthetic = bootstrap(more, np.random.default_rng([0, replica]))
        assert {rows[i].label for i in draw} == {"a", "b"}
        assert [i for i in with_synthetic if i < len(rows)] == draw.tolist()
        assert len(with_synthetic) == len(more)


def test_a_saved_model_says_the_same(tmp_path):
    rows = [human(label, i, text) for i, (label, text) in enumerate(DATA)]
    vectors = HashedNgrams().encode(TEXTS)
    model = fit_classifier(CONFIG, rows, vectors, encoder="hashed-1024-1-3", replicas=2, seed=0)
    model.save(tmp_path)
    loaded = Classifier.load(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.json", "head.safetensors"]
    assert (loaded.encoder, loaded.head.labels, len(loaded.replicas)) == ("hashed-1024-1-3", model.head.labels, 2)
    before = model.head.probabilities(model.features(TEXTS, vectors))
    assert loaded.head.probabilities(loaded.features(TEXTS, vectors)) == pytest.approx(before, abs=1e-6)


def test_a_folder_without_a_model_says_how_to_train_one(tmp_path):
    with pytest.raises(DataError, match="holds no classifier") as caught:
        Classifier.load(tmp_path)
    assert "wb train" in caught.value.hint


def test_calibration_is_that_of_the_human_rows():
    # Synthetic rows that are all right would make the model look surer than it is on human rows, a third of them wrong.
    rows = [human(label, i, text) for i, (label, text) in enumerate(DATA)]
    wrong = [human(LABELS[(i + 7) % 21], 100 + i, text) for i, text in enumerate(TEXTS) if i % 2]
    easy = [made(label, i, text * 2) for i, (label, text) in enumerate(DATA * 3)]
    every = [*rows, *wrong, *easy]
    vectors = HashedNgrams().encode([row.text for row in every])
    with_synthetic = fit_classifier(CONFIG, every, vectors, encoder="", replicas=0, seed=0)
    honest = [Sample(r.id, r.turns, r.label) for r in every]
    pooled = fit_classifier(CONFIG, honest, vectors, encoder="", replicas=0, seed=0)
    assert with_synthetic.head.temperature > pooled.head.temperature
