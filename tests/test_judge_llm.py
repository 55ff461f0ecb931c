"""The language model as a judge: what its answers say, what it is worth, and that nothing is asked twice."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gates import PLAIN_GATE
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Step, broken, llm_server
from test_llm_loop import fresh_rows, want

from workbench.bench import Bench
from workbench.errors import ConfigError, ServiceError, UsageError
from workbench.flow.gate.ask import ask_and_gate
from workbench.flow.gate.explain import explain
from workbench.flow.gate.marks import heard
from workbench.flow.gate.questions import Questions
from workbench.flow.gate.run import gate_bench
from workbench.flow.generate.run import generate
from workbench.gate.answers import read_label, read_score
from workbench.gate.worth import paired_worth, worth
from workbench.metrics import roc_area_interval
from workbench.records import Change, Origin, Sample, Turn

# Answers


@given(
    st.integers(1, 10),
    st.sampled_from(["", "好的。\n", "<think>3 or 4?</think>", "```json\n", "1-10分：", "满分10分，"]),
)
def test_a_score_is_read_however_it_is_told(score, before):
    forms = [
        '{"score": %d}',
        '{"score": "%d"}',
        "%d",
        "%d/10",
        "评分：%d",
        "**Score**: %d",
        "%d分",
        "Score (1-10): %d.",
    ]
    for form in forms:
        assert read_score(before + form % score) == score


@given(st.text())
def test_whatever_is_said_a_score_is_on_the_scale_or_none(text):
    found = read_score(text)
    assert found is None or 1 <= found <= 10


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.just("score"), inner)
    )
)
def test_any_json_is_read_without_an_error(value):
    found = read_score(json.dumps(value))
    assert found is None or 1 <= found <= 10


@pytest.mark.parametrize(
    "text",
    ["", "很好", "3 or 4", '{"score": 85}', '{"score": true}', '{"score": 1-10}', "11/10", "0", "-7", "{" * 5000,
     '{"score": 3} {"score": 9}', "1" * 5000, '{"score": ' + "1" * 5000 + "}"],
)  # fmt: skip
def test_junk_is_no_score(text):
    assert read_score(text) is None


NAMES = ["查询", "查询余额", "cancel_card"]


@given(st.sampled_from(NAMES))
def test_a_label_is_read_however_it_is_told(name):
    for form in ('{"label": "%s"}', '```json\n{"label": "%s"}\n```', "「%s」。", "<think>查询?</think>%s", "意图是 %s"):
        assert read_label(form % name, NAMES) == name
    assert read_label('{"label": "CANCEL_CARD"}', NAMES) == "cancel_card"


@pytest.mark.parametrize("text", ["", "退订", '{"label": "退订"}', "cancel_card 或 查询余额"])
def test_a_label_that_is_none_of_the_classes_is_not_guessed(text):
    assert read_label(text, NAMES) is None


# Worth


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=60))
def test_the_auc_is_the_share_of_pairs_in_the_right_order(pairs):
    right, wrong = map(list, zip(*pairs, strict=True))
    wins = np.mean([(a > b) + (a == b) / 2 for a in right for b in wrong])
    for found in (paired_worth(right, wrong), worth(right, wrong)):
        assert found.auc.value == pytest.approx(wins)
        assert 0 <= found.auc.low <= found.auc.value <= found.auc.high <= 1


def test_a_judge_that_gives_eight_to_everything_is_worthless():
    found = paired_worth([8] * 60, [8] * 60)
    assert not found.usable
    assert "worthless" in found.say("m")
    assert "no better than chance (AUC 0.50 [0.40, 0.60], n = 60; 100% of its scores are 8)" in found.say("m")


def test_a_judge_that_knows_is_usable_unless_too_little_is_known_of_it():
    assert paired_worth([9] * 60, [8] * 60).usable
    assert not paired_worth([9] * 3, [8] * 3).usable
    assert not paired_worth([], []).usable
    assert "no score to known rows" in paired_worth([], []).say("m")


def test_a_judge_of_which_too_little_is_known_is_not_called_worthless():
    found = paired_worth([9, 9, 9, 8, 8, 7] * 5, [9, 8, 7, 8, 6, 7] * 5)
    assert 0.5 < found.auc.low < 0.6
    assert not found.usable
    assert "too little or too uncertain" in found.say("m")


@pytest.mark.parametrize(
    ("auc", "good", "bad", "low", "high"),
    [(1.0, 60, 60, 0.967, 1.0), (0.0, 60, 60, 0.0, 0.033), (0.5, 60, 60, 0.4, 0.6)],
)
def test_the_interval_of_an_auc_has_a_width_at_its_ends(auc, good, bad, low, high):
    assert roc_area_interval(auc, good, bad) == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))


def test_judges_without_knowledge_are_rarely_taken_for_such_with():
    draw = np.random.default_rng(0)
    used = [paired_worth(*draw.integers(7, 10, (2, 60)).astype(float)).usable for _ in range(200)]
    assert sum(used) <= 2


# Asking


WORDS = {"查余额": ("话费", "流量", "积分", "余额", "套餐", "语音", "短信", "红包"),
         "退订": ("彩铃", "会员", "阅读", "天气", "音乐", "视频", "游戏", "新闻")}  # fmt: skip
SENTENCES = {"查余额": "请问我的{}这个月还剩多少呢", "退订": "把那个{}业务给我取消掉"}
RIGHT = {"a": "我想知道手机里还剩几块钱", "b": "本月通话分钟数还剩吗"}
WRONG = {"c": "这个来电提醒不要了取消吧", "d": "铃音盒麻烦您取消"}
JUDGE, LABEL, BOTH = ("llm_judge: {}",), ("llm_label: {}",), ("llm_judge: {}", "llm_label: {}")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")


@pytest.fixture
def server():
    with llm_server() as script:
        yield script


def settings(servers, rules, **more):
    ends = [{"kind": "openai", "base_url": s.url, "model": f"m{i}", "retries": 0} for i, s in enumerate(servers)]
    gate = PLAIN_GATE[:-1] + "".join(f", {rule}" for rule in rules) + "}"
    lines = [f"llm.endpoints={json.dumps(ends)}", "encoder.name=hashed", f"gate.rules={gate}"]
    return [*lines, *(f"{name.replace('__', '.')}={value}" for name, value in more.items())]


def make_bench(folder, servers, rules=JUDGE, **more):
    (folder / "wb.yaml").write_text("seed: 0\n", encoding="utf-8")
    bench = Bench.find(folder, settings(servers, rules, **more))
    rows = [
        Sample(f"real-{label}-{i}", (Turn("user", SENTENCES[label].format(word)),), label)
        for label, words in WORDS.items()
        for i, word in enumerate(words)
    ]
    origin = Origin("external", "", "", (), 0, "")
    made = [
        Sample(key, (Turn("user", text),), "查余额", "train", "synthetic", origin)
        for key, text in {**RIGHT, **WRONG, "bad": "**还剩多少**"}.items()
    ]
    with bench.ledger.write("data", "add") as writer:
        writer.samples([*rows, *made])
    return bench


def parts(body):
    """The row, the class asked about (of a judge), and the question's kind."""
    prompt = body["messages"][-1]["content"]
    asked = re.search(r"意图是「(.+?)」：", prompt)
    return prompt.split("\n\n")[1], asked.group(1) if asked else ""


