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
        ('["a", "b", "c"]', "length", (2, ["cut_off"])),
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


# --- known gaps


@pytest.mark.parametrize("reply", ["[" * 5000, "[" * 200_000, '{"a":' * 5000, "[" + "1" * 5000 + "]"])
@pytest.mark.xfail(strict=True, reason="parse: RecursionError, or ValueError for 4,300 digits")
def test_a_model_stuck_on_one_character_is_no_crash(reply):
    try:
        found = slugs(reply)[1]
    except (RecursionError, ValueError):
        found = []  # not raised on: CPython 3.11 cannot always print so deep a traceback
    assert found


@pytest.mark.xfail(strict=True, reason="parse: only the first JSON value is read, the rest vanishes")
@pytest.mark.parametrize("reply", ['{"text": "a"}\n{"text": "b"}', '["a"]\n["b"]', '```\n["a"]\n```\n```\n["b"]\n```'])
def test_several_json_values_are_all_read(reply):
    drafts, rejects = parse_reply("r1", reply, "stop", SINGLE)
    assert len(drafts) + len(rejects) == 2


@pytest.mark.parametrize("key", ["turns", "messages", "dialogue"])
@pytest.mark.xfail(strict=True, reason="parse: one dialogue object becomes a row per turn")
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
@pytest.mark.xfail(strict=True, reason="parse: a bracket in the chatter hides the array after it; the reply is lost")
def test_a_bracket_in_the_chatter_hides_no_rows(reply):
    assert slugs(reply) == (1, [])


@pytest.mark.parametrize("line", ["see [1] please", "what is {} for", "[] 是什么意思"])
@pytest.mark.xfail(strict=True, reason="parse: a JSON bracket in a line is taken for the whole reply")
def test_a_bracket_in_a_numbered_line_is_text(line):
    assert texts(f"1. {line}\n2. 查话费") == [line, "查话费"]


@pytest.mark.xfail(strict=True, reason="parse: lines below a number vanish; only empty_item is counted")
def test_numbered_dialogues_over_several_lines_lose_nothing():
    reply = "1.\n客服：您好\n客户：查话费\n2.\n客服：您好\n客户：退订"
    drafts, rejects = parse_reply("r1", reply, "stop", SPOKEN)
    said = str([draft.turns for draft in drafts]) + "".join(reject.raw for reject in rejects)
    assert "查话费" in said
    assert "退订" in said


@pytest.mark.xfail(strict=True, reason="parse: of a cut array the last whole row is rejected; the cut one vanishes")
def test_of_a_cut_array_the_whole_rows_stay_and_the_cut_one_is_the_reject():
    drafts, rejects = parse_reply("r1", '["aaa", "bbb", "cc', "length", SINGLE)
    assert [draft.turns[0].text for draft in drafts] == ["aaa", "bbb"]
    assert "cc" in rejects[0].raw


@pytest.mark.parametrize("role", ["user", "客户", "\\ud83d"])
@pytest.mark.xfail(strict=True, reason="parse: the model's own role names go into the data unchecked")
def test_roles_are_those_of_the_real_rows(role):
    reply = f'[[{{"role": "agent", "text": "您好"}}, {{"role": "{role}", "text": "查"}}]]'
    drafts, rejects = parse_reply("r1", reply, "stop", SPOKEN)
    assert rejects or [turn.role for turn in drafts[0].turns] == ["agent", "customer"]
