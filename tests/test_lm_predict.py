"""A language model as a predictor: probabilities among answers, decoding along the tree, free answers read by a parser."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_lm_scoring import ANSWERS, TEXTS, needs_torch, prompt, tiny

from workbench.errors import ConfigError, DataError
from workbench.lm.label_predictor import AnswerConfig, LabelPredictor, Words, probabilities

LABELS = ("甲", "乙", "丙", "丁", "戊", "己")
IDS = {label: str(i) for i, label in enumerate(LABELS)}


class Tokenizer:
    """One token a character, as far as the tests need."""

    pad_token_id = 0

    def __init__(self, text="甲"):
        self.text = text

    def decode(self, ids, skip_special_tokens=True):
        return self.text


def predictor(by="likelihood", text="甲", **options):
    from workbench.lm.scoring import LabelScorer

    scorer = LabelScorer(tiny("llama"), prompt, ANSWERS, batch=2)
    return LabelPredictor("run-1", scorer, Words(Tokenizer(text), IDS, [2]), AnswerConfig(by=by, **options))


@given(
    st.lists(st.lists(st.floats(-300, 0), min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from(["none", "tokens"]),
    st.booleans(),
)
def test_probabilities_sum_to_one_and_a_constant_changes_nothing(rows, normalise, with_prior):
    scores, lengths = np.array(rows, dtype=np.float32), np.array([1, 2, 4])
    prior = np.array([[-1, -2, -3], [-3, -1, -9]], dtype=np.float32) if with_prior else None
    found = probabilities(scores, lengths, normalise, prior)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    if normalise == "none":
        assert np.abs(probabilities(scores + np.float32(8), lengths, normalise, prior) - found).max() < 1e-4


def test_length_normalisation_divides_by_tokens():
    scores = np.log(np.array([[0.1, 0.04]], dtype=np.float32))
    assert probabilities(scores, np.array([1, 2]), "none").argmax() == 0
    assert probabilities(scores, np.array([1, 2]), "tokens").argmax() == 1  # .04 is .2 per token


def test_an_input_like_those_without_content_gets_equal_probabilities():
    prior = np.array([[-1.0, -4.0, -2.0]], dtype=np.float32)
    assert probabilities(prior, np.array([1, 1, 1]), "none", prior)[0] == pytest.approx(1 / 3, abs=1e-6)


@needs_torch
def test_likelihoods_are_ranked_as_they_are():
    model = predictor()
    found = model.predict(TEXTS)
    assert (model.labels, model.version) == (LABELS, "run-1")
    assert (found.argmax(axis=1) == model.log_likelihoods(TEXTS).argmax(axis=1)).all()
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert model.predict([]).shape == (0, len(LABELS))


@needs_torch
def test_the_prior_is_that_of_inputs_without_content():
    from workbench.lm.label_predictor import CONTENT_FREE

    model = predictor(prior=True)
    assert model.predict(list(CONTENT_FREE)).mean(axis=0) == pytest.approx(1 / len(LABELS), abs=0.2)
    assert not np.allclose(model.predict(TEXTS), predictor().predict(TEXTS))


@needs_torch
def test_constrained_decoding_follows_the_likeliest_token_of_the_tree():
    model = predictor("constrained")
    found = model.predict(TEXTS)
    assert (found.sum(axis=1) == 1).all()
    alone = np.concatenate([model.predict([text]) for text in TEXTS])
    assert (alone == found).all()  # company in a batch decides nothing
    from workbench.lm.reference import naive

    # By hand: among answers, the first token's likelihood decides first.
    for text, row in zip(TEXTS, found, strict=True):
        path = list(ANSWERS[int(row.argmax())])
        for i in range(len(path)):
            choices = sorted({answer[i] for answer in ANSWERS if answer[:i] == path[:i] and len(answer) > i})
            scores = naive(model._scorer.model, [*prompt(text), *path[:i]], [[choice] for choice in choices])
            assert choices[int(scores.argmax())] == path[i]


@needs_torch
def test_a_free_answer_is_read_and_one_that_names_no_class_is_a_row_of_zeros():
    assert predictor("free", "意图：2：丙").predict(TEXTS)[:, 2].tolist() == [1] * len(TEXTS)
    lost = predictor("free", "我不知道")
    assert not lost.predict(TEXTS).any()
    assert lost.written[TEXTS[0]] == "unknown: 我不知道"


def test_a_wrong_setting_is_named():
    with pytest.raises(ConfigError, match="by"):
        AnswerConfig.read({"by": "guess"}, where="x")


@needs_torch
def test_a_tuned_model_is_asked_as_it_was_tuned_and_its_cuts_are_counted():
    from types import SimpleNamespace

    class Tuned:
        model = tiny("llama")
        chat = SimpleNamespace(tokenizer=Tokenizer("<丙>"), ends=frozenset({2}))
        task = SimpleNamespace(answers=SimpleNamespace(ids=IDS, label={"<丙>": "丙"}.get))
        max_length = 64

        def answers(self):
            return [list(answer) for answer in ANSWERS]

        def prompt(self, text):
            return SimpleNamespace(ids=prompt(text[-10:]), turns_cut=0, characters_cut=max(0, len(text) - 10))

    model = LabelPredictor.of("run-2", Tuned())
    found = model.predict(TEXTS)
    plain = predictor().predict([text[-10:] for text in TEXTS])
    assert np.abs(found - plain).max() < 1e-4
    assert model.counts["cut"] == sum(len(text) > 10 for text in TEXTS)
    free = LabelPredictor.of("run-2", Tuned(), AnswerConfig(by="free"))
    assert free.predict(TEXTS)[:, 2].all()  # the agreed form is asked before the parser
    assert free.decided


@needs_torch
def test_as_many_classes_as_answers_are_needed():
    from workbench.lm.scoring import LabelScorer

    with pytest.raises(DataError, match="2 classes and 6 answers"):
        LabelPredictor("x", LabelScorer(tiny("llama"), prompt, ANSWERS), Words(Tokenizer(), {"a": "1", "b": "2"}, [2]))