def truth(text):
    return "查余额" if "还剩" in text else "退订"


def knows(body, good=9, bad=2):
    text, asked = parts(body)
    answer = {"score": good if asked == truth(text) else bad} if asked else {"label": truth(text)}
    return Step(json.dumps(answer, ensure_ascii=False))


def flatters(body):
    asked = parts(body)[1]
    options = re.findall(r"^- 「(.+?)」", body["messages"][-1]["content"], re.MULTILINE)
    return Step(json.dumps({"score": 8} if asked else {"label": options[0]}, ensure_ascii=False))


def accepted(bench):
    return {sample.id for sample in bench.ledger.accepted()}


@pytest.mark.parametrize("rules", [JUDGE, LABEL, BOTH])
def test_a_judge_that_knows_is_used_and_drops_the_wrong_rows(tmp_path, server, rules):
    server.default = knows
    bench = make_bench(tmp_path, [server], rules)
    asked, gated = ask_and_gate(bench)
    assert accepted(bench) == set(RIGHT)
    assert all("tells a right from a wrong label (AUC 1.00" in said for said in gated.says)
    assert len(gated.says) == len(rules)
    known = 16 * (2 * (JUDGE[0] in rules) + (LABEL[0] in rules))
    assert asked.answers == len(server.requests) == known + 4 * len(rules)
    assert (asked.junk, asked.left, asked.skipped) == (0, 0, ())
    reasons = {v.reason for row in gated.verdicts for v in row if v.rule.startswith("llm") and not v.passed}
    assert reasons == {"llm_judge: {}": {"low_score"}, "llm_label: {}": {"voted_out"}}.get(
        rules[0] if len(rules) == 1 else "", {"low_score", "voted_out"}
    )
    assert not any("**还剩多少**" in body["messages"][-1]["content"] for body in server.requests)
    assert {body["temperature"] for body in server.requests} == {0.0}


