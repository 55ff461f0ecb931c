"""The types: identity by content, frozen, JSON forms."""

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.records import SEP, Metric, Sample, Turn, by_label, digest

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # CI machines are slow and shared

TEXT = st.text(alphabet=st.characters(exclude_characters="\x1f"))  # surrogates included


def sample(row_id, label, *texts):
    return Sample(row_id, tuple(Turn("user", text) for text in texts), label)


@CALM
@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_a_digest_tells_lists_of_parts_apart(left, right):
    # No part and one empty part are one and the same string.
    assert (digest(*left) == digest(*right)) == ((left or [""]) == (right or [""]))


@CALM
@given(TEXT)
def test_a_digest_is_16_hex_digits_even_of_lone_surrogates(text):
    assert len(digest(text)) == 16
    int(digest(text), 16)


def test_the_digest_is_the_same_in_every_version():
    assert digest("查余额", "a") == "7e8f2e9094abcf66"


def test_text_id_ignores_row_label_and_role_but_not_order():
    one = sample("1", "a", "您好", "查话费")
    assert one.text == f"您好{SEP}查话费"
    assert one.text_id == Sample("2", (Turn("agent", "您好"), Turn("customer", "查话费")), "b").text_id
    assert one.text_id != sample("1", "a", "查话费", "您好").text_id


def test_a_stage_cannot_change_a_row():
    one = sample("1", "a", "x")
    with pytest.raises(FrozenInstanceError):
        one.label = "b"
    assert not hasattr(one, "__dict__")


def test_rows_are_grouped_in_order_of_first_appearance():
    rows = [sample("1", "b", "x"), sample("2", "a", "y"), sample("3", "b", "z")]
    groups = by_label(rows)
    assert list(groups) == ["b", "a"]
    assert [row.id for row in groups["b"]] == ["1", "3"]


def test_a_metric_never_travels_without_interval_and_n():
    assert Metric("accuracy", 0.5, 0.4, 0.6, 10).json() == {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    assert [field.name for field in fields(Metric)][:5] == ["name", "value", "low", "high", "n"]
