"""Answers that a model wrote freely: every form is read with chatter around it, and what is no answer says so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.lm.parse import AnswerReader

LABELS = ("投诉", "投诉升级", "查询余额", "退订业务", "card lost", "card_arrival", "其他（含闲聊）")
IDS = {label: str(i) for i, label in enumerate(LABELS, start=1)}
READER = AnswerReader(IDS)

label = st.sampled_from(LABELS)
chatter = st.sampled_from(
    ["", "好的。", "根据对话内容，我的判断如下：", "Sure!\n", "以上就是我的回答，谢谢", "**", "```\n", "（仅供参考）"]
)


def forms(name):
    number = IDS[name]
    return [
        f"意图：{number}：{name}",
        f"意图:{number}:{name}",
        f"意图：{name}",
        name,
        number,
        f"{number}：{name}",
        f"{number}. {name}",
        f"Intent: {name}",
        f"意图是：{name}",
        json.dumps({"意图": name}, ensure_ascii=False),
        json.dumps({"id": int(number), "intent": name}),
        json.dumps({"label": name.upper()}, ensure_ascii=False),
        f"“{name}”",
        f"<think>也许是 {LABELS[0]} 或 {LABELS[2]}？</think>意图：{number}：{name}",
    ]


@given(label, st.integers(0, 13), chatter, chatter)
def test_every_form_is_read_with_chatter_around_it(name, form, before, after):
    assert READER.read(f"{before}\n{forms(name)[form]}\n{after}").label == name
    assert READER.read(forms(name)[form]).label == name


@given(label, label)
def test_two_classes_are_no_answer(a, b):
    for text in (f"{a} 或者 {b}", f"意图：{a}\n意图：{b}", f"意图：{IDS[a]}：{b}"):
        found = READER.read(text)
        if a == b:
            assert found.label == a
        else:
            assert (found.label, found.form) == (None, "ambiguous")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("<think>投诉", "empty"),
        ("我不知道", "unknown"),
        ("意图：99", "unknown"),
        ("99", "unknown"),
        ("我需要 1 分钟看 2 条", "ambiguous"),
        ("discard lostness", "unknown"),
        ('{"意图": null}', "unknown"),
        ("{" * 3000, "unknown"),
        ("编号 3.5 的套餐", "unknown"),
    ],
)
def test_what_is_no_answer_says_why(text, form):
    found = READER.read(text)
    assert (found.label, found.form) == (None, form)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("用户要投诉升级", "投诉升级"),  # not its beginning
        ("意图：2：投诉升级。因为用户提到了查询余额", "投诉升级"),
        ("The customer asks about CARD LOST.", "card lost"),
        ("答案是 5。", "card lost"),
        ("答案是5", "card lost"),
        ("The answer is 5", "card lost"),
        ("意图为投诉", "投诉"),
        ("７", "其他（含闲聊）"),
        ("其他(含闲聊)", "其他（含闲聊）"),
    ],
)
def test_the_longest_and_the_nearest_wins(text, name):
    assert READER.read(text).label == name


def test_classes_that_are_numbers_are_names_before_they_are_ids():
    reader = AnswerReader({"0": "1", "1": "0"})
    assert reader.read("1").label == "1"
    assert reader.read("意图：1：0").label == "0"


def test_classes_that_differ_in_case_only_are_told_by_id():
    reader = AnswerReader({"Card": "1", "card": "2"})
    assert reader.read("card").label is None
    assert reader.read("2").label == "card"


@given(st.text(max_size=80))
def test_anything_may_be_written(text):
    found = READER.read(text)
    assert (found.label is None) == (found.form in ("ambiguous", "unknown", "empty"))
    assert found.label is None or found.label in IDS


@given(st.lists(st.text(min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=6, unique=True), st.data())
def test_the_agreed_form_is_read_for_any_names(names, data):
    plain = {" ".join(name.split()).casefold() for name in names}
    ids = {name: f"{i}" for i, name in enumerate(names, start=1)}
    name = data.draw(st.sampled_from(names))
    found = AnswerReader(ids).read(f"意图：{ids[name]}：{name}")
    assert found.label in (name, None)
    if len(names) == 1 and "\n" not in name and len(plain) == 1:
        assert found.label == name