@pytest.mark.parametrize("rules", [JUDGE, LABEL])
def test_a_judge_that_likes_everything_is_shown_worthless_and_drops_nothing(tmp_path, server, rules):
    server.default = flatters
    bench = make_bench(tmp_path, [server], rules)
    asked, gated = ask_and_gate(bench)
    assert accepted(bench) == {*RIGHT, *WRONG}
    assert re.search(r"m0 is worthless .* chance \(AUC 0\.\d\d", gated.says[0])
    if rules == JUDGE:
        assert "100% of its scores are 8" in gated.says[0]
    kind = rules[0].partition(":")[0]
    assert all(v.score is None for row in gated.verdicts for v in row if v.rule == kind)
    assert asked.skipped == (f"{kind}: m0",)
    assert not any(text in body["messages"][-1]["content"] for body in server.requests for text in WRONG.values())


def test_the_command_says_it(tmp_path, server, wb):
    server.default = flatters
    bench = make_bench(tmp_path, [server])
    sets = [part for line in settings([server], JUDGE) for part in ("--set", line)]
    done = wb("gate", "--ask", *sets)
    assert done.code == 0, done.err
    assert "worthless as a judge and not used" in " ".join(done.out.split())
    assert "32 new answers of m0; 0 without an answer in them" in done.err
    again = wb("gate", "--json", *sets)
    assert "worthless" in again.err
    assert len(again.lines) == 5
    assert len(bench.ledger.replies(strategy="judge")) == 32


def test_several_models_vote_and_a_tie_keeps_the_row(tmp_path, server):
    def mostly(body):  # right but for one candidate, which it lets pass
        return Step('{"label": "查余额"}') if parts(body)[0] == WRONG["c"] else knows(body)

    server.default = knows
    with llm_server() as other:
        other.default = mostly
        bench = make_bench(tmp_path, [server, other], LABEL)
        asked, gated = ask_and_gate(bench)
        assert asked.models == ("m0", "m1")
        assert len(gated.says) == 2
        assert len(server.requests) == len(other.requests) == 20
    marks = heard(bench, bench.ledger.samples(split="train")).marks["llm_label"]
    assert [marks[key] for key in "abcd"] == [0, 0, 0.5, 1]
    assert accepted(bench) == {*RIGHT, "c"}
    said = next(one for one in explain(bench, "d").said if one.verdict.rule == "llm_label")
    assert said.evidence == "100% of the models vote for another class"


def test_a_worthless_model_has_no_voice_beside_one_that_knows(tmp_path, server):
    server.default = knows
    with llm_server() as other:
        other.default = flatters
        bench = make_bench(tmp_path, [other, server], JUDGE)
        asked, _ = ask_and_gate(bench)
        assert asked.skipped == ("llm_judge: m0",)
        assert len(other.requests) == 32
    assert accepted(bench) == set(RIGHT)
    assert heard(bench, bench.ledger.samples(split="train")).marks["llm_judge"]["c"] == 2


