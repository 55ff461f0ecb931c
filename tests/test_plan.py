"""What is asked for: settings of single classes, confused pairs, what earlier rows change, rows that need no model."""

import json
from dataclasses import replace

import pytest
from llm_server import Step, llm_server
from test_llm_loop import LABELS, fresh_rows, make_bench, openai_bench

from workbench.bench import Bench
from workbench.errors import ConfigError, DataError, UsageError
from workbench.flow.diagnose import diagnose
from workbench.flow.generate import plan
from workbench.flow.generate.plan import Writer, confused, needs, refill
from workbench.flow.generate.run import generate
from workbench.ledger import Asked
from workbench.records import Need, Origin, Review, Sample, Turn, Verdict

BALANCE, CANCEL = LABELS


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with llm_server() as script:
        yield script


def offline(folder, **settings):
    return make_bench(folder, {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}, **settings)


def classes(**settings):
    return json.dumps(settings, ensure_ascii=False)


def store(bench, *texts, label=BALANCE):
    """Accepted synthetic rows, as of earlier replies."""
    origin = Origin("minority", "m", "p", (), 0, "r")
    made = [Sample(f"s{i}", (Turn("user", x),), label, "train", "synthetic", origin) for i, x in enumerate(texts)]
    with bench.ledger.write("generate", "read") as writer:
        writer.samples(made)
        for sample in made:
            writer.verdicts(sample.id, [Verdict("format", True)])
    return made


def user(request):
    return request.messages[-1]["content"]


# Settings of single classes


@pytest.mark.parametrize(
    ("settings", "told", "wanted"),
    [
        ({}, {}, 20),
        ({"target_multiplier": 2}, {}, 10),
        ({"target_multiplier": 0.5}, {}, 2),
        ({"target_multiplier": 2, "accept": 7}, {}, 7),
        ({"target_multiplier": 2, "accept": 7}, {"accept": 3}, 3),
        ({"accept": 7}, {"more": 3}, 4),
        ({"accept": 0}, {}, 0),
    ],
)
def test_the_command_line_goes_before_the_class_and_the_class_before_what_holds_for_all(
    tmp_path, settings, told, wanted
):
    bench = offline(tmp_path, generate__classes=classes(**{BALANCE: settings}))
    store(bench, "已有的一条")
    assert [need.count for need in needs(bench, [BALANCE], [], minority=False, **told)] == [wanted]
    assert [need.count for need in needs(bench, [CANCEL], [], minority=False)] == [20]


def test_the_class_goes_before_the_diagnosis(tmp_path):
    small = {"diagnose__imbalance__minority": f"[{BALANCE}, {CANCEL}]", "diagnose__imbalance__target_rows": 12}
    bench = offline(tmp_path, generate__classes=classes(**{BALANCE: {"accept": 3}}), **small)
    assert {need.label: need.count for need in needs(bench, [], [], minority=True)} == {BALANCE: 3, CANCEL: 7}


def test_the_strategy_of_the_command_line_goes_before_that_of_the_class(tmp_path):
    bench = offline(tmp_path, generate__classes=classes(**{BALANCE: {"strategy": "paraphrase"}}))
    assert [n.strategy for n in needs(bench, [BALANCE, CANCEL], [], minority=False)] == ["paraphrase", "minority"]
    assert [n.strategy for n in needs(bench, [BALANCE], [], minority=False, strategy="slots")] == ["slots"]


def test_a_class_has_its_own_batch_examples_hints_and_prompt(tmp_path):
    own = {"batch_size": 3, "examples": 1, "hints": ["他们从不说请字"], "prompt": "mine"}
    bench = offline(tmp_path, generate__classes=classes(**{BALANCE: own}))
    (tmp_path / "prompts").mkdir()
    text = "{% block system %}{% endblock %}{% block user %}请写 {{ count }} 条，{{ hints | join }}{% endblock %}"
    (tmp_path / "prompts" / "mine.zh.j2").write_text(text, encoding="utf-8")
    mine, other = needs(bench, [BALANCE, CANCEL], [], minority=False)
    writer = Writer(bench, [mine, other])
    made, usual = writer.request(mine, 0), writer.request(other, 0)
    assert (made.rows, len(made.parents), user(made)) == (3, 1, "请写 3 条，他们从不说请字")
    assert made.prompt.startswith("mine.zh.j2@")
    assert (usual.rows, len(usual.parents), usual.prompt.partition("@")[0]) == (4, 5, "minority.zh.j2")


