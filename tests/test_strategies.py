"""Strategies as such: what they choose to show, the rows that need no model, and how a user adds one. Pure."""

import json
from collections import Counter
from itertools import islice
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.bench import Config
from workbench.errors import ConfigError
from workbench.generate import Desk, Draw, GenerateConfig, Shown, resolve_label
from workbench.generate.attributes import DEFAULTS, attribute_lines
from workbench.generate.kinds import kinds
from workbench.generate.rotation import Rotation
from workbench.generate.strategies.slots import SHUFFLED, shuffled
from workbench.generate.taboo import taboo_words
from workbench.prompts import load
from workbench.records import Need, Sample, Turn


def rows(label, n):
    return [Sample(f"{label}{i}", (Turn("user", f"{label} row {i}"),), label) for i in range(n)]


def config(**settings):
    return Config.read({"generate": settings}, where="wb.yaml").generate


def made(strategy, shown, *, draw=0, seed=0, count=4, examples=3, against=""):
    kind = strategy.kind
    need = Need("a", 20, kind, against=against)
    return strategy.request(need, shown, load(f"{kind}.en.j2"), Draw(draw, seed, count, examples))


# Which there are


def test_the_shipped_kinds_are_there_with_their_defaults():
    assert set(config().strategies) >= {"minority", "pair", "paraphrase", "slots", "handwritten"}


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="no strategy of kind 'paraphrse'") as caught:
        config(strategies={"paraphrse": {}})
    assert "Did you mean 'paraphrase'?" in caught.value.message


def test_one_kind_may_stand_under_several_names():
    found = config(strategies={"gentle": {"kind": "pair", "alpha": 0.9}}).strategies
    assert (found["gentle"].kind, found["gentle"].alpha, found["pair"].alpha) == ("pair", 0.9, None)


@pytest.mark.parametrize("value", [{"pair": {"alpha": 0.5}}, {"pair": {"aplha": 0.6}}, {"pair": 3}, 3])
def test_a_wrong_setting_of_a_strategy_is_an_error(value):
    with pytest.raises(ConfigError, match="strategies"):
        config(strategies=value)


def test_settings_survive_being_written_and_read():
    told = config(strategies={"gentle": {"kind": "pair", "alpha": 0.9}}, classes={14: {"accept": 3}})
    assert GenerateConfig.read(json.loads(told.model_dump_json()), where="x") == told


def test_a_class_with_an_unknown_strategy_is_an_error():
    with pytest.raises(ConfigError, match=r"classes.14.strategy: there is no strategy 'slot'. Did you mean 'slots'"):
        config(classes={14: {"strategy": "slot"}})


# Examples


@given(st.integers(1, 7), st.integers(1, 7), st.text(max_size=3))
def test_no_set_of_examples_comes_again_while_others_are_left(n, size, key):
    sets = comb(n, min(size, n))
    picks = [frozenset(Rotation(key, n, size).pick(0))] + [
        frozenset(Rotation(key, n, size).pick(d)) for d in range(1, sets)
    ]
    assert len(set(picks)) == sets


@given(st.integers(1, 40), st.integers(1, 9), st.text(max_size=3))
def test_every_row_is_shown_before_one_is_shown_twice(n, size, key):
    rotation, counts = Rotation(key, n, size), Counter()
    while len(counts) < n:
        pick = rotation.pick(sum(counts.values()) // min(size, n))
        assert len(set(pick)) == len(pick) == min(size, n)
        unseen = set(range(n)) - set(counts)
        assert len(unseen & set(pick)) == min(len(unseen), len(pick))
        counts.update(pick)


def test_an_order_of_draws_does_not_matter_to_what_they_show():
    one, other = Rotation("k", 30, 4), Rotation("k", 30, 4)
    assert [other.pick(d) for d in (9, 0, 5)] == [one.pick(9), one.pick(0), one.pick(5)]
    assert [Rotation("l", 30, 4).pick(d) for d in range(5)] != [one.pick(d) for d in range(5)]


def test_no_rows_or_no_examples_show_nothing():
    assert Rotation("k", 0, 4).pick(3) == Rotation("k", 4, 0).pick(3) == ()


# Attributes


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=7, unique=True), min_size=1),
    st.integers(1, 12),
)
def test_each_value_is_given_before_one_is_given_again(attributes, batch):
    told = {name: [f"{name}{value}" for value in values] for name, values in attributes.items()}
    lines = [attribute_lines(told, "k", range(draw * batch, (draw + 1) * batch)) for draw in range(4)]
    columns = list(zip(*(line.split("; ") for some in lines for line in some), strict=True))
    for values, column in zip(told.values(), columns, strict=True):
        for start in range(0, len(column) - len(values) + 1, len(values)):
            assert sorted(column[start : start + len(values)]) == sorted(values)


