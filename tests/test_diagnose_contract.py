"""`wb diagnose` from outside: the keys that other tools call, small and odd benches, the page."""

import json
import re
import sys

import pytest

from workbench.diagnose.imbalance import ImbalanceConfig, imbalance

COUNTS = "data/cmcc34_synthetic/cmcc34_classes.csv"
KEYS = {"rows", "classes", "gini", "imbalance_ratio", "minority", "confusions"}


def table(path, rows):
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows), encoding="utf-8")
    return path


def filled(bench, wb, rows, split="train"):
    assert wb("data", "add", table(bench.root / f"{split}.csv", rows), "--split", split).code == 0


def queries(n, label="查询"):
    return [(f"帮我查一下第{i}个月的话费还剩多少", label) for i in range(n)]


def cancels(n, label="退订"):
    return [(f"把{i}号会员给我退掉别再扣钱", label) for i in range(n)]


def test_counts_of_cmcc34_give_the_published_figures(shared, wb):
    done = wb("diagnose", "--counts", shared / COUNTS, "--json")
    found = done.json
    assert done.code == 0
    assert set(found) >= KEYS
    assert round(found["gini"], 3) == 0.651
    assert found["imbalance_ratio"] == 1961
    assert (found["classes"], found["confusions"]) == (34, [])


@pytest.mark.parametrize("columns", [80, 120])
def test_bars_of_double_width_names_line_up_in_a_terminal(shared, wb, monkeypatch, columns):
    from unicodedata import east_asian_width

    def width(text):
        return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = re.sub(r"\x1b\[[0-9;]*m", "", wb("diagnose", "--counts", shared / COUNTS).out)
    bars = [line for line in out.splitlines() if "█" in line]
    assert max(map(width, bars)) <= columns
    assert len({width(line[: line.index("█")]) for line in bars}) == 1
    assert len(bars) == 34


def test_minorities_by_ratio_by_list_and_with_multipliers(tmp_path, wb):
    (tmp_path / "n.csv").write_text("label,count\na,100\nb,100\nc,20\nd,90\ne,3\nf,0\n", encoding="utf-8")

    def found(*settings):
        return wb("diagnose", "--counts", "n.csv", "--json", *(x for s in settings for x in ("--set", s))).json

    plain = found()
    assert plain["minority"] == ["f", "e", "c"]
    assert plain["ultra_minority"] == ["f", "e"]
    named = found("diagnose.imbalance.minority=[d]", "diagnose.imbalance.exclude=[e]")
    assert set(named["minority"]) == {"c", "d", "f"}
    doubled = found("diagnose.imbalance.multipliers={c: 2}")
    assert doubled["targets"]["c"] == 2 * plain["targets"]["c"]
    assert "c" not in found("diagnose.imbalance.minority_ratio=0.1")["minority"]


def test_a_misspelt_class_in_the_settings_is_an_error(tmp_path, wb):
    (tmp_path / "n.csv").write_text("label,count\na,100\nb,1\n", encoding="utf-8")
    done = wb("diagnose", "--counts", "n.csv", "--set", "diagnose.imbalance.minority=[nowhere]")
    assert done.code == 1
    assert "nowhere" in done.err


@pytest.mark.parametrize("body", ["", "a,x\n", "a,-1\n", "a,1.5\n", "a,1\na,2\n", ",3\n"])
def test_broken_counts_are_said(tmp_path, wb, body):
    (tmp_path / "n.csv").write_text("label,count\n" + body, encoding="utf-8")
    done = wb("diagnose", "--counts", "n.csv")
    assert done.code == 1
    assert "What to do" in done.err


def test_json_of_a_bench_has_the_contract_keys(bench, wb):
    filled(bench, wb, [*queries(8), *cancels(8), ("网络好慢啊", "投诉")])
    found = wb("diagnose", "--json").json
    assert set(found) >= KEYS
    assert (found["rows"], found["classes"], found["imbalance_ratio"]) == (17, 3, 8)
    assert all({"from", "to", "rate", "n"} <= set(pair) for pair in found["confusions"])
    alone = [pair for pair in found["confusions"] if pair["from"] == "投诉"]
    assert alone  # a class of one row shows what would swallow it
    assert sum(pair["rate"] for pair in alone) == 1