def refused(bench, name, text, review):
    row = Sample(name, (Turn("user", text),), BALANCE, "train", "synthetic", Origin("minority", "", "p", (), 0, ""))
    shown = {"turns": [["user", text, {}]], "label": BALANCE}
    with bench.ledger.write("review", "test") as writer:
        writer.samples([row])
        writer.verdicts(name, [Verdict("length", True)])
        writer.asked([Asked("review", name, name, "all", "", (), shown)])
        # Without an annotation, as rows that are held back, so that no project is needed.
        writer.reviews([("", replace(review, sample=name, task=name))])


def test_what_reviewers_had_against_rows_is_said_to_the_model(tmp_path):
    bench = offline(tmp_path)
    refused(bench, "a", "请告知本人余额", Review("", "", "reject", "anna", "", reasons=("unnatural", "truncated")))
    refused(bench, "b", "我要退订", Review("", "", "relabel", "anna", "", label=CANCEL))
    need = Need(BALANCE, 20, "minority")
    text = user(Writer(bench, [need]).request(need, 0))
    assert "unnatural (1), truncated (1)" in text
    assert "请告知本人余额" in text
    assert f"“{CANCEL}”" in text
    other = Need(CANCEL, 20, "minority")
    assert "unnatural" not in user(Writer(bench, [other]).request(other, 0))


def test_refused_rows_are_replaced_up_to_what_was_accepted_when_they_were_shown(tmp_path):
    bench = offline(tmp_path)
    refused(bench, "a", "请告知本人余额", Review("", "", "reject", "anna", ""))
    with bench.ledger.write("review", "plan", {"accepted": {BALANCE: 3}}):
        pass
    (need,) = refill(bench)
    assert (need.label, need.count) == (BALANCE, 3)
    refused(bench, "b", "余额多少", Review("", "", "approve", "anna", ""))
    assert [n.count for n in refill(bench)] == [3]
    refused(bench, "c", "还有多少钱", Review("", "", "hold", "", ""))
    assert [n.count for n in refill(bench)] == [2]
    refused(bench, "d", "钱还剩几块", Review("", "", "approve", "anna", ""))
    assert refill(bench) == []


@pytest.mark.parametrize("name", ["余额", "99"])
def test_settings_of_a_class_that_is_not_there_are_an_error(tmp_path, name):
    bench = offline(tmp_path, generate__classes=classes(**{name: {"accept": 1}}))
    with pytest.raises(ConfigError, match=rf"generate.classes: There is no class '{name}'") as caught:
        needs(bench, [BALANCE], [], minority=False)
    assert caught.value.hint


def test_a_class_may_be_given_by_its_number(tmp_path):
    bench = offline(tmp_path, generate__classes="{7: {accept: 4}}")
    with bench.ledger.write("data", "ids") as writer:
        writer.label_ids({BALANCE: "7"})
    assert needs(bench, ["7"], [], minority=False)[0].count == 4


def test_a_prompt_that_is_not_there_is_answered_before_anything_is_bought(tmp_path, server):
    bench = openai_bench(tmp_path, server, generate__classes=classes(**{BALANCE: {"prompt": "minorty"}}))
    with pytest.raises(ConfigError, match=r"minorty\.zh\.j2"):
        generate(bench, needs(bench, [BALANCE], [], minority=False))
    assert server.requests == []


# Pairs


def test_the_most_confused_pairs_each_come_once(tmp_path):
    bench = offline(tmp_path)
    found = diagnose(bench)
    assert confused(found, 0) == []
    assert [frozenset(pair) for pair in confused(found, 5)] == [frozenset(LABELS)]
    wanted = needs(bench, [], confused(found, 1), minority=False)
    assert {(need.label, need.against, need.strategy) for need in wanted} == {
        (BALANCE, CANCEL, "pair"),
        (CANCEL, BALANCE, "pair"),
    }


