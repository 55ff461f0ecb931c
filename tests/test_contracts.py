"""What other tools call: each contract of the command line, by its keys."""

import json

import pytest
from gates import PLAIN_GATE
from llm_server import llm_server
from test_llm_loop import fresh_rows

GATE = f"gate.rules={PLAIN_GATE}"
ROWS = [
    *(f"请问我的{x}这个月还剩多少呢,查余额" for x in ("话费", "流量", "积分", "余额", "套餐", "短信")),
    *(f"把那个{x}业务给我取消掉,退订" for x in ("彩铃", "会员", "阅读")),
]
NUMBER = {"value", "low", "high", "n"}


@pytest.fixture
def filled(bench, tmp_path, wb):
    """Six rows of one class, three of another; the same again, shorter, as test rows."""
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join(ROWS) + "\n", encoding="utf-8")
    test = [f"我{x}还剩多少,查余额" for x in "甲乙丙丁戊己"] + [f"{x}取消掉,退订" for x in "甲乙丙丁戊己"]
    (tmp_path / "test.csv").write_text("text,label\n" + "\n".join(test) + "\n", encoding="utf-8")
    for split in ("train", "test"):
        assert wb("data", "add", f"{split}.csv", "--split", split).code == 0
    return bench


# wb diagnose


def test_diagnose_json(filled, wb):
    done = wb("diagnose", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found.keys() >= {"rows", "classes", "gini", "imbalance_ratio", "minority", "confusions"}
    assert (found["rows"], found["imbalance_ratio"]) == (9, 2.0)
    assert isinstance(found["confusions"], list)
    for confusion in found["confusions"]:
        assert confusion.keys() >= {"from", "to", "rate", "n"}


def test_diagnose_counts_needs_no_bench(tmp_path, wb):
    (tmp_path / "counts.csv").write_text("label,count\n甲,90\n乙,9\n丙,1\n", encoding="utf-8")
    found = wb("diagnose", "--counts", "counts.csv", "--json").json
    assert found.keys() >= {"rows", "classes", "gini", "imbalance_ratio", "minority", "confusions"}
    assert (found["rows"], found["imbalance_ratio"], found["confusions"]) == (100, 90.0, [])
    assert "丙" in found["minority"]


def test_diagnose_counts_of_cmcc34(shared, wb):
    path = shared / "data" / "cmcc34_synthetic" / "cmcc34_classes.csv"
    found = wb("diagnose", "--counts", path, "--json")
    assert found.code == 0, found.err
    assert round(found.json["gini"], 3) == 0.651
    assert round(found.json["imbalance_ratio"]) == 1961


# wb gate FILE


@pytest.fixture
def candidates(tmp_path):
    lines = [
        "note,utterance,intent",
        "a,不想要彩铃了麻烦停掉,退订",
        "b,把那个彩铃业务给我取消掉,退订",
        "c,,退订",
        "d,**停掉**,退订",
        "e,不想要彩铃了麻烦停掉,无此类",
        "f,手机信号怎么老是断断续续,退订",
    ]
    path = tmp_path / "made.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def gate(wb, path, *more):
    return wb("gate", path, "--text", "utterance", "--label", "intent", "--json", "--set", GATE, *more)


def test_gate_gives_one_line_per_row_in_order_with_the_files_columns(filled, wb, candidates):
    done = gate(wb, candidates)
    assert done.code == 0, done.err
    assert [line["note"] for line in done.lines] == list("abcdef")
    for line in done.lines:
        assert line.keys() >= {"note", "utterance", "intent", "passed", "verdicts"}
        assert line["passed"] == all(verdict["passed"] for verdict in line["verdicts"])
        for verdict in line["verdicts"]:
            assert verdict.keys() == {"rule", "passed", "reason", "score", "tail"}
    assert [line["passed"] for line in done.lines] == [True, False, False, False, False, True]
    reasons = [{v["reason"] for v in line["verdicts"] if not v["passed"]} for line in done.lines]
    assert "near_copy" in reasons[1]
    assert "markup" in reasons[3]
    assert reasons[4] == {"unknown_class"}


def test_gate_leaves_the_ledger_alone_without_add(filled, wb, candidates):
    before = len(filled.ledger.operations())
    gate(wb, candidates)
    assert len(filled.ledger.operations()) == before
    assert filled.ledger.candidates() == []


def test_gate_add_makes_candidates_once(filled, wb, candidates):
    first, second = gate(wb, candidates, "--add"), gate(wb, candidates, "--add")
    assert (first.code, second.code) == (0, 0), second.err
    assert [line["passed"] for line in first.lines] == [line["passed"] for line in second.lines]
    found = filled.ledger.candidates()
    assert sorted(c.sample.meta["note"] for c in found if c.accepted) == ["a", "f"]
    assert len({c.sample.id for c in found}) == len(found)
    assert all(c.sample.source == "synthetic" for c in found)


# wb evaluate


@pytest.fixture
def predictions(tmp_path):
    (tmp_path / "before.csv").write_text("y_true,y_pred\n" + "a,a\nb,a\n" * 50, encoding="utf-8")
    (tmp_path / "after.csv").write_text("y_true,y_pred\n" + "a,a\nb,b\n" * 49 + "a,c\nb,b\n", encoding="utf-8")
    (tmp_path / "short.csv").write_text("y_true,y_pred\na,a\n", encoding="utf-8")


def test_evaluate_predictions_json(predictions, wb):
    found = wb("evaluate", "--predictions", "after.csv", "--json").json
    for name in ("accuracy", "macro_f1", "weighted_f1"):
        assert found[name].keys() == NUMBER
    assert (found["accuracy"]["value"], found["accuracy"]["n"]) == (0.99, 100)
    assert found["labels"] == ["a", "b", "c"]
    assert "verdict" not in found


def test_evaluate_predictions_over_other_label_sets(predictions, wb, tmp_path):
    (tmp_path / "labels.txt").write_text("b\n\nz\n", encoding="utf-8")
    sets = {
        name: wb("evaluate", "--predictions", "after.csv", "--labels", name, "--json").json
        for name in ("true", "labels.txt")
    }
    assert sets["true"]["labels"] == ["a", "b"]
    assert sets["labels.txt"]["labels"] == ["b", "z"]
    assert sets["labels.txt"]["macro_f1"]["value"] == 0.5
    wrong = wb("evaluate", "--predictions", "after.csv", "--labels", "nothing")
    assert wrong.code == 2
    assert "nothing" in wrong.err


def test_evaluate_predictions_with_a_baseline(predictions, wb):
    files = ("--predictions", "after.csv", "--baseline-predictions", "before.csv")
    verdict = wb("evaluate", *files, "--json").json["verdict"]
    assert verdict["overall"] == "improved"
    assert verdict["metrics"]["macro_f1"]["difference"].keys() == NUMBER
    said = wb("evaluate", *files).out
    assert "improved: macro-F1 0.222 -> 0.66" in said
    for name in ("baseline", "predictions"):
        assert f"\n {name} " in said


def test_evaluate_files_of_other_rows_are_not_comparable(predictions, wb):
    files = ("--predictions", "short.csv", "--baseline-predictions", "before.csv")
    assert wb("evaluate", *files, "--json").json["verdict"]["say"] == "not comparable: 100 vs 1 rows"
    assert "not comparable: 100 vs 1 rows" in wb("evaluate", *files).out


def test_evaluate_a_trained_run(filled, wb):
    base = wb("train", "--without-synthetic", "--json", "--set", "train.replicas=2").json["run"]
    run = wb("train", "--json", "--set", "train.replicas=2").json["run"]
    found = wb("evaluate", "--json").json
    for name in ("accuracy", "macro_f1", "weighted_f1"):
        assert found[name].keys() == NUMBER
    assert found["accuracy"]["n"] == 12
    assert "verdict" not in found
    compared = wb("evaluate", run, "--baseline", base, "--json").json
    assert compared["verdict"].keys() >= {"overall", "say", "metrics", "classes", "pairs"}
    assert compared["openings"] == 2


# wb generate


@pytest.fixture
def server(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with llm_server() as script:
        answer = fresh_rows()
        script.default = lambda body: answer({"messages": [{"content": body["messages"][-1]["content"] + "查余额"}]})
        monkeypatch.setenv("OPENAI_BASE_URL", script.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        yield script


def generate(wb, *args):
    return wb("generate", *args, "--json", "--set", GATE, "--set", "generate.batch_size=4")


def test_generate_json_with_the_endpoint_of_the_environment(filled, wb, server):
    done = generate(wb, "--class", "退订", "--accept", "6")
    assert done.code == 0, done.err
    last = json.loads(done.out.splitlines()[-1])
    assert last.keys() >= {"requested", "accepted", "replies", "tokens", "cost", "stopped_by"}
    assert (last["requested"], last["accepted"], last["stopped_by"]) == (6, 6, "quota")
    assert last["replies"] == len(server.requests)
    assert last["tokens"] == 120 * len(server.requests)
    assert "sk-secret" not in done.out + done.err


def test_the_same_generate_again_makes_no_request(filled, wb, server):
    generate(wb, "--class", "退订", "--accept", "6")
    before = len(server.requests)
    again = generate(wb, "--class", "退订", "--accept", "6").json
    assert len(server.requests) == before
    assert (again["accepted"], again["replies"], again["tokens"]) == (6, before, 0)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    ("asked", "first"), [(["--class", "退订"], {"退订"}), (["--pair", "退订:查余额"], {"退订", "查余额"})]
)
def test_prompts_name_the_target_first_and_the_number_of_rows(filled, wb, server, language, asked, first):
    assert generate(wb, *asked, "--accept", "2", "--set", f"generate.language={language}").code == 0
    for body in server.requests:
        prompt = body["messages"][-1]["content"]
        assert body["messages"][-1]["role"] == "user"
        assert ("4 条" if language == "zh" else "4 samples") in prompt
    targets = {
        min(("退订", "查余额"), key=(body["messages"][-1]["content"] + "退订查余额").index) for body in server.requests
    }
    assert targets == first


def test_presets_leave_the_endpoint_to_the_environment(wb, tmp_path):
    for preset in ("basic", "telecom"):
        assert wb("init", tmp_path / preset, "--preset", preset).code == 0
        assert wb("config", "--json", "--bench", tmp_path / preset).json["llm"]["endpoints"] == []


def test_without_an_endpoint_generate_says_what_to_export(filled, wb):
    done = wb("generate", "--class", "退订", "--accept", "3")
    assert done.code == 1
    assert "OPENAI_BASE_URL" in done.err