def test_nothing_is_asked_twice(tmp_path, server):
    server.default = knows
    bench = make_bench(tmp_path, [server], BOTH)
    first, _ = ask_and_gate(bench)
    before = len(server.requests)
    again, _ = ask_and_gate(bench)
    assert (again.answers, len(server.requests)) == (0, before)
    assert len(bench.ledger.replies()) == first.answers
    with bench.ledger.write("data", "clean") as writer:
        writer.changes([Change("a", "turns", (Turn("user", "我卡上的钱还剩几块"),), "mended")])
    new, _ = ask_and_gate(bench)
    assert new.answers == 2  # what was said of the old text counts no more
    assert accepted(bench) == set(RIGHT)


def test_two_endpoints_of_one_model_have_one_voice(tmp_path, server):
    server.default = knows
    with llm_server() as other:
        ends = [{"base_url": s.url, "model": "m", "retries": 0} for s in (server, other)]
        bench = make_bench(tmp_path, [server], JUDGE)
        bench = Bench.find(tmp_path, [*settings([server], JUDGE), f"llm.endpoints={json.dumps(ends)}"])
        ask_and_gate(bench)
        assert (len(server.requests), len(other.requests)) == (36, 0)
    assert accepted(bench) == set(RIGHT)


def test_most_requests_are_kept_and_the_same_command_goes_on(tmp_path, server):
    server.default = knows
    bench = make_bench(tmp_path, [server])
    asked, _ = ask_and_gate(bench, max_requests=10)
    assert (asked.answers, asked.left, len(server.requests)) == (10, 22, 10)
    asked, _ = ask_and_gate(bench, max_requests=24)
    assert (asked.answers, asked.left) == (24, 2)
    assert ask_and_gate(bench)[0].answers == 2
    assert accepted(bench) == set(RIGHT)


def test_junk_is_counted_kept_and_not_asked_for_again(tmp_path, server):
    server.default = lambda body: Step("很难说") if parts(body)[0] == RIGHT["a"] else knows(body)
    bench = make_bench(tmp_path, [server])
    asked, _ = ask_and_gate(bench)
    assert asked.junk == 1
    assert accepted(bench) == set(RIGHT)
    assert [(reject.reason, reject.raw) for reject in bench.ledger.rejects()] == [("no_score", "很难说")]
    assert ask_and_gate(bench)[0].answers == 0


def test_a_failing_endpoint_ends_with_the_number_of_stored_answers(tmp_path, server):
    server.default = lambda body: knows(body) if len(server.requests) < 6 else broken()
    bench = make_bench(tmp_path, [server], llm__concurrency=1)
    with pytest.raises(ServiceError) as caught:
        ask_and_gate(bench)
    assert "5 answers of this call are stored" in caught.value.hint
    assert len(bench.ledger.replies()) == 5
    server.default = knows
    ask_and_gate(bench)
    assert accepted(bench) == set(RIGHT)
    assert len(bench.ledger.replies()) == 36


def test_a_refused_question_is_no_verdict(tmp_path, server):
    server.default = lambda body: Step(status=400, body=b"{}") if parts(body)[0] == WRONG["c"] else knows(body)
    bench = make_bench(tmp_path, [server])
    asked, _ = ask_and_gate(bench)
    assert asked.refused == 1
    assert accepted(bench) == {*RIGHT, "c"}