def test_a_pair_strategy_without_a_partner_takes_the_most_confused_one(tmp_path):
    need = needs(offline(tmp_path), [BALANCE], [], minority=False, strategy="pair")[0]
    assert (need.against, need.strategy) == (CANCEL, "pair")
    assert f"confused most with {CANCEL}" in need.why


@pytest.mark.parametrize(
    ("strategy", "pairs", "words"),
    [("slot", [], "no strategy 'slot'"), ("slots", [f"{BALANCE}:{CANCEL}"], "does not write for pairs")],
)
def test_a_strategy_that_does_not_fit_is_an_error(tmp_path, strategy, pairs, words):
    with pytest.raises(UsageError, match=words) as caught:
        needs(offline(tmp_path), [BALANCE], pairs, minority=False, strategy=strategy)
    assert "slots" in caught.value.hint or "pair" in caught.value.hint


def test_a_pairs_examples_come_from_the_out_of_fold_probabilities(tmp_path):
    bench = offline(tmp_path, generate__examples=2, generate__strategies="{pair: {hard: 0.4, doubtful: 1}}")
    found, need = diagnose(bench), Need(BALANCE, 5, "pair", against=CANCEL)
    assert found.matrix is not None
    writer = Writer(bench, [need])
    shown = set(writer.request(need, 0).parents)
    from workbench.flow.signals import out_of_fold

    rows = bench.ledger.samples(split="train")
    guess = out_of_fold(bench, rows)
    column = guess.labels.index(CANCEL)
    own = sorted((-guess.probabilities[i, column], row.id) for i, row in enumerate(rows) if row.label == BALANCE)
    assert {row for _, row in own[:2]} <= shown


def test_the_command_line_takes_confusions_and_a_strategy(tmp_path, wb):
    offline(tmp_path)
    sets = ("--set", "encoder.name=hashed", "--dry-run", "--json")
    found = wb("generate", "--confusions", "1", "--accept", "4", *sets)
    assert found.code == 0, found.err
    assert [(p["class"], p["against"]) for p in found.json["plan"]] in (
        [(BALANCE, CANCEL), (CANCEL, BALANCE)],
        [(CANCEL, BALANCE), (BALANCE, CANCEL)],
    )
    text = wb("generate", "--class", BALANCE, "--strategy", "paraphrase", *sets).json["prompt"][-1]["content"]
    assert "换一种说法" in text


# What earlier rows change


LEANING = [f"尊敬的客服{x}还剩多少" for x in "甲乙丙丁戊己庚辛壬癸子丑"]


def test_words_that_the_accepted_rows_lean_on_are_forbidden_from_the_next_block_on(tmp_path):
    bench, need = offline(tmp_path), Need(BALANCE, 20, "minority")
    writer = Writer(bench, [need])
    before = writer.request(need, 0)
    assert "换别的说法" not in user(before)
    writer.learn(store(bench, *LEANING))
    assert "换别的说法" not in user(writer.request(need, 3))  # the block is frozen
    later = writer.request(need, 4)
    assert "不要再用：尊敬" in user(later) or "客服" in user(later).split("不要再用：")[1]
    again = Writer(bench, [need])
    assert again.request(need, 4) == later == writer.request(need, 4)  # given the ledger, the same
    assert "换别的说法" not in user(Writer(offline_again(bench, "generate.taboo=0"), [need]).request(need, 4))


def offline_again(bench, *settings):
    return Bench.find(bench.root, ["encoder.name=hashed", *settings])


def test_outliers_are_shown_where_they_are_asked_for(tmp_path):
    bench, need = offline(tmp_path), Need(BALANCE, 20, "minority")
    store(bench, "请问我的话费这个月还剩多少呢", "qwertz uiop")
    shown = offline_again(bench, "generate.outliers=1")
    assert "- qwertz uiop" in user(Writer(shown, [need]).request(need, 0))
    assert "qwertz" not in user(Writer(bench, [need]).request(need, 0))


