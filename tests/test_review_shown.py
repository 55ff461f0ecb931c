"""How rows stand on the labelling page, and what annotations say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.ledger import Annotation, Asked, judgement
from workbench.records import Review, Turn
from workbench.review import decisions, shown

ROLES = st.sampled_from(["user", "agent", "客户", "a: b", "用户(1)"])
PIECES = st.sampled_from(
    ["user", "agent", ": ", "：", "\n", "\r\n", "\\", " ", "查话费", "客户: ", "a", "😣", "\x00", "𠀀"]
)
TEXTS = st.one_of(st.lists(PIECES, min_size=1, max_size=8).map("".join), st.text(min_size=1))
TURNS = st.lists(st.builds(Turn, ROLES, TEXTS), min_size=1, max_size=5).map(tuple)


@given(TURNS)
def test_reading_what_is_shown_gives_the_turns_back(turns):
    if not any(turn.text.strip() for turn in turns):
        with pytest.raises(ValueError, match="empty_edit"):
            shown.read(shown.shown(turns), turns)
        return
    assert shown.read(shown.shown(turns), turns) == turns


def test_a_single_text_stands_as_it_is():
    assert shown.shown([Turn("user", "user: 你好\n\\x")]) == "user: 你好\n\\x"


def test_a_dialogue_stands_line_by_line_and_a_line_that_looks_like_a_turn_is_escaped():
    turns = (Turn("user", "你好\nagent: 是他说的"), Turn("agent", "请讲"))
    assert shown.shown(turns) == "user: 你好\n\\agent: 是他说的\nagent: 请讲"


def test_an_edit_may_add_turns_and_use_full_width_colons():
    turns = (Turn("user", "你好", {"intent": "greet"}), Turn("agent", "请讲"))
    assert shown.read("user：您好\nagent：请讲\nuser：查话费", turns) == (
        Turn("user", "您好", {"intent": "greet"}),
        Turn("agent", "请讲"),
        Turn("user", "查话费"),
    )


def test_a_deleted_first_speaker_is_the_one_it_was():
    turns = (Turn("user", "你好"), Turn("agent", "请讲"))
    assert shown.read("你好啊\nagent: 请讲", turns)[0] == Turn("user", "你好啊")


def test_nothing_left_is_refused():
    with pytest.raises(ValueError, match="empty_edit"):
        shown.read(" \n", (Turn("user", "你好"), Turn("agent", "请讲")))


def choice(name, *values):
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(values)}}


def typed(*lines):
    return {"from_name": "edited_text", "to_name": "text", "type": "textarea", "value": {"text": list(lines)}}


def stars(n):
    return {"from_name": "naturalness", "to_name": "text", "type": "rating", "value": {"rating": n}}


def read(*result, queue="sample", skipped=False):
    annotation = Annotation(
        "k", "review", "u", "p", 1, "anna@localhost", "2026-01-01", "2026-01-02", 4.5, skipped, result
    )
    return decisions.read(annotation, Asked("review", "u", "s", queue, "", (), {}), {"查余额", "报修"})


def test_an_approval_holds_who_when_and_how_long():
    assert read(choice("verdict", "approve"), stars(4)) == Review(
        "s", "u", "approve", "anna@localhost", "2026-01-02", 4.5, naturalness=4
    )


def test_an_edit_holds_the_text_and_pieces_are_lines():
    assert read(choice("verdict", "edit"), typed("查一下", "话费")).text == "查一下\n话费"


def test_what_belongs_to_another_verdict_is_not_taken():
    review = read(
        choice("verdict", "reject"), typed("x"), choice("new_label", "报修"), choice("reject_reason", "unsafe")
    )
    assert (review.text, review.label, review.reasons) == ("", "", ("unsafe",))


def test_a_relabel_may_come_from_a_tree_of_choices():
    tree = {"from_name": "new_label", "to_name": "text", "type": "taxonomy", "value": {"taxonomy": [["报修"]]}}
    assert read(choice("verdict", "relabel"), tree).label == "报修"


def test_a_skip_needs_no_verdict():
    assert read(skipped=True).decision == "skip"


def test_what_is_said_in_adjudication_is_final():
    assert read(choice("verdict", "approve"), queue="adjudicate").final


@pytest.mark.parametrize(
    ("result", "slug"),
    [
        ((), "no_verdict"),
        ((choice("verdict", "maybe"),), "no_verdict"),
        ((choice("verdict", "approve", "reject"),), "no_verdict"),
        (({"from_name": "verdict", "value": "approve"},), "no_verdict"),
        ((choice("verdict", "edit"),), "empty_edit"),
        ((choice("verdict", "edit"), typed("  ")), "empty_edit"),
        ((choice("verdict", "relabel"),), "no_label"),
        ((choice("verdict", "relabel"), choice("new_label", "查余额", "报修")), "no_label"),
        ((choice("verdict", "relabel"), choice("new_label", "别的")), "unknown_class"),
    ],
)
def test_an_annotation_that_decides_nothing_is_refused(result, slug):
    with pytest.raises(ValueError, match=slug) as caught:
        read(*result)
    assert caught.value.args[1].endswith(".")


def said(decision, who="a", final=False, **more):
    return Review("s", "u", decision, who, "", final=final, **more)


@pytest.mark.parametrize(
    ("reviews", "state"),
    [
        ([], "unseen"),
        ([said("hold", "")], "withheld"),
        ([said("hold", ""), said("approve")], "approve"),
        ([said("skip")], "skipped"),
        ([said("skip"), said("reject", "b")], "reject"),
        ([said("approve"), said("approve", "b")], "approve"),
        ([said("approve"), said("reject", "b")], "disputed"),
        ([said("approve"), said("reject")], "reject"),
        ([said("edit", text="x"), said("edit", "b", text="y")], "disputed"),
        ([said("edit", text="x"), said("edit", "b", text="x")], "edit"),
        ([said("approve"), said("reject", "b"), said("approve", "c", final=True)], "approve"),
        ([said("approve"), said("reject", "b"), said("skip", "c", final=True)], "skipped"),
        ([said("reject", "b"), said("reject", "c", final=True), said("approve", "d")], "reject"),
    ],
)
def test_what_reviews_come_to(reviews, state):
    assert judgement(reviews).state == state
