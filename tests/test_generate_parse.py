"""Replies of models: whatever they look like, every part ends as a draft or as a reject with a slug."""

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.generate import parse_reply
from workbench.records import SEP, Turn
from workbench.text import encodable

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SINGLE, SPOKEN = ("user",), ("agent", "customer")
SLUGS = {"empty_reply", "not_a_list", "wrong_type", "empty_item", "broken_unicode", "cut_off", "empty_list"}
SLUGS |= {"broken_json", "second_list", "stray_text"}

# What people say: no brackets, fences or line breaks, and nothing that looks like a number or a speaker at the start.
SAID = st.text(alphabet="查话费余额的了吗？，。！ABc 😀👨‍👩‍👧é", min_size=1, max_size=20).map(str.strip).filter(bool)
ROWS = st.lists(SAID, min_size=1, max_size=8)
DIALOGUES = st.lists(st.lists(SAID, min_size=2, max_size=5), min_size=1, max_size=5)


def texts(reply, finish="stop", roles=SINGLE):
    drafts, rejects = parse_reply("r1", reply, finish, roles)
    assert rejects == []
    assert [draft.position for draft in drafts] == list(range(len(drafts)))
    return [SEP.join(turn.text for turn in draft.turns) for draft in drafts]


def slugs(reply, finish="stop", roles=SPOKEN):
    drafts, rejects = parse_reply("r1", reply, finish, roles)
    return len(drafts), [reject.reason for reject in rejects]


# --- forms that are understood