def test_classes_of_no_row_count(tmp_path, bench, wb):
    filled(bench, wb, [*queries(6), *cancels(6)])
    (tmp_path / "wb.yaml").write_text("encoder: {name: hashed}\nlabels: {开通: {about: x}}\n", encoding="utf-8")
    found = wb("diagnose", "--json").json
    assert found["classes"] == 3
    assert "开通" in found["ultra_minority"]
    assert found["targets"]["开通"] > 0


@pytest.mark.parametrize(
    "rows",
    [
        [("退订", "退订"), ("查", "查询")],
        [*queries(2), *cancels(2)],
        [("好的", "退订")] * 3 + [("好的", "查询")] * 3,
        [("👍", "好"), ("😂", "好"), ("no", "差")],
        [("cancel it", "a"), ("cancel it now", "a"), ("how much", "b"), ("what is it", "b"), ("hello", "c")],
    ],
    ids=["two_rows", "four_rows", "all_the_same", "emoji", "english"],
)
def test_tiny_benches_are_diagnosed(bench, wb, rows):
    filled(bench, wb, rows)
    done = wb("diagnose", "--json")
    assert (done.code, done.json["rows"]) == (0, len(rows))
    assert wb("diagnose").code == 0


def test_one_class_alone(bench, wb):
    filled(bench, wb, queries(6))
    done = wb("diagnose")
    assert done.code in (0, 1)
    assert "Traceback" not in done.err


def test_an_empty_bench_says_what_to_do(bench, wb):
    done = wb("diagnose")
    assert done.code == 1
    assert "wb data add" in done.err


def test_conflicts_and_leaks_are_found(bench, wb):
    filled(bench, wb, [*queries(6), *cancels(6), ("帮我看看。", "查询"), ("帮我看看", "退订")])
    filled(bench, wb, [("把3号会员给我退掉，别再扣钱！", "退订")], "test")
    found = wb("diagnose", "--json").json
    assert [sorted(row["label"] for row in rows) for rows in found["conflicts"]] == [["查询", "退订"]]
    assert found["leaks"][0]["split"] == "test"
    assert found["leaks"][0]["score"] == 1
    kinds = {finding["kind"] for finding in found["findings"]}
    assert {"conflict", "leakage"} <= kinds


def test_planted_wrong_labels_are_found_in_a_large_class_and_in_the_tail(bench, wb):
    rows = [*queries(40), *cancels(40), ("帮我查一下第99个月的话费还剩多少", "退订")]
    rows += [("把77号会员给我退掉别再扣钱", "网络"), ("信号一直没有上不了网", "网络"), ("网速太慢信号也差", "网络")]
    filled(bench, wb, rows)
    issues = wb("diagnose", "--json").json["label_issues"]
    found = {(issue["label"], issue["suggested"], issue["method"]) for issue in issues}
    assert ("退订", "查询", "cleanlab") in found
    assert ("网络", "退订", "neighbours") in found


def test_keywords_of_chinese_are_words_and_runs_of_characters(bench, wb):
    filled(bench, wb, [*queries(8), *cancels(8)])
    found = wb("diagnose", "--json").json["keywords"]
    assert any("话费" in word for word in found["查询"])
    assert any("会员" in word for word in found["退订"])


def test_the_page_is_self_contained_and_escapes_texts(bench, wb):
    evil = "<script>alert(1)</script>帮我看看"
    filled(bench, wb, [*queries(6), *cancels(6), (evil, "查询"), (evil, "退订<b>")])
    assert wb("diagnose", "--html", "page.html").code == 0
    page = (bench.root / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "退订<b>" not in page
    assert "http" not in page
    assert "&lt;script&gt;" in page
    assert "退订&lt;b&gt;" in page
    assert 'charset="utf-8"' in page


def test_the_bench_is_diagnosed_alike_twice(bench, wb):
    filled(bench, wb, [*queries(12), *cancels(5)])
    first, second = (wb("diagnose", "--json").out for _ in range(2))
    assert json.loads(first) == json.loads(second)


def test_ultra_minorities_come_by_number_by_ratio_and_by_name():
    counts = {"a": 4000, "b": 3000, "c": 2000, "d": 150, "e": 5}
    found = imbalance(counts, ImbalanceConfig(ultra_minority=("b",), exclude=("e",)))
    assert set(found.ultra_minority) == {"b", "d"}
    assert set(imbalance(counts, ImbalanceConfig(ultra_ratio=0, ultra_rows=10)).ultra_minority) == {"e"}
