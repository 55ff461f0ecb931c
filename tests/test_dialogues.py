"""Dialogues on the labelling page: what is shown, what stands filled in, and what an annotation makes of a dialogue."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ConfigError
from workbench.label_studio.labelling import lacking, problems
from workbench.label_studio.labelling import read as read_page
from workbench.label_studio.markup import parse
from workbench.records import Turn
from workbench.review import dialogues
from workbench.review.dialogues import Dialogue, Gap
from workbench.tokens import Vocabulary

KNOWN = Vocabulary.of(
    {
        "topic": {"study": "学业", "family": "家庭"},
        "user": {"intent": {"ask": "询问", "thank": "感谢"}, "emotion": {"anxious": "焦虑", "calm": ""}},
        "assistant": {"intent": ["explore", "suggest"], "tone": {"warm": "温暖"}},
    },
    where="tests",
)
WHOLE = Dialogue(
    (
        Turn("user", "考试前睡不着 😣", {"intent": "ask", "emotion": "anxious", "source": "app"}),
        Turn("assistant", "多久了？", {"intent": "explore", "tone": "warm"}),
    ),
    "study",
)


def put(dialogue, known=KNOWN):
    return dialogues.task("u1", "c001", dialogue, known)


def read(result, dialogue=WHOLE, known=KNOWN):
    return dialogues.read(result, dialogue.turns, dialogue.topic, known)


def chosen(control, about, *values):
    return {"from_name": control, "to_name": about, "type": "choices", "value": {"choices": list(values)}}


def typed(control, about, *texts):
    return {"from_name": control, "to_name": about, "type": "textarea", "value": {"text": list(texts)}}


# The label config


def test_the_label_config_has_a_control_per_role_and_field_and_stores_the_values_of_the_vocabulary():
    page = read_page(dialogues.config(KNOWN))
    assert page.controls["user_emotion_{{idx}}"].choices == ("anxious", "calm")
    assert page.controls["user_emotion_{{idx}}"].over == "turns"
    assert page.controls["assistant_tone_{{idx}}"].to == ("turn_{{idx}}",)
    assert page.controls["topic"].choices == ("study", "family")
    assert page.controls["usable"].choices == ("yes", "no")
    assert page.controls["edit_{{idx}}"].kind == "textarea"


def test_a_value_is_shown_with_its_meaning():
    shown = dialogues.config(KNOWN)
    assert 'value="焦虑 anxious" alias="anxious"' in shown
    assert 'value="calm" alias="calm"' in shown


def test_no_attribute_names_the_index_twice_as_label_studio_replaces_it_once():
    tags = parse(dialogues.config(KNOWN)).iter()
    assert [value for tag in tags for value in tag.attrib.values() if value.count("{{idx}}") > 1] == []


def test_no_choice_gets_a_key_that_a_slip_could_hit():
    keys = {tag.get("alias"): tag.get("hotkey") for tag in parse(dialogues.config(KNOWN)).iter("Choice")}
    assert {value for value, key in keys.items() if key != " "} == {"yes", "no"}


@pytest.mark.parametrize("meaning", ["<b> & \"x\" 'y'", "two\nlines\x00", "$title"])
def test_meanings_cannot_break_the_page(meaning):
    known = Vocabulary.of({"user": {"intent": {"ask": meaning}}}, where="tests")
    (choice,) = [tag for tag in parse(dialogues.config(known)).iter("Choice") if tag.get("alias") == "ask"]
    assert choice.get("value").endswith(" ask")
    assert "$" not in choice.get("value")


def test_without_topics_there_is_no_choice_of_one():
    known = Vocabulary.of({"user": {"intent": ["ask"]}}, where="tests")
    assert "topic" not in read_page(dialogues.config(known)).controls


def test_fields_whose_controls_would_be_named_alike_are_refused():
    known = Vocabulary.of({"a": {"b_c": ["x"]}, "a_b": {"c": ["y"]}}, where="tests")
    with pytest.raises(ConfigError, match=r"'b_c' of 'a' and 'c' of 'a_b' are both a_b_c"):
        dialogues.config(known)


# To people


def test_a_turn_has_the_choices_of_its_role_only_in_whatever_order_people_speak():
    turns = tuple(Turn(role, "x") for role in ("system", "assistant", "assistant", "user", "observer"))
    data, _ = put(Dialogue(turns))
    shown = [(len(turn["is_user"]), len(turn["is_assistant"])) for turn in data["turns"]]
    assert shown == [(0, 0), (0, 1), (0, 1), (1, 0), (0, 0)]


def test_what_is_there_stands_filled_in():
    _, result = put(WHOLE)
    assert {item["from_name"]: item["value"]["choices"] for item in result} == {
        "topic": ["study"],
        "user_intent_0": ["ask"],
        "user_emotion_0": ["anxious"],
        "assistant_intent_1": ["explore"],
        "assistant_tone_1": ["warm"],
    }


def test_missing_and_foreign_values_are_named_and_not_filled_in():
    dialogue = Dialogue((Turn("user", "嗯", {"intent": "shout"}),), "money")
    data, result = put(dialogue)
    assert dialogues.gaps(dialogue, KNOWN) == [
        Gap(None, "topic", "unknown_value", "money"),
        Gap(0, "intent", "unknown_value", "shout"),
        Gap(0, "emotion", "missing"),
    ]
    assert result == []
    assert data["turns"][0]["notes"] == [
        {"text": "⚠ 不在词表 unknown: intent = shout"},
        {"text": "⚠ 缺 missing: emotion"},
    ]
    assert data["title"] == "c001 · ⚠ 不在词表 unknown: topic = money"
    assert (data["todo"], data["places"]) == (3, "topic, 1 intent, 1 emotion")


def test_a_proposal_fills_a_gap_and_says_so():
    data, result = put(Dialogue((Turn("user", "嗯", {"emotion": "calm"}),), "study", {(0, "intent"): "thank"}))
    assert chosen("user_intent_0", "turn_0", "thank") in result
    assert {"text": "⚠ 建议 proposed: intent = thank"} in data["turns"][0]["notes"]


def test_a_proposal_does_not_replace_a_value_of_the_vocabulary():
    _, result = put(replace(WHOLE, proposals={(0, "intent"): "thank", (None, "topic"): "family"}))
    assert result == put(WHOLE)[1]


def test_a_foreign_proposal_is_named_and_not_filled_in():
    data, result = put(Dialogue((Turn("user", "嗯", {"emotion": "calm"}),), "study", {(0, "intent"): "sing"}))
    assert [item["from_name"] for item in result] == ["topic", "user_emotion_0"]
    assert {"text": "⚠ 建议不在词表 proposed, but unknown: intent = sing"} in data["turns"][0]["notes"]


def test_a_doubted_value_stands_filled_in_and_counts_as_work():
    data, result = put(replace(WHOLE, doubts=[(1, "tone")]))
    assert chosen("assistant_tone_1", "turn_1", "warm") in result
    assert data["turns"][1]["notes"] == [{"text": "⚠ 请核对 check: tone"}]
    assert data["todo"] == 1


# From people


def test_the_annotation_is_the_truth_a_cleared_field_is_gone():
    said = [chosen("user_intent_0", "turn_0", "thank"), chosen("assistant_intent_1", "turn_1", "suggest")]
    found = read(said)
    assert [dict(turn.tags) for turn in found.turns] == [{"intent": "thank", "source": "app"}, {"intent": "suggest"}]


def test_a_topic_that_was_chosen_replaces_the_old_one_and_no_choice_keeps_it():
    assert read([chosen("topic", "dialogue", "family")]).topic == "family"
    assert read([]).topic == "study"


def test_a_corrected_text_comes_back_as_it_was_typed():
    found = read([chosen("change_0", "turn_0", "edit"), typed("edit_0", "turn_0", "考试前一晚\n没睡 😣")])
    assert [turn.text for turn in found.turns] == ["考试前一晚\n没睡 😣", "多久了？"]


@pytest.mark.parametrize("text", ["a\r\nb", "a\rb", "half \ud83d", "plain"])
def test_an_opened_text_that_was_not_changed_keeps_its_line_ends(text):
    dialogue = Dialogue((Turn("user", text),))
    shown = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ud83d", "\ufffd")
    assert read([typed("edit_0", "turn_0", shown)], dialogue).turns[0].text == text


def test_an_unusable_dialogue_and_its_comment_are_told():
    found = read([chosen("usable", "dialogue", "no"), typed("comment", "dialogue", "跑题")])
    assert (found.usable, found.comment) == (False, "跑题")
    assert read([]).usable


@pytest.mark.parametrize(
    ("item", "slug", "say"),
    [
        (chosen("user_intent_0", "turn_0", "sing"), "unknown_value", "user_intent_0 holds 'sing'"),
        (chosen("topic", "dialogue", "money"), "unknown_value", "topic holds 'money'"),
        (chosen("usable", "dialogue", "maybe"), "unknown_value", "usable holds 'maybe'"),
        (chosen("user_intent_0", "turn_0", "ask", "thank"), "not_one_value", "it takes one value"),
        (chosen("user_intent_0", "turn_0"), "not_one_value", "it takes one value"),
        (chosen("user_tone_0", "turn_0", "warm"), "unknown_control", "no control of this vocabulary"),
        (chosen("verdict", "dialogue", "approve"), "unknown_control", "'verdict'"),
        (chosen("user_intent_2", "turn_2", "ask"), "no_such_turn", "the dialogue has 2 turns"),
        (chosen("user_intent_1", "turn_1", "ask"), "other_role", "turn 1 is of 'assistant'"),
        (typed("edit_0", "turn_0", " \n"), "empty_edit", "edit_0 leaves no text"),
        ({"from_name": "user_intent_0", "value": None}, "not_one_value", "user_intent_0 holds None"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(item, slug, say):
    with pytest.raises(ValueError, match=slug) as caught:
        read([item])
    assert caught.value.args[0] == slug
    assert say in caught.value.args[1]


# There and back

NAMES = st.from_regex(r"[a-z语气意图]{1,4}", fullmatch=True)
VALUES = st.lists(st.from_regex(r"[a-z0-9.\-焦虑]{1,5}", fullmatch=True), min_size=1, max_size=4, unique=True)


@st.composite
def tagged(draw):
    """A vocabulary, and a dialogue with some of its tags and some foreign ones."""
    roles = draw(st.lists(NAMES.map(lambda name: f"r{name}"), min_size=1, max_size=3, unique=True))
    fields = st.dictionaries(NAMES, VALUES, min_size=1, max_size=3)
    known = plain_vocabulary({role: draw(fields) for role in roles}, draw(st.one_of(st.just([]), VALUES)))
    turns = []
    for _ in range(draw(st.integers(1, 12))):
        role = draw(st.sampled_from([*roles, "stranger"]))
        tags = {}
        for name, values in known.roles.get(role, {}).items():
            value = draw(st.one_of(st.none(), st.sampled_from(list(values)), st.just("FOREIGN")))
            tags |= {} if value is None else {name: value}
        if draw(st.booleans()):
            tags["UPPER"] = draw(st.text(max_size=5))
        turns.append(Turn(role, draw(st.text(min_size=1, max_size=20)), tags))
    topic = draw(st.sampled_from([*known.topics, "", "FOREIGN"]))
    return known, Dialogue(tuple(turns), topic)


def plain_vocabulary(roles, topics):
    """Not checked for tokens that clash, which the labelling page does not mind."""
    filled = {
        role: {name: dict.fromkeys(values, "意") for name, values in fields.items()} for role, fields in roles.items()
    }
    return Vocabulary(dict.fromkeys(topics, ""), filled)


def without_foreign(known, turn):
    fields = known.roles.get(turn.role, {})
    return {name: value for name, value in turn.tags.items() if name not in fields or value in fields[name]}


@given(tagged())
def test_a_prediction_that_is_accepted_as_it_stands_gives_the_dialogue_back_without_foreign_values(drawn):
    known, dialogue = drawn
    data, result = put(dialogue, known)
    assert problems(read_page(dialogues.config(known)), result, data) == []
    found = read(json.loads(json.dumps(result)), dialogue, known)
    assert found.turns == tuple(replace(turn, tags=without_foreign(known, turn)) for turn in dialogue.turns)
    assert found.topic == dialogue.topic
    assert data["todo"] == len(dialogues.gaps(dialogue, known))


@given(tagged())
def test_a_dialogue_without_gaps_comes_back_as_it_was(drawn):
    known, dialogue = drawn
    turns = tuple(replace(turn, tags=without_foreign(known, turn)) for turn in dialogue.turns)
    filled = Dialogue(tuple(fill(known, turn) for turn in turns), next(iter(known.topics), ""))
    assert dialogues.gaps(filled, known) == []
    found = read(put(filled, known)[1], filled, known)
    assert (found.turns, found.topic) == (filled.turns, filled.topic)


def fill(known, turn):
    first = {name: next(iter(values)) for name, values in known.roles.get(turn.role, {}).items()}
    return replace(turn, tags={**first, **turn.tags})


def test_the_shared_dialogues_come_back_but_for_their_unknown_values(shared):
    folder = shared / "demo" / "counselling"
    known = Vocabulary.read(folder / "tags.json")
    page = read_page(dialogues.config(known))
    open_places = []
    for line in (folder / "dialogues.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        turns = tuple(Turn(t.pop("role"), t.pop("text"), t) for t in row["turns"])
        dialogue = Dialogue(turns, row["topic"])
        data, result = dialogues.task(row["id"], row["id"], dialogue, known)
        assert problems(page, result, data) == []
        assert lacking(page, data) == []
        open_places += [(row["id"], gap.turn, gap.field, gap.kind) for gap in dialogues.gaps(dialogue, known)]
        found = dialogues.read(result, turns, dialogue.topic, known)
        assert found.turns == tuple(replace(turn, tags=without_foreign(known, turn)) for turn in turns)
    defects = [json.loads(line) for line in (folder / "defects.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = [
        (d["id"], d["turn"], d["field"], d["defect"]) for d in defects if d["defect"] in ("missing", "unknown_value")
    ]
    assert sorted(open_places) == sorted(wanted)
