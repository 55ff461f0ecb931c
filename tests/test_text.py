"""What the stages need to know of a string, on Chinese of two characters, emoji and English alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.text import encodable, han_share, language, normal, quantile, shorten


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("退订", "退订"),
        ("退订。", "退订"),
        ("ＡＢＣ　１２３！", "abc123"),
        ("Hello, World", "helloworld"),
        ("a_b", "ab"),
        ("straße", "strasse"),
        ("。。！", "。。!"),
        ("👍", "👍"),
        ("", ""),
    ],
)
def test_normal(text, form):
    assert normal(text) == form


@given(st.text())
def test_normal_is_stable_under_case_and_width(text):
    assert normal(normal(text)) == normal(text)


@pytest.mark.parametrize(
    ("text", "share"), [("查话费", 1.0), ("abc", 0.0), ("👍 12", 0.0), ("", 0.0), ("查ab话", 0.5), ("𠀀", 1.0)]
)
def test_han_share(text, share):
    assert han_share(text) == share


def test_language():
    assert language(["退订", "👍"]) == "zh"
    assert language(["cancel it", "退订"]) == "en"
    assert language([]) == "en"


def test_encodable():
    assert encodable("退订👍")
    assert not encodable("退\ud83d订")


def test_shorten_makes_one_line_of_at_most_the_width():
    assert shorten("退\n订  吧") == "退 订 吧"
    assert shorten("查" * 70) == "查" * 59 + "…"
    assert shorten("查" * 60) == "查" * 60


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0, 0.99))
def test_at_most_the_share_lies_above_the_quantile(values, share):
    cut = quantile(values, share)
    assert cut in values
    assert sum(value > cut for value in values) <= share * len(values) + 1e-9
