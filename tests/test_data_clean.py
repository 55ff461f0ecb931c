"""Cleaning: every step has a slug, mends what it is for and leaves alone what it is not for."""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.data import CleanConfig, clean
from workbench.errors import MissingExtra
from workbench.records import Sample, Turn

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS = count()


def row(text, label="x", split="train"):
    turns = tuple(Turn("user", part) for part in text.split("[SEP]"))
    return Sample(f"r{next(ROWS)}", turns, label, split)


def cleaned(text, **settings):
    """The text after cleaning, and the slugs of what was done."""
    changes = clean([row(text)], CleanConfig(**settings)).changes
    turns = [change.value for change in changes if change.field == "turns"]
    return "[SEP]".join(turn.text for turn in turns[-1]) if turns else text, [change.reason for change in changes]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("查\u200b余额\ufeff", "查余额", "control_characters"),
        ("查\x00余\x07额\xad", "查余额", "control_characters"),
        ("\u202e查余额", "查余额", "control_characters"),
        ("话费&lt;50元&gt;", "话费<50元>", "html"),
        ("A&amp;amp;B &#20320;&#x597D;", "A&B 你好", "html"),
        ("一<br/>二<span class='a'>三</span>", "一 二三", "html"),
        ("喂！！！！！！在吗", "喂！！！在吗", "repeated_punctuation"),
        ("  查\u3000余额\t ", "查 余额", "spaces"),
        ("一\r\n二\r", "一\n二", "spaces"),
        ("５Ｇ套餐ａ", "5G套餐a", "half_width"),
        ("cafe\u0301", "café", "unicode_form"),
        ("查\ud83d余额", "查余额", "lone_surrogates"),
    ],
)
def test_a_step_mends_what_it_is_for(before, after, reason):
    assert cleaned(before) == (after, [reason])


@pytest.mark.parametrize(
    "text",
    [
        "您好，请问……（这个）——“套餐”多少钱？！",  # Chinese punctuation is full width and stays
        "号码138****1234，密码XXXXXX",  # masks are meant
        "👨‍👩‍👧 👍🏽 ❤️",  # joiners and selectors are part of an emoji
        "می‌خواهم",  # a zero-width non-joiner inside a Persian word
        "http://a.cn/?x=1&copy=2&lt=3",  # no entities: no semicolons
        "I <3 you, if a<b and c>d",
        "好的[SEP]",  # an empty turn keeps the speakers in order
        "嗯嗯嗯嗯嗯 哈哈哈哈",
        "多行\n文本",
    ],
)
def test_what_is_meant_stays(text):
    assert cleaned(text) == (text, [])


def test_halves_of_what_a_step_uncovers_are_mended_by_the_next():
    assert cleaned("查&#8203;余额&nbsp;") == ("查余额", ["html", "control_characters", "spaces"])


def test_a_text_of_nothing_visible_is_dropped():
    assert cleaned("\u200b\u200b")[1] == ["control_characters", "empty_text"]


def test_steps_can_be_turned_off_and_on():
    assert cleaned("５Ｇ", half_width=False) == ("５Ｇ", [])
    assert cleaned("ä½\xa0å¥½", mojibake=True) == ("你好", ["mojibake"])


def test_traditional_characters_become_simplified():
    pytest.importorskip("opencc")
    assert cleaned("取消這個套餐", simplified=True) == ("取消这个套餐", ["simplified"])


def test_the_package_for_simplified_characters_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opencc", None)
    with pytest.raises(MissingExtra, match="needs the package `opencc`") as caught:
        cleaned("取消這個套餐", simplified=True)
    assert "[zh]" in caught.value.hint


def test_over_long_dialogues_lose_whole_turns():
    text = "[SEP]".join(["一" * 10, "二" * 10, "三" * 10])
    assert cleaned(text, max_chars=20) == ("[SEP]".join(["一" * 10, "二" * 10]), ["too_long"])
    assert cleaned(text, max_chars=20, keep="end") == ("[SEP]".join(["二" * 10, "三" * 10]), ["too_long"])
    assert cleaned(text, max_chars=0) == (text, [])


def test_an_over_long_text_is_cut_after_a_sentence():
    assert cleaned("一二三四五。六七八九十。", max_chars=10) == ("一二三四五。", ["too_long"])
    assert cleaned("一二三四五六七八九十", max_chars=4) == ("一二三四", ["too_long"])
    assert cleaned("一二三四五。六七八。", max_chars=8, keep="end") == ("六七八。", ["too_long"])


@CALM
@given(st.text(), st.integers(min_value=1, max_value=30), st.sampled_from(["start", "end"]))
def test_nothing_longer_than_allowed_is_left_and_cleaning_twice_changes_nothing(text, limit, keep):
    config = CleanConfig(max_chars=limit, keep=keep)
    samples = [row(text)]
    result = clean(samples, config)
    for change in result.changes:
        samples = [] if change.field == "dropped" else [replace(samples[0], turns=change.value)]
    assert all(sum(len(turn.text) for turn in sample.turns) <= limit for sample in samples)
    again = [change.reason for change in clean(samples, config).changes]
    # Entities may be nested deeper than twice, and cutting may leave a space at the end.
    assert set(again) <= {"html", "spaces", "empty_text", "unicode_form", "control_characters"}


def test_the_first_of_equal_rows_stays():
    rows = [row("查余额"), row("退订"), row("查余额")]
    assert [(change.sample, change.reason) for change in clean(rows, CleanConfig()).changes] == [
        (rows[2].id, "exact_duplicate")
    ]


def test_near_duplicates_go_at_the_threshold_that_is_set():
    rows = [row("我想要查询一下这个月的话费余额"), row("我想要查询一下这个月的话费余额吧。"), row("退订")]
    assert [c.reason for c in clean(rows, CleanConfig(near_duplicate=0.95)).changes] == ["near_duplicate"]
    assert clean(rows, CleanConfig(near_duplicate=0.99)).changes == []
    assert clean(rows, CleanConfig(near_duplicate=0)).changes == []


def test_of_a_text_in_two_splits_the_row_of_test_stays():
    rows = [row("查余额"), row("查余额", split="dev"), row("查余额", split="test")]
    result = clean(rows, CleanConfig())
    assert {change.sample: change.reason for change in result.changes} == {
        rows[0].id: "exact_duplicate_of_test",
        rows[1].id: "exact_duplicate_of_test",
    }
    assert result.notes == ["2 dropped rows have a twin in another split: test keeps its row before dev before train"]


def test_contradicting_labels_are_kept_and_said():
    rows = [row("查余额", "查询"), row("查余额", "投诉"), row("退订", ""), row("退订", "取消")]
    result = clean(rows, CleanConfig())
    assert result.changes == []
    assert result.notes[0].startswith("2 rows say (nearly) the same under different labels and stay")


@pytest.mark.parametrize("wrong", [{"near_duplicate": 1.5}, {"max_chars": -1}, {"keep": "middle"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CleanConfig(**wrong)


@pytest.mark.parametrize("name", ["telecom/train.csv", "erp/original_training_data.csv"])
def test_the_shared_sets_need_no_cleaning(shared, name):
    from workbench.data import Told, read

    assert clean(read(shared / "demo" / name, Told()).samples, CleanConfig()).changes == []
