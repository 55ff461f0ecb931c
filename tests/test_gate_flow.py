"""`wb gate` on a small bench: explaining, doubting, ablating, masking, looking again; held-out rows stay closed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from llm_server import Step, llm_server

from workbench.bench import Bench
from workbench.flow.gate.ablate import ablate
from workbench.flow.gate.judge import Judge
from workbench.flow.gate.run import gate_bench
from workbench.flow.generate.plan import needs
from workbench.flow.generate.run import generate
from workbench.gate import Score
from workbench.gate.kinds import DEFAULTS
from workbench.records import Origin, Sample, Turn

THINGS = ["话费", "流量", "积分", "余额", "套餐", "短信", "宽带", "漫游"]
ASKS = {
    "查余额": ("帮我查一下{}还剩多少", "我的{}剩多少了", "想看看{}余下几块"),
    "退订": ("把那个{}给我退掉", "不要{}了取消吧", "{}业务我要退订"),
}


def only(*names, **more):
    """The setting for a stack of these rules."""
    rules = dict.fromkeys(DEFAULTS, "off") | {name: {} for name in names} | more
    return "gate.rules=" + json.dumps(rules, ensure_ascii=False)


def real_rows(split="train", tail="", n=24):
    return [
        Sample(f"{split}-{label}-{i}", (Turn("user", asks[i % 3].format(THINGS[i // 3 % 8]) + tail),), label, split)
        for label, asks in ASKS.items()
        for i in range(n)
    ]


def made(text, label, row_id):
    origin = Origin("minority", "m", "p", (), 0, "")
    return Sample(row_id, (Turn("user", text),), label, "train", "synthetic", origin)


def put(bench, samples):
    with bench.ledger.write("data", "add") as writer:
        writer.samples(samples)


CANDIDATES = [
    made("麻烦告诉我卡里余额还有几块钱", "查余额", "good"),
    made("帮我查一下话费还剩多少", "查余额", "copy"),
    made("**退订**彩铃业务谢谢", "退订", "markup"),
    made("我的手机13812345678要退订业务", "退订", "phone"),
    made("这个业务我不想要了退了吧", "退订", "fine"),
]


@pytest.fixture
def filled(bench):
    put(bench, real_rows())
    put(bench, CANDIDATES)
    return bench


# wb gate --explain


def test_a_candidate_is_explained_and_nothing_is_stored(filled, wb):
    wb("gate")
    before = len(filled.ledger.operations())
    done = wb("gate", "--explain", "copy", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found.keys() == {"id", "label", "text", "passed", "rules"}
    assert (found["id"], found["passed"]) == ("copy", False)
    said = {rule["rule"]: rule for rule in found["rules"]}
    assert set(said) == set(DEFAULTS)
    assert said["near_copy"]["reason"] == "near_copy"
    assert "帮我查一下话费还剩多少" in said["near_copy"]["evidence"]
    assert len(filled.ledger.operations()) == before
    assert "near_copy" in wb("gate", "--explain", "copy").out


def test_a_real_row_is_explained_as_in_calibration(filled, wb):
    found = wb("gate", "--explain", "train-查余额-0", "--json").json
    said = {rule["rule"]: rule for rule in found["rules"]}
    judge = Judge.of(filled, CANDIDATES)
    for name, rule in filled.config.gate.rules.items():
        if said[name]["score"] is not None and name not in ("sibling", "leakage"):
            together = rule.score(judge.real, judge.real)
            assert said[name]["score"] == pytest.approx(float(together[0]), abs=1e-4), name


def test_an_unknown_row_is_a_sentence(filled, wb):
    done = wb("gate", "--explain", "nobody")
    assert done.code != 0
    assert "nobody" in done.err
    assert "Traceback" not in done.err


def test_explaining_shows_no_held_out_text(filled, wb):
    put(filled, [Sample("t", (Turn("user", "麻烦告诉我卡里余额还有几块"),), "查余额", "test")])
    done = wb("gate", "--explain", "good", "--json")
    said = {rule["rule"]: rule for rule in done.json["rules"]}
    assert (said["leakage"]["passed"], said["leakage"]["evidence"]) == (False, "")


# wb gate --doubtful


def test_accepted_rows_are_listed_the_most_doubtful_first(filled, wb):
    wb("gate", "--set", only("artefact", "privacy", "near_copy"))
    lines = wb("gate", "--doubtful", "9", "--json").lines
    assert {line["id"] for line in lines} == {s.id for s in filled.ledger.accepted()} == {"good", "fine"}
    assert [line["doubt"] for line in lines] == sorted((line["doubt"] for line in lines), reverse=True)
    assert len(wb("gate", "--doubtful", "1", "--json").lines) == 1


# wb gate --ablate


@pytest.mark.parametrize("dev", [True, False])
def test_ablation_measures_on_dev_and_never_opens_test(filled, wb, dev, monkeypatch):
    put(filled, real_rows("test", "吧"))
    if dev:
        put(filled, real_rows("dev", "呀"))
    wb("gate", "--set", only("artefact", "privacy", "near_copy"))
    asked = []
    whole = type(filled.ledger).samples
    monkeypatch.setattr(
        type(filled.ledger), "samples", lambda self, **more: asked.append(more.get("split")) or whole(self, **more)
    )
    done = wb("gate", "--ablate", "--json", "--set", only("artefact", "privacy", "near_copy"))
    assert done.code == 0, done.err
    found = done.json
    assert (found["candidates"], found["accepted"], found["measured_on"]) == (5, 2, 48 if dev else 0)
    by_rule = {rule["rule"]: rule for rule in found["rules"]}
    assert {name: (rule["dropped"], rule["alone"]) for name, rule in by_rule.items()} == {
        "artefact": (1, 1),
        "privacy": (1, 1),
        "near_copy": (1, 1),
        "(all rules)": (3, 3),
    }
    assert all((rule["macro_f1"] is not None) == dev for rule in by_rule.values())
    assert filled.ledger.openings() == []
    assert "test" not in asked


def test_ablating_without_candidates_is_a_sentence(bench, wb):
    put(bench, real_rows())
    done = wb("gate", "--ablate")
    assert done.code != 0
    assert "no gated candidates" in done.err


# Masking


def test_masking_stores_a_change_that_why_shows(filled, wb):
    setting = only(privacy={"mask": True})
    done = wb("gate", "--set", setting)
    assert done.code == 0, done.err
    assert filled.ledger.sample("phone").text == "我的手机***********要退订业务"
    assert "phone" in {sample.id for sample in filled.ledger.accepted()}
    shown = wb("why", "phone")
    assert "mended" in shown.out
    assert "13812345678" not in {s.text for s in filled.ledger.accepted()}
    changes = len(filled.ledger.changes_of("phone"))
    wb("gate", "--set", setting)
    assert len(filled.ledger.changes_of("phone")) == changes == 1


# Files


def test_speaker_names_are_stripped_from_dialogues_of_a_file(bench, tmp_path, wb):
    rows = [
        Sample(f"r{i}", (Turn("agent", "您好请讲"), Turn("user", asks[0].format(thing))), label)
        for label, asks in ASKS.items()
        for i, thing in enumerate(THINGS)
    ]
    put(bench, [Sample(f"{s.label}-{s.id}", s.turns, s.label) for s in rows])
    (tmp_path / "made.csv").write_text("text,label\n客服：您好[SEP]客户：我要查一下卡里的钱,查余额\n", encoding="utf-8")
    done = wb("gate", "made.csv", "--json", "--add", "--set", only("format"))
    assert done.code == 0, done.err
    assert [turn.text for turn in bench.ledger.candidates()[0].sample.turns] == ["您好", "我要查一下卡里的钱"]


def test_rows_of_unknown_classes_stay_out_when_all_is_gated_anew(filled, tmp_path, wb):
    (tmp_path / "made.csv").write_text("text,label\n我想换个新号码用用,换号\n", encoding="utf-8")
    wb("gate", "made.csv", "--add")
    wb("gate")
    candidate = next(c for c in filled.ledger.candidates() if c.sample.label == "换号")
    assert not candidate.accepted
    assert "unknown_class" in {verdict.reason for verdict in candidate.verdicts}


# Held-out rows


def test_only_the_leakage_rule_sees_held_out_rows(filled, monkeypatch):
    put(filled, real_rows("test", "吧"))
    put(filled, real_rows("dev", "呀"))
    judge = Judge.of(filled, CANDIDATES)
    assert {s.split for s in judge.real.samples} == {"train"}
    assert {s.split for s in judge.compared.held.samples} == {"dev", "test"}
    seen = []

    def watched(name, score):
        return lambda self, rows, others: seen.append((name, others)) or score(self, rows, others)

    for name, rule in filled.config.gate.rules.items():
        if isinstance(rule, Score):
            monkeypatch.setattr(type(rule), "score", watched(name, type(rule).score))
    gate_bench(filled)
    touched = {name for name, others in seen if {s.split for s in others.samples} - {"train"}}
    assert touched == {"leakage"}


def test_without_the_leakage_rule_held_out_rows_are_not_even_loaded(filled, monkeypatch, tmp_path):
    put(filled, real_rows("test", "吧"))
    asked = []
    whole = type(filled.ledger).samples
    monkeypatch.setattr(
        type(filled.ledger),
        "samples",
        lambda self, **more: asked.append((more.get("source"), more.get("split"))) or whole(self, **more),
    )
    gate_bench(Bench.find(tmp_path, ["encoder.name=hashed", "gate.rules.leakage=off"]))
    assert set(asked) == {(None, "train"), ("synthetic", None)}


# Peers


def test_candidates_of_a_class_of_one_row_agree_against_strangers(bench, wb):
    rows = [s for s in real_rows() if s.label == "查余额"]
    rows += [Sample("one", (Turn("user", "手机丢了帮我补办一张新卡"),), "补卡")]
    rows += [
        Sample(f"u{i}", (Turn("user", f"把{t}的彩铃业务给我退订取消掉"),), "退订")
        for i, t in enumerate("甲乙丙丁戊己庚辛壬癸")
    ]
    put(bench, rows)
    ways = ["卡{}了想补办新卡", "{}卡以后怎么补卡", "补一张卡旧的{}了", "我的卡{}需要补卡"]
    agreeing = [
        made(ways[i % 4].format(w), "补卡", f"y{i}") for i, w in enumerate("丢坏断弯折湿碎裂旧没磨破卷少失掉抢偷泡烧")
    ]
    strange = [
        made("请问我的话费还剩多少查一下余额", "补卡", "n0"),
        made("帮我查查流量还剩多少", "补卡", "n1"),
        made("把彩铃业务退订取消掉吧", "补卡", "n2"),
    ]
    put(bench, [*agreeing[:10], *strange, *agreeing[10:]])
    assert wb("gate", "--set", only("label_agreement")).code == 0
    dropped = {c.sample.id for c in bench.ledger.candidates() if not c.accepted}
    assert dropped == {"n0", "n1", "n2"}


# Determinism


def test_gating_again_says_the_same(filled, wb):
    first = wb("gate", "--json")
    again = wb("gate", "--json")
    assert first.code == again.code == 0
    assert first.out == again.out


@pytest.mark.parametrize(
    "setting",
    [
        "gate.budget=0",
        "gate.class_rows=1",
        "gate.rules.cut_off.least=0",
        "gate.rules.near_copy.threshold=-1",
        only("near_copy"),
        only(),
        only(copies={"kind": "near_copy"}, brood={"kind": "sibling", "threshold": 0.9}),
        only("pvi", "pair_margin", "class_words", "keyword"),
    ],
)
def test_odd_settings_are_gated_with_too(filled, wb, setting):
    for args in (["gate"], ["gate", "--json"], ["gate", "--explain", "good"], ["gate", "--doubtful", "3"]):
        done = wb(*args, "--set", setting)
        assert done.code == 0, (args, done.err)


# The sieve


def answers():
    count = iter(range(10_000))
    words = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥天地玄黄宇宙洪荒日月盈昃"

    def answer(_):
        rows = []
        for _ in range(4):
            i = next(count)
            rows.append("".join(words[(i * 7 + k * (i % 5 + 1)) % len(words)] for k in range(6)) + "还剩多少")
        return Step(json.dumps(rows, ensure_ascii=False))

    return answer


def generating(folder, url, *more):
    endpoint = {"kind": "openai", "base_url": url, "model": "m", "retries": 0}
    (folder / "wb.yaml").write_text("seed: 0\n", encoding="utf-8")
    lines = [f"llm.endpoints=[{json.dumps(endpoint)}]", "encoder.name=hashed", "generate.batch_size=4"]
    loose = only("near_copy", "privacy", label_agreement={"threshold": 50})
    return Bench.find(folder, [*lines, loose, "llm.concurrency=1", *more])


def want(bench, n):
    return needs(bench, ["查余额"], [], minority=False, accept=n)


@pytest.fixture
def server(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    with llm_server() as script:
        script.default = answers()
        yield script


def looks(bench):
    return [o for o in bench.ledger.operations() if (o.stage, o.kind) == ("gate", "again")]


def test_a_filled_quota_is_looked_at_again_and_counted(tmp_path, server):
    bench = generating(tmp_path, server.url)
    put(bench, real_rows())
    done = generate(bench, want(bench, 6))
    assert done.accepted == {"查余额": 6}
    assert len(looks(bench)) >= 1
    assert len(bench.ledger.accepted()) == 6
    before = len(looks(bench))
    generate(bench, want(bench, 6))
    assert len(looks(bench)) == before


def test_a_command_killed_before_its_look_leaves_it_to_the_next(tmp_path, server):
    bench = generating(tmp_path, server.url)
    put(bench, real_rows())
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from test_gate_flow import generating, want\n"
        "from workbench.flow.generate import run as flow\n"
        "from workbench.flow.generate.sieve import Sieve\n"
        "plain = Sieve.look\n"
        "def look(self, *, filled):\n"
        "    if self.bench.ledger.candidates(): os.kill(os.getpid(), 9)\n"
        "    return plain(self, filled=filled)\n"
        "Sieve.look = look\n"
        "bench = generating(Path(sys.argv[1]), sys.argv[2])\n"
        "flow.generate(bench, want(bench, 4))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), server.url]
    killed = subprocess.run(command, cwd=Path(__file__).parent, check=False, env={**os.environ})
    assert killed.returncode == -signal.SIGKILL
    assert bench.ledger.candidates()
    assert looks(bench) == []
    generate(bench, want(bench, 4))
    assert len(looks(bench)) >= 1
    assert len(bench.ledger.accepted()) == 4


def test_rows_dropped_for_personal_data_are_masked_before_they_are_let_in(tmp_path, server):
    server.steps.append(Step(json.dumps(["我的号13812345678话费还剩多少", "卡里钱还余多少"], ensure_ascii=False)))
    bench = generating(tmp_path, server.url)
    put(bench, real_rows())
    generate(bench, want(bench, 4))
    assert any("13812345678" in c.sample.text for c in bench.ledger.candidates() if not c.accepted)
    masking = generating(
        tmp_path, server.url, only("near_copy", privacy={"mask": True}, label_agreement={"threshold": 50})
    )
    generate(masking, want(masking, 30))
    assert len(looks(masking)) >= 1
    assert not [s.text for s in masking.ledger.accepted() if "13812345678" in s.text]


def test_the_ablation_trains_on_no_row_of_an_unknown_class_and_on_none_without_text(filled, wb, tmp_path):
    put(filled, real_rows("dev", "呀"))
    (tmp_path / "made.csv").write_text("text,label\n我想换个新号码用用,换号\n,退订\n", encoding="utf-8")
    setting = only("near_copy", "format")
    wb("gate", "made.csv", "--add", "--set", setting)
    wb("gate", "--set", setting)
    worths = {worth.rule: worth for worth in ablate(filled).worths}
    assert (worths["read"].alone, worths["read"].effect) == (1, None)
    assert worths["near_copy"].effect is not None