def test_answers_that_a_killed_command_left_are_used_and_not_bought_again(tmp_path, server):
    server.default = knows
    bench = make_bench(tmp_path, [server], llm__concurrency=1)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from test_judge_llm import JUDGE, settings\n"
        "from workbench.bench import Bench\n"
        "from workbench.flow.gate import ask as flow\n"
        "class server: url = sys.argv[2]\n"
        "bench = Bench.find(Path(sys.argv[1]), settings([server], JUDGE, llm__concurrency=1))\n"
        "flow._Asking._note = lambda self, replies: os.kill(os.getpid(), 9) if list(replies) else None\n"
        "flow.ask_and_gate(bench)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), server.url], cwd=Path(__file__).parent, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    left = bench.ledger.replies(unparsed=True)
    assert left
    # A generation does not take them for rows.
    server.default = fresh_rows()
    assert set(generate(bench, want(bench, accept=5)).dropped) <= {"surplus"}
    assert {reply.id for reply in bench.ledger.replies(unparsed=True)} == {reply.id for reply in left}
    server.default = knows
    before = len(server.requests)
    asked, _ = ask_and_gate(bench)
    assert asked.answers == len(server.requests) - before
    assert bench.ledger.replies(unparsed=True) == []
    stored = bench.ledger.replies(strategy="judge")
    assert len({(r.label, r.against, r.draw) for r in stored}) == len(stored)
    assert accepted(bench) & {*RIGHT, *WRONG} == set(RIGHT)


def test_a_generation_ignores_answers_and_its_gate_hears_them(tmp_path, server):
    server.default = knows
    bench = make_bench(tmp_path, [server])
    ask_and_gate(bench)
    server.default = fresh_rows()
    done = generate(bench, want(bench, accept=4))
    assert done.resumed == {"stored": 0, "in_flight": 0}
    assert done.accepted == {"查余额": 4}
    assert done.replies == done.new_replies
    assert accepted(bench) & {*RIGHT, *WRONG} == set(RIGHT)


def test_without_asking_the_rules_say_nothing(tmp_path, server):
    bench = make_bench(tmp_path, [server], BOTH)
    gated = gate_bench(bench)
    assert gated.says == ()
    assert accepted(bench) == {*RIGHT, *WRONG}
    assert server.requests == []


def test_nothing_is_asked_where_no_rule_wants_it_or_nobody_can_answer(tmp_path, server):
    bench = make_bench(tmp_path, [server], ())
    with pytest.raises(UsageError, match="llm_judge and llm_label, and both are off"):
        ask_and_gate(bench)
    recorded = '[{"kind": "recorded", "path": "r.jsonl"}]'
    bench = Bench.find(tmp_path, [*settings([server], JUDGE), f"llm.endpoints={recorded}"])
    with pytest.raises(ConfigError, match="answers no questions"):
        ask_and_gate(bench)


def test_a_file_cannot_be_asked_about(tmp_path, server, wb):
    make_bench(tmp_path, [server])
    done = wb("gate", "x.csv", "--ask")
    assert done.code == 2
    assert "wb gate FILE --add" in done.err


# Questions


@pytest.mark.parametrize("tongue", ["zh", "en"])
def test_a_question_shows_the_row_once_and_never_as_its_own_example(tmp_path, server, tongue):
    bench = make_bench(tmp_path, [server], BOTH, generate__language=tongue, labels='{"退订": {about: "取消一项业务"}}')
    questions = Questions(bench)
    for ask in ("judge", "relabel"):
        requests = questions.known(ask)
        assert len(requests) == {"judge": 32, "relabel": 16}[ask]
        for request in requests:
            text = request.messages[-1]["content"]
            row = bench.ledger.sample(request.parents[0])
            assert text.count(row.text) == 1
            assert "取消一项业务" in text
            assert '{"score": ' in text if ask == "judge" else '{"label": ' in text
            assert (request.rows, request.prompt.partition("@")[0]) == (0, f"{ask}.{tongue}.j2")
    wrong = [request for request in questions.known("judge") if request.against]
    assert all(bench.ledger.sample(r.parents[0]).label == r.against != r.label for r in wrong)


def test_the_order_of_the_classes_does_not_tell_the_asked_one(tmp_path, server):
    questions = Questions(make_bench(tmp_path, [server], LABEL))
    first = [
        request.messages[-1]["content"].split("- 「")[1].startswith(request.label)
        for request in questions.known("relabel")
    ]
    assert 0 < sum(first) < len(first)
    assert [r.messages for r in questions.known("relabel")] == [r.messages for r in questions.known("relabel")]
