"""Special tokens: vocabularies, the grammar and its inverse, records and lines, coverage."""

import json
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ConfigError, DataError
from workbench.records import Turn
from workbench.tokens import (
    Dialogue,
    Place,
    TokensConfig,
    Vocabulary,
    coverage,
    dumps,
    escape,
    from_line,
    parse,
    render,
    to_dialogue,
    to_line,
    topic_key,
    unescape,
    vocabulary_of,
)

TAGS = {
    "topic": {"career": "职业发展", "family": "家庭"},
    "user": {"intent": {"clarify": "补充说明", "thank": "感谢"}, "emotion": ["sad", "calm"]},
    "assistant": {
        "intent": {"clarify": "澄清", "suggest": "建议"},
        "phase": {"opening": "开场", "middle": "干预", "closing": "收尾"},
        "phase_goal": ["a", "b"],
    },
}
KNOWN = Vocabulary.of(TAGS, where="tags")
CHARACTERS = st.characters(codec=None, categories=None)
"""Every code point, lone surrogates among them."""
TRICKY = st.lists(
    st.sampled_from(
        ["<", "|", ">", "<|", "|>", "\\", "<\\|", "<\\\\|", "<|user|>", "<|intent_x|>", "<|end|>", "<|begin|>", "user", "intent_",
         "\r\n", "\n", "\x00", " ", "\t", "\u2028", "\x85", "😀", "\U0003134a", "\ud83d", "\ude00", "焦虑", "&lt;", '"', "｜"]
    ),
    max_size=12,
).map("".join)  # fmt: skip
TEXTS = st.text(CHARACTERS) | TRICKY
FREE = st.text(string.ascii_letters + string.digits + "_-.焦虑", min_size=1, max_size=8)
"""Values, most of them unknown."""


def readable(role):
    """Values for each field; of `phase`, none that would be read as one of `phase_goal`."""
    fields = KNOWN.fields(role)
    values = {
        name: (st.sampled_from(list(some)) | FREE).filter(lambda v, n=name: KNOWN.split(role, f"{n}_{v}") == (n, v))
        for name, some in fields.items()
    }
    return st.fixed_dictionaries({}, optional=values)


TURNS = st.sampled_from(list(KNOWN.roles)).flatmap(lambda role: st.builds(Turn, st.just(role), TEXTS, readable(role)))
DIALOGUES = st.builds(
    Dialogue, st.just("d"), st.lists(TURNS, max_size=6).map(tuple), st.sampled_from(["", "career"]) | FREE
)


# The grammar


@given(DIALOGUES)
def test_parse_is_the_inverse_of_render(dialogue):
    assert parse(render(dialogue, KNOWN), KNOWN, id="d") == dialogue


@given(st.lists(st.sampled_from(KNOWN.special_tokens()) | TRICKY, max_size=8).map("".join))
def test_what_parse_accepts_is_what_render_makes_of_the_result(text):
    for form in (text, f"<|begin|>{text}<|end|>"):
        try:
            dialogue = parse(form, KNOWN)
        except DataError:
            continue
        assert render(dialogue, KNOWN) == form


@given(TEXTS)
def test_unescape_is_the_inverse_of_escape(text):
    assert unescape(escape(text)) == text


@given(TEXTS, TEXTS)
def test_no_text_makes_a_special_token_alone_or_with_what_stands_beside_it(first, second):
    text = render(Dialogue("d", (Turn("user", first), Turn("assistant", second))), KNOWN)
    assert text.count("<|") == 4
    assert "<|" not in escape(first)
    rest = text
    for token in KNOWN.special_tokens():
        rest = rest.replace(token, "")
    assert rest == escape(first) + escape(second)


def test_the_form_of_a_rendered_dialogue():
    turns = (
        Turn("user", "我 ", {"emotion": "sad", "intent": "thank"}),
        Turn("user", ""),
        Turn("system", "写 <|user|>"),
        Turn("assistant", "<\\|", {"phase": "opening", "phase_goal": "x"}),
    )
    assert render(Dialogue("d", turns, "career"), KNOWN) == (
        "<|begin|><|topic_career|><|user|><|intent_thank|><|emotion_sad|>我 <|user|><|system|>写 <\\|user|>"
        "<|assistant|><|phase_opening|><|phase_goal_x|><\\\\|<|end|>"
    )