def test_attributes_do_not_move_in_step():
    lines = attribute_lines({"a": "xyz", "b": "uvw"}, "k", range(60))
    assert len(set(lines)) == 9


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_shipped_attributes_are_of_both_languages(language):
    assert DEFAULTS[language].keys() == DEFAULTS["zh"].keys() == {"persona", "channel", "mood", "length"}
    assert [len(values) for values in DEFAULTS[language].values()] == [len(v) for v in DEFAULTS["zh"].values()]


def test_no_attributes_are_no_lines():
    assert attribute_lines({}, "k", range(3)) == attribute_lines({"mood": ()}, "k", range(3)) == []


# Taboo words


def test_a_word_that_the_model_leans_on_becomes_taboo():
    real = [f"退掉{x}吧" for x in ("彩铃", "会员", "短信", "流量", "副卡", "宽带")] * 3
    ours = [f"尊敬的客服，{x}麻烦处理" for x in ("彩铃", "会员", "短信", "流量", "副卡", "宽带")] * 3
    found = taboo_words(ours, real, 5)
    assert "尊敬" in found
    assert not {"彩铃", "会员", "短信"} & set(found)


def test_words_of_the_real_rows_are_never_taboo():
    real = ["cancel my card now"] * 10
    assert taboo_words(["cancel my card kindly"] * 40, real, 5) == ["kindly"]


@pytest.mark.parametrize(("ours", "most"), [([], 5), (["kindly do"] * 40, 0), (["kindly do"] * 2, 5)])
def test_nothing_is_taboo_without_evidence_or_where_it_is_off(ours, most):
    assert taboo_words(ours, ["cancel it"] * 10, most) == []


def test_no_more_words_than_wanted_and_none_within_another():
    ours = ["kindly assist regarding unkindly matters"] * 40
    found = taboo_words(ours, ["cancel it"] * 10, 3)
    assert len(found) == 3
    assert not any(a in b for a in found for b in found if a != b)


# Minority, pair, paraphrase


def test_the_same_draw_gives_the_same_request_and_another_shows_other_rows():
    shown, strategy = Shown(rows("a", 9), [], {}, attributes=DEFAULTS["en"]), kinds()["minority"]()
    assert made(strategy, shown, draw=1) == made(strategy, shown, draw=1)
    first = [made(strategy, shown, draw=draw).parents for draw in range(3)]
    assert sorted(sum(first, ())) == sorted(row.id for row in shown.rows)
    assert made(strategy, shown, seed=1).messages != made(strategy, shown).messages


def test_a_pair_shows_the_rows_that_look_most_like_the_other_side_but_none_that_seems_mislabelled():
    own, other = rows("a", 8), rows("b", 8)
    likeness = {row.id: i / 10 for side in (own, other) for i, row in enumerate(side)}
    likeness["a7"] = 0.95
    strategy = kinds()["pair"]()
    shown = Shown(own, other, {}, likeness)
    seen = set().union(*(made(strategy, shown, draw=d, examples=2, against="b").parents for d in range(9)))
    assert seen == {"a3", "a4", "a5", "a6", "b4", "b5", "b6", "b7"}


def test_a_pair_of_few_rows_shows_them_all():
    own = rows("a", 3)
    shown = Shown(own, rows("b", 1), {}, {row.id: 0.99 for row in own})
    assert set(made(kinds()["pair"](), shown, against="b").parents) == {"a0", "a1", "a2", "b0"}


def test_alpha_is_told_in_steps_of_five_per_cent_and_leans_to_the_own_class():
    shown, strategy = Shown(rows("a", 3), rows("b", 3), {}), kinds()["pair"]()
    told = []
    for draw in range(60):
        text = made(strategy, shown, draw=draw, against="b").messages[-1]["content"]
        told.append(int(text.split("about ")[1].split("%")[0]) if "%" in text else 100)
    assert set(told) <= set(range(50, 101, 5))
    assert len(set(told)) > 4
    assert 80 < sum(told) / len(told) < 92  # the mean of 0.5 + 0.5 Beta(5, 2) is 0.857
    fixed = made(kinds()["pair"](alpha=0.6), shown, against="b").messages[-1]["content"]
    assert "about 60% like" in fixed
    assert "40% of the topic" in fixed