FORMS = {
    "array": lambda rows: json.dumps(rows, ensure_ascii=False),
    "escaped": json.dumps,
    "pretty": lambda rows: json.dumps(rows, ensure_ascii=False, indent=2),
    "object": lambda rows: json.dumps({"samples": rows}, ensure_ascii=False),
    "objects": lambda rows: json.dumps([{"text": row} for row in rows], ensure_ascii=False),
    "fenced": lambda rows: "```json\n" + json.dumps(rows, ensure_ascii=False) + "\n```",
    "fenced plain": lambda rows: "```\n" + json.dumps(rows, ensure_ascii=False) + "\n```\n希望对您有帮助！",
    "chatter": lambda rows: "好的，以下是样本：\n" + json.dumps(rows, ensure_ascii=False) + "\n如需更多请告知。",
    "numbered": lambda rows: "\n".join(f"{i}. {row}" for i, row in enumerate(rows, 1)),
    "numbered 、": lambda rows: "好的：\n\n" + "\n\n".join(f"{i}、{row}" for i, row in enumerate(rows, 1)),
    "bullets": lambda rows: "\n".join(f"- {row}" for row in rows),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@CALM
@given(rows=ROWS)
def test_rows_are_read_back_from_every_usual_form(form, rows):
    assert texts(form(rows)) == rows


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@CALM
@given(dialogues=DIALOGUES)
def test_dialogues_are_read_back_turn_by_turn(form, dialogues):
    drafts, rejects = parse_reply("r1", form([SEP.join(turns) for turns in dialogues]), "stop", SPOKEN)
    assert rejects == []
    assert [[turn.text for turn in draft.turns] for draft in drafts] == dialogues
    assert all(turn.role == SPOKEN[i % 2] for draft in drafts for i, turn in enumerate(draft.turns))


@CALM
@given(DIALOGUES)
def test_speakers_named_in_the_text_become_roles(dialogues):
    named = [SEP.join(f"{'客户' if i % 2 else '客服'}：{turn}" for i, turn in enumerate(turns)) for turns in dialogues]
    drafts, _ = parse_reply("r1", json.dumps(named), "stop", SPOKEN)
    assert [[(t.role, t.text) for t in draft.turns] for draft in drafts] == [
        [(SPOKEN[i % 2], turn) for i, turn in enumerate(turns)] for turns in dialogues
    ]


@pytest.mark.parametrize(
    ("item", "turns"),
    [
        ("客户：查话费[SEP]客服：好的", (Turn("customer", "查话费"), Turn("agent", "好的"))),
        ("User: hi[SEP]Agent: hello", (Turn("customer", "hi"), Turn("agent", "hello"))),
        (["您好", "查话费"], (Turn("agent", "您好"), Turn("customer", "查话费"))),
        ({"dialogue": ["您好", "查话费"]}, (Turn("agent", "您好"), Turn("customer", "查话费"))),
        ({"turns": [{"role": "customer", "text": "查"}]}, (Turn("customer", "查"),)),
        ({"messages": [{"role": "customer", "content": "查"}]}, (Turn("customer", "查"),)),
        ("好👍", (Turn("agent", "好👍"),)),
    ],
)
def test_a_dialogue_may_come_in_many_shapes(item, turns):
    drafts, rejects = parse_reply("r1", json.dumps([item]), "stop", SPOKEN)
    assert ([draft.turns for draft in drafts], rejects) == ([turns], [])


def test_roles_follow_the_order_of_the_real_rows():
    drafts, _ = parse_reply("r1", '["客服：您好[SEP]客户：查话费"]', "stop", ("客户", "客服"))
    assert [turn.role for turn in drafts[0].turns] == ["客服", "客户"]


def test_a_single_text_keeps_a_word_that_looks_like_a_speaker():
    assert texts('["客户：怎么办"]') == ["客户：怎么办"]


# --- what is not understood has a name


@pytest.mark.parametrize(
    ("reply", "finish", "found"),
    [
        ("", "stop", (0, ["empty_reply"])),
        (" \n ", "stop", (0, ["empty_reply"])),
        ("作为AI语言模型，我无法提供该内容。", "stop", (0, ["not_a_list"])),
        ("[]", "stop", (0, ["empty_list"])),
        ('{"samples": []}', "stop", (0, ["empty_list"])),
        ('["a", "", "  "]', "stop", (1, ["empty_item", "empty_item"])),
        ('["a", 5, null, true]', "stop", (1, ["wrong_type"] * 3)),
        ('[{"label": "x"}, []]', "stop", (0, ["wrong_type", "empty_item"])),
        ('["a\\ud83d", "b"]', "stop", (1, ["broken_unicode"])),
        ('["a", "b", "c"]', "length", (3, [])),
        ('["a", "b"', "length", (2, ["cut_off"])),
        ("1. a\n2. b", "length", (1, ["cut_off"])),
        ('["a", "b "quoted" b", "c"]', "stop", (2, ["broken_json"])),
        ('{"text": "a"}\n{"text": "b "b""}\n{"text": "c"}', "stop", (2, ["broken_json"])),
        ('{"samples": ["a", "b", "c', "length", (2, ["cut_off"])),
        ('{"note": "x", "samples": ["a"], "others": ["b"]}', "stop", (1, ["second_list"])),
        ('{"turns": [{"role": "agent", "text": "a"}, {"role": "customer", "te', "length", (0, ["cut_off"])),
        ('[{"role": "agent", "text": "a"}, {"role": "customer", "te', "length", (0, ["cut_off"])),
        ("1. a\n2. b\n\nI hope this helps!", "stop", (2, ["stray_text"])),
        ('{"text": 5}', "stop", (0, ["wrong_type"])),
    ],
)
def test_what_is_no_row_is_a_reject_with_a_slug(reply, finish, found):
    assert slugs(reply, finish) == found


def malformed(seed):
    """A reply that is broken in a way of its own."""
    rng = random.Random(seed)
    bits = [
        '["',
        '"]',
        "[",
        "]",
        "{",
        "}",
        '"',
        ",",
        ":",
        "\\",
        "\\u",
        "\\ud83d",
        "```",
        "```json\n",
        "\n",
        "1. ",
        "- ",
    ]
    bits += [
        SEP,
        "客服：",
        "客户:",
        "查话费",
        "😀",
        "\ud83d",
        "\x00",
        "null",
        "NaN",
        "-Infinity",
        "1e999",
        "text",
        "</s>",
        "\ufeff",
    ]
    whole = json.dumps([{"text": "您好[SEP]查话费"}, ["a", "b"], "客户：退订"], ensure_ascii=rng.random() < 0.5)
    kind = rng.randrange(4)
    if kind == 0:
        return "".join(rng.choices(bits, k=rng.randrange(1, 30)))
    if kind == 1:
        return whole[: rng.randrange(len(whole))]
    if kind == 2:
        at = rng.randrange(len(whole))
        return whole[:at] + rng.choice(bits) + whole[at + rng.randrange(3) :]
    return "".join(
        chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x4E00, 0x4F00), rng.randrange(32)])) for _ in range(40)
    )


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_thousand_malformed_replies_end_in_drafts_or_slugs(finish):
    for seed in range(1000):
        reply = malformed(seed)
        drafts, rejects = parse_reply("r1", reply, finish, SPOKEN)
        assert drafts or rejects, (seed, reply)
        assert {reject.reason for reject in rejects} <= SLUGS, (seed, reply)
        assert all(reject.place == "r1" and reject.say for reject in rejects)
        assert all(encodable(turn.text) for draft in drafts for turn in draft.turns), (seed, reply)
        places = [draft.position for draft in drafts]
        assert len(set(places)) == len(places), (seed, reply)


@CALM
@given(st.text(), st.sampled_from(["stop", "length", ""]), st.sampled_from([SINGLE, SPOKEN]))
def test_any_text_ends_in_drafts_or_slugs(reply, finish, roles):
    drafts, rejects = parse_reply("r1", reply, finish, roles)
    assert drafts or rejects


@CALM
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["text", "turns", "role", "content", "x"]), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_any_json_ends_in_drafts_or_slugs(value):
    drafts, rejects = parse_reply("r1", json.dumps(value), "stop", SPOKEN)
    assert drafts or rejects
    assert all(isinstance(turn.text, str) for draft in drafts for turn in draft.turns)


@CALM
@given(ROWS, st.data())
def test_a_reply_cut_anywhere_gives_only_rows_that_were_whole(rows, data):
    reply = json.dumps(rows, ensure_ascii=False)
    cut = reply[: data.draw(st.integers(0, len(reply) - 1))]
    drafts, rejects = parse_reply("r1", cut, "length", SINGLE)
    found = [draft.turns[0].text for draft in drafts]
    assert found == rows[: len(found)]
    assert rejects