@pytest.mark.parametrize("value", ["very sad", "a|b", "x>", "", "\ud800", "a\n", "<|end|>"])
def test_a_value_that_cannot_be_part_of_a_token_is_named(value):
    with pytest.raises(DataError, match=r"Dialogue c7, turn 1: the value .* of emotion cannot be part of a token"):
        render(Dialogue("c7", (Turn("user", "a"), Turn("user", "b", {"emotion": value}))), KNOWN)


def test_a_value_that_would_be_read_as_one_of_another_field_is_refused():
    with pytest.raises(DataError, match="the value 'goal_a' of phase cannot"):
        render(Dialogue("c7", (Turn("assistant", "", {"phase": "goal_a"}),)), KNOWN)


def test_a_topic_role_or_field_that_cannot_be_rendered_is_named():
    with pytest.raises(DataError, match="Dialogue c7: the value 'my topic' of topic"):
        render(Dialogue("c7", (), "my topic"), KNOWN)
    with pytest.raises(DataError, match="Dialogue c7, turn 0: the role 'agent' is not in the vocabulary") as caught:
        render(Dialogue("c7", (Turn("agent", ""),)), KNOWN)
    assert "Known: assistant, system, user" in caught.value.hint
    with pytest.raises(DataError, match="turn 0: user has no field 'phase'"):
        render(Dialogue("c7", (Turn("user", "", {"phase": "opening"}),)), KNOWN)


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("", "character 0: it begins with ''"),
        ("x<|begin|><|end|>", "it begins with 'x<|begin|><|end|>'"),
        ("<|begin|>", "<|begin|>, not <|end|>"),
        ("<|begin|>x<|end|>", "text stands behind <|begin|>: 'x'"),
        ("<|begin|><|end|>x", "text stands behind <|end|>: 'x'"),
        ("<|begin|><|end|><|end|>", "character 9: the token that stands there is <|end|>"),
        ("<|begin|><|begin|><|end|>", "character 9: the token that stands there is <|begin|>"),
        ("<|begin|><|user|>a<|b<|end|>", "character 18: `<|` begins no token"),
        ("<|begin|><|user|><|mood_x|>a<|end|>", "<|mood_x|> is neither a role nor a tag of user"),
        ("<|begin|><|user|>a<|intent_thank|><|end|>", "<|intent_thank|> stands inside the text of a turn"),
        ("<|begin|><|user|><|emotion_sad|><|intent_thank|><|end|>", "too late or twice; the order is intent, emotion"),
        ("<|begin|><|user|><|intent_a|><|intent_b|><|end|>", "<|intent_b|> stands too late or twice"),
        ("<|begin|><|topic_a|><|topic_b|><|end|>", "<|topic_b|> stands before the first turn"),
        ("<|begin|><|topic_a|>x<|end|>", "text stands behind <|topic_a|>"),
        ("<|begin|><|intent_thank|><|end|>", "is no topic"),
    ],
)
def test_a_string_that_is_no_rendered_dialogue_is_told_where(text, say):
    with pytest.raises(DataError) as caught:
        parse(text, KNOWN, id="c7")
    assert say in caught.value.message
    assert caught.value.message.startswith("Dialogue c7 is no rendered dialogue at character")


@given(
    st.lists(st.sampled_from(["<|", "|>", "user", "begin", "end", "intent_a", "x", "topic_"]), max_size=12).map("".join)
)
def test_any_string_is_parsed_or_refused_in_a_sentence(text):
    with suppress(DataError):
        parse(text, KNOWN)


# Vocabularies


def test_special_tokens_have_a_stable_order_and_stand_once():
    assert KNOWN.special_tokens() == [
        "<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|topic_career|>", "<|topic_family|>",
        "<|intent_clarify|>", "<|intent_thank|>", "<|emotion_sad|>", "<|emotion_calm|>", "<|intent_suggest|>",
        "<|phase_opening|>", "<|phase_middle|>", "<|phase_closing|>", "<|phase_goal_a|>", "<|phase_goal_b|>",
    ]  # fmt: skip
    assert KNOWN.meaning("assistant", "intent", "clarify") == "澄清"
    assert KNOWN.meaning("", "topic", "career") == "职业发展"
    assert KNOWN.meaning("user", "emotion", "sad") == ""