def test_the_loop_lets_later_requests_know(tmp_path, server):
    rows = iter(range(1000))
    answers = fresh_rows()

    def leaning(body):
        texts = json.loads(answers(body).text)
        return Step(json.dumps([f"{text}恭请裁夺{next(rows)}" for text in texts], ensure_ascii=False))

    server.default = leaning
    bench = openai_bench(tmp_path, server, llm__concurrency=1)
    done = generate(bench, needs(bench, [BALANCE], [], minority=False, accept=30))
    assert done.accepted[BALANCE] == 30
    prompts = [body["messages"][-1]["content"] for body in server.requests]
    assert not any("不要再用" in text for text in prompts[:4])
    assert any("恭请" in text or "裁夺" in text for text in prompts[4:])


def test_attributes_may_be_ones_own_or_none(tmp_path):
    need = Need(BALANCE, 20, "minority")
    bench = offline(tmp_path)
    assert "上了年纪" in user(Writer(bench, [need]).request(need, 0)) + user(Writer(bench, [need]).request(need, 1))
    mine = offline_again(bench, "generate.attributes={tone: [江湖气]}")
    assert "4：江湖气" in user(
        Writer(offline_again(mine, "generate.attributes={tone: [江湖气]}"), [need]).request(need, 0)
    )
    none = offline_again(bench, "generate.attributes={}")
    assert "设定" not in user(Writer(none, [need]).request(need, 0))


def test_paraphrases_have_their_row_as_parent(tmp_path, server):
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server, llm__concurrency=1)
    generate(bench, needs(bench, [BALANCE], [], minority=False, accept=12, strategy="paraphrase"))
    parents = {c.sample.origin.reply: c.sample.origin.parents for c in bench.ledger.candidates()}
    assert all(len(some) == 1 for some in parents.values())
    assert len(set(parents.values())) == len(parents) >= 3


def test_a_class_without_rows_cannot_be_paraphrased(tmp_path):
    bench = offline(tmp_path, labels__新类__about="刚有的")
    with pytest.raises(DataError, match="has no real rows that 'paraphrase' could rewrite"):
        plan.plan(bench, needs(bench, ["新类"], [], minority=False, strategy="paraphrase"))


# Rows that need no model

SLOTS = {
    "templates": {BALANCE: ["{who}想看看{what}剩多少", "{what}够不够{who}用"]},
    "values": {"who": list("甲乙丙丁")},
}
SLOTS["values"]["what"] = ["余量", "电话钱", "上网量", "积攒的分"]
STRATEGIES = json.dumps({"slots": SLOTS, "handwritten": {"file": "h.csv"}}, ensure_ascii=False)


