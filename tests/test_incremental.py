"""Continuing a linear head: gradients, guards, replay, balance, growth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.classify import Classifier, ClassifierConfig, Features, Head, OutOfFold
from workbench.errors import ConfigError, DataError
from workbench.records import Sample, Turn
from workbench.train.incremental.balance import balance
from workbench.train.incremental.classifier import (
    Rows,
    continue_classifier,
    doubts,
    folds_of,
    hold_out_new,
    hold_out_old,
)
from workbench.train.incremental.config import IncrementalConfig
from workbench.train.incremental.head import Lesson, _Problem, continue_head, fisher
from workbench.train.incremental.replay import closeness, doubt, replayed

NONE = IncrementalConfig(guard=())


def cloud(centres, rows, seed=0, spread=0.5):
    """Rows around centres, one class each: features [n, d] and labels."""
    random = np.random.default_rng(seed)
    x = np.concatenate([random.normal(centre, spread, (rows, len(centre))) for centre in centres.values()])
    return x.astype(np.float32), [label for label in centres for _ in range(rows)]


OLD = {"a": (2, 0, 0, 0), "b": (0, 2, 0, 0), "c": (0, 0, 2, 0), "d": (0, 0, 0, 2)}
X, LABELS = cloud(OLD, 30)
HEAD = Head.fit(ClassifierConfig(), X, LABELS)
# What is new lies between a and b, and is b: a head that knows only this forgets c and d.
NEW_X, NEW_LABELS = cloud({"a": (2, 0.8, 0.9, 0.9), "b": (1.3, 1.4, 0.9, 0.9)}, 12, seed=1)


def right(head, x=X, labels=LABELS):
    return float(np.mean([head.labels[i] == label for i, label in zip(head.logits(x).argmax(1), labels, strict=True)]))


# --- the loss


@given(st.integers(0, 50), st.booleans())
def test_the_gradient_is_that_of_the_loss(seed, teach):
    from scipy.optimize import check_grad

    random = np.random.default_rng(seed)
    x, shape = random.normal(size=(7, 4)), (3, 4)
    teacher = random.dirichlet(np.ones(2), 7) if teach else np.zeros((0, 0))
    problem = _Problem(
        x, random.integers(0, 3, 7), random.uniform(0.5, 2, 7), 1.7, random.normal(size=shape),
        random.uniform(0, 3, shape), teacher, 0.7, 2.0,
    )  # fmt: skip
    at = random.normal(size=12)
    assert check_grad(lambda w: problem(w)[0], lambda w: problem(w)[1], at) < 1e-4 * max(1, abs(problem(at)[0]))


def test_fisher_is_the_diagonal_of_the_hessian_of_the_cross_entropy():
    x = X[:9]
    truth, eye = np.zeros(9, dtype=np.int64), np.zeros((4, 5))
    with_one = np.hstack([x, np.ones((9, 1))]).astype(np.float64)
    problem = _Problem(with_one, truth, np.ones(9), 1.0, eye, eye, np.zeros((0, 0)), 1.0, 1.0)
    w = np.hstack([HEAD.coefficients, HEAD.intercept[:, None]]).astype(np.float64).ravel()
    found = fisher(HEAD, x).ravel()
    for i in range(len(w)):
        step = np.zeros(len(w))
        step[i] = 1e-5
        numeric = (problem(w + step)[1][i] - problem(w - step)[1][i]) / 2e-5
        assert found[i] == pytest.approx(numeric, rel=1e-3, abs=1e-6)


def test_the_same_rows_give_the_same_head():
    heads = [continue_head(NONE, HEAD, Lesson(NEW_X, NEW_LABELS)) for _ in range(2)]
    assert np.array_equal(heads[0].coefficients, heads[1].coefficients)


# --- guards


def test_without_a_guard_the_other_classes_are_forgotten_and_each_guard_keeps_more_of_them():
    lesson, curvature = Lesson(NEW_X, NEW_LABELS), fisher(HEAD, X)
    naive = continue_head(NONE, HEAD, lesson)
    kept = {
        "distill": continue_head(IncrementalConfig(guard=("distill",)), HEAD, lesson),
        "ewc": continue_head(IncrementalConfig(guard=("ewc",)), HEAD, lesson, curvature),
        "replay": continue_head(NONE, HEAD, Lesson(np.vstack([NEW_X, X[::5]]), [*NEW_LABELS, *LABELS[::5]])),
    }
    assert right(HEAD) > 0.95
    assert right(naive, NEW_X, NEW_LABELS) > right(HEAD, NEW_X, NEW_LABELS)
    assert right(naive) < 0.9
    assert {name: right(head) > right(naive) for name, head in kept.items()} == dict.fromkeys(kept, True)


@pytest.mark.parametrize("guard", ["distill", "ewc"])
def test_an_overwhelming_guard_leaves_the_old_head(guard):
    config = IncrementalConfig(guard=(guard,), **{guard: 1e6})
    found = continue_head(config, HEAD, Lesson(NEW_X, NEW_LABELS), fisher(HEAD, X))
    same = (found.logits(NEW_X).argmax(1) == HEAD.logits(NEW_X).argmax(1)).mean()
    assert same == 1
    naive = continue_head(NONE, HEAD, Lesson(NEW_X, NEW_LABELS))
    assert (naive.logits(NEW_X).argmax(1) == HEAD.logits(NEW_X).argmax(1)).mean() < 1


def test_a_weak_strength_stays_near_the_old_weights():
    def moved(strength):
        config = NONE.model_copy(update={"strength": strength})
        return np.abs(continue_head(config, HEAD, Lesson(NEW_X, NEW_LABELS)).coefficients - HEAD.coefficients).sum()

    assert moved(1e-6) < 1e-3 < moved(0.01) < moved(3.0)


def test_temperature_and_label_order_are_those_of_the_old_head():
    found = continue_head(NONE, HEAD.at(1.7), Lesson(NEW_X, NEW_LABELS))
    assert (found.temperature, found.labels) == (1.7, HEAD.labels)


@pytest.mark.parametrize("guard", [(), ("distill",), ("ewc",), ("distill", "ewc")])
def test_new_classes_make_the_head_grow_at_the_end(guard):
    x, labels = cloud({"z": (-3, -3, 0, 0), "e": (0, -3, -3, 0)}, 10, seed=2)
    lesson = Lesson(np.vstack([X, x]), [*LABELS, *labels])
    found = continue_head(IncrementalConfig(guard=guard), HEAD, lesson, fisher(HEAD, X))
    assert found.labels == ("a", "b", "c", "d", "e", "z")
    assert found.coefficients.shape == (6, 4)
    assert right(found, x, labels) == 1
    assert right(found) > 0.95


# --- settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [("none", ()), ("ewc+replay", ("replay", "ewc")), (["distill", "distill"], ("distill",)), ("replay, ewc", ("replay", "ewc"))],
)  # fmt: skip
def test_guards_are_read_from_a_word_or_a_list(given, expected):
    assert IncrementalConfig.read({"guard": given}, where="test").guard == expected


@pytest.mark.parametrize(("given", "said"), [("ewcc", "no guard 'ewcc'"), ("none+ewc", "stands alone"), (3, "guard")])
def test_a_wrong_guard_is_said(given, said):
    with pytest.raises(ConfigError, match=said):
        IncrementalConfig.read({"guard": given}, where="test")


# --- replay


def fold(truth, probabilities):
    labels = tuple("abcd"[: probabilities.shape[1]])
    ids = tuple(str(i) for i in range(len(truth)))
    return OutOfFold(ids, labels, np.array(truth), probabilities.astype(np.float32), 1.0)


def test_doubt_is_the_highest_other_class():
    found = fold([0, 1], np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]))
    assert doubt(found) == pytest.approx([0.2, 0.6])
    assert found.probabilities[0, 0] == pytest.approx(0.7)  # nothing was written into


def test_classes_near_the_new_ones_come_first():
    found = fold([0, 1, 2], np.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.0, 0.1, 0.9]]))
    assert closeness(found, {"a"}) == pytest.approx([1, 0.5, 0.0])


@given(st.integers(1, 40), st.floats(0.1, 0.9), st.floats(0, 1), st.integers(0, 5))
def test_a_replay_has_its_size_no_row_twice_and_is_seeded(new, ratio, confusable, seed):
    random = np.random.default_rng(7)
    fitted = fold(random.integers(0, 4, 60), random.dirichlet(np.ones(4), 60))
    config = IncrementalConfig(replay=ratio, confusable=confusable)
    rows = replayed(config, fitted, new, {"a"}, seed)
    assert len(rows) == len(set(rows)) == min(60, round(new * ratio / (1 - ratio)))
    assert np.array_equal(rows, replayed(config, fitted, new, {"a"}, seed))


def test_an_even_replay_takes_every_class_alike_and_a_confusable_one_the_doubtful_rows():
    probabilities = np.full((40, 4), 0.001)
    truth = np.arange(40) % 4
    probabilities[np.arange(40), truth] = 0.997
    probabilities[:8] = 0.25
    fitted = fold(truth, probabilities)
    even = replayed(IncrementalConfig(confusable=0), fitted, 12, {"a", "b", "c", "d"}, 0)
    assert np.bincount(truth[even]).tolist() == [3, 3, 3, 3]
    doubtful = replayed(IncrementalConfig(confusable=1), fitted, 8, {"a", "b", "c", "d"}, 0)
    assert sum(row < 8 for row in doubtful) >= 6


# --- balance


def test_balance_is_said_before_it_starts():
    found = balance(NONE, {"a": 3, "new": 5}, {"a": 20, "b": 9})
    assert found.notes[0] == "8 new rows in 2 classes (3 to 5 each), 29 old rows in 2 classes"
    assert "a new class: new (5 rows)" in found.notes[1]
    assert "nothing keeps the 1 classes" in found.notes[2]
    assert found.json()["b"] == {"old": 9, "new": 0}
    assert len(balance(IncrementalConfig(), {"a": 3}, {"a": 20, "b": 9}).notes) == 1


def test_new_rows_that_would_drown_a_class_are_refused_with_a_way_out():
    with pytest.raises(DataError, match="101 new rows of 'a' would drown 'b', which has 10 rows in all") as error:
        balance(IncrementalConfig(), {"a": 101}, {"a": 5, "b": 10})
    assert "at most 100 rows of 'a', add rows of 'b' (to 11), or set train.incremental.max_ratio" in error.value.hint
    assert balance(IncrementalConfig(max_ratio=0), {"a": 101}, {"a": 5, "b": 10})
    assert balance(IncrementalConfig(), {"a": 100}, {"a": 5, "b": 10})
    with pytest.raises(DataError, match="no new rows"):
        balance(IncrementalConfig(), {}, {"a": 5})


# --- a whole classifier


def samples(prefix, x, labels):
    """Rows whose texts differ in every character, so that none are near duplicates."""
    text = [chr(0x4E00 + 3 * i + 400 * len(prefix)) * 3 for i in range(len(labels))]
    return Rows([Sample(f"{prefix}{i}", (Turn("user", t),), labels[i]) for i, t in enumerate(text)], x)


OLD_ROWS, NEW_ROWS = samples("o", X, LABELS), samples("new", NEW_X, NEW_LABELS)


def classifier(replicas=2):
    config = ClassifierConfig(components=0)
    none = np.zeros(0, np.float32)
    features = Features(config, np.zeros(4, np.float32), [], none, np.zeros((0, 0), np.float32))
    return Classifier(features, HEAD, tuple(HEAD for _ in range(replicas)), "e")


def test_a_continued_classifier_keeps_its_features_and_pairs_its_replicas():
    model = classifier()
    fitted = doubts(model, OLD_ROWS)
    after, again = continue_classifier(IncrementalConfig(), model, OLD_ROWS, NEW_ROWS, fitted, seed=0)
    assert after.features is model.features
    assert len(after.replicas) == 2
    assert len(again) == len(NEW_LABELS)
    assert not np.array_equal(after.replicas[0].coefficients, after.replicas[1].coefficients)
    assert right(after.head, NEW_X, NEW_LABELS) > right(HEAD, NEW_X, NEW_LABELS)


def test_held_out_rows_are_judged_by_models_that_had_not_seen_them():
    model, config = classifier(), IncrementalConfig()
    fitted = doubts(model, OLD_ROWS)
    # A label that only these rows have: whoever had seen one of them in its fold's lesson would know the class.
    alone = Rows([*NEW_ROWS.samples[:-1], replace(NEW_ROWS.samples[-1], label="only")], NEW_ROWS.x)
    held = hold_out_new(config, model, OLD_ROWS, alone, fitted, seed=0)
    assert held.after[-1] != "only"
    assert held.before == [HEAD.labels[i] for i in HEAD.logits(NEW_X).argmax(1)]
    both = hold_out_old(config, model, OLD_ROWS, NEW_ROWS, fitted, seed=0)
    assert len(both.before) == len(both.after) == len(LABELS)
    assert "" not in both.before + both.after
    assert np.mean([a == b for a, b in zip(both.before, LABELS, strict=True)]) > 0.9


def test_one_new_row_cannot_be_held_out():
    model = classifier()
    with pytest.raises(DataError, match="One new row cannot be held out"):
        hold_out_new(IncrementalConfig(), model, OLD_ROWS, NEW_ROWS.at(np.array([0])), doubts(model, OLD_ROWS), seed=0)
    with pytest.raises(DataError, match="fewer than two classes"):
        doubts(model, OLD_ROWS.at(np.arange(5)))


def test_a_class_of_near_duplicates_is_not_held_out_whole():
    text = [f"请帮我查一下第{i}号的余额还有多少钱" for i in range(10)] + [chr(0x4E00 + 7 * i) * 4 for i in range(10)]
    rows = [Sample(str(i), (Turn("user", t),), "ab"[min(i // 10, 1)]) for i, t in enumerate([*text, text[10]])]
    folds = list(folds_of(rows, 5, 0))
    assert all({rows[i].label for i in seen} == {"a", "b"} for _, seen in folds)
    assert sorted(int(i) for held, _ in folds for i in held) == list(range(21))
    assert all((10 in held) == (20 in held) for held, _ in folds)  # a copy stays with what it copies
