"""Label configs: read safely, filled in, and results checked against them."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.assets import find
from workbench.errors import ConfigError, DataError
from workbench.label_studio.labelling import (
    dimensions,
    fingerprint,
    lacking,
    points,
    problems,
    read,
    read_review,
    units,
    with_choices,
    with_dimensions,
)

REVIEW = find("label_configs", "review.xml").read_text(encoding="utf-8")
RATING = find("label_configs", "rating.xml").read_text(encoding="utf-8")
DIALOGUE = """<View>
  <Paragraphs name="dlg" value="$dialogue" layout="dialogue"/>
  <Choices name="topic" toName="dlg" choice="multiple" value="$topics"><Choice value="其他"/></Choices>
  <Repeater on="$turns" indexFlag="{{idx}}">
    <Text name="u_{{idx}}" value="$turns[{{idx}}].user"/>
    <Choices name="intent_{{idx}}" toName="u_{{idx}}"><Choice value="倾诉"/><Choice value="提问" alias="ask"/></Choices>
  </Repeater>
  <Labels name="span" toName="dlg"><Label value="PER"/></Labels>
  <Taxonomy name="tree" toName="dlg"><Choice value="a"><Choice value="b"/></Choice></Taxonomy>
  <Filter name="find" toName="topic"/>
</View>"""
# Characters that XML 1.0 can carry; what looks the same is not drawn twice.
LEGAL = st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cf"], exclude_characters="\ufffe\uffff＄")
NAMES = st.lists(st.text(LEGAL, min_size=1, max_size=12), min_size=1, max_size=8, unique=True)


def item(name, kind, value, to="text"):
    return {"from_name": name, "to_name": to, "type": kind, "value": value}


def choose(name, *values, to="text"):
    return item(name, "choices", {"choices": list(values)}, to)


@pytest.fixture(scope="module")
def review():
    return read_review(with_choices(REVIEW, "new_label", ["办理取消", "cancel"]))


@pytest.fixture(scope="module")
def dialogue():
    return read(DIALOGUE)


def test_the_shipped_review_has_the_names_that_others_rely_on(review):
    assert {name: control.kind for name, control in review.controls.items()} == {
        "verdict": "choices",
        "edited_text": "textarea",
        "new_label": "choices",
        "reject_reason": "choices",
        "naturalness": "rating",
    }
    assert review.controls["verdict"].choices == ("approve", "edit", "relabel", "reject")
    assert review.controls["verdict"].required
    assert review.controls["new_label"].choices == ("办理取消", "cancel")
    assert review.objects == {"text": "text"}
    assert {
        "text",
        "label",
        "against",
        "queue",
        "evidence",
        "examples",
        "against_examples",
        "opinions",
        "suggested",
    } == set(review.fields)


@pytest.mark.parametrize("name", ["review.xml", "rating.xml"])
def test_a_shipped_config_shows_text_as_text(name):
    config = find("label_configs", name).read_text(encoding="utf-8")
    assert "hypertext" not in read(config, name).objects.values()
    assert "<HyperText" not in config


def test_single_letters_mean_one_thing_on_the_review_page(review):
    filled = with_choices(review.xml, "reject_reason", ["a", "b"], hotkeys="123456789")
    keys = [tag.get("hotkey") for tag in ElementTree.fromstring(filled).iter() if tag.get("hotkey")]
    bound = [key for key in keys if key.strip()]
    assert sorted(bound) == sorted(set(bound)) == ["1", "2", "a", "e", "f", "l", "n", "r"]
    assert keys.count(" ") == 2, "the classes have blank keys, so that Label Studio gives them none"


def test_a_repeated_control_is_read_with_what_it_is_repeated_over(dialogue):
    control = dialogue.controls["intent_{{idx}}"]
    assert (control.flag, control.over, control.choices) == ("{{idx}}", "turns", ("倾诉", "ask"))
    assert dialogue.controls["topic"].options == "topics"
    assert dialogue.fields == ("dialogue", "topics", "turns")
    assert "find" not in dialogue.controls


def test_missing_task_data_are_named(dialogue):
    assert lacking(dialogue, {"dialogue": [], "turns": []}) == ["topics"]
    assert lacking(dialogue, {"dialogue": [], "turns": [], "topics": []}) == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("<View><Text name='a'>", "mine.xml is not readable as XML: no element found: line 1, column 21."),
        ("", "mine.xml is not readable as XML: no element found: line 1, column 0."),
        ('<!DOCTYPE v [<!ENTITY x SYSTEM "file:///etc/passwd">]><View>&x;</View>', "must not have a document type."),
        ("<View>&lol;</View>", "undefined entity"),
        ("<View>\ud800</View>", "not readable as XML"),
        ("<View><Text name='a'/><Text name='a'/></View>", "mine.xml has two tags with the name 'a'."),
    ],
)
def test_what_is_no_label_config_is_an_error(config, says):
    with pytest.raises(ConfigError) as caught:
        read(config, "mine.xml")
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name="edited_text"', 'name="text2"', "mine.xml has no control 'edited_text', which reviews are read from."),
        (
            '<Rating name="naturalness"',
            '<Number name="naturalness"',
            "mine.xml: 'naturalness' is <number>, not <rating>.",
        ),
        ('value="relabel"', 'value="Relabel"', "mine.xml: the control 'verdict' has no choice 'relabel'."),
        ('<Text name="text"', '<Text name="body"', "mine.xml shows no object `text`."),
        (
            'name="new_label" toName="text"',
            'name="new_label" toName="x"',
            "mine.xml: 'new_label' speaks of x, not of text.",
        ),
    ],
)
def test_a_review_of_ones_own_without_a_needed_control_is_an_error(old, new, says):
    assert old in REVIEW
    with pytest.raises(ConfigError) as caught:
        read_review(REVIEW.replace(old, new), "mine.xml")
    assert caught.value.message == says
    assert caught.value.hint.startswith("Add: <")


GOOD = [
    [],
    [choose("verdict", "approve")],
    [choose("verdict", "relabel"), choose("new_label", "办理取消")],
    [choose("verdict", "reject"), choose("reject_reason", "unsafe", "duplicate")],
    [item("edited_text", "textarea", {"text": ["一\n二"]}), item("naturalness", "rating", {"rating": 5})],
    [item("edited_text", "textarea", {"text": "一"}), {"type": "relation"}],
]


@pytest.mark.parametrize("result", GOOD)
def test_a_result_that_fits_has_no_problems(review, result):
    assert problems(review, result) == []


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ("x", "The result is of type str, not a list."),
        (["x"], "Result 0: it is of type str, not an object."),
        (
            [choose("verdikt", "approve")],
            "Result 0: there is no control 'verdikt' in the label config (Did you mean 'verdict'?",
        ),
        ([{}], "Result 0: there is no control 'None' in the label config"),
        ([choose("verdict", "approve", to="txt")], "Result 0: 'verdict' cannot speak of 'txt', only of text."),
        ([choose("verdict", "Approve")], "Result 0: 'Approve' is not a choice of 'verdict'."),
        ([choose("new_label", "cancel", "办理取消")], "Result 0: 'new_label' takes one choice, not 2."),
        ([choose("new_label")], "Result 0: 'new_label' needs {'choices': [...]} with at least one value."),
        ([choose("new_label", 3)], "Result 0: 'new_label' has the choice 3, which is not a string."),
        ([item("new_label", "choices", {"choices": "cancel"})], "needs {'choices': [...]} with at least one value."),
        (
            [item("new_label", "labels", {"labels": ["cancel"]})],
            "Result 0: 'new_label' is of type 'choices', not 'labels'.",
        ),
        (
            [item("new_label", "choices", ["cancel"])],
            "Result 0: the value of 'new_label' is of type list, not an object.",
        ),
        (
            [item("edited_text", "textarea", {"text": [1]})],
            "Result 0: 'edited_text' needs {'text': [...]} with strings.",
        ),
        ([item("edited_text", "textarea", {})], "Result 0: 'edited_text' needs {'text': [...]} with strings."),
        (
            [item("edited_text", "textarea", {"text": ["\ud83d"]})],
            "Result 0: 'edited_text' holds half of a surrogate pair",
        ),
        ([item("naturalness", "rating", {"rating": 6})], "Result 0: 'naturalness' needs {'rating': 1 to 5}, not 6."),
        (
            [item("naturalness", "rating", {"rating": True})],
            "Result 0: 'naturalness' needs {'rating': 1 to 5}, not True.",
        ),
        ([choose("verdict", "edit"), choose("no", "x")], "Result 1: there is no control 'no' in the label config"),
    ],
)
def test_a_result_that_does_not_fit_is_said_to(review, result, says):
    (problem,) = problems(review, result)
    assert says in problem
    problem.encode("utf-8")


def test_results_of_repeated_controls_are_checked_with_their_index(dialogue):
    data = {"turns": [{}, {}], "topics": [{"value": "学业"}, {"value": "家庭", "alias": "family"}]}
    good = [choose("intent_1", "ask", to="u_1"), choose("topic", "学业", "family", "其他", to="dlg")]
    assert problems(dialogue, good, data) == []
    bad = [
        choose("intent_2", "ask", to="u_2"),
        choose("intent_0", "ask", to="u_1"),
        choose("intent_x", "ask", to="u_x"),
        choose("intent_0", "提问", to="u_0"),
        choose("topic", "家庭", to="dlg"),
        item("span", "labels", {"start": 0, "end": 1, "labels": ["ORG"]}, "dlg"),
        item("tree", "taxonomy", {"taxonomy": [["a", "c"]]}, "dlg"),
    ]
    found = problems(dialogue, bad, data)
    assert [said.split(": ", 1)[1] for said in found if "no control" not in said] == [
        "'intent_2' is beyond the 2 entries of 'turns'.",
        "'intent_0' cannot speak of 'u_1', only of u_0.",
        "'提问' is not a choice of 'intent_0'.",
        "'家庭' is not a choice of 'topic'.",
        "'ORG' is not a choice of 'span'.",
        "'c' is not a choice of 'tree'.",
    ]
    assert len(found) == len(bad)
    assert problems(dialogue, [choose("topic", "家庭", to="dlg")]) == [], "without task data its choices are not known"
    assert problems(dialogue, [item("tree", "taxonomy", {"taxonomy": [["a", "b"], ["a"]]}, "dlg")], data) == []


@given(NAMES)
def test_choices_are_read_as_they_were_filled_in(names):
    filled = with_choices(REVIEW, "new_label", names)
    known = read_review(filled)
    assert known.controls["new_label"].choices == tuple(names)
    assert known.fields == read_review(REVIEW).fields, "no name is taken for a field of the task"
    assert with_choices(filled, "new_label", names) == filled
    assert problems(known, [choose("new_label", name) for name in names]) == []


@pytest.mark.parametrize("name", ["$label", "\"<b>&'", "一\n二", "\t x", "👩‍👩‍👧", "true", "{{idx}}", "a,b", "&amp;"])
def test_an_odd_name_is_a_choice_like_others(name):
    assert read(with_choices(REVIEW, "new_label", [name, "plain"])).controls["new_label"].choices == (name, "plain")


def test_what_others_wrote_into_the_config_stays():
    filled = with_choices(REVIEW, "new_label", ["x"])
    assert "never predicted" in filled, "the comment"
    assert filled.count("<Repeater") == REVIEW.count("<Repeater")
    assert 'value="approve"' in filled


def test_a_name_given_twice_is_one_choice():
    assert read(with_choices(REVIEW, "new_label", ["x", "y", "x"])).controls["new_label"].choices == ("x", "y")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a b", "a  b"], "new_label: 'a b' and 'a  b' look the same on a page."),
        (["x", " x"], "new_label: 'x' and ' x' look the same on a page."),
        (["$x", "＄x"], "new_label: '$x' and '＄x' look the same on a page."),
        (["a\x0b"], "new_label: 'a\\x0b' has the character U+000B."),
        (["\ud800"], "new_label: '\\ud800' has the character U+D800."),
        (["  "], "new_label: '  ' has nothing that can be seen."),
        ([""], "new_label: '' has nothing that can be seen."),
    ],
)
def test_names_that_cannot_be_told_apart_or_carried_are_an_error(names, says):
    with pytest.raises(ConfigError) as caught:
        with_choices(REVIEW, "new_label", names)
    assert caught.value.message == says


def test_choices_for_a_control_that_is_not_there_are_an_error():
    with pytest.raises(ConfigError, match="has no control 'new_lable'") as caught:
        with_choices(REVIEW, "new_lable", ["x"])
    assert "new_label" in caught.value.hint


def test_choices_of_the_task_data_give_way_to_those_filled_in():
    control = read(with_choices(DIALOGUE, "topic", ["x"])).controls["topic"]
    assert (control.choices, control.options) == (("x",), "")


@given(NAMES)
def test_every_dimension_is_a_rating_of_the_answer(names):
    known = read(with_dimensions(RATING, names))
    assert list(known.controls) == list(dimensions(names).values())
    assert {(control.kind, control.to, control.most) for control in known.controls.values()} == {
        ("rating", ("answer",), 5)
    }
    assert all(name.isascii() and name.isidentifier() for name in known.controls)
    assert set(known.fields) == {"question", "answer"}


def test_dimensions_stand_where_their_place_is_marked_with_their_names():
    filled = with_dimensions(RATING, ["有用性", "answer", "$x"])
    assert filled.index('value="有用性"') < filled.index('value="answer"') < filled.index('value="＄x"')
    assert 'requiredMessage="请评分 / Rate: 有用性"' in filled
    assert dimensions(["answer"]) == {"answer": "rate_answer"}
    assert "DIMENSION" not in filled.split("-->")[1]


@pytest.mark.parametrize("config", ["<View/>", '<View><Rating name="DIMENSION"/></View>', '<Rating name="DIMENSION"/>'])
def test_a_config_without_a_place_for_dimensions_is_an_error(config):
    with pytest.raises(ConfigError, match="has no place for the dimensions") as caught:
        with_dimensions(config, ["x"])
    assert 'name="DIMENSION"' in caught.value.hint


def test_the_fingerprint_is_of_what_the_config_says():
    assert fingerprint(REVIEW) == fingerprint(REVIEW.strip()) == fingerprint(REVIEW.replace("/>\n", "/>\n\n"))
    assert fingerprint('<View a="1" b="2"><!-- x --></View>') == fingerprint('<View b="2"  a="1"/>')
    assert fingerprint(REVIEW) != fingerprint(with_choices(REVIEW, "new_label", ["x"]))
    assert fingerprint('<View><Choice value="a b"/></View>') != fingerprint('<View><Choice value="a  b"/></View>')


@given(st.text(st.characters(exclude_categories=[]) | st.sampled_from("𠮷😣a字\ud83d")), st.data())
def test_offsets_in_units_and_in_characters_are_inverse(text, data):
    at = data.draw(st.integers(0, len(text)))
    there = units(text, at)
    assert there == len(text[:at].encode("utf-16-le", "surrogatepass")) // 2
    assert points(text, there) == at


def test_offsets_that_fit_no_character_are_an_error():
    assert [units("a😣b", at) for at in range(4)] == [0, 1, 3, 4]
    with pytest.raises(DataError, match=r"The offset 2 \(UTF-16 units\) is inside of a character\."):
        points("a😣b", 2)
    for at in (-1, 5):
        with pytest.raises(DataError, match="is outside of the text"):
            points("a😣b", at)
        with pytest.raises(DataError, match="is outside of a text of 3 characters"):
            units("a😣b", at)
