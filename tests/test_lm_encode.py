"""Answers, prompts and cuts of language models: exact inverses, an end token always, the newest turns kept. No torch needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workbench.config import Strict
from workbench.errors import ConfigError, DataError
from workbench.lm.answers import DEFAULT, AnswerForm, Answers
from workbench.lm.chat import Example, check_end, fit
from workbench.records import Sample, Turn
from workbench.tokens import Vocabulary
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.rows import Asked, QloraContext, ResponseTask, plan

NAMES = st.text(min_size=1, max_size=20)
IDS = st.text(alphabet="0123456789abc-_", min_size=1, max_size=5)
FORMS = st.sampled_from([DEFAULT, "{id}. {name}", "{name}", "{id}", "Intent {id}: {name}.", "{name} ({id})"])


@given(FORMS, IDS, NAMES)
def test_an_answer_is_read_back_as_what_was_written_or_refused(template, id, name):
    form = AnswerForm(template)
    try:
        text = form.write(id, name)
    except DataError:
        return  # what cannot be told; the next tests say when that must and must not be
    assert form.read(text) == (id if "{id}" in template else "", name if "{name}" in template else "")


@given(IDS, NAMES)
def test_the_usual_form_takes_every_name(id, name):
    assert AnswerForm().read(AnswerForm().write(id, name)) == (id, name)


def test_an_id_that_holds_the_mark_behind_it_is_refused():
    with pytest.raises(DataError, match="cannot be told from its answer"):
        AnswerForm().write("1：2", "查询")


@pytest.mark.parametrize("template", ["意图", "{id}{name}", "{id} {id}", "{label}", "{name} {other}"])
def test_a_form_that_cannot_be_read_back_is_refused(template):
    with pytest.raises(ConfigError):
        AnswerForm(template)
    with pytest.raises(ValidationError):
        QloraConfig(answer=template)


def test_classes_without_a_number_get_the_smallest_free_ones():
    answers = Answers.of(["a", "b", "c"], {"b": "0"}, AnswerForm())
    assert dict(answers.ids) == {"a": "1", "b": "0", "c": "2"}
    assert answers.texts == ["意图：1：a", "意图：0：b", "意图：2：c"]


def test_an_answer_names_a_class_by_text_name_or_id_with_the_beginning_of_its_name():
    answers = Answers.of(["办理取消", "查询"], {}, AnswerForm())
    assert answers.label(" 意图：0：办理取消\n") == "办理取消"
    assert answers.label("意图：1：办理取消") == "办理取消"
    assert answers.label("意图：0：办理") == "办理取消"
    assert answers.label("意图：0：0：1") is None
    assert answers.label("办理") is None


def test_two_classes_with_one_answer_are_refused():
    with pytest.raises(DataError, match="Two classes have the same answer"):
        Answers.of(["a", "b"], {"a": "1", "b": "1"}, AnswerForm("{id}"))


def characters(turns):
    """A prompt of 3 tokens around one token per character."""
    return [0, 0, *map(ord, "|".join(turns)), 0]


@given(st.lists(st.text(alphabet="ab", max_size=8), min_size=1, max_size=6), st.integers(4, 40))
def test_what_is_cut_is_the_beginning_and_no_more_than_needed(turns, room):
    found = fit(characters, turns, room)
    assert len(found.ids) <= room
    kept = turns[found.turns_cut :]
    if found.characters_cut:
        assert kept == turns[-1:]
        assert len(characters(kept)) > room
        assert len(found.ids) == room
        kept = [turns[-1][found.characters_cut :]]
    elif found.turns_cut:
        assert len(characters(turns[found.turns_cut - 1 :])) > room
    assert list(found.ids) == characters(kept)


def test_a_prompt_that_never_fits_says_what_to_change():
    with pytest.raises(DataError, match="room for 2 tokens") as found:
        fit(characters, ["abc"], 2)
    assert "max_length" in found.value.hint


def test_the_last_token_to_be_learned_must_be_an_end_token():
    check_end([5, 2], frozenset({2, 3}))
    for labels in ([5], []):
        with pytest.raises(DataError, match="no end token of the model"):
            check_end(labels, frozenset({2, 3}))


def asked(lengths, labels="ab"):
    return [Asked(str(i), labels[i % len(labels)], Example((1,) * n, (2,))) for i, n in enumerate(lengths)]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_row_is_seen_in_every_epoch_and_the_order_is_the_seeds(lengths, epochs, grouped, balanced, seed):
    rows = asked(lengths)
    config = QloraConfig(epochs=epochs, batch=2, accumulation=2, group_by_length=grouped, balanced=balanced)
    found = plan(config, rows, QloraContext(seed=seed))
    assert found == plan(config, rows, QloraContext(seed=seed))
    assert len(found.order) == found.steps * found.per_step
    assert found.steps == -(-len(rows) * epochs // 4)
    if not balanced:
        counts = [found.order.count(i) for i in range(len(rows))]
        assert min(counts) >= epochs
        assert max(counts) <= epochs + -(-4 // len(rows))


def test_a_split_of_a_step_into_other_batches_changes_no_order():
    rows = asked([5, 9, 2, 40, 7, 3, 8, 30] * 5)
    orders = {plan(QloraConfig(batch=b, accumulation=8 // b), rows, QloraContext()).order for b in (1, 2, 4, 8)}
    assert len(orders) == 1


def test_grouping_by_length_leaves_less_padding():
    rows = asked([5, 90] * 64)

    def padding(grouped):
        order = plan(QloraConfig(batch=8, epochs=1, group_by_length=grouped), rows, QloraContext()).order
        lengths = [[len(rows[i].example) for i in order[n : n + 8]] for n in range(0, len(order), 8)]
        return sum(max(some) * len(some) - sum(some) for some in lengths)

    assert padding(True) == 0
    assert padding(False) > 1000


def test_balanced_shows_a_rare_class_as_often_as_a_common_one():
    rows = [Asked(str(i), "rare" if i < 3 else "common", Example((1,), (2,))) for i in range(60)]
    order = plan(QloraConfig(batch=4, epochs=2, balanced=True), rows, QloraContext()).order
    rare = [i for i in order if i < 3]
    assert len(rare) == len(order) / 2
    assert {rare.count(i) for i in range(3)} == {20}


def test_a_pilot_takes_its_share_of_the_steps():
    config = QloraConfig(steps=5000, batch=4)
    assert plan(config, asked([3] * 20), QloraContext(pilot=0.1)).steps == 500
    assert plan(config.model_copy(update={"steps": 3}), asked([3]), QloraContext(pilot=0.1)).steps == 1


VOCABULARY = Vocabulary.of(
    {"topic": ["work"], "user": {"emotion": ["sad"]}, "assistant": {"tone": ["warm", "calm"], "phase": ["opening"]}},
    where="test",
)


@given(
    st.text(max_size=20),
    st.sampled_from(
        [{}, {"tone": "warm"}, {"tone": "calm", "phase": "opening"}, {"tone": "unknown", "phase": "opening"}]
    ),
)
def test_a_turn_is_read_back_as_it_was_written_without_unknown_values(text, tags):
    task = ResponseTask(QloraConfig(task="response"), QloraContext(vocabulary=VOCABULARY))
    written = task.written(Turn("assistant", text, tags))
    assert task.read(written) == ({name: value for name, value in tags.items() if value != "unknown"}, text)


def test_responses_without_a_vocabulary_say_where_to_name_one():
    with pytest.raises(DataError, match="vocabulary of tags") as found:
        ResponseTask(QloraConfig(task="response"), QloraContext())
    assert "tokens" in found.value.hint


def test_a_turn_of_a_role_that_templates_do_not_know_begins_with_its_token():
    known = Vocabulary.of({"persuader": {"goal": ["donate"]}}, where="test")
    task = ResponseTask(QloraConfig(task="response", speaker="persuader"), QloraContext(vocabulary=known))
    written = task.written(Turn("persuader", "hi", {"goal": "donate"}))
    assert written == "<|persuader|><|goal_donate|>hi"
    assert task.read(written) == ({"goal": "donate"}, "hi")


def test_the_settings_are_those_of_the_house():
    assert issubclass(QloraConfig, Strict)
    assert QloraConfig().prompt_file == "intent.zh.j2"
    assert QloraConfig(task="response").prompt_file == "respond.zh.j2"
    assert Sample("a", (Turn("user", "x"),), "l").text == "x"
