"""Label likelihoods by a token tree: equal to one sequence per label; batches, chunks, cuts and retries change nothing."""

from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import models
from workbench.errors import DataError, WorkbenchError
from workbench.lm.cut import cut_to_fit
from workbench.lm.memory import in_batches, short_of_memory
from workbench.lm.tree import ROOT, TokenTree
from workbench.records import SEP

USERS_MODELS = models.home()  # before tests get a home of their own
TORCH = all(find_spec(name) for name in ("torch", "transformers"))
needs_torch = pytest.mark.skipif(not TORCH, reason="torch and transformers are not installed")
VOCABULARY = 97
ANSWERS = [[5, 6, 7, 2], [5, 6, 8, 2], [5, 9, 2], [10, 2], [10, 11, 12, 13, 2], [14, 2]]
SYSTEM = [1, 20, 21, 22, 23, 24, 25]


def prompt(text):
    """System, text, turn end: one token a character."""
    return [*SYSTEM, *(30 + ord(letter) % 60 for letter in text), 3, 4]


TEXTS = ["I lost my card", "hi", "what is this fee", "a", "", "I lost my card again and again"]


def tiny(kind, **options):
    """A random model of two layers."""
    import torch
    import transformers

    torch.manual_seed(7)
    common = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "initializer_range": 0.4,  # wide, so that a wrong mask or position is seen in the scores
    }
    if kind == "glm4":
        common |= {"head_dim": 8, "eos_token_id": 2}
    name = {"llama": "Llama", "glm4": "Glm4", "qwen2": "Qwen2", "mistral": "Mistral"}[kind]
    config = getattr(transformers, f"{name}Config")(**(common | options))
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


# --- the tree


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple), min_size=1, max_size=12, unique=True))
def test_a_tree_gives_back_its_answers(answers):
    tree = TokenTree.build(answers)
    for row, answer in zip(tree.on_path, answers, strict=True):
        nodes = np.flatnonzero(row)
        assert tuple(tree.tokens[nodes]) == answer  # parents come before their children
        assert list(tree.depths[nodes]) == list(range(len(answer)))
        assert list(tree.parents[nodes]) == [ROOT, *nodes[:-1]]
    assert len(tree.tokens) == len({answer[:i] for answer in answers for i in range(1, len(answer) + 1)})
    assert set(tree.inner) == set(tree.parents) - {ROOT}
    following = {answer[1] for answer in answers if answer[0] == answers[0][0] and len(answer) > 1}
    assert set(tree.children(answers[0][:1])) == following


@pytest.mark.parametrize(
    ("answers", "words"), [([], "no tokens"), ([[1], []], "no tokens"), ([[1], [1]], "same answer")]
)
def test_answers_that_cannot_be_told_apart_are_refused(answers, words):
    with pytest.raises(DataError, match=words) as caught:
        TokenTree.build(answers)
    assert caught.value.hint


# --- likelihoods


@needs_torch
@pytest.mark.parametrize("kind", ["llama", "glm4", "qwen2"])
@pytest.mark.parametrize("batch", [1, 4])
def test_the_tree_equals_one_sequence_per_label(kind, batch):
    from workbench.lm.reference import naive, repeated
    from workbench.lm.scoring import LabelScorer

    model = tiny(kind)
    scorer = LabelScorer(model, prompt, ANSWERS, batch=batch)
    assert scorer.by_tree
    found = scorer.log_likelihoods(TEXTS)
    wanted = np.stack([naive(model, prompt(text), ANSWERS) for text in TEXTS])
    assert found.shape == (len(TEXTS), len(ANSWERS))
    assert np.abs(found - wanted).max() < 1e-3
    again = np.stack([repeated(model, prompt(text), ANSWERS) for text in TEXTS])
    assert np.abs(again - wanted).max() < 1e-3
    assert np.ptp(wanted) > 1, "likelihoods that are all alike would prove nothing"
    assert not scorer.counts.total()


@needs_torch
def test_prompts_that_share_less_than_those_before_are_scored_as_well():
    from workbench.lm.reference import naive
    from workbench.lm.scoring import LabelScorer

    def odd(text):  # the first token depends on the text: no prefix is shared by all
        return [40 + len(text), *prompt(text)] if text.startswith("?") else prompt(text)

    model = tiny("llama")
    scorer = LabelScorer(model, odd, ANSWERS)
    texts = ["one", "two words"]
    first = scorer.log_likelihoods(texts)
    mixed = scorer.log_likelihoods(["?x", *texts])
    assert np.abs(mixed[1:] - first).max() < 1e-3
    assert np.abs(mixed[0] - naive(model, odd("?x"), ANSWERS)).max() < 1e-3


@needs_torch
def test_a_model_with_a_window_is_scored_without_a_tree():
    from workbench.lm.reference import naive
    from workbench.lm.scoring import LabelScorer

    model = tiny("mistral", sliding_window=16)
    scorer = LabelScorer(model, prompt, ANSWERS)
    assert not scorer.by_tree
    texts = [text for text in TEXTS if len(text) < 30]
    wanted = np.stack([naive(model, prompt(text), ANSWERS) for text in texts])
    assert np.abs(scorer.log_likelihoods(texts) - wanted).max() < 1e-3