def test_a_paraphrase_has_one_parent_and_every_row_is_rewritten_before_one_is_rewritten_again():
    shown, strategy = Shown(rows("a", 5), [], {}, attributes=DEFAULTS["en"]), kinds()["paraphrase"]()
    found = [made(strategy, shown, draw=draw, count=8) for draw in range(10)]
    assert [len(one.parents) for one in found] == [1] * 10
    assert set(Counter(one.parents for one in found[:5]).values()) == {1}
    assert {one.rows for one in found} == {5}
    assert made(strategy, shown, count=2).rows == 2
    assert "elderly" not in "".join(one.messages[-1]["content"] for one in found)


# Slots and handwritten


def desk(folder=Path(), table=None, roles=("user",), seed=0):
    return Desk(folder, roles, seed, lambda name: resolve_label(name, ["a", "b"], {"a": "14"}), table)


def texts(strategy, label="a", most=None, **more):
    found = strategy.rows(Need(label, 9, strategy.kind), desk(**more))
    return ["|".join(turn.text for turn in turns) for turns in islice(found, most)]


VALUES = st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=4, unique=True)


@given(VALUES, VALUES, st.integers(0, 9))
def test_every_combination_is_made_exactly_once(one, two, seed):
    strategy = kinds()["slots"](templates={"a": ("1{p}{q}", "2{p}{p}", "3")}, values={"p": tuple(one), "q": tuple(two)})
    want = {f"1{p}{q}" for p in one for q in two} | {f"2{p}{p}" for p in one} | {"3"}
    found = texts(strategy, seed=seed)
    assert sorted(found) == sorted(want)
    assert texts(strategy, most=3, seed=seed) == found[:3]


def test_the_seed_decides_the_order_of_combinations_and_templates_take_turns():
    numbers = tuple(str(i) for i in range(30))
    strategy = kinds()["slots"](templates={"a": ("x{n}", "y{n}")}, values={"n": numbers})
    assert texts(strategy, seed=0) != texts(strategy, seed=1)
    assert {text[0] for text in texts(strategy, most=2)} == {"x", "y"}


def test_more_combinations_than_can_be_listed_are_drawn_one_by_one():
    found = list(islice(shuffled(SHUFFLED**3, "k"), 500))
    assert len(set(found)) == 500
    assert list(islice(shuffled(SHUFFLED**3, "k"), 9)) == found[:9]
    assert sorted(shuffled(6, "k")) == list(range(6))


def test_templates_may_be_named_by_class_number_and_stand_in_a_file(tmp_path):
    (tmp_path / "t.yaml").write_text(
        "templates: {14: ['{x} 退了', '您好[SEP]查{x}']}\nvalues: {x: [彩铃, 2]}\n", encoding="utf-8"
    )
    strategy = kinds()["slots"](file="t.yaml")
    found = texts(strategy, folder=tmp_path, roles=("agent", "customer"))
    assert set(found) == {"2 退了", "您好|查2", "您好|查彩铃", "彩铃 退了"}
    turns = list(strategy.rows(Need("a", 9, "slots"), desk(tmp_path, roles=("agent", "customer"))))
    assert {turn.role for row in turns for turn in row[1:]} == {"customer"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "has none for the class 'a'"),
        ({"templates": {"a": ("{thng}",)}, "values": {"thing": ("x",)}}, "slot 'thng' without values"),
        ({"templates": {"a": ("{x}",)}, "values": {"x": ()}}, "slot 'x' without values"),
        ({"file": "none.yaml"}, "does not exist"),
    ],
)
def test_templates_that_cannot_be_filled_are_named(settings, words, tmp_path):
    with pytest.raises(ConfigError, match=words) as caught:
        texts(kinds()["slots"](**settings), folder=tmp_path)
    assert caught.value.hint


def test_handwritten_rows_are_those_of_the_class_in_their_order():
    def table(name, text, label):
        assert (name, text, label) == ("h.csv", "t", None)
        return [("b", (Turn("user", "1"),)), ("a", (Turn("user", "2"),)), ("a", (Turn("user", "0"),))]

    strategy = kinds()["handwritten"](file="h.csv", text="t")
    assert texts(strategy, table=table) == ["2", "0"]
    with pytest.raises(ConfigError, match=r"generate.strategies.handwritten.file is not set"):
        texts(kinds()["handwritten"](), table=table)
