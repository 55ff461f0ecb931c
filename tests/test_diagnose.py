"""The pure pieces of the diagnosis: figures with known values, pairs, suspicious rows, leaks, words, advice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.classify import OutOfFold
from workbench.diagnose import ImbalanceConfig, advice, imbalance
from workbench.diagnose.confusion import Confusions
from workbench.diagnose.findings import findings
from workbench.diagnose.imbalance import gini
from workbench.diagnose.issues import label_issues
from workbench.diagnose.leakage import conflicts, leaks
from workbench.encode import HashedNgrams
from workbench.keywords import keywords, words
from workbench.records import Finding, Sample, Turn
from workbench.similarity import centred

COUNTS = st.dictionaries(st.text(max_size=3), st.integers(0, 5000), min_size=1, max_size=30)


def row(key, text, label="查询", split="train", **meta):
    return Sample(key, (Turn("user", text),), label, split, meta=meta)


def fold(truth, probabilities, labels="abc"):
    ids = tuple(str(i) for i in range(len(truth)))
    return OutOfFold(ids, tuple(labels), np.array(truth), np.array(probabilities, dtype=np.float32), 1.0)


@pytest.mark.parametrize(
    ("counts", "value"), [([5, 5, 5], 0.0), ([0, 0, 9], 2 / 3), ([1, 3], 0.25), ([7], 0.0), ([0, 0], 0.0)]
)
def test_gini_is_that_of_the_lorenz_curve(counts, value):
    assert gini(np.array(counts, dtype=np.float64)) == pytest.approx(value)


def test_effective_numbers():
    found = imbalance({"a": 1, "b": 1000, "c": 0}, ImbalanceConfig(beta=0.99))
    assert found.effective_rows["a"] == pytest.approx(1)
    assert found.effective_rows["b"] == pytest.approx(100, abs=0.01)
    assert found.effective_rows["c"] == 0
    assert imbalance({"a": 8, "b": 8, "c": 8, "d": 0}, ImbalanceConfig()).effective_classes == pytest.approx(3)


def test_an_empty_class_counts_as_one_row_in_the_ratio():
    assert imbalance({"a": 40, "b": 0}, ImbalanceConfig()).ratio == 40


@given(COUNTS)
def test_figures_of_any_histogram_stay_in_their_bounds(counts):
    found = imbalance(counts, ImbalanceConfig())
    assert 0 <= found.gini < 1
    assert found.ratio >= 1 or not any(counts.values())
    assert set(found.ultra_minority) <= set(found.minority)
    assert set(found.targets) <= set(found.minority)
    assert all(target <= 50 * max(1, counts[label]) for label, target in found.targets.items())
    assert list(found.counts.values()) == sorted(counts.values(), reverse=True)


def test_targets_fill_up_to_the_median_but_not_past_the_multiple():
    found = imbalance({"a": 200, "b": 100, "c": 30, "d": 1}, ImbalanceConfig(max_multiple=10))
    assert found.minority == ("d", "c")
    assert found.targets == {"d": 10, "c": 35}  # the median is 65
    doubled = imbalance({"a": 200, "b": 100, "c": 30, "d": 1}, ImbalanceConfig(multipliers={"c": 2.0}))
    assert doubled.targets == {"d": 50, "c": 70}


def test_a_named_minority_that_has_enough_rows_gets_none():
    found = imbalance({"a": 50, "b": 50}, ImbalanceConfig(minority=("a",)))
    assert (found.minority, dict(found.targets)) == (("a",), {})


def test_pairs_are_directed_and_ranked_by_mass():
    found = Confusions.of(
        fold([0, 0, 0, 1, 2], [[0.9, 0.1, 0], [0.4, 0.6, 0], [0.2, 0.7, 0.1], [0.3, 0.7, 0], [0.8, 0.2, 0]])
    )
    top = found.top(10)
    assert [(pair.source, pair.target) for pair in top] == [
        ("a", "b"),
        ("c", "a"),
        ("b", "a"),
        ("c", "b"),
        ("a", "c"),
    ]
    assert top[0].json() == {"from": "a", "to": "b", "rate": pytest.approx(2 / 3), "n": 3, "mass": pytest.approx(1.4)}
    assert found.top(1) == top[:1]
    assert [(pair.source, pair.target) for pair in found.strong(0.5, 1)] == [("a", "b"), ("c", "a")]
    assert [(pair.source, pair.target) for pair in found.strong(0.5, 2)] == [("a", "b")]


def test_part_keeps_the_rows_and_sums_up_the_other_classes():
    found = Confusions.of(fold([0, 0, 1, 2], [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]))
    assert found.part(["c", "b"]) == [[0, 0, 1], [0, 1, 0]]
    assert found.part(["a"]) == [[1, 1]]


CANCEL = [f"把{name}会员给我退掉别再扣钱了" for name in "甲乙丙丁戊己庚辛壬癸"]
QUERY = [f"帮我查一下{name}月话费还剩多少" for name in "一二三四五六七八九十"]


def suspicious(tail, class_rows=5):
    rows = [row(f"q{i}", text, "查询") for i, text in enumerate(QUERY)]
    rows += [row(f"c{i}", text, "退订") for i, text in enumerate(CANCEL)]
    rows += [row(f"t{i}", text, label) for i, (text, label) in enumerate(tail)]
    labels = sorted({sample.label for sample in rows})
    truth = [labels.index(sample.label) for sample in rows]
    vectors = HashedNgrams().encode([sample.text for sample in rows])
    found = fold(truth, np.eye(len(labels))[truth] * 0.9 + 0.1 / len(labels), labels)
    return label_issues(rows, found, centred(vectors, vectors.mean(axis=0)), class_rows=class_rows, neighbours=3)


def test_a_tail_row_amid_another_class_is_suspicious():
    issues = suspicious([("把甲会员给我退掉别再扣钱了啊", "办理")])
    assert [(x.sample.id, x.suggested, x.method) for x in issues] == [("t0", "退订", "neighbours")]
    assert 0.5 < issues[0].score <= 1


def test_a_tail_row_of_its_own_kind_is_not_suspicious_whatever_is_nearest():
    assert suspicious([("请问国际漫游在欧洲怎么设置", "使用方式")]) == []


def test_rows_of_one_small_set_only_are_not_judged():
    assert suspicious([], class_rows=100) == []


def test_leaks_say_exact_near_or_same_dialogue():
    rows = [
        row("a", "帮我退掉彩铃"),
        row("b", "请查一下我的话费余额还剩多少钱", day=1),
        row("c", "完全不同的一句话", day=7),
        row("d", "没有泄漏", day=9),
        row("e", "帮我退掉彩铃。", split="dev"),
        row("x", "帮我退掉彩铃！", split="test"),
        row("y", "请查一下我的话费余额还剩多少", split="test", day=7),
    ]
    found = {leak.sample.id: (leak.held.id, leak.kind) for leak in leaks(rows, 0.9, "day")}
    assert found == {"a": ("x", "exact"), "b": ("y", "near"), "c": ("y", "dialogue"), "e": ("x", "exact")}
    assert {leak.sample.id for leak in leaks(rows, 0.9)} == {"a", "b", "e"}
    assert leaks([], 0.9) == []


def test_empty_group_values_group_nothing():
    rows = [row("a", "甲", day=""), row("b", "乙", day=None), row("x", "丙", split="test", day="")]
    assert leaks(rows, 0.9, "day") == []


def test_conflicts_are_equal_texts_and_not_near_ones():
    rows = [
        row("a", "好的", "是"),
        row("b", "好的！", "否"),
        row("c", "查询酒店电话", "酒店"),
        row("d", "查询餐馆电话", "餐馆"),
    ]
    assert [[sample.id for sample in same] for same in conflicts(rows)] == [["a", "b"]]


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("我要补卡", "补卡", "我"),
        ("把号码销户", "销户", "把"),
        ("Where is my new card?", "card", "?"),
        ("it's WiFi", "wifi", "WiFi"),
        ("开通5G套餐", "套餐", "，"),
    ],
)
def test_words(text, wanted, unwanted):
    found = words(text)
    assert wanted in found
    assert unwanted not in found


@given(st.text())
def test_words_of_any_text_are_never_empty_strings(text):
    assert all(word.strip() for word in words(text))


def test_keywords_set_classes_apart_and_do_not_repeat_themselves():
    rows = [row(f"q{i}", text, "查询") for i, text in enumerate(QUERY)]
    rows += [row(f"c{i}", text, "退订") for i, text in enumerate(CANCEL)]
    rows.append(row("u", "国际漫游怎么设置", "使用方式"))
    found = keywords(rows, 4)
    assert {"会员", "退掉"} & set(found["退订"])
    assert all(word in QUERY[0] for word in found["查询"])
    assert not set(found["查询"]) & set(found["退订"])
    assert "漫游" in "".join(found["使用方式"])  # a class of one row has words, too
    assert all(a == b or a not in b for some in found.values() for a in some for b in some)
    assert max(len(some) for some in found.values()) == 4


def test_keywords_of_no_word_at_all():
    assert keywords([row("a", "👍", "好"), row("b", "？", "差")]) == {"好": [], "差": []}


def test_findings_are_sorted_and_speak_of_one_and_many():
    histogram = imbalance({"a": 50, "b": 1}, ImbalanceConfig())
    doubles = [[row("a", "好", "是"), row("b", "好", "否")]]
    found = findings(histogram, [], [], doubles, leaks([row("a", "好"), row("x", "好", split="test")], 0.9))
    assert [finding.kind for finding in found] == ["minority", "leakage", "conflict"]
    assert found[0].say == "b has 1 row; 25 accepted synthetic rows would bring it near the others."
    assert found[1].say == "1 row repeats a row of a held-out split: scores will look too good."
    assert found[2].say == "1 text stands under more than one label (2 rows)."
    assert [finding.severity for finding in found] == sorted((f.severity for f in found), reverse=True)


@pytest.mark.parametrize(
    ("kind", "where", "ids", "command"),
    [
        ("minority", {"class": "退订"}, {"退订": "14"}, "wb generate --class 14"),
        ("minority", {"class": "退订"}, {}, "wb generate --class '退订'"),
        ("minority", {"class": "card lost"}, {}, "wb generate --class 'card lost'"),
        ("minority", {"class": "退订"}, {"退订": "1", "查询": "1"}, "wb generate --class '退订'"),
        ("confusion", {"from": "a", "to": "b"}, {"a": "1", "b": "2"}, "wb generate --pair 1:2"),
        ("leakage", {}, {}, "wb data clean"),
        ("conflict", {}, {}, "wb why 77"),
    ],
)
def test_advice_is_a_command_that_can_be_pasted(kind, where, ids, command):
    assert advice(Finding(kind, where, 1.0, ("77",), "."), ids) == command


def test_a_file_is_diagnosed_without_a_bench_and_leaves_nothing_behind(tmp_path, wb):
    lines = [f"{text},{label}" for label, texts in (("查询", QUERY), ("退订", CANCEL)) for text in texts]
    (tmp_path / "rows.csv").write_text("say,kind\n" + "\n".join([*lines, "没有类别,"]) + "\n", encoding="utf-8")
    done = wb("diagnose", "rows.csv", "--text", "say", "--label", "kind", "--json", "--set", "encoder.name=hashed")
    assert (done.code, done.json["rows"], done.json["classes"]) == (0, 20, 2)
    assert "1 rows cannot be used" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere.csv"], "does not exist"),
        (["a.csv", "--counts", "b.csv"], "Both FILE and --counts"),
        (["--text", "say"], "there is no"),
        ([], "wb init"),
    ],
)
def test_what_cannot_be_is_said(wb, args, says):
    done = wb("diagnose", *args)
    assert done.code in (1, 2)
    assert says in done.err


@pytest.mark.parametrize(
    "head",
    ["label_id,label,group,train_count", "编号,类别,x,数量", "id,name,x,rows", "code,Intent,x,N"],
)
def test_columns_of_counts_are_found_by_name(tmp_path, wb, head):
    (tmp_path / "n.csv").write_text(f'{head}\n7,退订,g,30\n8,查询,g,"1,200"\n', encoding="utf-8")
    found = wb("diagnose", "--counts", "n.csv", "--json").json
    assert [(x["label"], x["id"], x["count"]) for x in found["histogram"]] == [("查询", "8", 1200), ("退订", "7", 30)]


def test_of_two_unnamed_columns_the_second_counts(tmp_path, wb):
    (tmp_path / "n.csv").write_text("what,how many\n退订,30\n查询,12\n", encoding="utf-8")
    assert wb("diagnose", "--counts", "n.csv", "--json").json["rows"] == 42


def test_classes_are_named_in_settings_or_numbered_as_the_data_number_them(tmp_path, wb):
    (tmp_path / "n.csv").write_text("id,label,count\n7,退订,30\n8,查询,30\n9,投诉,2\n", encoding="utf-8")
    settings = ("diagnose.imbalance.minority=[7]", "diagnose.imbalance.exclude=[投诉]")
    flags = [x for setting in settings for x in ("--set", setting)]
    assert wb("diagnose", "--counts", "n.csv", "--json", *flags).json["minority"] == ["退订"]
    doubled = wb("diagnose", "--counts", "n.csv", "--json", "--set", "diagnose.imbalance.multipliers={9: 2}").json
    assert doubled["targets"] == {"投诉": 56}
    done = wb("diagnose", "--counts", "n.csv", "--set", "diagnose.imbalance.exclude=[77]")
    assert "diagnose.imbalance.exclude: There is no class '77'" in done.err