@needs_torch
@pytest.mark.parametrize("most", [5, 3, 1])
def test_where_memory_is_short_batches_and_trees_are_split_and_counted(most, monkeypatch):
    from workbench.lm.scoring import LabelScorer

    model = tiny("llama")
    wanted = LabelScorer(model, prompt, ANSWERS).log_likelihoods(TEXTS)
    scorer = LabelScorer(model, prompt, ANSWERS, batch=4)
    whole = scorer._pass

    def narrow(prompts, tree):
        if len(prompts) * len(tree.on_path) > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return whole(prompts, tree)

    monkeypatch.setattr(scorer, "_pass", narrow)
    assert np.abs(scorer.log_likelihoods(TEXTS) - wanted).max() < 1e-3
    assert scorer.counts["retries"] >= 3  # 4 -> 2 -> 1 text, then labels


@needs_torch
def test_over_long_texts_lose_their_oldest_turns_and_are_counted():
    from workbench.lm.reference import naive
    from workbench.lm.scoring import LabelScorer

    model = tiny("llama")
    scorer = LabelScorer(model, prompt, ANSWERS, context=40)
    long = SEP.join(["x" * 60, "y" * 5, "last"])
    found = scorer.log_likelihoods([long, "short"])
    assert scorer.counts["cut"] == 1
    assert np.abs(found[0] - naive(model, prompt(SEP.join(["y" * 5, "last"])), ANSWERS)).max() < 1e-3
    with pytest.raises(WorkbenchError, match="prompt alone has 9 tokens"):
        LabelScorer(model, prompt, ANSWERS, context=10).log_likelihoods(["x"])


@needs_torch
def test_no_texts_give_no_rows():
    from workbench.lm.scoring import LabelScorer

    assert LabelScorer(tiny("llama"), prompt, ANSWERS).log_likelihoods([]).shape == (0, len(ANSWERS))


# --- memory


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_batches_give_all_results_in_order_whatever_fits(items, size, fits):
    counts = Counter()

    def work(batch):
        if len(batch) > fits:
            raise MemoryError
        return [item * 2 for item in batch]

    assert in_batches(items, size, work, counts) == [item * 2 for item in items]
    assert (counts["retries"] > 0) == (min(size, len(items)) > fits)


def test_an_item_that_never_fits_is_lost_or_an_error():
    def work(batch):
        if "big" in batch:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return [1] * len(batch)

    counts = Counter()
    assert in_batches(["a", "big", "b"], 3, work, counts, lost=lambda _: None) == [1, None, 1]
    with pytest.raises(WorkbenchError, match="does not fit into memory"):
        in_batches(["big"], 3, work, counts)


def test_another_error_is_no_lack_of_memory():
    assert not short_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        in_batches([1], 1, lambda _: (_ for _ in ()).throw(RuntimeError("shapes")), Counter())


# --- cutting


@given(st.lists(st.text("ab", max_size=9), min_size=1, max_size=6), st.integers(0, 40))
def test_a_cut_text_is_the_longest_end_that_fits(turns, most):
    text = SEP.join(turns)

    def fits(some):
        return len(some.replace(SEP, "")) <= most

    kept, cut = cut_to_fit(text, fits)
    assert fits(kept)
    assert text.endswith(kept)
    assert cut == (kept != text) or not text
    if cut and len(turns[-1]) <= most:
        left = turns[-len(kept.split(SEP)) - 1 :]
        assert not fits(SEP.join(left)), "one more turn would have fitted"


# --- a real model


@needs_torch
@pytest.mark.model
def test_smollm2_is_scored_alike_by_tree_and_by_sequences(monkeypatch):
    from workbench.llm.causal import load
    from workbench.lm.reference import naive
    from workbench.lm.scoring import LabelScorer

    monkeypatch.setattr(models, "home", lambda: USERS_MODELS)
    if not models.stored(models.known("smollm2")).fetched:
        pytest.skip("smollm2 was not fetched")
    loaded = load(str(models.path_of("smollm2")), "float32")
    names = ["lost card", "card arrival", "card not working", "exchange rate", "top up failed"]
    answers = [[*loaded._tokenizer(name, add_special_tokens=False)["input_ids"], 2] for name in names]

    def build(text):
        ask = {"role": "system", "content": f"Classify into: {', '.join(names)}"}, {"role": "user", "content": text}
        return loaded.prompt(ask)

    scorer = LabelScorer(loaded._model, build, answers, batch=2)
    texts = ["Where is my new card?", "My card was stolen", "The rate is wrong"]
    wanted = np.stack([naive(loaded._model, build(text), answers) for text in texts])
    assert np.abs(scorer.log_likelihoods(texts) - wanted).max() < 1e-3
