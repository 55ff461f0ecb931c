"""`wb tokens fill`: a model proposes tags. Nothing is asked twice, nothing but the vocabulary is believed, nothing is changed."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Step, broken, cut, llm_server
from test_tokens import TAGS

from workbench.bench import Bench
from workbench.errors import ConfigError, ServiceError
from workbench.flow.tokens.fill import Filled, Proposal, contradicted, fill, plan, proposals
from workbench.records import Change, Sample, Turn
from workbench.tokens import Place
from workbench.tokens.answers import read_places, read_values

FULL = {"intent": "suggest", "phase": "opening", "phase_goal": "a"}
GLAD = (Turn("user", "<b>谢谢</b> {{ x }}", {"emotion": "glad"}), Turn("assistant", "好", FULL))
SIGH = (
    Turn("user", "唉", {"intent": "clarify", "emotion": "calm"}),
    Turn("assistant", "嗯", {"phase": "opening"}),
)
ROWS = [
    Sample("s1", GLAD, "career", meta={"id": "c1"}),
    Sample("s2", SIGH, "sport"),
    Sample("s3", (Turn("user", "好\ud83d", {"intent": "thank", "emotion": "sad"}),), "family", "test"),
]
"""Open: intent and emotion of turn 0 of s1; topic, and intent and phase_goal of turn 1, of s2."""


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")


@pytest.fixture
def server():
    with llm_server() as script:
        script.default = answers
        yield script


@pytest.fixture
def full(tmp_path, server):
    (tmp_path / "wb.yaml").write_text(
        "tokens: {file: tags.json, planted: 0}\nencoder: {name: hashed}\n", encoding="utf-8"
    )
    (tmp_path / "tags.json").write_text(json.dumps(TAGS, ensure_ascii=False), encoding="utf-8")
    bench = Bench.find(tmp_path, settings(server))
    with bench.ledger.write("data", "add") as writer:
        writer.samples(ROWS)
    yield bench
    bench.ledger.close()


def settings(server):
    end = {"kind": "openai", "base_url": server.url, "model": "m", "retries": 0, "price_in": 1, "price_out": 1}
    return [f"llm.endpoints={json.dumps([end])}"]


def prompt_of(body):
    return body["messages"][-1]["content"]


def asked(body):
    """Places that a prompt asks for."""
    found = re.findall(r"^- (?:整段对话（轮次 (-1)）|第 (\d+) 轮)的 (\w+)", prompt_of(body), re.MULTILINE)
    return [(int(whole or turn), field) for whole, turn, field in found]


RIGHT = {"intent": "suggest", "emotion": "calm", "topic": "family", "phase_goal": "b"}


def answers(body):
    """The value of RIGHT for each place; of doubts, that the emotion `calm` is wrong."""
    if "矛盾" in prompt_of(body):
        doubted = re.findall(r"^- 第 (\d+) 轮 (\w+) = calm", prompt_of(body), re.MULTILINE)
        return Step(json.dumps({"contradictions": [{"turn": int(t), "field": f, "why": "叹气"} for t, f in doubted]}))
    tags = [
        {"turn": t, "field": f, "value": "thank" if f == "intent" and t == 0 else RIGHT[f], "why": "因为"}
        for t, f in asked(body)
    ]
    return Step(json.dumps({"tags": tags}, ensure_ascii=False))


PROPOSED = [
    Proposal("s1", 0, "intent", "thank", "因为"),
    Proposal("s1", 0, "emotion", "calm", "因为"),
    Proposal("s2", None, "topic", "family", "因为"),
    Proposal("s2", 1, "intent", "suggest", "因为"),
    Proposal("s2", 1, "phase_goal", "b", "因为"),
]


def test_missing_and_unknown_tags_get_proposals_and_nothing_is_changed(full, server):
    done = fill(full)
    assert list(done.proposals) == proposals(full) == PROPOSED
    assert (done.answers, done.junk, done.open, done.left) == (2, 0, 5, 0)
    assert done.cost is not None
    assert done.cost > 0
    assert [sample.turns for sample in full.ledger.samples()][:2] == [row.turns for row in ROWS[:2]]
    assert {body["temperature"] for body in server.requests} == {0.0}
    replies = full.ledger.replies(strategy="fill")
    assert [len(reply.messages) for reply in replies] == [2, 2]
    assert full.ledger.replies(unparsed=True) == []


def test_the_prompt_shows_the_dialogue_its_tags_and_the_values_and_the_schema_allows_no_others(full, server):
    fill(full)
    body = next(body for body in server.requests if "<b>谢谢</b> {{ x }}" in prompt_of(body))
    text = prompt_of(body)
    assert "1 assistant [intent=suggest, phase=opening, phase_goal=a]：好" in text
    assert "0 user：<b>谢谢</b>" in text  # an unknown value is no tag
    assert "第 0 轮的 emotion（原来写的「glad」不是可用的值）" in text
    assert "- user intent：clarify（补充说明），thank（感谢）" in text
    assert "- user emotion：sad，calm" in text
    assert "主题：职业发展" in text
    item = body["response_format"]["json_schema"]["schema"]["properties"]["tags"]["items"]["properties"]
    assert item["field"]["enum"] == ["intent", "emotion"]
    assert item["value"]["enum"] == ["clarify", "thank", "sad", "calm"]
    whole = next(
        body for body in server.requests if body is not body or "轮次 -1" in prompt_of(body).split("可用的值")[0]
    )
    assert "sport" in prompt_of(whole)
    assert "career（职业发展），family（家庭）" in prompt_of(whole)


def test_english_dialogues_get_english_prompts(full):
    with full.ledger.write("data", "clean") as writer:
        for row in ROWS:
            turns = tuple(Turn(turn.role, "I feel so lost today", turn.tags) for turn in row.turns)
            writer.changes([Change(row.id, "turns", turns, "mended")])
    first = plan(full, contradictions=True)
    assert {request.prompt.partition("@")[0] for request in first} == {"fill.en.j2", "contradict.en.j2"}
    text = first[0].messages[-1]["content"]
    assert '- emotion of turn 0 ("glad", which it has, is no possible value)' in text
    assert "- user intent: clarify (补充说明), thank (感谢)" in text
    assert "topic of the whole dialogue (turn -1)" in first[1].messages[-1]["content"]


def test_nothing_is_asked_twice_and_a_part_that_is_left_is_asked_for_next_time(full, server):
    first = fill(full, max_requests=1)
    assert (first.answers, first.left, len(first.proposals)) == (1, 1, 2)
    assert (fill(full).answers, len(proposals(full))) == (1, 5)
    assert fill(full).answers == 0
    assert len(server.requests) == 2


def test_a_text_that_was_changed_is_asked_about_again_and_what_was_said_counts_no_more(full, server):
    fill(full)
    turns = (Turn("user", "再见", {"emotion": "glad"}), ROWS[0].turns[1])
    with full.ledger.write("data", "clean") as writer:
        writer.changes([Change("s1", "turns", turns, "mended")])
    assert proposals(full) == PROPOSED[2:]
    assert fill(full).answers == 1
    assert proposals(full) == PROPOSED


def test_a_place_that_was_filled_since_has_no_proposal(full):
    fill(full)
    turns = (Turn("user", ROWS[0].turns[0].text, {"emotion": "sad"}), ROWS[0].turns[1])
    with full.ledger.write("review", "pull") as writer:
        writer.changes([Change("s1", "turns", turns, "annotated")])
    assert proposals(full) == [PROPOSED[0], *PROPOSED[2:]]
    assert fill(full).answers == 0


def test_a_value_that_left_the_vocabulary_is_no_proposal_and_is_asked_for_again(full, server, tmp_path):
    fill(full)
    tags = json.loads((tmp_path / "tags.json").read_text("utf-8"))
    tags["assistant"]["phase_goal"] = ["a", "c"]
    (tmp_path / "other.json").write_text(json.dumps(tags), encoding="utf-8")
    assert len(proposals(full, tmp_path / "other.json")) == 4
    assert [one.against for one in plan(full, tmp_path / "other.json")] == ["1.phase_goal"]


@pytest.mark.parametrize(
    "text", ["", "我不知道", '{"tags": []}', '{"tags": [{"turn": 9, "field": "intent", "value": "thank"}]}']
)
def test_an_answer_without_a_tag_is_kept_as_a_reject_and_not_bought_again(full, server, text):
    server.default = Step(text)
    done = fill(full)
    assert (done.answers, done.junk, done.proposals) == (2, 2, ())
    assert {reject.reason for reject in full.ledger.rejects()} == {"no_tags"}
    assert fill(full).answers == 0


def test_of_an_answer_that_is_cut_or_half_wrong_the_rest_counts(full, server):
    right, wrong = (
        '{"turn": 0, "field": "intent", "value": "感谢"}',
        '{"turn": 0, "field": "emotion", "value": "furious"}',
    )
    server.default = cut(f'{{"tags": [{right}, {wrong}, {{"turn": 1, ')
    assert [(one.sample, one.field, one.value) for one in fill(full).proposals] == [("s1", "intent", "thank")]


def test_long_dialogues_are_asked_about_in_parts(full, server):
    one = full.config.model_copy(update={"tokens": full.config.tokens.model_copy(update={"places": 2})})
    bench = Bench(full.root, one)
    assert [request.against for request in plan(bench)] == ["0.intent 0.emotion", "-1.topic 1.intent", "1.phase_goal"]
    assert list(fill(bench).proposals) == PROPOSED
    bench.ledger.close()


def test_a_killed_command_loses_nothing_that_was_stored(full, server):
    fill(full)
    with full.ledger._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM parses")
    assert proposals(full) == PROPOSED
    assert fill(full).answers == 0
    assert full.ledger.replies(unparsed=True) == []


# Contradictions


def test_contradictions_are_asked_for_and_join_the_coverage(full, wb):
    done = fill(full, gaps=False, contradictions=True)
    assert done.contradictions == tuple(contradicted(full)) == (Place("s2", 0, "emotion", 1),)
    assert (done.answers, done.judged) == (2, 2)  # s1 has no known emotion
    assert done.proposals == ()
    found = wb("tokens", "coverage", "--json").json
    assert found["contradiction"] == [{"id": "s2", "turn": 0, "field": "emotion", "sample": "s2"}]
    assert fill(full, gaps=False, contradictions=True).answers == 0


def test_a_model_is_first_shown_wrong_tags_and_what_it_is_worth_is_said(full, server):
    some = full.config.tokens.model_copy(update={"planted": 5})
    bench = Bench(full.root, full.config.model_copy(update={"tokens": some}))
    asked = [request.against for request in plan(bench, gaps=False, contradictions=True)]
    assert sorted(asked) == ["!0.emotion=calm", "!0.emotion=sad", "0.emotion=calm", "0.emotion=sad"]
    assert all(one.startswith("!") for one in asked[:2])
    done = fill(bench, gaps=False, contradictions=True)
    assert (sorted(done.found), done.judged, len(done.contradictions)) == ([False, True], 2, 1)
    assert done.worth.startswith("1 of 2 planted wrong tags were found (9% to 91% with 95 % confidence), 1 of 2 given")
    assert done.worth.endswith("worthless: wrong tags are not named more often than given ones.")
    assert fill(bench, gaps=False, contradictions=True).answers == 0
    bench.ledger.close()


def test_a_model_that_finds_what_is_planted_gives_hints():
    done = Filled(found=(True,) * 18 + (False,) * 2, judged=400, contradictions=(Place("a", 0, "emotion"),) * 8)
    assert done.worth == (
        "18 of 20 planted wrong tags were found (70% to 97% with 95 % confidence), "
        "8 of 400 given tags are doubted (2.0%): a hint for people."
    )
    assert Filled(judged=3).worth == Filled(found=(True,)).worth == ""


def test_a_contradiction_is_over_when_the_tag_is_another_one(full):
    fill(full, gaps=False, contradictions=True)
    turns = (Turn("user", "唉", {"intent": "clarify", "emotion": "sad"}), ROWS[1].turns[1])
    with full.ledger.write("review", "pull") as writer:
        writer.changes([Change("s2", "turns", turns, "annotated")])
    assert contradicted(full) == []
    assert len(plan(full, gaps=False, contradictions=True)) == 1


def test_an_answer_that_is_no_json_does_not_say_that_all_is_well(full, server):
    server.default = Step("都没有问题")
    done = fill(full, gaps=False, contradictions=True)
    assert (done.junk, done.judged) == (2, 0)


def test_an_answer_that_names_none_says_that_all_is_well(full, server):
    server.default = Step('{"contradictions": []}')
    done = fill(full, gaps=False, contradictions=True)
    assert (done.junk, done.judged, done.contradictions) == (0, 2, ())


def test_coverage_asks_on_request(full, server, wb):
    sets = [part for one in settings(server) for part in ("--set", one)]
    done = wb("tokens", "coverage", "--ask", "--json", *sets)
    assert done.code == 0, done.err
    assert [one["id"] for one in done.json["contradiction"]] == ["s2"]
    assert "2 new answers of m; 0 without a tag in them. Cost: " in done.err


# The command


def test_the_command_prints_proposals(full, server, wb):
    sets = [part for one in settings(server) for part in ("--set", one)]
    done = wb("tokens", "fill", "--json", "--contradictions", *sets)
    assert done.code == 0, done.err
    assert done.json["proposals"][2] == {
        "sample": "s2",
        "turn": None,
        "field": "topic",
        "value": "family",
        "why": "因为",
    }
    assert (done.json["answers"], done.json["open"], done.json["judged"]) == (4, 5, 2)
    again = wb("tokens", "fill", "--contradictions", *sets)
    said = " ".join(again.out.split())
    assert "Proposals: 5 for 5 tags" in said
    assert "s1 0 intent thank 因为" in said
    assert "Tags that the text may contradict: 1 of 2" in said


def test_a_dry_run_shows_the_first_prompt_and_asks_nothing(full, server, wb, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    done = wb("tokens", "fill", "--dry-run", "--contradictions")
    assert done.code == 0, done.err
    assert done.out.startswith("4 requests.")
    assert "--- user\n下面是一段对话" in done.out
    assert wb("tokens", "fill", "--dry-run", "--json").json["requests"] == 2
    assert server.requests == []


def test_without_an_endpoint_or_with_a_recorded_one_it_says_what_to_do(full, monkeypatch, wb):
    recorded = wb("tokens", "fill", "--set", "llm.endpoints=[{kind: recorded, path: x}]")
    assert recorded.err.startswith("Error: A recorded endpoint holds rows and answers no questions.")
    monkeypatch.delenv("OPENAI_API_KEY")
    done = wb("tokens", "fill")
    assert done.code == 1
    assert done.err.startswith("Error: There is no endpoint to write with")
    assert "What to do: export OPENAI_BASE_URL" in done.err


def test_a_dead_endpoint_ends_it_and_what_was_answered_is_stored(full, server):
    server.steps.extend([Step('{"tags": []}'), broken()])
    one = full.config.llm.model_copy(update={"concurrency": 1})
    bench = Bench(full.root, full.config.model_copy(update={"llm": one}))
    with pytest.raises(ServiceError) as caught:
        fill(bench)
    assert "1 answers of this call are stored; the same command goes on from there." in caught.value.hint
    bench.ledger.close()
    assert fill(full).answers == 1


def test_a_refused_question_is_counted(full, server):
    server.steps.append(Step(status=400, body=b'{"error": {"message": "no"}}'))
    server.steps.extend([Step(status=400, body=b'{"error": {"message": "no"}}')] * 5)
    done = fill(full)
    assert done.refused == 2


def test_without_a_vocabulary_there_is_nothing_to_fill(bench):
    with bench.ledger.write("data", "add") as writer:
        writer.samples(ROWS)
    with pytest.raises(ConfigError, match=r"tokens\.file is not set"):
        proposals(bench)


# Answers

VALUES = {"sad": "难过", "calm": "平静", "calm_down": "平静"}
PLACES = {(0, "emotion"): VALUES, (-1, "topic"): {"career": ""}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"tags": [{"turn": 0, "field": "emotion", "value": "sad", "why": "哭"}]}', {(0, "emotion"): ("sad", "哭")}),
        ('```json\n[{"turn": "0", "field": "user.emotion", "value": "SAD"}]\n```', {(0, "emotion"): ("sad", "")}),
        ('<think>{"turn": 0, "field": "emotion", "value": "calm"}</think>{"turn":0,"field":"emotion","value":"难过"}',
         {(0, "emotion"): ("sad", "")}),
        ('{"turn": -1, "field": "topic", "value": "career"}', {(-1, "topic"): ("career", "")}),
        ('{"turn": 0, "field": "emotion", "value": "平静"}', {}),  # of two values
        ('[{"turn":0,"field":"emotion","value":"sad"},{"turn":0,"field":"emotion","value":"calm"}]', {}),
        ('{"turn": true, "field": "emotion", "value": "sad"}', {}),
        ('{"turn": 0.0, "field": "emotion", "value": "sad"}', {}),
        ('{"turn": 0, "field": "emotion", "value": 3}', {}),
        ('{"turn": 0, "field": "mood", "value": "sad"}', {}),
        ('{"turn": 7, "field": "emotion", "value": "sad"}', {}),
        ('{"turn": 0, "field": "emotion", "value": "sad", "why": "\\ud83d"}', {(0, "emotion"): ("sad", "")}),
        ("{" * 3000, {}),
        ("sad", {}),
    ],
)  # fmt: skip
def test_only_values_for_places_that_were_asked_for_are_read(text, found):
    assert read_values(text, PLACES) == found


KEYS = st.sampled_from(["turn", "field", "value", "why"])
LEAVES = st.none() | st.integers() | st.text() | st.sampled_from(["emotion", "sad", 0, -1, "topic", "career"])
REPLIES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)).map(json.dumps)


@given(st.text() | REPLIES)
def test_whatever_is_answered_a_value_is_one_of_the_vocabulary(text):
    for place, (value, _) in read_values(text, PLACES).items():
        assert value in PLACES[place]
    assert (read_places(text, PLACES) or {}).keys() <= PLACES.keys()


def test_no_places_is_an_answer_and_no_json_is_none():
    assert read_places('{"contradictions": []}', PLACES) == {}
    assert read_places("没有", PLACES) is None
    assert read_places(
        '[{"turn": 0, "field": "emotion", "why": "a"}, {"turn": 0, "field": "emotion", "why": "b"}]', PLACES
    ) == {(0, "emotion"): "a"}