# --- replies that went wrong in ways of their own


@pytest.mark.parametrize("reply", ["[" * 5000, "[" * 200_000, '{"a":' * 5000, "[" + "1" * 5000 + "]"])
def test_a_model_stuck_on_one_character_is_no_crash(reply):
    assert slugs(reply)[1]


@pytest.mark.parametrize("reply", ['{"text": "a"}\n{"text": "b"}', '["a"]\n["b"]', '```\n["a"]\n```\n```\n["b"]\n```'])
def test_several_json_values_are_all_read(reply):
    drafts, rejects = parse_reply("r1", reply, "stop", SINGLE)
    assert len(drafts) + len(rejects) == 2


@pytest.mark.parametrize("key", ["turns", "messages", "dialogue"])
def test_one_dialogue_object_is_one_row(key):
    one = {key: [{"role": "agent", "text": "您好"}, {"role": "customer", "text": "查话费"}]}
    drafts, _ = parse_reply("r1", json.dumps(one), "stop", SPOKEN)
    assert [len(draft.turns) for draft in drafts] == [2]


@pytest.mark.parametrize(
    "reply",
    [
        '以下对话用[SEP]隔开轮次：\n["您好[SEP]查话费"]',
        '[注] 共一条：\n["您好[SEP]查话费"]',
        '{意图：查余额}\n["您好[SEP]查话费"]',
    ],
)
def test_a_bracket_in_the_chatter_hides_no_rows(reply):
    assert slugs(reply) == (1, [])


@pytest.mark.parametrize("line", ["see [1] please", "what is {} for", "[] 是什么意思"])
def test_a_bracket_in_a_numbered_line_is_text(line):
    assert texts(f"1. {line}\n2. 查话费") == [line, "查话费"]


def test_numbered_dialogues_over_several_lines_lose_nothing():
    reply = "1.\n客服：您好\n客户：查话费\n2.\n客服：您好\n客户：退订"
    drafts, rejects = parse_reply("r1", reply, "stop", SPOKEN)
    assert [[(turn.role, turn.text) for turn in draft.turns] for draft in drafts] == [
        [("agent", "您好"), ("customer", "查话费")],
        [("agent", "您好"), ("customer", "退订")],
    ]
    assert rejects == []


@pytest.mark.parametrize(
    "reply",
    [
        "1. 客服：您好\n\n   客户：查话费\n\n2. 客服：您好\n\n   客户：退订",
        "1. 客服：您好\n\n客户：查话费\n\n2. 客服：您好\n\n客户：退订",
        "对话1：\n客服：您好\n客户：查话费\n\n对话2：\n客服：您好\n客户：退订",
        "Dialogue 1:\nAgent: 您好\nUser: 查话费\n\nDialogue 2:\nAgent: 您好\nUser: 退订",
        '[{"turns": [{"speaker": "客服", "text": "您好"}, {"speaker": "客户", "text": "查话费"}]}, "您好[SEP]退订"]',
    ],
)
def test_turns_of_one_dialogue_stay_together(reply):
    drafts, rejects = parse_reply("r1", reply, "stop", SPOKEN)
    found = [[(turn.role, turn.text) for turn in draft.turns] for draft in drafts]
    assert found == [[("agent", "您好"), ("customer", text)] for text in ("查话费", "退订")]
    assert rejects == []


def test_what_a_model_thinks_aloud_is_no_row():
    assert texts('<think>写 [10] 条：["甲", "乙"]</think>\n["甲", "乙"]') == ["甲", "乙"]
    assert slugs('<think>写 ["甲", "乙"', "length") == (0, ["empty_reply"])


def test_a_missing_comma_costs_no_row():
    assert texts('[\n"甲"\n"乙",\n"丙"\n]') == ["甲", "乙", "丙"]


def test_a_numbered_text_may_span_lines_and_hold_bullets():
    assert texts('**1.** "a"\n**2.** b') == ["a", "b"]
    assert texts("1. 查话费\n   还有流量\n2. 退订：\n   - 彩铃") == ["查话费\n还有流量", "退订：\n彩铃"]


def test_of_a_cut_array_the_whole_rows_stay_and_the_cut_one_is_the_reject():
    drafts, rejects = parse_reply("r1", '["aaa", "bbb", "cc', "length", SINGLE)
    assert [draft.turns[0].text for draft in drafts] == ["aaa", "bbb"]
    assert "cc" in rejects[0].raw


@pytest.mark.parametrize("role", ["user", "客户", "\\ud83d"])
def test_roles_are_those_of_the_real_rows(role):
    reply = f'[[{{"role": "agent", "text": "您好"}}, {{"role": "{role}", "text": "查"}}]]'
    drafts, rejects = parse_reply("r1", reply, "stop", SPOKEN)
    assert rejects or [turn.role for turn in drafts[0].turns] == ["agent", "customer"]