def test_further_roles_stand_behind_those_of_chats_and_need_no_fields():
    known = Vocabulary.of({"customer": {"mood": ["好"]}, "agent": {}}, where="tags")
    assert known.special_tokens()[2:] == [
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
        "<|customer|>",
        "<|agent|>",
        "<|mood_好|>",
    ]


@pytest.mark.parametrize(
    ("values", "say"),
    [
        ({}, "no role has a field"),
        ({"user": {}}, "no role has a field"),
        ({"user": ["a"]}, "user holds a list, not fields with their values"),
        ({"user": {"mood": "sad"}}, "user.mood holds a text, not values"),
        ({"user": {"mood": []}}, "user.mood has no values"),
        ({"user": {"mood": ["a", "a"]}}, "user.mood lists 'a' twice"),
        ({"user": {"mood": ["very sad"]}}, "user.mood has the value 'very sad', which cannot be part of a token"),
        ({"user": {"mood": {"a|b": ""}}}, "'a|b', which cannot be part of a token"),
        ({"user": {"mood": {"": ""}}}, "the value '', which cannot be part of a token"),
        ({"user": {"mood": {False: "否"}}}, "the value False, which is a truth value, not a text"),
        ({"user": {"mood": {"a": 3}}}, "the meaning of user.mood = a is a number, not a text"),
        ({"topic": {"my topic": ""}, "user": {"mood": ["a"]}}, "topic has the value 'my topic'"),
        ({"user": {"my mood": ["a"]}}, "'my mood' cannot be the name of a field of user"),
        ({"user": {"_mood": ["a"]}}, "'_mood' cannot be the name of a field of user"),
        ({"user": {"text": ["a"]}}, "'text' cannot be the name of a field of user: the word has a meaning of its own"),
        ({"user": {"topic": ["a"]}}, "'topic' cannot be the name of a field of user"),
        ({"end": {"mood": ["a"]}}, "'end' cannot be the name of a role"),
        ({"a b": {"mood": ["a"]}}, "'a b' cannot be the name of a role"),
        ({3: {"mood": ["a"]}}, "3 cannot be the name of a role"),
        ({"user": {"a": ["b_c"], "a_b": ["c"]}}, "<|a_b_c|> would stand for a value of a and of a_b"),
        ({"user": {"a": ["b_c"]}, "assistant": {"a_b": ["c"]}}, "<|a_b_c|> would stand for a value of a_b and of a"),
        ({"user": {"mood": ["a"]}, "mood_a": {}}, "<|mood_a|> would stand for a role and for a tag"),
        ({"user": {"mood": ["a"]}, "topic_a": {}}, "<|topic_a|> would stand for a role and for a tag"),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_refused_in_a_sentence(values, say):
    with pytest.raises(ConfigError) as caught:
        Vocabulary.of(values, where="tags.json")
    assert say in caught.value.message
    assert caught.value.message.startswith("tags.json: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "say"),
    [
        ("t.json", '{"user": {"mood": ["a"]},\n}', "t.json is not JSON: .* at line 2"),
        ("t.json", "[1]", "t.json: it holds a list"),
        ("t.json", '{"user": {"mood": {"a": "x", "a": "y"}}}', "'a' stands twice in one object"),
        ("t.json", b"\xff\xfe\x00", "t.json is not JSON in UTF-8"),
        ("t.yaml", "user: [", "t.yaml is not readable as YAML"),
        ("t.yaml", "user: {mood: {no: 否}}", "the value False"),
        ("none.json", None, "none.json does not exist"),
        ("none.yaml", None, "none.yaml does not exist"),
    ],
)
def test_a_tags_file_that_cannot_be_read_is_named(tmp_path, name, content, say):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=say):
        Vocabulary.read(tmp_path / name)


def test_a_tags_file_may_be_json_or_yaml_or_stand_in_the_settings(tmp_path):
    (tmp_path / "t.json").write_text("\ufeff" + json.dumps(TAGS, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "t.yaml").write_text(json.dumps(TAGS, ensure_ascii=False), encoding="utf-8")
    assert vocabulary_of(TokensConfig(file="t.json"), tmp_path) == KNOWN
    assert vocabulary_of(TokensConfig(vocabulary=TAGS), tmp_path) == KNOWN
    assert vocabulary_of(TokensConfig(), tmp_path, tmp_path / "t.yaml") == KNOWN
    with pytest.raises(ConfigError, match="are both set"):
        vocabulary_of(TokensConfig(file="t.json", vocabulary=TAGS), tmp_path)
    with pytest.raises(ConfigError, match=r"tokens\.file is not set"):
        vocabulary_of(TokensConfig(), tmp_path)


def test_a_field_that_is_to_be_ordered_must_be_there():
    with pytest.raises(ConfigError, match="no role has the field 'phrase'"):
        vocabulary_of(TokensConfig(vocabulary=TAGS, ordered=("phrase",)), None)
    assert vocabulary_of(TokensConfig(vocabulary={"user": {"a": ["b"]}}), None).ordered == ("phase",)


# Records and lines

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
LATER = ("topic", "label", "turns", "id", "text", "shape", "split", "mess")


def shuffled(values):
    return st.permutations(list(values.items())).map(dict)


@st.composite
def record_turns(draw):
    turn = draw(TURNS)
    gap = draw(st.dictionaries(st.sampled_from(list(KNOWN.fields(turn.role)) or ["x"]), st.sampled_from(["", None])))
    tags = {**gap, **turn.tags}
    own = draw(st.dictionaries(st.sampled_from(["mood", "at", "text2"]), JSON))
    if draw(st.booleans()):
        return draw(shuffled({"role": turn.role, "text": turn.text, "tags": {**tags, **own}}))
    made = {"role": turn.role, "text": turn.text, **tags, **own}
    return draw(shuffled(made)) if draw(st.booleans()) else made


@st.composite
def records(draw):
    topics = st.sampled_from(["career", "", None]) | FREE
    values = {"turns": draw(st.lists(record_turns(), max_size=4))}
    for name in draw(st.sets(st.sampled_from(LATER))) - {"turns"}:
        values[name] = draw(topics if name in ("topic", "label") else JSON)
    return draw(shuffled(values))


def through_files(value):
    """As a file gives it: two halves of a character that stand side by side are one there."""
    return json.loads(dumps(value))


@given(records())
def test_a_record_comes_back_from_its_line_byte_for_byte(record):
    record = through_files(record)
    line = to_line(record, "d", topic_key([record], KNOWN), KNOWN)
    assert dumps(from_line(through_files(line), "line 1", KNOWN)) == dumps(record)


@given(st.lists(TEXTS))
def test_a_json_line_is_one_line_and_can_be_stored(texts):
    line = dumps(texts)
    assert len(line.splitlines()) == 1
    line.encode()
    assert json.loads(line) == json.loads(json.dumps(texts))


def test_a_plain_record_needs_no_shape_and_keeps_its_columns():
    turns = [{"role": "user", "text": "好", "intent": "thank", "emotion": "sad"}, {"role": "assistant", "text": "嗯"}]
    line = to_line({"id": "c1", "topic": "career", "turns": turns, "split": "dev"}, "c1", "topic", KNOWN)
    assert line == {
        "id": "c1",
        "text": "<|begin|><|topic_career|><|user|><|intent_thank|><|emotion_sad|>好<|assistant|>嗯<|end|>",
        "split": "dev",
    }


def test_a_changed_text_keeps_what_its_shape_can_say():
    record = {"turns": [{"text": "好", "role": "user", "emotion": "", "at": 3}], "id": "c1"}
    line = to_line(record, "c1", "", KNOWN)
    line["text"] = line["text"].replace("<|user|>", "<|user|><|emotion_sad|>")
    back = from_line(line, "line 1", KNOWN)
    assert dumps(back) == dumps({"turns": [{"text": "好", "role": "user", "emotion": "sad", "at": 3}], "id": "c1"})
    line["text"] = line["text"].replace("<|end|>", "<|user|>more<|end|>")
    with pytest.raises(DataError, match="its `shape` does not fit its text of 2 turns"):
        from_line(line, "line 1", KNOWN)


@pytest.mark.parametrize(
    "shape", [1, {}, {"topic": 3, "keys": 4, "turns": [1]}, {"topic": "", "keys": [], "turns": [3]}]
)
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(DataError, match="shape"):
        from_line({"text": "<|begin|><|user|>a<|end|>", "shape": shape}, "line 1", KNOWN)


@pytest.mark.parametrize("line", [None, [], {}, {"text": 3}])
def test_a_line_without_a_text_is_refused(line):
    with pytest.raises(DataError, match="line 4 is no rendered dialogue: it has no text"):
        from_line(line, "line 4", KNOWN)


@pytest.mark.parametrize(
    ("record", "say"),
    [
        ({}, "Dialogue c1 has no list of turns"),
        ({"turns": ["a"]}, "Dialogue c1 has no list of turns"),
        ({"turns": [{"text": "a"}]}, "Dialogue c1, turn 0 has no role"),
        ({"turns": [{"role": "user", "text": None}]}, "Dialogue c1, turn 0 has no text"),
        ({"turns": [{"role": "user", "text": "", "intent": 3}]}, "turn 0: the value 3 of intent is not a text"),
        ({"turns": [{"role": "user", "text": "", "tags": {"intent": ["a"]}}]}, 'the value \\["a"\\] of intent cannot|not a text'),
        ({"topic": 5, "turns": []}, "Dialogue c1: the value 5 of topic is not a text"),
        ({"turns": [{"role": "user", "text": "", "intent": "a", "tags": {"intent": "a"}}]}, "has the tag 'intent' twice"),
    ],
)  # fmt: skip
def test_a_record_that_is_no_dialogue_is_refused_in_a_sentence(record, say):
    with pytest.raises(DataError, match=say):
        to_line(record, "c1", "topic", KNOWN)


# Coverage


def said(*phases, id="d"):
    return Dialogue(id, tuple(Turn("assistant", f"{i}", {"phase": p} if p else {}) for i, p in enumerate(phases)))


OPEN, MID, CLOSE = "opening", "middle", "closing"


@pytest.mark.parametrize(
    ("phases", "wrong"),
    [
        ((), []),
        ((OPEN, OPEN, MID, MID, CLOSE), []),
        ((MID, CLOSE), []),
        ((OPEN, MID, CLOSE, OPEN), [3]),
        ((OPEN, CLOSE, MID, MID), [1]),
        ((CLOSE, OPEN), [1]),
        ((OPEN, CLOSE, OPEN), [2]),
        ((CLOSE, OPEN, MID), [0]),
        ((CLOSE, "", OPEN, "unknown", OPEN), [0]),
        ((MID, OPEN, MID, OPEN, MID, OPEN), [1, 3, 5]),
    ],
)
def test_the_fewest_turns_out_of_order_are_named_and_the_later_ones_in_doubt(phases, wrong):
    found = coverage([said(*phases)], KNOWN)
    assert [(place.turn, place.field) for place in found.order] == [(turn, "phase") for turn in wrong]


@given(st.lists(st.sampled_from([OPEN, MID, CLOSE]), max_size=9))
def test_without_the_turns_named_the_rest_is_in_order_and_fewer_would_not_do(phases):
    wrong = {place.turn for place in coverage([said(*phases)], KNOWN).order}
    ranks = [[OPEN, MID, CLOSE].index(phase) for phase in phases]
    rest = [rank for i, rank in enumerate(ranks) if i not in wrong]
    assert rest == sorted(rest)
    best = max(
        len([r for r in ranks[:a] if r == 0])
        + len([r for r in ranks[a:b] if r == 1])
        + len([r for r in ranks[b:] if r == 2])
        for a in range(len(ranks) + 1)
        for b in range(a, len(ranks) + 1)
    )
    assert len(rest) == best


def test_a_sorted_dialogue_never_is_out_of_order_and_other_fields_can_be_declared():
    known = Vocabulary.of(TAGS, where="tags", ordered=("intent",))
    turns = tuple(Turn("user", "", {"intent": value}) for value in ("thank", "clarify"))
    assert coverage([Dialogue("d", turns)], known).order == (Place("d", 1, "intent"),)
    assert coverage([said(CLOSE, OPEN)], known).order == ()


def test_missing_and_unknown_tags_are_counted_and_listed():
    turns = (
        Turn("user", "谢谢", {"intent": "thank", "emotion": "glad"}),
        Turn("assistant", "好", {"intent": "", "phase": OPEN, "phase_goal": "a", "mood": "x"}),
        Turn("system", "s"),
    )
    found = coverage([Dialogue("d", turns, "career"), Dialogue("e", (), "sport"), Dialogue("f", ())], KNOWN)
    assert (found.dialogues, found.turns) == (3, 3)
    assert found.missing == (Place("d", 1, "intent"), Place("f", None, "topic", 2))
    assert found.unknown_value == (Place("d", 0, "emotion"), Place("e", None, "topic", 1))
    counted = {one.name: (one.places, one.given, one.missing, dict(one.unknown)) for one in found.fields}
    assert counted["topic"] == (3, 1, 1, {"sport": 1})
    assert counted["user.emotion"] == (1, 0, 0, {"glad": 1})
    assert counted["assistant.intent"] == (1, 0, 1, {})
    assert found.other == {"assistant.mood": 1}
    career = next(one for one in found.topics if one.topic == "career")
    assert (career.dialogues, career.turns, career.wanted, career.given) == (1, 3, 5, 3)
    assert career.fields["user.intent"] == {"thank": 1}
    assert ("", "topic", "family") in found.unused
    assert ("user", "intent", "thank") not in found.unused
    assert ("assistant", "intent", "clarify") in found.unused


def test_the_same_text_tagged_differently_is_inconsistent_but_for_ordered_fields():
    rows = [
        Dialogue(
            "a",
            (
                Turn("user", "谢谢！", {"intent": "thank"}),
                Turn("assistant", "嗯", {"phase": OPEN, "intent": "suggest"}),
            ),
        ),
        Dialogue(
            "b",
            (
                Turn("user", "谢谢", {"intent": "clarify"}),
                Turn("assistant", "嗯", {"phase": CLOSE, "intent": "suggest"}),
            ),
        ),
        Dialogue("c", (Turn("assistant", "谢谢", {"intent": "suggest"}), Turn("user", "谢谢"), Turn("user", ""))),
    ]
    (one,) = coverage(rows, KNOWN).inconsistent
    assert (one.role, one.text, one.field) == ("user", "谢谢！", "intent")
    assert one.values == {"thank": (Place("a", 0, "intent"),), "clarify": (Place("b", 0, "intent", 1),)}


def test_a_role_that_the_vocabulary_does_not_know_is_an_error():
    with pytest.raises(DataError, match="Dialogue d, turn 0: the role 'agent' is not in the vocabulary"):
        coverage([Dialogue("d", (Turn("agent", ""),))], KNOWN)


def test_contradictions_of_others_are_passed_on_where_there_is_a_tag():
    row = Dialogue("d", (Turn("user", "x", {"emotion": "sad"}),))
    told = [Place("d", 0, "emotion"), Place("d", 0, "intent"), Place("e", 3, "emotion", 7)]
    assert coverage([row], KNOWN, told).contradiction == (told[0],)


def test_the_shared_dialogues_have_the_defects_that_were_put_in(shared):
    folder = shared / "demo" / "counselling"
    known = Vocabulary.read(folder / "tags.json")
    rows = [json.loads(line) for line in (folder / "dialogues.jsonl").read_text("utf-8").splitlines()]
    found = coverage([to_dialogue(row, row["id"], "topic", known) for row in rows], known)
    wrong = [json.loads(line) for line in (folder / "defects.jsonl").read_text("utf-8").splitlines()]
    for kind in ("missing", "unknown_value", "order"):
        expected = [(one["id"], one["turn"], one["field"]) for one in wrong if one["defect"] == kind]
        assert [(place.id, place.turn, place.field) for place in getattr(found, kind)] == expected
    assert found.contradiction == ()