@pytest.fixture
def made_bench(tmp_path):
    rows = [
        "text,label",
        f"卡里钱数报给我听,{BALANCE}",
        f"月底还有额度没有,{BALANCE}",
        f"那个东西不要了,{CANCEL}",
        f"**钱**,{BALANCE}",
    ]
    (tmp_path / "h.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return offline(tmp_path, generate__strategies=STRATEGIES)


def wanted(bench, strategy, accept=20, **more):
    return needs(bench, [BALANCE], [], minority=False, accept=accept, strategy=strategy, **more)


def test_templates_fill_a_quota_without_an_endpoint_and_go_on_where_they_were(made_bench):
    done = generate(made_bench, wanted(made_bench, "slots", 5))
    assert (done.accepted, done.stopped_by, done.new_replies) == ({BALANCE: 5}, "quota", 0)
    first = {c.sample.id for c in made_bench.ledger.candidates()}
    origin = made_bench.ledger.candidates()[0].sample.origin
    assert (origin.strategy, origin.reply, origin.parents) == ("slots", "", ())
    operations = len(made_bench.ledger.operations())
    generate(made_bench, wanted(made_bench, "slots", 5))
    assert len(made_bench.ledger.operations()) == operations
    generate(made_bench, needs(made_bench, [BALANCE], [], minority=False, more=2, strategy="slots"))
    after = made_bench.ledger.candidates()
    assert first < {c.sample.id for c in after}
    assert len({c.sample.text for c in after}) == len(after)
    assert sum(c.accepted for c in after) == 7


def test_templates_that_are_used_up_are_said(made_bench):
    done = generate(made_bench, wanted(made_bench, "slots", 100))
    assert done.stopped_by == "used_up"
    assert done.say == f"{BALANCE}: {done.accepted[BALANCE]} of 100 (used_up)"
    assert len(made_bench.ledger.candidates()) == 32
    assert done.accepted[BALANCE] + sum(done.dropped.values()) == 32


def test_templates_of_which_nothing_passes_are_given_up(made_bench):
    strict = Bench.find(made_bench.root, [f"generate.strategies={STRATEGIES}", "gate.rules={length: {min_chars: 99}}",
                                          "encoder.name=hashed", "generate.patience=2"])  # fmt: skip
    done = generate(strict, wanted(strict, "slots", 3))
    assert (done.stopped_by, done.accepted, sum(done.dropped.values())) == ("saturated", {BALANCE: 0}, 6)


def test_handwritten_rows_are_gated_and_stored_once(made_bench):
    for _ in range(2):
        done = generate(made_bench, wanted(made_bench, "handwritten"))
        assert (done.accepted, done.stopped_by) == ({BALANCE: 2}, "used_up")
    found = {c.sample.text: c.accepted for c in made_bench.ledger.candidates()}
    assert found == {"卡里钱数报给我听": True, "月底还有额度没有": True, "**钱**": False}
    assert done.dropped == {}


def test_content_of_both_is_stored_once(made_bench):
    generate(made_bench, wanted(made_bench, "slots", 1))
    text = made_bench.ledger.candidates()[0].sample.text
    (made_bench.root / "h.csv").write_text(f"text,label\n{text},{BALANCE}\n", encoding="utf-8")
    generate(made_bench, wanted(made_bench, "handwritten", 9))
    assert len(made_bench.ledger.candidates()) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [("查一下,无此类", "There is no class '无此类'"), ("a,b,c", "h.csv:3: ")],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(made_bench, line, words):
    (made_bench.root / "h.csv").write_text(f"text,label\n好的,{BALANCE}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        generate(made_bench, wanted(made_bench, "handwritten"))
    assert words in caught.value.message
    assert "h.csv:3" in caught.value.message
    assert made_bench.ledger.candidates() == []


def test_one_command_may_make_some_classes_and_ask_for_others(tmp_path, server):
    server.default = Step(
        json.dumps(["不想要了停掉", "关掉它吧", "取消那东西", "给我退了", "别再扣了"], ensure_ascii=False)
    )
    per_class = classes(**{BALANCE: {"strategy": "slots"}})
    bench = openai_bench(tmp_path, server, generate__strategies=STRATEGIES, generate__classes=per_class)
    done = generate(bench, needs(bench, [BALANCE, CANCEL], [], minority=False, accept=5))
    assert done.accepted == {BALANCE: 5, CANCEL: 5}
    assert {reply.label for reply in bench.ledger.replies()} == {CANCEL}


def test_rows_of_templates_are_explained_and_gated_again(made_bench, wb):
    generate(made_bench, wanted(made_bench, "slots", 3))
    sample = made_bench.ledger.candidates()[0].sample
    told = wb("why", sample.id, "--set", "encoder.name=hashed")
    assert told.code == 0, told.err
    assert "slots" in told.out


def test_a_strategy_of_a_plugin_is_asked_like_any_other(tmp_path, server):
    code = '''
from typing import Literal
from workbench.generate import Prompted
from workbench.generate.base import Choice

class Formal(Prompted):
    """Rows in formal language."""
    kind: Literal["formal"] = "formal"

    def request(self, need, shown, prompt, draw):
        return self.ask(need, shown, prompt, draw, Choice(shown.rows[:1], values={"tone": "公文"}))
'''
    (tmp_path / "formal.py").write_text(code, encoding="utf-8")
    (tmp_path / "prompts").mkdir()
    text = "{% block system %}{% endblock %}{% block user %}请写 {{ count }} 条，意图是「{{ label }}」，{{ tone }}{% endblock %}"
    (tmp_path / "prompts" / "formal.zh.j2").write_text(text, encoding="utf-8")
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server, plugins="[formal.py]")
    done = generate(bench, needs(bench, [BALANCE], [], minority=False, accept=2, strategy="formal"))
    assert done.accepted == {BALANCE: 2}
    assert server.requests[0]["messages"][-1]["content"] == f"请写 4 条，意图是「{BALANCE}」，公文"
    assert {c.sample.origin.strategy for c in bench.ledger.candidates()} == {"formal"}
